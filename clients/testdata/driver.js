// Plays one step of cases.json with clients/node/deputy.cjs; see clients_test.go.
const fs = require('fs');
const path = require('path');
const { Deputy, DeputyError } = require(path.join(__dirname, '../node/deputy.cjs'));

const env = process.env;
const seconds = Number(env.T_PATIENCE ?? 30);
const deputy = new Deputy(env.T_ADDRESS, { key: env.T_KEY, secret: env.T_SECRET, audience: env.T_AUDIENCE, timeout: seconds, patience: seconds });
const options = { key: env.T_IDEMPOTENCY, endUser: env.T_END_USER };
const say = (...words) => fs.writeSync(3, words.join(' '));

// big reads a JSON integer that does not fit a number as a BigInt.
const big = (text) => JSON.parse(text.replace(/:(-?\d{16,})/g, ':"big $1"'), (_, v) => (/^big /.test(v) ? BigInt(v.slice(4)) : v));

async function play(op, a, b, params) {
  if (op === 'run') {
    const r = await deputy.run(a, b, big(params), { wait: Number(env.T_WAIT ?? 60), ...options });
    process.stdout.write(r.stdout);
    process.stderr.write(r.stderr);
    say(r.ok ? 'ok' : 'failed', r.state, r.code ?? '-');
  } else if (op === 'call') {
    say('tasks', ...(await deputy.call(a, b, big(params), options)).map((t) => t.id));
  } else if (op === 'wait') {
    say('state', (await deputy.wait(a)).state);
  } else if (op === 'follow') {
    for await (const chunk of deputy.follow(a, b)) process.stdout.write(chunk);
    say('end');
  } else if (op === 'stop') {
    const task = await deputy.stop(a, 0);
    say('state', task.state, task.stop.empty ? 'empty' : 'alive');
  } else if (op === 'ask') {
    await deputy.ask(a, b);
  } else if (op === 'hmac') {
    for (const line of fs.readFileSync(0, 'utf8').trimEnd().split('\n')) {
      const [key, msg] = line.split(' ');
      console.log(require('crypto').createHmac('sha256', Buffer.from(key, 'hex')).update(Buffer.from(msg, 'hex')).digest('hex'));
    }
  }
}

play(...process.argv.slice(2)).catch((e) => {
  if (!(e instanceof DeputyError)) throw e;
  say('error', e.code, e.status, e.problem.task ?? '-', e.detail);
});
