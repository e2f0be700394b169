<?php
declare(strict_types=1);

// A panel of one page: starts a scan, shows its output as it comes, stops it.
// It runs as an ordinary user and calls no shell and no sudo: it asks deputy.
//
//   GET  ?                      the form, and my scans
//   GET  ?task=ID               one scan, with its output
//   GET  ?output=ID&offset=N    JSON: what it has written from byte N on
//   POST do=start|stop          with the token of the form

require __DIR__ . '/Deputy.php'; // a copy of clients/php/Deputy.php

const MODULE = 'SCAN_MODULE';

/** Whatever did not come from this file passes through here on its way into HTML. */
function h($text): string
{
    return htmlspecialchars((string) $text, ENT_QUOTES | ENT_SUBSTITUTE, 'UTF-8');
}

/** The panel's own refusals. */
function refuse(int $status, string $why): never
{
    throw new DeputyError('refused', $status, $why);
}

/** The scan of this id, if this person started it: to deputy all of this panel's tasks are this panel's. */
function mine(Deputy $deputy, string $user, string $id): array
{
    [, , $text] = $deputy->ask('GET', '/v1/tasks/' . rawurlencode($id));
    $task = json_decode($text, true);
    if ($task['end_user'] !== $user || $task['module'] !== MODULE) {
        refuse(404, 'cannot find this scan: there is none, or it is not yours');
    }
    return $task;
}

/** What a scan has written from a byte offset on, as soon as there is something. */
function output(Deputy $deputy, string $id, int $offset, int $wait): array
{
    [, $headers, $text] = $deputy->ask('GET', '/v1/tasks/' . rawurlencode($id) . "/stdout?offset=$offset&wait=$wait", null, [], $wait);
    $next = (int) $headers['deputy-next-offset'];
    // A character whose other bytes are still to come is read again with them.
    if (preg_match('/(?:[\xC2-\xDF]|[\xE0-\xEF][\x80-\xBF]?|[\xF0-\xF4][\x80-\xBF]{0,2})$/D', $text, $m) && $m[0] !== $text) {
        $text = substr($text, 0, -strlen($m[0]));
        $next -= strlen($m[0]);
    }
    return ['text' => $text, 'next' => $next, 'state' => $headers['deputy-state'], 'ended' => $headers['deputy-ended'] === 'true'];
}

/** Does what a form asks for, and gives the URL to go on at. */
function act(Deputy $deputy, string $user, array $form): string
{
    $field = fn (string $name): string => is_string($form[$name] ?? null) ? $form[$name] : '';
    if ($field('token') === '' || !hash_equals($_SESSION['token'], $field('token'))) {
        refuse(403, 'cannot take this form: it is not from your session; load the page again');
    }
    $for = ['end_user' => $user];
    if ($field('do') === 'stop') {
        $task = mine($deputy, $user, $field('task'));
        $deputy->call(MODULE, 'stop', ['task_ids' => [$task['params']['task_id']]], $for);
        $deputy->wait($task['id'], 20);
    } else {
        $number = $field('number'); // what is no number deputy refuses, and says so
        $task = $deputy->call(MODULE, 'start', ['task_ids' => [preg_match('/^\d{1,18}$/D', $number) ? (int) $number : $number]], $for)[0];
    }
    return '?task=' . rawurlencode($task['id']);
}

function page(string $title, string $body): void
{
    $nonce = $GLOBALS['nonce'];
    echo '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        '<title>', h($title), "</title><style nonce=\"$nonce\">body{font:16px/1.5 sans-serif;max-width:50em;margin:2em auto;padding:0 1em}",
        'pre{background:#eee;padding:1em;overflow:auto;max-height:24em}td{padding-right:1.5em}form{display:inline}</style>',
        '<h1>', h($title), '</h1>', $body;
}

function button(string $do, string $label, string $fields): string
{
    return '<form method="post" action="?"><input type="hidden" name="token" value="' . h($_SESSION['token']) . '">' . $fields
        . '<button name="do" value="' . h($do) . '">' . h($label) . '</button></form>';
}

function listPage(Deputy $deputy, string $user): void
{
    $query = http_build_query(['module' => MODULE, 'action' => 'start', 'end_user' => $user, 'limit' => 20]);
    [, , $text] = $deputy->ask('GET', "/v1/tasks?$query");
    $rows = '';
    foreach (json_decode($text, true)['tasks'] as $t) {
        $rows .= '<tr><td><a href="?task=' . h(rawurlencode($t['id'])) . '">Scan ' . h($t['params']['task_id']) . '</a><td>'
            . h($t['state']) . '<td>' . h($t['created']);
    }
    page('Scans of ' . $user, button('start', 'Start', '<label>Number <input name="number" value="1" size="6"></label> ') . "<table>$rows</table>");
}

function taskPage(Deputy $deputy, array $task): void
{
    $out = output($deputy, $task['id'], 0, 0);
    $live = $task['ended'] === null;
    $body = '<p><a href="?">All scans</a><p>State: <b id="state">' . h($task['state']) . '</b> ' . h($task['reason']);
    if ($task['stop'] !== null) {
        $body .= '<p>' . h($task['stop']['empty'] ? 'Nothing of it lives; ' . $task['stop']['killed'] . ' processes had to be killed.' : 'Something of it still lives.');
    }
    $body .= $live ? '<p>' . button('stop', 'Stop', '<input type="hidden" name="task" value="' . h($task['id']) . '">') : '';
    $body .= '<pre id="out">' . h($out['text']) . '</pre>';
    page('Scan ' . $task['params']['task_id'], $body);
    if (!$live) {
        return;
    }
    $start = json_encode(['id' => $task['id'], 'next' => $out['next']], JSON_HEX_TAG | JSON_HEX_AMP);
    echo "<script nonce=\"{$GLOBALS['nonce']}\">const task = $start;", <<<'JS'

    async function follow() {
      for (;;) {
        const answer = await fetch(`?output=${encodeURIComponent(task.id)}&offset=${task.next}`);
        if (!answer.ok) { await new Promise(r => setTimeout(r, 2000)); continue; }
        const {text, next, state, ended} = await answer.json();
        document.getElementById("out").append(text);          // as text, never as HTML
        document.getElementById("state").textContent = state;
        if (next === task.next && ended) { location.reload(); return; }
        task.next = next;
      }
    }
    follow();
    </script>
    JS;
}

$nonce = base64_encode(random_bytes(16));
header("Content-Security-Policy: default-src 'none'; script-src 'nonce-$nonce'; style-src 'nonce-$nonce'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'");
header('X-Content-Type-Options: nosniff');
header('Cache-Control: no-store');
try {
    $user = $_SERVER['REMOTE_USER'] ?? '';
    if ($user === '') {
        refuse(403, 'cannot tell who you are: the web server has authenticated nobody');
    }
    session_start(['cookie_httponly' => true, 'cookie_samesite' => 'Strict', 'cookie_secure' => !empty($_SERVER['HTTPS']), 'use_strict_mode' => true]);
    $_SESSION['token'] ??= bin2hex(random_bytes(32));
    session_write_close(); // what waits below must not hold the person's other requests up
    $deputy = new Deputy(getenv('DEPUTY_SOCKET') ?: '/run/deputy/deputy.sock');
    if ($_SERVER['REQUEST_METHOD'] === 'POST') {
        header('Location: ' . act($deputy, $user, $_POST), true, 303);
    } elseif (is_string($_GET['output'] ?? null)) {
        $task = mine($deputy, $user, $_GET['output']);
        header('Content-Type: application/json');
        echo json_encode(output($deputy, $task['id'], max(0, (int) ($_GET['offset'] ?? 0)), 10), JSON_INVALID_UTF8_SUBSTITUTE);
    } elseif (is_string($_GET['task'] ?? null)) {
        taskPage($deputy, mine($deputy, $user, $_GET['task']));
    } else {
        listPage($deputy, $user);
    }
} catch (DeputyError $e) {
    http_response_code($e->status ?: 503);
    page('This did not work', '<p>' . h($e->detail) . '<p><a href="?">Back</a>');
}
