"""Plays one step of cases.json with clients/python/deputy.py; see clients_test.go."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
from deputy import Deputy, DeputyError

env = os.environ.get
deputy = Deputy(env("T_ADDRESS"), env("T_KEY"), env("T_SECRET", ""), env("T_AUDIENCE", ""))
deputy.timeout = deputy.patience = float(env("T_PATIENCE", "30"))
options = {"key": env("T_IDEMPOTENCY"), "end_user": env("T_END_USER")}


def say(*words):
    os.write(3, " ".join(map(str, words)).encode())


def play(op, *args):
    if op in ("run", "call"):
        params = json.loads(args[2])
    if op == "run":
        r = deputy.run(args[0], args[1], params, wait=int(env("T_WAIT", "60")), **options)
        sys.stdout.buffer.write(r.stdout.encode())
        sys.stderr.buffer.write(r.stderr.encode())
        say("ok" if r.ok else "failed", r.state, "-" if r.code is None else r.code)
    elif op == "call":
        say("tasks", *[t["id"] for t in deputy.call(args[0], args[1], params, **options)])
    elif op == "wait":
        say("state", deputy.wait(args[0])["state"])
    elif op == "follow":
        for chunk in deputy.follow(args[0], args[1]):
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
        say("end")
    elif op == "stop":
        task = deputy.stop(args[0], grace=0)
        say("state", task["state"], "empty" if task["stop"]["empty"] else "alive")
    elif op == "ask":
        deputy.ask(args[0], args[1])
    elif op == "hmac":
        import hashlib
        import hmac
        for line in sys.stdin.read().splitlines():
            key, _, msg = line.partition(" ")
            print(hmac.new(bytes.fromhex(key), bytes.fromhex(msg), hashlib.sha256).hexdigest())


try:
    play(*sys.argv[1:])
except DeputyError as e:
    say("error", e.code, e.status, e.problem.get("task", "-"), e.detail)
