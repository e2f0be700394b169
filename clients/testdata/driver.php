<?php
// Plays one step of cases.json with clients/php/Deputy.php; see clients_test.go.
require __DIR__ . '/../php/Deputy.php';

$deputy = new Deputy(getenv('T_ADDRESS'), getenv('T_KEY') ?: '', getenv('T_SECRET') ?: '', getenv('T_AUDIENCE') ?: '');
$deputy->timeout = $deputy->patience = (float) (getenv('T_PATIENCE') ?: 30);
$options = array_filter(['key' => getenv('T_IDEMPOTENCY'), 'end_user' => getenv('T_END_USER')], fn ($v) => $v !== false);

function say(...$words): void
{
    file_put_contents('php://fd/3', implode(' ', $words));
}

try {
    [, $op, $a, $b] = $argv + [3 => ''];
    $params = isset($argv[4]) ? json_decode($argv[4], true) : [];
    array_walk_recursive($params, function (&$v) { // bytes that JSON has not
        if (is_string($v) && str_starts_with($v, 'hex:')) {
            $v = hex2bin(substr($v, 4));
        }
    });
    switch ($op) {
        case 'run':
            $r = $deputy->run($a, $b, $params, ['wait' => (int) (getenv('T_WAIT') ?: 60)] + $options);
            fwrite(STDOUT, $r->stdout);
            fwrite(STDERR, $r->stderr);
            say($r->ok ? 'ok' : 'failed', $r->state, $r->code ?? '-');
            break;
        case 'call':
            say('tasks', ...array_column($deputy->call($a, $b, $params, $options), 'id'));
            break;
        case 'wait':
            say('state', $deputy->wait($a)['state']);
            break;
        case 'follow':
            foreach ($deputy->follow($a, $b) as $bytes) {
                fwrite(STDOUT, $bytes);
            }
            say('end');
            break;
        case 'stop':
            $task = $deputy->stop($a, 0);
            say('state', $task['state'], $task['stop']['empty'] ? 'empty' : 'alive');
            break;
        case 'ask':
            $deputy->ask($a, $b);
            break;
        case 'hmac':
            foreach (file('php://stdin', FILE_IGNORE_NEW_LINES) as $line) {
                [$key, $msg] = explode(' ', $line);
                echo hash_hmac('sha256', hex2bin($msg), hex2bin($key)), "\n";
            }
    }
} catch (DeputyError $e) {
    say('error', $e->code, $e->status, $e->problem['task'] ?? '-', $e->detail);
}
