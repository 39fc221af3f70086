// Faults that a test asks for: an answer that comes late, wrong, or never, before or after the server has acted.

const pending = [];

/** Arms `{path, grant?, times?, delay_ms?, status?, body?, headers?, drop?, after?}`; see server.mjs. */
export function arm(fault) {
  if (typeof fault.path !== 'string') throw new Error('a fault needs a path');
  pending.push({ times: 1, ...fault });
}

export function disarm() {
  pending.length = 0;
}

/** The first fault that is meant for this request, one use of it taken. */
export function take(path, grant) {
  const index = pending.findIndex((f) => f.path === path && (f.grant === undefined || f.grant === grant));
  if (index < 0) return undefined;
  const fault = pending[index];
  fault.times -= 1;
  if (fault.times <= 0) pending.splice(index, 1);
  return fault;
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms ?? 0));

/** Answers in the server's place. True if the request must not reach the server. */
export async function before(fault, req, res) {
  await pause(fault.delay_ms);
  return spoil(fault, req, res, (...rest) => res.end(...rest));
}

/** Lets the server act on the request, then delays, spoils or loses what it wanted to say. */
export function after(fault, req, res) {
  const end = res.end.bind(res);
  res.end = (...rest) => {
    pause(fault.delay_ms).then(() => spoil(fault, req, res, end) || end(...rest));
    return res;
  };
}

function spoil(fault, req, res, end) {
  if (fault.drop) {
    req.socket.destroy();
    return true;
  }
  if (fault.status === undefined && fault.body === undefined) return false;
  for (const name of res.getHeaderNames()) res.removeHeader(name);
  res.statusCode = fault.status ?? 200;
  for (const [name, value] of Object.entries({ 'content-type': 'application/json', ...fault.headers })) res.setHeader(name, value);
  end(typeof fault.body === 'object' ? JSON.stringify(fault.body) : (fault.body ?? ''));
  return true;
}
