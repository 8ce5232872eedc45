<?php
require __DIR__ . '/report.php';
report($_SERVER['REQUEST_METHOD'], rawurldecode(explode('?', $_SERVER['REQUEST_URI'])[0]), $_SERVER['HTTP_HOST'] ?? '');
