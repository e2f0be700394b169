"""Ask deputy for declared actions. One file to copy: Python 3.7, standard library alone.

    from deputy import Deputy, DeputyError

    deputy = Deputy()
    r = deputy.run("service", "restart", {"unit": "nginx.service"})
    print(r.ok, r.code, r.stdout)
"""
import hashlib
import hmac
import http.client
import json
import math
import os
import re
import socket
import time
from urllib.parse import quote, urlsplit

HOLD = 30  # seconds that the daemon is asked to hold one answer, at most


class DeputyError(Exception):
    """A refusal. code is stable ("busy", "not_allowed", …); status is that of HTTP.

    Without an answer the status is 0, and the code "unreachable" (nothing was
    sent) or "outcome_unknown" (it may or may not have been done). problem is
    the whole answer: task, errors, retry_after.
    """

    def __init__(self, code, status, detail, problem=None):
        super().__init__(detail)
        self.code, self.status, self.detail, self.problem = code, status, detail, problem or {}


class Result:
    """What became of a run. Of several tasks, the first that did not succeed decides."""

    def __init__(self, tasks):
        task = next((t for t in tasks if t["state"] != "succeeded"), tasks[0] if tasks else {})
        self.tasks = tasks  # as the HTTP API shows them
        self.ok = all(t["state"] == "succeeded" for t in tasks)
        self.id = task.get("id")
        self.state = task.get("state")
        self.ended = task.get("ended") is not None  # False: it still lives
        self.reason = task.get("reason")
        self.code = (task.get("exit") or {}).get("code")  # None: a signal ended it, it lives, …
        # Of a task that another had asked for, and that is not shown, there is none.
        self.stdout, self.stderr = task.get("stdout") or "", task.get("stderr") or ""
        self.truncated = bool(task.get("truncated"))  # there was more output


class Chunk(bytes):
    """A piece of output. offset is where it begins: what lies between two pieces is gone."""

    offset = 0


class Deputy:
    """One daemon: a Unix socket's path, where the kernel says who asks (None:
    DEPUTY_SOCKET, else /run/deputy/deputy.sock), or "http://host:port" or
    "https://host:port", where a signature does."""

    timeout = 30  # seconds without a byte, beyond what was to be waited for
    patience = 30  # seconds for which a lost connection is made again

    def __init__(self, address=None, key=None, secret="", audience=""):
        """key is the name of the signing key, secret its text, audience the server's name."""
        address = str(address or os.environ.get("DEPUTY_SOCKET") or "/run/deputy/deputy.sock")
        if not re.match(r"/|https?://[^/]", address):
            raise DeputyError("bad_request", 0, "cannot ask: the address must be a path, http://host:port or https://host:port")
        self._address, self._key, self._audience = address, key, audience
        self._secret = (secret.encode() if isinstance(secret, str) else secret).rstrip(b"\r\n")
        self._met = False

    def run(self, module, action, params=None, wait=300, output=1 << 20, key=None, end_user=None):
        """Ask for an action and wait for its end, at most wait seconds; gives a Result
        with the last output bytes of what it wrote."""
        key = key or os.urandom(16).hex()
        end = time.monotonic() + wait
        while True:
            hold = max(0, min(HOLD, round(end - time.monotonic())))
            query = "?wait=%d&output=%d" % (hold, output)
            status, tasks = self._call(module, action, params, query, hold, key, end_user)
            if status == 200 or time.monotonic() >= end:
                return Result(tasks)

    def call(self, module, action, params=None, key=None, end_user=None):
        """Ask for an action and go; gives the list of its tasks, which are durable now."""
        return self._call(module, action, params, "", 0, key or os.urandom(16).hex(), end_user)[1]

    def wait(self, id, seconds=None):
        """Give a task once it has ended, or as it is after so many seconds."""
        end = None if seconds is None else time.monotonic() + seconds
        while True:
            hold = HOLD if end is None else max(0, min(HOLD, round(end - time.monotonic())))
            task = _whole(*self._json("GET", _task(id, "?wait=%d" % hold), wait=hold))
            if task.get("ended") is not None or (end is not None and time.monotonic() >= end):
                return task

    def follow(self, id, stream="stdout", offset=0):
        """Give a task's output, Chunk by Chunk as it comes, until the task has ended. Where
        the offset goes back to 0 the task has cut its own output: it is its new text."""
        if stream not in ("stdout", "stderr"):
            raise DeputyError("bad_request", 0, "cannot follow this: a task has stdout and stderr")
        given = cut = False
        while True:
            target = _task(id, "/%s?offset=%d&wait=%d" % (stream, offset, HOLD))
            status, headers, body = self.ask("GET", target, wait=HOLD)
            after = headers.get("Deputy-Next-Offset", "")
            if not re.fullmatch("[0-9]{1,18}", after):
                raise _unread(status, "it has no Deputy-Next-Offset")
            ended = headers.get("Deputy-Ended")
            if ended not in ("true", "false"):
                raise _unread(status, "it has no Deputy-Ended")
            after = int(after)
            if headers.get("Deputy-Rewritten") and not cut:
                cut = True
                if given:
                    offset = 0
                    continue
            given = given or bool(body)
            if body or after != offset:
                chunk = Chunk(body)
                chunk.offset = after - len(body)
                yield chunk
            elif ended == "true":
                return
            offset = after

    def stop(self, id, grace=None):
        """Stop a task with all that it started. The task's "stop" is the receipt.
        grace, in seconds, may shorten the declared one."""
        body = {} if grace is None else {"grace": "%dms" % math.ceil(grace * 1000)}
        return _whole(*self._json("POST", _task(id, "/stop"), body, wait=3600))

    def ask(self, method, target, body=None, key=None, end_user=None, wait=0):
        """Send any request of the HTTP API; gives status, headers and bytes. It is sent
        again while the connection is lost or deputy restarts; a call of an action only
        with an idempotency key, unless it is known not to have been accepted."""
        twice = method != "POST" or bool(key) or not target.startswith("/v1/actions/")
        since = None
        while True:
            try:
                status, headers, content = self._exchange(method, target, body, key, end_user, wait)
                if status < 300:
                    return status, headers, content
                raise _refusal(status, content)
            except DeputyError as e:
                since = since or time.monotonic()
                pause = self._pause(e, twice)
                if pause is None or time.monotonic() - since + pause > self.patience:
                    raise
            time.sleep(pause)

    def _pause(self, e, twice):
        """The seconds after which what was refused so is worth another try; None: it is not."""
        if e.status == 0:
            return 0.2 if (self._met if e.code == "unreachable" else e.code == "outcome_unknown" and twice) else None
        after = e.problem.get("retry_after")  # deputy restarts, for one
        return after if isinstance(after, int) and after >= 0 and (e.status == 503 or e.status == 500 and twice) else None

    def _call(self, module, action, params, query, wait, key, end_user):
        target = "/v1/actions/%s/%s%s" % (_name(module), _name(action), query)
        status, answer = self._json("POST", target, params or {}, key, end_user, wait)
        if not isinstance(answer.get("tasks"), list):
            raise _unread(status, "it has no tasks")
        return status, [_whole(status, task) for task in answer["tasks"]]

    def _json(self, method, target, value=None, key=None, end_user=None, wait=0):
        body = None
        if value is not None:
            try:
                _check_text(value)
                body = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
            except (TypeError, ValueError, RecursionError) as e:
                raise DeputyError("bad_param", 0, "cannot write the params: %s" % e) from e
        status, _, content = self.ask(method, target, body, key, end_user, wait)
        answer = _object(content)
        if not answer:
            raise _unread(status, "it is not JSON")
        return status, answer

    def _exchange(self, method, target, body, key, end_user, wait):
        """Send a request once, on a connection of its own."""
        try:
            connection = self._connection()
        except ValueError as e:
            raise DeputyError("bad_request", 0, "cannot ask: the address is none: %s" % e) from e
        headers = {"Host": connection.host if connection.port is None else connection.netloc, "Connection": "close"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if key:
            headers["Idempotency-Key"] = key
        if end_user:
            headers["Deputy-End-User"] = end_user
        if self._key:
            headers["Authorization"] = self._sign(method, target, key, end_user, body)
        headers = _check_head(method, target, headers)
        try:
            connection.connect()
            self._met = True
            connection.sock.settimeout(wait + self.timeout)
        except (OSError, ValueError) as e:
            raise DeputyError("unreachable", 0, "cannot reach deputy at %s: %s" % (self._address, e)) from e
        try:
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            if not response.chunked and "Content-Length" not in response.headers:
                raise http.client.IncompleteRead(b"")  # nothing would tell where it ends
            return response.status, response.headers, response.read()
        except (OSError, ValueError, OverflowError, MemoryError, http.client.HTTPException) as e:
            raise DeputyError("outcome_unknown", 0, "the connection to deputy was lost: %r" % e) from e
        finally:
            connection.close()

    def _connection(self):
        if self._address.startswith("/"):
            return _UnixConnection(self._address, self.timeout)
        url = urlsplit(self._address)
        if not url.hostname:
            raise ValueError("it has no host")
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        connection = kind(url.hostname, url.port, timeout=self.timeout)
        connection.netloc = self._address.split("/")[2]  # as it was given: urlsplit drops what ends a line
        return connection

    def _sign(self, method, target, key, end_user, body):
        """The Authorization of one request: Deputy1 is good once."""
        now, nonce = str(int(time.time())), os.urandom(16).hex()
        digest = hashlib.sha256(body or b"").hexdigest()
        lines = ("DEPUTY1", self._key, now, nonce, method, self._audience, target, key or "", end_user or "", digest)
        text = "".join(line + "\n" for line in lines).encode(errors="surrogatepass")
        mac = hmac.new(self._secret, text, hashlib.sha256)
        return "Deputy1 id=%s,ts=%s,nonce=%s,sig=%s" % (self._key, now, nonce, mac.hexdigest())


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("deputy", timeout=timeout)
        self._path, self.port = path, None

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _check_head(method, target, headers):
    """Look at whatever stands in a request's head: nothing can end a line or begin
    another request, and no blank is left for HTTP to drop."""
    if not re.fullmatch("[A-Z]+", method) or not re.fullmatch(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]*)+(?:\?[!-\"$-~]*)?", target):
        raise DeputyError("bad_request", 0, "cannot ask: the method or the target has a character that may not stand there; write it as %XX")
    encoded = {}
    for name, value in headers.items():
        if not isinstance(value, str) or re.search("^ | $|[\x00-\x1f\x7f\ud800-\udfff]", value):
            raise DeputyError("bad_request", 0, "cannot ask: %s has a blank at its beginning or its end, or a control character" % name)
        encoded[name] = value.encode()
    return encoded


def _check_text(value, param=""):
    """Refuse text that is not Unicode, with its param and where in it."""
    if isinstance(value, str):
        lone = re.search("[\ud800-\udfff]", value)
        if lone:
            raise DeputyError("bad_param", 0, "cannot send %s: it is not Unicode from character %d on" % (param, lone.start()))
    elif isinstance(value, bytes):
        raise DeputyError("bad_param", 0, "cannot send %s: it is bytes; decode them, or encode them as base64" % param)
    elif isinstance(value, dict):
        for name, item in value.items():
            _check_text(item, "%s[%s]" % (param, name) if param else str(name))
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            _check_text(item, "%s[%d]" % (param, i))


def _task(id, rest):
    """The target of a task."""
    if not isinstance(id, str) or not re.fullmatch("[0-9A-Za-z-]{1,64}", id):
        raise DeputyError("unknown_task", 0, "cannot ask: such an id no task has")
    return "/v1/tasks/" + id + rest


def _name(name):
    """A module's or an action's name, as a part of a target."""
    try:
        return quote(name, "")
    except (TypeError, ValueError) as e:
        raise DeputyError("unknown_action", 0, "cannot ask: such a name no action has") from e


def _refusal(status, content):
    problem = _object(content)
    text = "the daemon answered %d: %s" % (status, content[:300].decode(errors="replace"))
    code, detail = problem.get("code"), problem.get("detail")
    if not isinstance(code, str):
        code = "outcome_unknown" if status >= 500 else "bad_request"
    return DeputyError(code, status, detail if isinstance(detail, str) else text, problem)


def _whole(status, task):
    """A task of an answer, which must have the form of one."""
    if (isinstance(task, dict) and isinstance(task.get("state"), str) and isinstance(task.get("exit") or {}, dict)
            and all(isinstance(task.get(stream) or "", str) for stream in ("stdout", "stderr"))):
        return task
    raise _unread(status, "what it shows is no task")


def _unread(status, why):
    return DeputyError("outcome_unknown", status, "cannot read the daemon's answer: " + why)


def _object(content):
    """The JSON object that content is; empty if it is none."""
    try:
        value = json.loads(content.decode())
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
