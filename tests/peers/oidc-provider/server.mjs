// An authorization server for keyfob's tests: npm oidc-provider, with counters, faults and knobs beside it.
//
// It prints `READY http://127.0.0.1:PORT` (the issuer, unless TB_ORIGIN is) and stops when its standard input ends.
// Environment: PORT (default: the OS picks), TB_ACCESS_TTL, TB_ID_TTL, TB_REFRESH_TTL (seconds), TB_LOG (a file for
// one JSON line per request; tokens appear there as short hashes only), TB_REDIRECT (default http://127.0.0.1/callback),
// TB_ORIGIN (the issuer, where something stands in front of this address),
// TB_DEVICE_INTERVAL (seconds between polls for a device code; the provider itself names none, which means 5), TB_CONFORM=1 (ID tokens say no more than they have to), TB_JWT=1
// (access tokens are signed and forgotten, so that none can be revoked).
//
// Control, for tests:
//   GET  /_tb/stats                       the counters (see `fresh` below)
//   POST /_tb/set    {"accessTtl": 5}     also idTtl, refreshTtl (seconds), rotate (bool); holds for tokens issued from now on
//   POST /_tb/forget {"model": "AccessToken"}   drops all rows of a model (RefreshToken, Session, Grant, ...); {} drops all
//   POST /_tb/reset                       counters, faults and knobs as at the start; tokens stay
//   POST /_tb/fault  {"path": "/token", "grant": "refresh_token", "times": 1, "delay_ms": 0, "status": 503,
//                     "headers": {}, "body": {}, "drop": true, "after": true}
//                    `after`: the server acts first, then its answer is delayed, replaced or lost.
import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';
import { Storage, forget } from './storage.mjs';
import * as faults from './faults.mjs';

const env = process.env;
const atStart = () => ({
  accessTtl: Number(env.TB_ACCESS_TTL ?? 3600),
  idTtl: Number(env.TB_ID_TTL ?? 3600),
  refreshTtl: Number(env.TB_REFRESH_TTL ?? 14 * 86400),
  rotate: true,
});
const fresh = () => ({
  authorizations: { begun: 0, ok: 0, error: 0 },
  token: {}, // grant type -> { arrived, ok, error }
  errors: {}, // OAuth error code of the token endpoint -> count
  requests: {}, // "METHOD /path" -> count
  in_flight: 0, // token requests being answered now
  most_in_flight: 0,
});
let knobs = atStart();
let stats = fresh();

const hash = (token) => token && createHash('sha256').update(token).digest('hex').slice(0, 12);
const bump = (counters, name) => {
  counters[name] = (counters[name] ?? 0) + 1;
};
const log = (entry) => env.TB_LOG && appendFileSync(env.TB_LOG, `${JSON.stringify(entry)}\n`);

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const key = { ...privateKey.export({ format: 'jwk' }), kid: 'tests', use: 'sig', alg: 'RS256' };

// One resource server for all, whose access tokens are signed ones.
const jwt = {
  enabled: true,
  defaultResource: () => 'https://api.example.com',
  useGrantedResource: () => true,
  getResourceServerInfo: () => ({ scope: 'repo:read', accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } }),
};

function configuration() {
  return {
    adapter: Storage,
    jwks: { keys: [key] },
    cookies: { keys: [randomBytes(16).toString('hex')] },
    clients: [
      {
        client_id: 'keyfob',
        client_name: 'keyfob',
        application_type: 'native',
        token_endpoint_auth_method: 'none',
        grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
        response_types: ['code'],
        redirect_uris: [env.TB_REDIRECT ?? 'http://127.0.0.1/callback'],
      },
      {
        client_id: 'checker',
        client_secret: 'checker-secret',
        token_endpoint_auth_method: 'client_secret_basic',
        grant_types: [],
        response_types: [],
        redirect_uris: [],
      },
    ],
    scopes: ['openid', 'offline_access', 'email', 'repo:read', 'repo:write'],
    claims: { openid: env.TB_CONFORM ? ['sub'] : ['sub', 'email', 'email_verified'], email: ['email', 'email_verified'] },
    // by itself it leaves to userinfo what an ID token need not say
    conformIdTokenClaims: Boolean(env.TB_CONFORM),
    features: {
      devInteractions: { enabled: true },
      deviceFlow: { enabled: true },
      ...(env.TB_JWT && { resourceIndicators: jwt }),
      revocation: { enabled: true, allowedPolicy: (ctx, client, token) => token.clientId === client.clientId },
      introspection: { enabled: true, allowedPolicy: (ctx, client) => client.clientId === 'checker' },
    },
    pkce: { required: () => true },
    rotateRefreshToken: () => knobs.rotate,
    ttl: {
      AccessToken: () => knobs.accessTtl,
      IdToken: () => knobs.idTtl,
      RefreshToken: () => knobs.refreshTtl,
      AuthorizationCode: 60,
      Interaction: 3600,
      Session: 86400,
      Grant: 14 * 86400,
    },
    // Any name may sign in, with any password.
    findAccount: (ctx, sub) => ({
      accountId: sub,
      claims: () => ({ sub, email: `${sub}@example.com`, email_verified: true }),
    }),
  };
}

/** The form of a request, read without taking it away from the server; undefined where there is none. */
async function form(req) {
  const length = Number(req.headers['content-length'] ?? 0);
  if (req.method !== 'POST' || !(length > 0 && length < 65536)) return undefined;
  const chunks = [];
  let have = 0;
  while (have < length) {
    await new Promise((done, fail) => req.once('readable', done).once('close', () => fail(new Error('closed'))));
    for (let chunk = req.read(); chunk !== null; chunk = req.read()) {
      chunks.push(chunk);
      have += chunk.length;
    }
    // Before the stream notices that it has ended: in the same turn as the last read.
    if (have >= length) req.unshift(Buffer.concat(chunks));
    else if (req.readableEnded) return undefined;
  }
  return new URLSearchParams(Buffer.concat(chunks).toString());
}

/** One middleware around the provider: what it answered, counted and logged. */
async function observe(ctx, next) {
  const began = Date.now();
  const counter = stats;
  await next();
  const fields = ctx.oidc?.body ?? {};
  const answer = ctx.body !== null && typeof ctx.body === 'object' ? ctx.body : {};
  if (ctx.path === '/device/auth' && ctx.status === 200 && env.TB_DEVICE_INTERVAL) {
    ctx.body = { ...answer, interval: Number(env.TB_DEVICE_INTERVAL) };
  }
  if (ctx.path === '/token') {
    const grant = (counter.token[fields.grant_type ?? 'none'] ??= { arrived: 0, ok: 0, error: 0 });
    grant[ctx.status === 200 ? 'ok' : 'error'] += 1;
    if (ctx.status !== 200) bump(counter.errors, answer.error ?? String(ctx.status));
  }
  log({
    at: began,
    ms: Date.now() - began,
    method: ctx.method,
    path: ctx.path,
    status: ctx.status,
    grant: fields.grant_type,
    client: fields.client_id,
    refresh_in: hash(fields.refresh_token),
    refresh_out: hash(answer.refresh_token),
    access_out: hash(answer.access_token),
    scope: answer.scope,
    error: answer.error,
    agent: ctx.get('user-agent') || undefined,
  });
}

async function control(req, res, path) {
  const body = Object.fromEntries(Object.entries(JSON.parse((await text(req)) || '{}')));
  let answer = {};
  if (path === '/_tb/stats') answer = { ...stats, knobs };
  else if (path === '/_tb/set') answer = knobs = { ...knobs, ...body };
  else if (path === '/_tb/forget') answer = { forgotten: forget(body.model) };
  else if (path === '/_tb/fault') faults.arm(body);
  else if (path === '/_tb/reset') {
    stats = fresh();
    knobs = atStart();
    faults.disarm();
  } else throw new Error(`no such control: ${path}`);
  res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
}

async function text(req) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

async function serve(req, res, provider) {
  const { pathname, searchParams } = new URL(req.url, 'http://127.0.0.1');
  if (pathname.startsWith('/_tb/')) return control(req, res, pathname);
  bump(stats.requests, `${req.method} ${pathname.replace(/^(\/(?:auth|interaction))\/.*/, '$1/…')}`);
  if (pathname === '/auth' && searchParams.has('client_id')) stats.authorizations.begun += 1;
  const grant = pathname === '/token' ? ((await form(req))?.get('grant_type') ?? 'none') : undefined;
  if (grant !== undefined) {
    const counter = stats;
    (counter.token[grant] ??= { arrived: 0, ok: 0, error: 0 }).arrived += 1;
    counter.in_flight += 1;
    counter.most_in_flight = Math.max(counter.most_in_flight, counter.in_flight);
    res.once('close', () => {
      counter.in_flight -= 1;
    });
  }
  const fault = faults.take(pathname, grant);
  if (fault && !fault.after && (await faults.before(fault, req, res))) return undefined;
  if (fault?.after) faults.after(fault, req, res);
  return provider.callback()(req, res);
}

const server = createServer({ keepAliveTimeout: 60_000 });
server.listen(Number(env.PORT ?? 0), '127.0.0.1', () => {
  const here = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(env.TB_ORIGIN ?? here, configuration());
  provider.use(observe);
  provider.on('authorization.success', () => {
    stats.authorizations.ok += 1;
  });
  provider.on('authorization.error', () => {
    stats.authorizations.error += 1;
  });
  provider.on('server_error', (ctx, error) => console.error(error));
  server.on('request', (req, res) => {
    serve(req, res, provider).catch((error) => {
      if (!res.headersSent) res.writeHead(500, { 'content-type': 'text/plain' });
      res.end(`${error.message}\n`);
    });
  });
  console.log(`READY ${here}`);
});
// Whoever started this server holds the other end; when it dies, however it dies, so does this.
process.stdin.on('end', () => process.exit(0)).on('error', () => process.exit(0)).resume();
