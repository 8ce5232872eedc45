// An API of WebSockets that says who calls, and a client of it:
//
//	node socket.js serve PORT
//	node socket.js call URL      the token is in PATGATE_TOKEN
'use strict';
const { WebSocket, WebSocketServer } = require('ws');

function serve(port) {
  const server = new WebSocketServer({ host: '127.0.0.1', port: Number(port) });
  server.on('connection', (socket, request) => {
    socket.on('message', (data) => socket.send(`${request.headers['x-forwarded-user']} ${data.length}`));
  });
}

function call(url) {
  const socket = new WebSocket(url, { headers: { Authorization: `Bearer ${process.env.PATGATE_TOKEN}` } });
  const sizes = [5, 200_000, 1_000_000];
  socket.on('open', () => socket.send(Buffer.alloc(sizes.shift())));
  socket.on('message', (data) => {
    console.log(String(data));
    if (sizes.length > 0) socket.send(Buffer.alloc(sizes.shift()));
    else socket.close();
  });
  socket.on('unexpected-response', (_, answer) => {
    console.error(`status ${answer.statusCode}`);
    process.exit(1);
  });
}

({ serve, call })[process.argv[2]](process.argv[3]);
