'use strict';
const { parameters, headers, decoded, isForm } = require('./report.js');

const app = require('fastify')({ trustProxy: true });
app.register(require('@fastify/formbody'));
for (const method of ['COPY', 'MOVE', 'PROPFIND']) app.addHttpMethod(method, { hasBody: true });

const answer = (route) => (req, reply) => {
  const form = isForm(req.headers['content-type']);
  reply.header('x-upstream', '1').send({
    method: req.method, path: decoded(req.url.split('?')[0]), route, id: req.params.id,
    query: parameters(req.query), form: form ? parameters(req.body) : undefined, json: form ? undefined : req.body,
    host: req.hostname, ...headers(req.raw, (name) => req.headers[name]),
  });
};
app.all('/rest/admin', answer('admin'));
app.all('/rest/admin/*', answer('admin'));
app.all('/projects/:id/issues', answer('project'));
app.all('/*', answer('other'));
app.listen({ port: Number(process.env.PORT), host: '127.0.0.1' });
