#!/bin/sh
# Tool: schemathesis 4.32.5 (PyPI: schemathesis 4.32.5), `schemathesis run`.
#
# Behaviour: sanitizing, which is on by default, hides a field `token` in the JSON body of a request, and the header
# Authorization, wherever they are shown. A field `token` in the JSON body of the answer is left as it is: in what the
# run prints, and in the file that it keeps beneath `.schemathesis/` in the working directory for `schemathesis replay`.
#
# Why it surprises: the configuration's reference says that sanitizing obscures sensitive data in the output, by the
# names of keys, and has "token" among the default markers. It makes no difference between a request and an answer. For
# an API that issues secrets it is the answer that has the fresh one, while most values of the requests are made up.
#
# Output seen:
#                                       printed by the run   kept in .schemathesis
#   Authorization of the request        hidden               hidden
#   field token of the request          hidden               hidden
#   field token of the answer           shown                shown
#   as stated: sanitizing leaves the body of the answer alone

set -eu
for tool in python3 timeout; do
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

timeout 100 python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-compile \
	--only-binary :all: --target "$dir/python" schemathesis==4.32.5 >&2 ||
	{ echo "can't install schemathesis"; exit 2; }

# An API with one operation, which takes a token and answers with a new one. Its fault: the answer lacks the id that
# its document requires.
cat >"$dir/api.py" <<'END'
import http.server
import json
import os
import sys

OLD = {"type": "object", "required": ["token"], "properties": {"token": {"type": "string", "example": "the-old-token"}}}
NEW = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}
DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "tokens", "version": "1"},
    "paths": {"/renew": {"post": {
        "requestBody": {"required": True, "content": {"application/json": {"schema": OLD}}},
        "responses": {"200": {"description": "a new token", "content": {"application/json": {"schema": NEW}}}},
    }}},
}


class API(http.server.BaseHTTPRequestHandler):
    def answer(self, status, value):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())

    def do_GET(self):
        self.answer(200, DOCUMENT)

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(200, {"token": "the-new-token"})

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), API)
with open(sys.argv[1] + ".part", "w") as f:
    f.write(str(server.server_address[1]))
os.rename(sys.argv[1] + ".part", sys.argv[1])
server.serve_forever()
END
timeout 100 python3 "$dir/api.py" "$dir/port" &
running="$running $!"
tries=0
until [ -s "$dir/port" ]; do
	tries=$((tries + 1))
	[ "$tries" -lt 150 ] || { echo "the API did not start"; exit 2; }
	sleep 0.1
done

# No option about sanitizing, so that its default counts. The only request is the document's example.
mkdir "$dir/run"
cd "$dir/run"
result=0
NO_PROXY='*' PYTHONPATH="$dir/python" timeout 60 python3 -m schemathesis.cli run \
	"http://127.0.0.1:$(cat "$dir/port")/openapi.json" --no-color --seed 1 --phases examples \
	--checks response_schema_conformance --header 'Authorization: Bearer the-caller' >"$dir/output" 2>&1 || result=$?
grep -q 'Response violates schema: 1' "$dir/output" ||
	{ cat "$dir/output"; echo "the run did not find the fault, exit status $result"; exit 2; }
find .schemathesis -type f -exec cat {} + >"$dir/kept"

# look says whether a value is to be read in a file; if not, the place of it must say so.
look() {
	if grep -q "$2" "$1"; then
		echo shown
	elif grep -q '\[Filtered\]' "$1"; then
		echo hidden
	else
		echo absent
	fi
}
seen=
echo "                                    printed by the run   kept in .schemathesis"
for pair in "the-caller:Authorization of the request" "the-old-token:field token of the request" \
	"the-new-token:field token of the answer"; do
	printed=$(look "$dir/output" "${pair%%:*}")
	kept=$(look "$dir/kept" "${pair%%:*}")
	seen="$seen $printed $kept"
	printf '%-36s%-21s%s\n' "${pair#*:}" "$printed" "$kept"
done
if [ "$seen" != " hidden hidden hidden hidden shown shown" ]; then
	echo "changed: expected hidden, hidden and shown, in both places"
	exit 1
fi
echo "as stated: sanitizing leaves the body of the answer alone"
