<?php
declare(strict_types=1);

/**
 * A refusal. $code is stable ('busy', 'not_allowed', …), $status is that of HTTP.
 * Without an answer the status is 0, and the code 'unreachable' (nothing was sent)
 * or 'outcome_unknown' (it may or may not have been done).
 */
final class DeputyError extends RuntimeException
{
    public $code = ''; // a string, as PDOException has it

    /** @param array<string, mixed> $problem the whole answer: task, errors, retry_after */
    public function __construct(string $code, public int $status, public string $detail, public array $problem = [])
    {
        parent::__construct($detail);
        $this->code = $code;
    }
}

/** What became of a run. Of several tasks, the first that did not succeed decides. */
final class DeputyResult
{
    public bool $ok;
    public ?string $id;
    public ?string $state;
    public bool $ended;     // false: it still lives
    public ?string $reason;
    public ?int $code;      // null: a signal ended it, it lives, …
    public string $stdout;
    public string $stderr;
    public bool $truncated; // there was more output

    /** @param list<array<string, mixed>> $tasks as the HTTP API shows them */
    public function __construct(public array $tasks)
    {
        $bad = array_values(array_filter($tasks, fn ($t) => $t['state'] !== 'succeeded'));
        $task = $bad[0] ?? $tasks[0] ?? [];
        $this->ok = $bad === [];
        $this->id = $task['id'] ?? null;
        $this->state = $task['state'] ?? null;
        $this->ended = isset($task['ended']);
        $this->reason = $task['reason'] ?? null;
        $this->code = $task['exit']['code'] ?? null;
        $this->stdout = $task['stdout'] ?? '';
        $this->stderr = $task['stderr'] ?? '';
        $this->truncated = $task['truncated'] ?? false;
    }
}

/**
 * Asks deputy for declared actions. One file to copy: PHP 8.0, no extension.
 *
 *     $deputy = new Deputy();
 *     $r = $deputy->run('service', 'restart', ['unit' => 'nginx.service']);
 *     $r->ok; $r->code; $r->stdout;
 */
final class Deputy
{
    private const HOLD = 30; // seconds that the daemon is asked to hold one answer, at most

    public float $timeout = 30;  // seconds that an answer may take beyond what was to be waited for
    public float $patience = 30; // seconds for which a lost connection is made again
    private bool $met = false;

    /**
     * $address is a Unix socket's path, where the kernel says who asks ('': DEPUTY_SOCKET, else
     * /run/deputy/deputy.sock), or 'http://host:port' or 'https://host:port', where a signature
     * does: $key is the signing key's name, $secret its text, $audience the server's name.
     */
    public function __construct(
        private string $address = '',
        private string $key = '',
        #[SensitiveParameter] private string $secret = '',
        private string $audience = ''
    ) {
        $this->address = $address !== '' ? $address : (getenv('DEPUTY_SOCKET') ?: '/run/deputy/deputy.sock');
        if (!preg_match('~^(/|https?://[^/])~', $this->address)) {
            throw new DeputyError('bad_request', 0, 'cannot ask: the address must be a path, http://host:port or https://host:port');
        }
        $this->secret = rtrim($secret, "\r\n");
    }

    /**
     * Asks for an action and waits for its end. Options: wait (seconds, 300), output (last
     * bytes of what it wrote, 1 MiB), key (Idempotency-Key), end_user.
     */
    public function run(string $module, string $action, array $params = [], array $options = []): DeputyResult
    {
        $options += ['wait' => 300, 'output' => 1 << 20, 'key' => bin2hex(random_bytes(16))];
        $end = microtime(true) + $options['wait'];
        do {
            $hold = self::hold($end);
            [$status, $tasks] = $this->post($module, $action, "?wait=$hold&output={$options['output']}", $params, $options, $hold);
        } while ($status !== 200 && microtime(true) < $end);
        return new DeputyResult($tasks);
    }

    /** Asks for an action and goes. Gives its tasks, which are durable now. Options: key, end_user. */
    public function call(string $module, string $action, array $params = [], array $options = []): array
    {
        return $this->post($module, $action, '', $params, $options + ['key' => bin2hex(random_bytes(16))], 0)[1];
    }

    /** Gives a task once it has ended, or as it is after so many seconds. */
    public function wait(string $id, ?float $seconds = null): array
    {
        $end = $seconds === null ? INF : microtime(true) + $seconds;
        do {
            $hold = self::hold($end);
            $task = self::whole(...$this->json('GET', self::task($id, "?wait=$hold"), null, [], $hold));
        } while (!isset($task['ended']) && microtime(true) < $end);
        return $task;
    }

    /**
     * Gives a task's output as it comes, until the task has ended: foreach (… as $offset => $bytes).
     * What lies between two pieces is gone. Where the offset goes back to 0 the task has cut its own
     * output, and what comes is its new text.
     */
    public function follow(string $id, string $stream = 'stdout', int $offset = 0): Generator
    {
        if (!in_array($stream, ['stdout', 'stderr'], true)) {
            throw new DeputyError('bad_request', 0, 'cannot follow this: a task has stdout and stderr');
        }
        $given = $cut = false;
        while (true) {
            $target = self::task($id, "/$stream?offset=$offset&wait=" . self::HOLD);
            [$status, $headers, $body] = $this->ask('GET', $target, null, [], self::HOLD);
            if (!preg_match('/^\d{1,18}$/D', $headers['deputy-next-offset'] ?? '')) {
                throw self::unread($status, 'it has no Deputy-Next-Offset');
            }
            if (!in_array($headers['deputy-ended'] ?? '', ['true', 'false'], true)) {
                throw self::unread($status, 'it has no Deputy-Ended');
            }
            $next = (int) $headers['deputy-next-offset'];
            if (isset($headers['deputy-rewritten']) && !$cut) {
                $cut = true;
                if ($given) {
                    $offset = 0;
                    continue;
                }
            }
            $given = $given || $body !== '';
            if ($body !== '' || $next !== $offset) {
                yield $next - strlen($body) => $body;
            } elseif ($headers['deputy-ended'] === 'true') {
                return;
            }
            $offset = $next;
        }
    }

    /**
     * Stops a task with all that it started; its 'stop' is the receipt. $grace, in seconds,
     * may shorten the declared one.
     */
    public function stop(string $id, ?float $grace = null): array
    {
        $body = $grace === null ? [] : ['grace' => ceil($grace * 1000) . 'ms'];
        return self::whole(...$this->json('POST', self::task($id, '/stop'), $body, [], 3600));
    }

    /**
     * Sends any request of the HTTP API; gives status, headers (names in lower case) and body.
     * It is sent again while the connection is lost or deputy restarts; a call of an action only
     * with an idempotency key, unless it is known not to have been accepted.
     */
    public function ask(string $method, string $target, ?string $body = null, array $options = [], float $wait = 0): array
    {
        $twice = $method !== 'POST' || ($options['key'] ?? '') !== '' || !str_starts_with($target, '/v1/actions/');
        $since = null;
        while (true) {
            try {
                [$status, $headers, $content] = $this->exchange($method, $target, $body, $options, $wait);
                return $status < 300 ? [$status, $headers, $content] : throw self::refusal($status, $content);
            } catch (DeputyError $e) {
                $since ??= microtime(true);
                $pause = $this->pause($e, $twice);
                if ($pause === null || microtime(true) - $since + $pause > $this->patience) {
                    throw $e;
                }
                usleep((int) ($pause * 1e6));
            }
        }
    }

    /** The seconds after which what was refused so is worth another try; null: it is not. */
    private function pause(DeputyError $e, bool $twice): ?float
    {
        if ($e->status === 0) {
            return $e->code === 'unreachable' && $this->met || $e->code === 'outcome_unknown' && $twice ? 0.2 : null;
        }
        $after = $e->problem['retry_after'] ?? null; // deputy restarts, for one
        return is_int($after) && $after >= 0 && ($e->status === 503 || $e->status === 500 && $twice) ? $after : null;
    }

    private static function refusal(int $status, string $content): DeputyError
    {
        $problem = json_decode($content, true);
        $problem = is_array($problem) ? $problem : [];
        $text = "the daemon answered $status: " . substr($content, 0, 300);
        [$code, $detail] = [$problem['code'] ?? null, $problem['detail'] ?? null];
        $code = is_string($code) ? $code : ($status >= 500 ? 'outcome_unknown' : 'bad_request');
        return new DeputyError($code, $status, is_string($detail) ? $detail : $text, $problem);
    }

    private static function hold(float $end): int
    {
        return (int) max(0, min(self::HOLD, round($end - microtime(true))));
    }

    private static function task(string $id, string $rest): string
    {
        return preg_match('/^[0-9A-Za-z-]{1,64}$/D', $id) ? "/v1/tasks/$id$rest"
            : throw new DeputyError('unknown_task', 0, 'cannot ask: such an id no task has');
    }

    private function post(string $module, string $action, string $query, array $params, array $options, int $wait): array
    {
        $target = '/v1/actions/' . rawurlencode($module) . '/' . rawurlencode($action) . $query;
        [$status, $answer] = $this->json('POST', $target, $params, $options, $wait);
        if (!is_array($answer['tasks'] ?? null)) {
            throw self::unread($status, 'it has no tasks');
        }
        return [$status, array_map(fn ($task) => self::whole($status, $task), array_values($answer['tasks']))];
    }

    /** A task of an answer, which must have the form of one. */
    private static function whole(int $status, mixed $task): array
    {
        $text = fn ($stream) => is_string($task[$stream] ?? '');
        return is_array($task) && is_string($task['state'] ?? null) && is_array($task['exit'] ?? []) && $text('stdout') && $text('stderr') ? $task
            : throw self::unread($status, 'what it shows is no task');
    }

    private static function unread(int $status, string $why): DeputyError
    {
        return new DeputyError('outcome_unknown', $status, "cannot read the daemon's answer: $why");
    }

    private function json(string $method, string $target, ?array $value, array $options, float $wait): array
    {
        self::checkText($value ?? []);
        $flags = JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES | JSON_PRESERVE_ZERO_FRACTION | JSON_THROW_ON_ERROR;
        try {
            $body = $value === null ? null : ($value === [] ? '{}' : json_encode($value, $flags));
        } catch (JsonException $e) {
            throw new DeputyError('bad_param', 0, 'cannot write the params: ' . $e->getMessage());
        }
        [$status, , $content] = $this->ask($method, $target, $body, $options, $wait);
        $answer = json_decode($content, true);
        if (!is_array($answer)) {
            throw self::unread($status, 'it is not JSON');
        }
        return [$status, $answer];
    }

    /** Refuses text that is not UTF-8, with its param and where in it. */
    private static function checkText(array $values, string $param = ''): void
    {
        foreach ($values as $name => $value) {
            $in = $param === '' ? (string) $name : "{$param}[$name]";
            if (is_array($value)) {
                self::checkText($value, $in);
            } elseif (is_string($value) && !preg_match('//u', $value)) {
                preg_match('/^(?:[\x00-\x7f]++|[\xc2-\xdf][\x80-\xbf]|(?!\xe0[\x80-\x9f]|\xed[\xa0-\xbf])[\xe0-\xef][\x80-\xbf]{2}'
                    . '|(?!\xf0[\x80-\x8f]|\xf4[\x90-\xbf])[\xf0-\xf4][\x80-\xbf]{3})*+/', $value, $good);
                throw new DeputyError('bad_param', 0, "cannot send $in: it is not UTF-8 from byte " . strlen($good[0]) . ' on; encode it, as base64 for one');
            }
        }
    }

    /** Sends a request once, on a connection of its own, and reads to its end. */
    private function exchange(string $method, string $target, ?string $body, array $options, float $wait): array
    {
        $key = (string) ($options['key'] ?? '');
        $user = (string) ($options['end_user'] ?? '');
        $headers = ['Host' => $this->address[0] === '/' ? 'deputy' : explode('/', $this->address)[2], 'Connection' => 'close'];
        if ($body !== null) {
            $headers += ['Content-Type' => 'application/json', 'Content-Length' => strlen($body)];
        }
        $headers += array_filter(['Idempotency-Key' => $key, 'Deputy-End-User' => $user], fn ($v) => $v !== '');
        if ($this->key !== '') {
            $headers['Authorization'] = $this->sign($method, $target, $key, $user, $body ?? '');
        }
        $answer = $this->send(self::head($method, $target, $headers) . $body, $wait + $this->timeout);
        return self::parse($answer) ?? throw new DeputyError('outcome_unknown', 0, 'the connection to deputy was lost: its answer broke off');
    }

    /**
     * The head of a request. Whatever stands in it is looked at here: nothing can end a line
     * or begin another request, and no blank is left for HTTP to drop.
     */
    private static function head(string $method, string $target, array $headers): string
    {
        if (!preg_match('/^[A-Z]+$/D', $method) || !preg_match('~^(?:/[\w.!$&\'()*+,;=:@%\~-]*)++(?:\?[!-"$-\~]*)?$~D', $target)) {
            throw new DeputyError('bad_request', 0, 'cannot ask: the method or the target has a character that may not stand there; write it as %XX');
        }
        $head = "$method $target HTTP/1.1\r\n";
        foreach ($headers as $name => $value) {
            if (preg_match('/^ | $|[\x00-\x1f\x7f]/D', (string) $value)) {
                throw new DeputyError('bad_request', 0, "cannot ask: $name has a blank at its beginning or its end, or a control character");
            }
            $head .= "$name: $value\r\n";
        }
        return "$head\r\n";
    }

    private function send(string $request, float $timeout): string
    {
        $where = $this->address[0] === '/' ? 'unix://' . $this->address
            : strtr($this->address, ['http://' => 'tcp://', 'https://' => 'tls://']);
        $stream = @stream_socket_client($where, $number, $reason, min(10, $this->timeout));
        if ($stream === false) {
            throw new DeputyError('unreachable', 0, "cannot reach deputy at $this->address: $reason");
        }
        $this->met = true;
        $end = microtime(true) + $timeout;
        $answer = '';
        try {
            for ($sent = 0; $sent < strlen($request); $sent += $n) {
                self::limit($stream, $end);
                $n = @fwrite($stream, substr($request, $sent));
                if (!$n) {
                    break; // an answer may have come before all was read
                }
            }
            while (!feof($stream)) {
                self::limit($stream, $end);
                $answer .= @fread($stream, 1 << 16);
            }
            return $answer;
        } finally {
            fclose($stream);
        }
    }

    /** @param resource $stream */
    private static function limit($stream, float $end): void
    {
        $left = $end - microtime(true);
        if ($left <= 0) {
            throw new DeputyError('outcome_unknown', 0, 'the connection to deputy was lost: no answer in time');
        }
        stream_set_timeout($stream, (int) $left, (int) (fmod($left, 1) * 1e6));
    }

    /** Reads an HTTP/1.1 answer (RFC 9112), which must be whole; null: it is not. */
    private static function parse(string $text): ?array
    {
        do { // an interim answer (1xx) goes before the real one
            [$head, $text] = explode("\r\n\r\n", $text, 2) + ['', null];
            if ($text === null || !preg_match('~^HTTP/1\.[01] (\d{3})[ \r]~', "$head\r", $m)) {
                return null;
            }
        } while ($m[1] < 200);
        $headers = [];
        foreach (array_slice(explode("\r\n", $head), 1) as $line) {
            [$name, $value] = explode(':', $line, 2) + ['', ''];
            $headers[strtolower($name)] = trim($value, " \t");
        }
        $length = $headers['content-length'] ?? null;
        if (isset($headers['transfer-encoding'])) {
            $text = $headers['transfer-encoding'] === 'chunked' && $length === null ? self::unchunk($text) : null;
        } elseif ($length !== null) {
            $text = preg_match('/^\d{1,18}$/D', $length) && strlen($text) >= (int) $length ? substr($text, 0, (int) $length) : null;
        }
        return $text === null ? null : [(int) $m[1], $headers, $text];
    }

    private static function unchunk(string $text): ?string
    {
        $body = '';
        for ($at = 0; preg_match('/([0-9a-fA-F]{1,8})(;[^\r\n]*)?\r\n/A', $text, $m, 0, $at);) {
            $size = (int) hexdec($m[1]);
            $at += strlen($m[0]);
            if ($size === 0) {
                return $body;
            }
            if (substr($text, $at + $size, 2) !== "\r\n") {
                return null;
            }
            $body .= substr($text, $at, $size);
            $at += $size + 2;
        }
        return null;
    }

    /** The Authorization of one request: Deputy1 is good once. */
    private function sign(string $method, string $target, string $key, string $user, string $body): string
    {
        [$now, $nonce] = [time(), bin2hex(random_bytes(16))];
        $lines = ['DEPUTY1', $this->key, $now, $nonce, $method, $this->audience, $target, $key, $user, hash('sha256', $body)];
        $mac = hash_hmac('sha256', implode("\n", $lines) . "\n", $this->secret);
        return "Deputy1 id=$this->key,ts=$now,nonce=$nonce,sig=$mac";
    }
}
