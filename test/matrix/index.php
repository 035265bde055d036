<?php
// The member of origin_test.go in PHP.
while (ob_get_level()) ob_end_clean(); // flush() is to reach the client
$dir = $_SERVER['MATRIX_DIR'];
$name = $_SERVER['MATRIX_NAME'];
$id = $_GET['id'] ?? '';
$n = (int)($_GET['n'] ?? 0);
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);

function mark($what) { global $dir, $id; file_put_contents("$dir/$id.$what", ''); }
function text($n) {
    for ($i = 0, $s = ''; strlen($s) < $n; $i++) $s .= "line $i of a text\n";
    return substr($s, 0, $n);
}
function wait() {
    global $dir, $id;
    for ($i = 0; $i < 4000; $i++) {
        clearstatcache();
        if (file_exists("$dir/$id.go")) return;
        usleep(5000);
    }
}
function echoed() {
    global $name, $id;
    $body = file_get_contents('php://input');
    if ($id !== '') mark('whole');
    $headers = [];
    foreach ($_SERVER as $k => $v) {
        if (str_starts_with($k, 'HTTP_')) $headers[strtolower(strtr(substr($k, 5), '_', '-'))] = $v;
    }
    if (!empty($_SERVER['CONTENT_TYPE'])) $headers['content-type'] = $_SERVER['CONTENT_TYPE'];
    header('Content-Type: application/json');
    echo json_encode(['Server' => $name, 'Method' => $_SERVER['REQUEST_METHOD'], 'URI' => $_SERVER['REQUEST_URI'],
        'Host' => $_SERVER['HTTP_HOST'], 'Proto' => $_SERVER['SERVER_PROTOCOL'], 'Headers' => (object)$headers,
        'Length' => strlen($body), 'Sum' => hash('sha256', $body), 'Trailer' => '']);
}
function dies() { posix_kill(getmypid(), 9); sleep(10); }

header("X-Server: $name");
header_remove('X-Powered-By');
if ($id !== '') file_put_contents("$dir/$id.hits", "$name\n", FILE_APPEND);
if (str_starts_with($path, '/echo') || str_starts_with($path, '/app/echo')) $path = '/echo';
switch ($path) {
case '/echo': echoed(); break;
case '/hold': mark('on'); wait(); echo 'held'; break;
case '/stall': echo 'one'; flush(); mark('on'); wait(); echo 'two'; break;
case '/text': header('Content-Type: text/plain'); header("Content-Length: $n"); echo text($n); break;
case '/stream': header('Content-Type: text/plain'); echo text($n); flush(); wait(); echo text($n); break;
case '/status':
    header('ETag: "tag"');
    if ($n !== 204) header('Content-Length: 7');
    http_response_code($n);
    if ($_SERVER['REQUEST_METHOD'] !== 'HEAD' && $n !== 204 && $n !== 304) echo 'content';
    break;
case '/die':
    if (substr_count(file_get_contents("$dir/$id.hits"), "\n") === 1) dies();
    echoed();
    break;
case '/cut':
    if (isset($_GET['length'])) header('Content-Length: 100000');
    echo text(20000);
    flush();
    dies();
case '/refuse': http_response_code(403); echo 'no'; break;
case '/edits': header('X-Set: member'); header('X-Add: member'); header('X-Remove: member'); break;
case '/ws': http_response_code(426); echo 'no WebSockets here'; break;
default: http_response_code(404);
}
