'use strict';
// Ask deputy for declared actions. One file to copy: Node 16, its own modules alone.
//
//     const { Deputy } = require('./deputy.cjs');   // or: import { Deputy } from './deputy.cjs'
//     const deputy = new Deputy();
//     const r = await deputy.run('service', 'restart', { unit: 'nginx.service' });
//     console.log(r.ok, r.code, r.stdout);

const crypto = require('crypto');
const http = require('http');
const https = require('https');

const ENDED = ['succeeded', 'failed', 'stopped', 'timed_out', 'unknown'];
const HOLD = 30; // seconds that the daemon is asked to hold one answer, at most

// A refusal. code is stable ('busy', 'not_allowed', …), status is that of HTTP.
// Without an answer the status is 0, and the code 'unreachable' (nothing was
// sent) or 'outcome_unknown' (it may or may not have been done). problem is
// the whole answer: task, errors, retry_after.
class DeputyError extends Error {
  constructor(code, status, detail, problem = {}) {
    super(detail);
    Object.assign(this, { name: 'DeputyError', code, status, detail, problem });
  }
}

class Deputy {
  // address is a Unix socket's path, where the kernel says who asks, or
  // 'http://host:port' or 'https://host:port', where a signature does: key is the
  // signing key's name, secret its text, audience the server's name. timeout:
  // seconds that an answer may take beyond what was to be waited for; patience:
  // seconds for which a lost connection is made again.
  constructor(address = '/run/deputy/deputy.sock', { key = '', secret = '', audience = '', timeout = 30, patience = 30 } = {}) {
    Object.assign(this, { address, timeout, patience });
    this.signer = { key, audience, secret: Buffer.from(String(secret).replace(/[\r\n]+$/, '')) };
    Object.defineProperty(this, 'signer', { enumerable: false }); // keeps the secret out of logs
    this.met = false;
  }

  // Asks for an action and waits for its end, at most wait seconds. Gives ok,
  // code (null: a signal ended it, it lives, …), state, reason, id, the last
  // output bytes of stdout and stderr (truncated: there was more), and tasks. Of
  // several tasks, the first that did not succeed decides.
  async run(module, action, params = {}, { wait = 300, output = 1 << 20, key = fresh(), endUser = '' } = {}) {
    const end = Date.now() + wait * 1000;
    for (;;) {
      const hold = holdUntil(end);
      const { status, tasks } = await this.#post(module, action, `?wait=${hold}&output=${output}`, params, { key, endUser, wait: hold });
      if (status === 200 || Date.now() >= end) return resultOf(tasks);
    }
  }

  // Asks for an action and goes. Gives its tasks, which are durable now.
  async call(module, action, params = {}, { key = fresh(), endUser = '' } = {}) {
    return (await this.#post(module, action, '', params, { key, endUser })).tasks;
  }

  // Gives a task once it has ended, or as it is after so many seconds.
  async wait(id, seconds = Infinity) {
    const end = Date.now() + seconds * 1000;
    for (;;) {
      const wait = holdUntil(end);
      const { value: task } = await this.#json('GET', `/v1/tasks/${encodeURIComponent(id)}?wait=${wait}`, undefined, { wait });
      if (ENDED.includes(task.state) || Date.now() >= end) return task;
    }
  }

  // Gives a task's output, Buffer by Buffer as it comes, until the task has
  // ended. Each begins at its start, in bytes: what lies between two is gone.
  async * follow(id, stream = 'stdout', offset = 0) {
    for (;;) {
      const target = `/v1/tasks/${encodeURIComponent(id)}/${stream}?offset=${offset}&wait=${HOLD}`;
      const { headers, body } = await this.ask('GET', target, undefined, { wait: HOLD });
      const next = Number(headers['deputy-next-offset']);
      if (body.length || next !== offset) yield Object.assign(body, { start: next - body.length });
      else if (ENDED.includes(headers['deputy-state'])) return;
      offset = next;
    }
  }

  // Stops a task with all that it started; its stop is the receipt. grace, in
  // seconds, may shorten the declared one.
  async stop(id, grace) {
    const body = grace === undefined ? {} : { grace: `${Math.round(grace * 1000)}ms` };
    return (await this.#json('POST', `/v1/tasks/${encodeURIComponent(id)}/stop`, body, { wait: 3600 })).value;
  }

  // Sends any request of the HTTP API; gives status, headers and body. It is sent
  // again while the connection is lost: a POST needs an idempotency key for that.
  async ask(method, target, body, { key = '', endUser = '', wait = 0 } = {}) {
    let answer;
    for (let since = 0; !answer;) {
      try {
        answer = await this.#exchange(method, target, body, key, endUser, wait);
      } catch (e) {
        since = since || Date.now();
        const again = e.code === 'outcome_unknown' || (e.code === 'unreachable' && this.met);
        if (!again || Date.now() - since >= this.patience * 1000) throw e;
        await new Promise((done) => setTimeout(done, 200));
      }
    }
    if (answer.status < 300) return answer;
    const problem = parse(answer.body) ?? {};
    const text = `the daemon answered ${answer.status}: ${answer.body.toString().slice(0, 300)}`;
    const code = problem.code ?? (answer.status >= 500 ? 'outcome_unknown' : 'bad_request');
    throw new DeputyError(code, answer.status, problem.detail ?? text, problem);
  }

  async #post(module, action, query, params, options) {
    const target = `/v1/actions/${encodeURIComponent(module)}/${encodeURIComponent(action)}${query}`;
    const { status, value } = await this.#json('POST', target, params, options);
    return { status, tasks: value.tasks };
  }

  async #json(method, target, value, options) {
    const body = value === undefined ? undefined : Buffer.from(json(value));
    const answer = await this.ask(method, target, body, options);
    const read = parse(answer.body);
    if (!read) throw new DeputyError('outcome_unknown', answer.status, "cannot read the daemon's answer: it is not JSON");
    return { status: answer.status, value: read };
  }

  // Sends a request once, on a connection of its own.
  async #exchange(method, target, body, key, endUser, wait) {
    if (/[\x00-\x1f\x7f]/.test(key + endUser)) throw new DeputyError('bad_request', 0, 'cannot ask: a key or an end user has a control character');
    const headers = { Connection: 'close' };
    if (body) Object.assign(headers, { 'Content-Type': 'application/json', 'Content-Length': body.length });
    if (key) headers['Idempotency-Key'] = key;
    if (endUser) headers['Deputy-End-User'] = Buffer.from(endUser).toString('latin1'); // Node writes it as it was
    if (this.signer.key) headers.Authorization = this.#sign(method, target, key, endUser, body ?? '');
    const options = { method, path: target, headers, agent: false };
    const [scheme, , host] = this.address.split('/');
    if (scheme) Object.assign(options, place(host), { headers: { Host: host, ...headers } });
    else Object.assign(options, { socketPath: this.address, headers: { Host: 'deputy', ...headers } });

    return new Promise((resolve, reject) => {
      let sent = false;
      const request = (scheme === 'https:' ? https : http).request(options);
      const limit = setTimeout(() => request.destroy(new Error('no answer in time')), (wait + this.timeout) * 1000);
      const lost = (e) => {
        clearTimeout(limit);
        reject(sent ? new DeputyError('outcome_unknown', 0, `the connection to deputy was lost: ${e.message}`)
          : new DeputyError('unreachable', 0, `cannot reach deputy at ${this.address}: ${e.message}`));
      };
      request.on('socket', (s) => s.once(scheme === 'https:' ? 'secureConnect' : 'connect', () => { sent = this.met = true; }));
      request.on('error', lost);
      request.on('response', (response) => {
        const parts = [];
        response.on('data', (part) => parts.push(part));
        response.on('error', lost);
        response.on('end', () => {
          if (!response.complete) return lost(new Error('the answer broke off'));
          clearTimeout(limit);
          resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(parts) });
        });
      });
      request.end(body);
    });
  }

  // The Authorization of one request: Deputy1 is good once.
  #sign(method, target, idempotencyKey, endUser, body) {
    const { key, secret, audience } = this.signer;
    const now = Math.floor(Date.now() / 1000);
    const nonce = fresh();
    const digest = crypto.createHash('sha256').update(body).digest('hex');
    const lines = ['DEPUTY1', key, now, nonce, method, audience, target, idempotencyKey, endUser, digest, ''];
    const mac = crypto.createHmac('sha256', secret).update(lines.join('\n')).digest('hex');
    return `Deputy1 id=${key},ts=${now},nonce=${nonce},sig=${mac}`;
  }
}

const fresh = () => crypto.randomBytes(16).toString('hex');
const holdUntil = (end) => Math.max(0, Math.min(HOLD, Math.round((end - Date.now()) / 1000)));

function place(host) {
  const { hostname, port } = new URL(`deputy://${host}`);
  return { host: hostname.replace(/^\[(.*)\]$/, '$1'), port };
}

function resultOf(tasks) {
  const bad = tasks.filter((t) => t.state !== 'succeeded');
  const { id = null, state = null, reason = null, exit, stdout, stderr, truncated } = bad[0] ?? tasks[0] ?? {};
  // Of a task that another had asked for, and that is not shown, there is no output.
  return { ok: bad.length === 0, code: exit?.code ?? null, state, reason, id, stdout: stdout ?? '', stderr: stderr ?? '', truncated: truncated ?? false, tasks };
}

// JSON in which a BigInt is a number: an integer of 64 bits does not fit Node's own.
function json(v) {
  if (typeof v === 'bigint') return String(v);
  if (Array.isArray(v)) return `[${v.map(json).join()}]`;
  if (v === null || typeof v !== 'object' || v.toJSON) return JSON.stringify(v) ?? 'null';
  const members = Object.entries(v).filter(([, value]) => value !== undefined);
  return `{${members.map(([name, value]) => `${JSON.stringify(name)}:${json(value)}`).join()}}`;
}

function parse(body) {
  try {
    const value = JSON.parse(body.toString());
    return value !== null && typeof value === 'object' ? value : undefined;
  } catch {
    return undefined;
  }
}

module.exports = { Deputy, DeputyError };
