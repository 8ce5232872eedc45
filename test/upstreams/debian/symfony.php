<?php
// Symfony's request, on which Laravel and Drupal build, with its method override and trusted proxies.
require 'Symfony/Component/HttpFoundation/autoload.php';
require __DIR__ . '/report.php';

use Symfony\Component\HttpFoundation\Request;

Request::enableHttpMethodParameterOverride();
$all = Request::HEADER_X_FORWARDED_FOR | Request::HEADER_X_FORWARDED_HOST | Request::HEADER_X_FORWARDED_PORT | Request::HEADER_X_FORWARDED_PROTO;
Request::setTrustedProxies(['127.0.0.1'], $all);
try {
    $request = Request::createFromGlobals();
    report($request->getMethod(), rawurldecode($request->getPathInfo()), $request->getHost());
} catch (Exception $error) {
    http_response_code(400);
    echo get_class($error);
}
