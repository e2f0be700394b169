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
  // address is a Unix socket's path, where the kernel says who asks (by default
  // DEPUTY_SOCKET, else /run/deputy/deputy.sock), or 'http://host:port' or
  // 'https://host:port', where a signature does: key is the signing key's name,
  // secret its text, audience the server's name. timeout: seconds that an answer
  // may take beyond what was to be waited for; patience: seconds for which a lost
  // connection is made again.
  constructor(address = process.env.DEPUTY_SOCKET || '/run/deputy/deputy.sock', { key = '', secret = '', audience = '', timeout = 30, patience = 30 } = {}) {
    if (!/^(\/|https?:\/\/[^/])/.test(address)) throw refused('the address must be a path, http://host:port or https://host:port');
    Object.assign(this, { address, timeout, patience });
    this.signer = { key, audience, secret: Buffer.from(String(secret).replace(/[\r\n]+$/, '')) };
    Object.defineProperty(this, 'signer', { enumerable: false }); // keeps the secret out of logs
    this.met = false;
  }

  // Asks for an action and waits for its end, at most wait seconds. Gives ok,
  // code (null: a signal ended it, it lives, …), state, ended (false: it still
  // lives), reason, id, the last output bytes of stdout and stderr (truncated: there
  // was more), and tasks. Of several tasks, the first that did not succeed decides.
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
      const task = whole(await this.#json('GET', taskTarget(id, `?wait=${wait}`), undefined, { wait }));
      if ((task.ended ?? null) !== null || Date.now() >= end) return task;
    }
  }

  // Gives a task's output, Buffer by Buffer as it comes, until the task has
  // ended. Each begins at its start, in bytes: what lies between two is gone.
  // Where that goes back to 0 the task has cut its own output: it is its new text.
  async * follow(id, stream = 'stdout', offset = 0) {
    if (!['stdout', 'stderr'].includes(stream)) throw refused('a task has stdout and stderr, and no other output');
    let given = false;
    let cut = false;
    for (;;) {
      const target = taskTarget(id, `/${stream}?offset=${offset}&wait=${HOLD}`);
      const { status, headers, body } = await this.ask('GET', target, undefined, { wait: HOLD });
      const next = Number(headers['deputy-next-offset'] ?? NaN);
      if (!Number.isSafeInteger(next)) throw unread(status, 'it has no Deputy-Next-Offset');
      if (!['true', 'false'].includes(headers['deputy-ended'])) throw unread(status, 'it has no Deputy-Ended');
      if (headers['deputy-rewritten'] && !cut) {
        cut = true;
        if (given) {
          offset = 0;
          continue;
        }
      }
      given ||= body.length > 0;
      if (body.length || next !== offset) yield Object.assign(body, { start: next - body.length });
      else if (headers['deputy-ended'] === 'true') return;
      offset = next;
    }
  }

  // Stops a task with all that it started; its stop is the receipt. grace, in
  // seconds, may shorten the declared one.
  async stop(id, grace) {
    const body = grace === undefined ? {} : { grace: `${Math.ceil(grace * 1000)}ms` };
    return whole(await this.#json('POST', taskTarget(id, '/stop'), body, { wait: 3600 }));
  }

  // Sends any request of the HTTP API; gives status, headers and body. It is sent
  // again while the connection is lost or deputy restarts; a call of an action
  // only with an idempotency key, unless it is known not to have been accepted.
  async ask(method, target, body, { key = '', endUser = '', wait = 0 } = {}) {
    const twice = method !== 'POST' || key !== '' || !target.startsWith('/v1/actions/');
    for (let since = 0; ;) {
      try {
        const answer = await this.#exchange(method, target, body, key, endUser, wait);
        if (answer.status < 300) return answer;
        throw refusalOf(answer);
      } catch (e) {
        since = since || Date.now();
        const pause = this.#pause(e, twice);
        if (pause === undefined || Date.now() - since + pause * 1000 > this.patience * 1000) throw e;
        await new Promise((done) => setTimeout(done, pause * 1000));
      }
    }
  }

  // Gives the seconds after which what was refused so is worth another try.
  #pause({ code, status, problem }, twice) {
    if (status === 0) return (code === 'unreachable' && this.met) || (code === 'outcome_unknown' && twice) ? 0.2 : undefined;
    const after = problem?.retry_after; // deputy restarts, for one
    return Number.isInteger(after) && after >= 0 && (status === 503 || (status === 500 && twice)) ? after : undefined;
  }

  async #post(module, action, query, params, options) {
    const target = `/v1/actions/${segment(module)}/${segment(action)}${query}`;
    const { status, value } = await this.#json('POST', target, params, options);
    if (!Array.isArray(value.tasks)) throw unread(status, 'it has no tasks');
    return { status, tasks: value.tasks.map((task) => whole({ status, value: task })) };
  }

  async #json(method, target, value, options) {
    let body;
    try {
      body = value === undefined ? undefined : Buffer.from(json(value, ''));
    } catch (e) {
      throw e instanceof DeputyError ? e : new DeputyError('bad_param', 0, `cannot write the params: ${e.message}`);
    }
    const answer = await this.ask(method, target, body, options);
    const read = parse(answer.body);
    if (!read) throw unread(answer.status, 'it is not JSON');
    return { status: answer.status, value: read };
  }

  // Sends a request once, on a connection of its own.
  async #exchange(method, target, body, key, endUser, wait) {
    const [scheme, , host] = this.address.split('/');
    const headers = { Host: scheme ? host : 'deputy', Connection: 'close' };
    if (body) Object.assign(headers, { 'Content-Type': 'application/json', 'Content-Length': String(body.length) });
    if (key) headers['Idempotency-Key'] = key;
    if (endUser) headers['Deputy-End-User'] = endUser;
    if (this.signer.key) headers.Authorization = this.#sign(method, target, key, endUser, body ?? '');
    checkHead(method, target, headers);
    for (const name of Object.keys(headers)) headers[name] = Buffer.from(headers[name]).toString('latin1'); // Node writes it as it was
    const options = { method, path: target, headers, agent: false };
    if (scheme) Object.assign(options, place(host));
    else options.socketPath = this.address;

    return new Promise((resolve, reject) => {
      let sent = false;
      let request;
      try {
        request = (scheme === 'https:' ? https : http).request(options);
      } catch (e) {
        return reject(refused(`the address is none: ${e.message}`));
      }
      const limit = setTimeout(() => request.destroy(new Error('no answer in time')), (wait + this.timeout) * 1000);
      const lost = (e) => {
        clearTimeout(limit);
        reject(sent ? new DeputyError('outcome_unknown', 0, `the connection to deputy was lost: ${e.message}`)
          : new DeputyError('unreachable', 0, `cannot reach deputy at ${this.address}: ${e.message}`));
      };
      request.on('socket', (s) => s.once(scheme === 'https:' ? 'secureConnect' : 'connect', () => { sent = this.met = true; }));
      request.on('error', lost);
      request.on('upgrade', (response, socket) => { socket.destroy(); lost(new Error('it goes on in another protocol')); });
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

const refused = (why) => new DeputyError('bad_request', 0, `cannot ask: ${why}`);
const unread = (status, why) => new DeputyError('outcome_unknown', status, `cannot read the daemon's answer: ${why}`);

// Gives a task of an answer, which must have the form of one.
function whole({ status, value: task }) {
  const text = (v) => v === undefined || v === null || typeof v === 'string';
  if (typeof task?.state === 'string' && typeof (task.exit ?? {}) === 'object' && text(task.stdout) && text(task.stderr)) return task;
  throw unread(status, 'what it shows is no task');
}

// Looks at whatever stands in a request's head: nothing can end a line or begin
// another request, and no blank is left for HTTP to drop.
function checkHead(method, target, headers) {
  if (!/^[A-Z]+$/.test(method) || !/^(?:\/[\w.!$&'()*+,;=:@%~-]*)+(?:\?[!-"$-~]*)?$/.test(target)) {
    throw refused('the method or the target has a character that may not stand there; write it as %XX');
  }
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value !== 'string' || /^ | $|[\x00-\x1f\x7f]/.test(value) || lone(value) >= 0) {
      throw refused(`${name} has a blank at its beginning or its end, or a control character`);
    }
  }
}

// Gives where a text is not Unicode; -1: nowhere.
const lone = (text) => text.search(/[\ud800-\udfff]/u);

// Gives a module's or an action's name as a part of a target.
function segment(name) {
  if (typeof name !== 'string' || lone(name) >= 0) throw new DeputyError('unknown_action', 0, 'cannot ask: such a name no action has');
  return encodeURIComponent(name);
}

function taskTarget(id, rest) {
  if (typeof id !== 'string' || !/^[0-9A-Za-z-]{1,64}$/.test(id)) throw new DeputyError('unknown_task', 0, 'cannot ask: such an id no task has');
  return `/v1/tasks/${id}${rest}`;
}

function place(host) {
  let url;
  try {
    url = new URL(`deputy://${host}`);
  } catch (e) {
    throw refused(`the address is none: ${e.message}`);
  }
  return { host: url.hostname.replace(/^\[(.*)\]$/, '$1'), port: url.port };
}

function refusalOf({ status, body }) {
  const problem = parse(body) ?? {};
  const text = `the daemon answered ${status}: ${body.toString().slice(0, 300)}`;
  const code = typeof problem.code === 'string' ? problem.code : status >= 500 ? 'outcome_unknown' : 'bad_request';
  return new DeputyError(code, status, typeof problem.detail === 'string' ? problem.detail : text, problem);
}

function resultOf(tasks) {
  const bad = tasks.filter((t) => t.state !== 'succeeded');
  const { id = null, state = null, ended = null, reason = null, exit, stdout, stderr, truncated } = bad[0] ?? tasks[0] ?? {};
  // Of a task that another had asked for, and that is not shown, there is no output.
  return { ok: bad.length === 0, code: exit?.code ?? null, state, ended: ended !== null, reason, id, stdout: stdout ?? '', stderr: stderr ?? '', truncated: truncated ?? false, tasks };
}

// JSON in which a BigInt is a number: an integer of 64 bits does not fit Node's
// own. param says where v stands.
function json(v, param) {
  if (typeof v === 'bigint') return String(v);
  if (typeof v === 'number' && !Number.isFinite(v)) throw badParam(param, 'JSON has no such number');
  if (typeof v === 'string' && lone(v) >= 0) throw badParam(param, `it is not Unicode from character ${lone(v)} on`);
  if (v instanceof Uint8Array) throw badParam(param, 'it is bytes; decode them, or encode them as base64');
  if (Array.isArray(v)) return `[${v.map((item, i) => json(item, `${param}[${i}]`)).join()}]`;
  if (v === null || typeof v !== 'object' || v.toJSON) return JSON.stringify(v) ?? 'null';
  const members = Object.entries(v).filter(([, value]) => value !== undefined);
  return `{${members.map(([name, value]) => `${JSON.stringify(name)}:${json(value, param ? `${param}[${name}]` : name)}`).join()}}`;
}

const badParam = (param, why) => new DeputyError('bad_param', 0, `cannot send ${param}: ${why}`);

function parse(body) {
  try {
    const value = JSON.parse(body.toString());
    return value !== null && typeof value === 'object' ? value : undefined;
  } catch {
    return undefined;
  }
}

module.exports = { Deputy, DeputyError };
