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
    public ?string $state;  // neither 'succeeded' nor another end: it still lives
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
    private const ENDED = ['succeeded', 'failed', 'stopped', 'timed_out', 'unknown'];
    private const HOLD = 30; // seconds that the daemon is asked to hold one answer, at most

    public float $timeout = 30;  // seconds that an answer may take beyond what was to be waited for
    public float $patience = 30; // seconds for which a lost connection is made again
    private bool $met = false;

    /**
     * $address is a Unix socket's path, where the kernel says who asks, or 'http://host:port'
     * or 'https://host:port', where a signature does: $key is the signing key's name,
     * $secret its text, $audience the server's name.
     */
    public function __construct(
        private string $address = '/run/deputy/deputy.sock',
        private string $key = '',
        #[SensitiveParameter] private string $secret = '',
        private string $audience = ''
    ) {
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
            $task = $this->json('GET', '/v1/tasks/' . rawurlencode($id) . "?wait=$hold", null, [], $hold)[1];
        } while (!in_array($task['state'], self::ENDED, true) && microtime(true) < $end);
        return $task;
    }

    /**
     * Gives a task's output as it comes, until the task has ended: foreach (… as $offset => $bytes).
     * What lies between two pieces is gone.
     */
    public function follow(string $id, string $stream = 'stdout', int $offset = 0): Generator
    {
        while (true) {
            $target = '/v1/tasks/' . rawurlencode($id) . "/$stream?offset=$offset&wait=" . self::HOLD;
            [, $headers, $body] = $this->ask('GET', $target, null, [], self::HOLD);
            $next = (int) $headers['deputy-next-offset'];
            if ($body !== '' || $next !== $offset) {
                yield $next - strlen($body) => $body;
            } elseif (in_array($headers['deputy-state'], self::ENDED, true)) {
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
        $body = $grace === null ? [] : ['grace' => round($grace * 1000) . 'ms'];
        return $this->json('POST', '/v1/tasks/' . rawurlencode($id) . '/stop', $body, [], 3600)[1];
    }

    /**
     * Sends any request of the HTTP API; gives status, headers (names in lower case) and body.
     * It is sent again while the connection is lost: a POST needs an idempotency key for that.
     */
    public function ask(string $method, string $target, ?string $body = null, array $options = [], float $wait = 0): array
    {
        $since = null;
        while (true) {
            try {
                [$status, $headers, $content] = $this->exchange($method, $target, $body, $options, $wait);
                break;
            } catch (DeputyError $e) {
                $since ??= microtime(true);
                $again = $e->code === 'outcome_unknown' || $e->code === 'unreachable' && $this->met;
                if (!$again || microtime(true) - $since >= $this->patience) {
                    throw $e;
                }
                usleep(200_000);
            }
        }
        if ($status < 300) {
            return [$status, $headers, $content];
        }
        $problem = json_decode($content, true);
        $problem = is_array($problem) ? $problem : [];
        $text = "the daemon answered $status: " . substr($content, 0, 300);
        $code = $problem['code'] ?? ($status >= 500 ? 'outcome_unknown' : 'bad_request');
        throw new DeputyError($code, $status, $problem['detail'] ?? $text, $problem);
    }

    private static function hold(float $end): int
    {
        return (int) max(0, min(self::HOLD, round($end - microtime(true))));
    }

    private function post(string $module, string $action, string $query, array $params, array $options, int $wait): array
    {
        $target = '/v1/actions/' . rawurlencode($module) . '/' . rawurlencode($action) . $query;
        [$status, $answer] = $this->json('POST', $target, $params, $options, $wait);
        return [$status, $answer['tasks']];
    }

    private function json(string $method, string $target, ?array $value, array $options, float $wait): array
    {
        $flags = JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES | JSON_PRESERVE_ZERO_FRACTION | JSON_THROW_ON_ERROR;
        try {
            $body = $value === null ? null : ($value === [] ? '{}' : json_encode($value, $flags));
        } catch (JsonException $e) {
            throw new DeputyError('bad_param', 0, 'cannot write the params: ' . $e->getMessage());
        }
        [$status, , $content] = $this->ask($method, $target, $body, $options, $wait);
        $answer = json_decode($content, true);
        if (!is_array($answer)) {
            throw new DeputyError('outcome_unknown', $status, "cannot read the daemon's answer: it is not JSON");
        }
        return [$status, $answer];
    }

    /** Sends a request once, on a connection of its own, and reads to its end. */
    private function exchange(string $method, string $target, ?string $body, array $options, float $wait): array
    {
        $key = $options['key'] ?? '';
        $user = $options['end_user'] ?? '';
        if (preg_match('/[\x00-\x1f\x7f]/', $key . $user)) {
            throw new DeputyError('bad_request', 0, 'cannot ask: a key or an end user has a control character');
        }
        $host = $this->address[0] === '/' ? 'deputy' : explode('/', $this->address)[2];
        $lines = ["$method $target HTTP/1.1", "Host: $host", 'Connection: close'];
        if ($body !== null) {
            array_push($lines, 'Content-Type: application/json', 'Content-Length: ' . strlen($body));
        }
        if ($key !== '') {
            $lines[] = "Idempotency-Key: $key";
        }
        if ($user !== '') {
            $lines[] = "Deputy-End-User: $user";
        }
        if ($this->key !== '') {
            $lines[] = 'Authorization: ' . $this->sign($method, $target, $key, $user, $body ?? '');
        }
        $answer = $this->send(implode("\r\n", $lines) . "\r\n\r\n" . $body, $wait + $this->timeout);
        return self::parse($answer) ?? throw new DeputyError('outcome_unknown', 0, 'the connection to deputy was lost: its answer broke off');
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
