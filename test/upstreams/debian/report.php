<?php
// PHP's built-in server, with what it gives a program: $_GET, $_POST, $_REQUEST, $_SERVER.

function parameters(array $from): object {
    $made = [];
    foreach ($from as $name => $value) {
        $made[$name] = [is_string($value) ? $value : json_encode($value, JSON_INVALID_UTF8_SUBSTITUTE)];
    }
    return (object)$made;
}

function route(string $path): array {
    if (preg_match('#^/rest/admin(/.*)?$#s', $path)) return ['admin', null];
    if (preg_match('#^/projects/([^/]*)/issues$#s', $path, $m)) return ['project', $m[1]];
    return ['other', null];
}

function lookups(): array {
    $made = [];
    foreach (array_filter(explode(',', getenv('LOOKUPS'))) as $name) {
        $key = strtoupper(strtr($name, '-', '_'));
        $value = $_SERVER["HTTP_$key"] ?? ($name === 'content-type' ? $_SERVER[$key] ?? null : null);
        if ($value !== null) $made[$name] = [$value];
    }
    return $made;
}

function headers_of(array $server): array {
    $made = [];
    foreach ($server as $name => $value) {
        if (str_starts_with($name, 'HTTP_')) $made[$name] = [$value];
    }
    return $made;
}

function report(string $method, string $path, string $host): void {
    [$route, $id] = route($path);
    $told = ['method' => $method, 'path' => $path, 'route' => $route, 'id' => $id, 'query' => parameters($_GET),
        'form' => parameters($_POST), 'params' => parameters($_REQUEST), 'host' => $host,
        'lookup' => (object)lookups(), 'headers' => (object)headers_of($_SERVER)];
    $body = file_get_contents('php://input');
    $json = json_decode($body);
    if (json_last_error() === JSON_ERROR_NONE) $told['json'] = $json;
    header('x-upstream: 1');
    header('content-type: application/json');
    echo json_encode($told, JSON_INVALID_UTF8_SUBSTITUTE);
}
