#!/bin/sh
# Tool: client-go v0.37.2, k8s.io/client-go/tools/clientcmd (Go module), the reader of kubeconfig files of every Go client
# of Kubernetes.
#
# Behaviour: a kubeconfig whose server begins with `http://` is loaded without an error or a warning, but its user's
# token is dropped: requests have no Authorization header. The same file with `https://` keeps it.
#
# Why it surprises: the guard is sensible, and silent. Behind a proxy on loopback the API server takes the caller for
# system:anonymous and answers 403 with that name, which reads like a mistake in RBAC. The same token, set in code on
# rest.Config, is sent over http.
#
# Output seen:
#   kubeconfig, https server: the token is in the configuration: true
#   kubeconfig, http server:  the token is in the configuration: false, Authorization sent: ""
#   rest.Config in code, http server: Authorization sent: "Bearer example"
#   as stated: a kubeconfig's token is dropped for http servers, without an error

set -eu
for tool in go timeout; do
	command -v "$tool" >/dev/null || { echo "this script needs $tool"; exit 2; }
done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' HUP INT TERM

cat >"$dir/go.mod" <<'END'
module example.com/finding

go 1.26

require k8s.io/client-go v0.37.2
END
cat >"$dir/main.go" <<'END'
// Two kubeconfig files that differ in the scheme of the server, and a server that shows what it is sent.
package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const kubeconfig = `{apiVersion: v1, kind: Config, current-context: c,
  contexts: [{name: c, context: {cluster: c, user: u}}],
  clusters: [{name: c, cluster: {server: "SERVER"}}],
  users: [{name: u, user: {token: example}}]}`

func main() {
	var sent string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		sent = r.Header.Get("Authorization")
	}))
	defer server.Close()
	secure := load(strings.Replace(server.URL, "http://", "https://", 1))
	fmt.Printf("kubeconfig, https server: the token is in the configuration: %t\n", secure.BearerToken == "example")
	plain := load(server.URL)
	get(plain)
	fmt.Printf("kubeconfig, http server:  the token is in the configuration: %t, Authorization sent: %q\n", plain.BearerToken == "example", sent)
	dropped := sent
	get(&rest.Config{Host: server.URL, BearerToken: "example"})
	fmt.Printf("rest.Config in code, http server: Authorization sent: %q\n", sent)
	if secure.BearerToken != "example" || plain.BearerToken != "" || dropped != "" || sent != "Bearer example" {
		fmt.Println("changed: expected the token for https and in code, and none from a kubeconfig for http")
		os.Exit(1)
	}
	fmt.Println("as stated: a kubeconfig's token is dropped for http servers, without an error")
}

// load reads the file with a server in it.
func load(server string) *rest.Config {
	config, err := clientcmd.RESTConfigFromKubeConfig([]byte(strings.Replace(kubeconfig, "SERVER", server, 1)))
	must(err)
	return config
}

// get asks the server for its version.
func get(config *rest.Config) {
	client, err := rest.HTTPClientFor(config)
	must(err)
	answer, err := client.Get(config.Host + "/version")
	must(err)
	must(answer.Body.Close())
}

func must(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
}
END
cd "$dir"
# The modules go to the temporary folder; the compiled packages to Go's own cache, as always.
GOWORK=off GOMODCACHE="$dir/modules" GOFLAGS='-mod=mod -modcacherw -trimpath' \
	timeout 300 go build -o finding . >"$dir/log" 2>&1 ||
	{ cat "$dir/log"; echo "the program did not build"; exit 2; }
timeout 60 ./finding
