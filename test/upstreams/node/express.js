'use strict';
// Express 4 or 5: node express.js express4
const express = require(process.argv[2]);
const methodOverride = require('method-override');
const { parameters, headers, decoded, isForm } = require('./report.js');

const app = express();
app.set('trust proxy', true);
app.use(methodOverride());
app.use(express.json());
app.use(express.urlencoded({ extended: true }));
app.use(methodOverride((req) => (req.body && typeof req.body === 'object' ? req.body._method : undefined)));

const answer = (route) => (req, res) => {
  const form = isForm(req.headers['content-type']);
  res.set('x-upstream', '1').json({
    method: req.method, path: decoded(req.baseUrl + req.path), route, id: req.params.id,
    query: parameters(req.query), form: form ? parameters(req.body) : undefined, json: form ? undefined : req.body,
    host: req.hostname, ...headers(req, (name) => req.get(name)),
  });
};
app.use('/rest/admin', answer('admin'));
app.all('/projects/:id/issues', answer('project'));
app.use(answer('other'));
app.use((error, req, res, next) => res.status(error.status || 500).send(String(error)));
app.listen(Number(process.env.PORT), '127.0.0.1');
