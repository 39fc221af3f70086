// Signs in to the tests' authorization server by script.
//
//   node check.mjs           starts a server and proves what the tests lean on; exits 0
//   node check.mjs ISSUER    signs in at a server that runs, and prints its token answer
import assert from 'node:assert/strict';
import { createHash, createPublicKey, randomBytes, verify } from 'node:crypto';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

let server;
async function start() {
  const program = fileURLToPath(new URL('server.mjs', import.meta.url));
  server = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'ignore'] });
  const ready = await new Promise((done) => createInterface(server.stdout).once('line', done));
  return ready.replace('READY ', '');
}
const issuer = process.argv[2] ?? (await start());
const post = (path, fields, headers = {}) =>
  fetch(issuer + path, { method: 'POST', body: new URLSearchParams(fields), headers, redirect: 'manual' });
const control = async (name, body) =>
  (await fetch(`${issuer}/_tb/${name}`, body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) })).json();

async function signIn() {
  const verifier = randomBytes(32).toString('base64url');
  const challenge = createHash('sha256').update(verifier).digest('base64url');
  const redirect = 'http://127.0.0.1:45678/callback';
  const jar = new Map();
  const browse = async (url, fields) => {
    const answer = await fetch(url, {
      method: fields ? 'POST' : 'GET',
      body: fields && new URLSearchParams(fields),
      headers: { cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; ') },
      redirect: 'manual',
    });
    for (const cookie of answer.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie);
      if (value) jar.set(name, value);
      else jar.delete(name);
    }
    const location = answer.headers.get('location');
    if (!location) return answer.text();
    const next = new URL(location, url).href;
    return next.startsWith(redirect) ? new URL(next) : browse(next);
  };
  const query = new URLSearchParams({
    client_id: 'keyfob',
    response_type: 'code',
    redirect_uri: redirect,
    scope: 'openid offline_access repo:read repo:write',
    code_challenge: challenge,
    code_challenge_method: 'S256',
    state: 'a state',
    nonce: 'a nonce',
    prompt: 'consent',
  });
  let page = await browse(`${issuer}/auth?${query}`);
  for (const fields of [{ prompt: 'login', login: 'alice', password: 'x' }, { prompt: 'consent' }]) {
    page = await browse(/action="([^"]+)"/.exec(page)[1], fields);
  }
  assert.equal(page.searchParams.get('iss'), issuer);
  assert.equal(page.searchParams.get('state'), 'a state');
  const code = page.searchParams.get('code');
  const redeem = { grant_type: 'authorization_code', client_id: 'keyfob', code, redirect_uri: redirect };
  return (await post('/token', { ...redeem, code_verifier: verifier })).json();
}

const refresh = async (token) => post('/token', { grant_type: 'refresh_token', client_id: 'keyfob', refresh_token: token });
const basic = { authorization: `Basic ${Buffer.from('checker:checker-secret').toString('base64')}` };
const active = async (token) => (await (await post('/token/introspection', { token }, basic)).json()).active;

async function check() {
  const first = await signIn();
  assert.deepEqual(Object.keys(first).sort(), ['access_token', 'expires_in', 'id_token', 'refresh_token', 'scope', 'token_type']);
  assert.equal(first.scope, 'openid offline_access repo:read repo:write');
  const [head, body, signature] = first.id_token.split('.');
  const claims = JSON.parse(Buffer.from(body, 'base64url'));
  const { keys } = await (await fetch(`${issuer}/jwks`)).json();
  assert.ok(verify('RSA-SHA256', `${head}.${body}`, createPublicKey({ key: keys[0], format: 'jwk' }), Buffer.from(signature, 'base64url')));
  assert.deepEqual([claims.aud, claims.sub, claims.email, claims.nonce], ['keyfob', 'alice', 'alice@example.com', 'a nonce']);
  assert.equal(await active(first.access_token), true);

  await control('set', { accessTtl: 7 });
  const second = await (await refresh(first.refresh_token)).json();
  assert.equal(second.expires_in, 7);
  assert.notEqual(second.refresh_token, first.refresh_token);
  await control('forget', { model: 'AccessToken' });
  assert.equal(await active(second.access_token), false);

  await control('fault', { path: '/token', grant: 'refresh_token', status: 503 });
  assert.equal((await refresh(second.refresh_token)).status, 503);
  const began = Date.now();
  await control('fault', { path: '/token', delay_ms: 300, after: true });
  const third = await (await refresh(second.refresh_token)).json();
  assert.ok(third.refresh_token && Date.now() - began >= 300);
  await control('fault', { path: '/token', drop: true });
  await assert.rejects(refresh(third.refresh_token));

  assert.equal((await refresh(first.refresh_token)).status, 400);
  assert.equal((await refresh(third.refresh_token)).status, 400); // the reuse has killed the family

  const fourth = await signIn();
  const storm = await Promise.all(Array.from({ length: 10 }, () => refresh(fourth.refresh_token)));
  assert.equal(storm.filter(({ status }) => status === 200).length, 1);
  const fifth = await signIn();
  assert.equal((await post('/token/revocation', { token: fifth.refresh_token, client_id: 'keyfob' })).status, 200);
  assert.equal((await refresh(fifth.refresh_token)).status, 400);
  assert.equal(await active(fifth.access_token), false);

  const { authorizations, token, errors, most_in_flight } = await control('stats');
  console.log(JSON.stringify({ authorizations, token, errors, most_in_flight }));
  assert.deepEqual(authorizations, { begun: 3, ok: 3, error: 0 });
  assert.deepEqual(token.authorization_code, { arrived: 3, ok: 3, error: 0 });
  console.log('ok');
}

try {
  if (server) await check();
  else console.log(JSON.stringify(await signIn()));
} finally {
  server?.stdin.end();
}
