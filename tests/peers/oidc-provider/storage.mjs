// The storage of the tests' authorization server: everything in maps, nothing evicted but what has run out.
// The adapter that the package brings keeps 1,000 rows and would drop sessions in a storm of sign-ins.

const rows = new Map(); // "Model:id" -> { payload, ends }
const byUid = new Map(); // session uid -> id
const byUserCode = new Map(); // what a person enters -> id of the device code

function alive(key) {
  const row = rows.get(key);
  if (row && row.ends <= Date.now()) {
    rows.delete(key);
    return undefined;
  }
  return row;
}

/** One model's view of the rows, as the package's adapter contract asks for it. */
export class Storage {
  constructor(model) {
    this.model = model;
  }

  key(id) {
    return `${this.model}:${id}`;
  }

  async upsert(id, payload, expiresIn) {
    const ends = Number.isFinite(expiresIn) ? Date.now() + expiresIn * 1000 : Infinity;
    rows.set(this.key(id), { payload, ends });
    if (this.model === 'Session') byUid.set(payload.uid, id);
    if (payload.userCode) byUserCode.set(payload.userCode, id);
  }

  async find(id) {
    return alive(this.key(id))?.payload;
  }

  async findByUid(uid) {
    return this.find(byUid.get(uid));
  }

  async findByUserCode(userCode) {
    return this.find(byUserCode.get(userCode));
  }

  async consume(id) {
    const row = alive(this.key(id));
    if (row) row.payload.consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    rows.delete(this.key(id));
  }

  async revokeByGrantId(grantId) {
    for (const [key, { payload }] of rows) {
      if (payload.grantId === grantId && !key.startsWith('Grant:')) rows.delete(key);
    }
  }
}

/** Drops every row of one model, or all rows; answers how many. */
export function forget(model) {
  let count = 0;
  for (const key of rows.keys()) {
    if (model === undefined || key.startsWith(`${model}:`)) {
      rows.delete(key);
      count += 1;
    }
  }
  if (model === undefined) {
    byUid.clear();
    byUserCode.clear();
  }
  return count;
}
