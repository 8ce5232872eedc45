"""Flask, on the server that it is developed with."""
import os

import flask
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.serving import run_simple

import report

app = flask.Flask(__name__)
app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1, x_port=1, x_prefix=1)
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "COPY", "MOVE", "PROPFIND", "QUERY"]


def answer(route, **values):
    request = flask.request
    body = request.get_json(silent=True)
    told = {
        "method": request.method, "path": request.path, "route": route, "id": values.get("id"),
        "query": report.parameters(request.args), "form": report.parameters(request.form),
        "params": report.parameters(request.values), "host": request.host,
        **report.headers(request.headers.get, {k: v for k, v in request.environ.items() if k.startswith("HTTP_")}),
    }
    if body is not None:
        told["json"] = report.finite(body)
    made = flask.jsonify(told)
    made.headers["x-upstream"] = "1"
    return made


def serve(route, *rules):
    for i, rule in enumerate(rules):
        app.add_url_rule(rule, "%s%d" % (route, i), lambda **values: answer(route, **values), methods=METHODS,
                         provide_automatic_options=False)


serve("admin", "/rest/admin", "/rest/admin/", "/rest/admin/<path:rest>")
serve("project", "/projects/<id>/issues")
serve("other", "/", "/<path:rest>")

if __name__ == "__main__":
    run_simple("127.0.0.1", int(os.environ["PORT"]), app, threaded=True)
