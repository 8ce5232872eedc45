#!/bin/sh
# Tool: containerd's registry client, github.com/containerd/containerd/v2 v2.4.2 (Go module), core/remotes/docker.
#
# Behaviour: a registry takes Basic credentials and bearer tokens, and its 401 says so with two WWW-Authenticate lines.
# The client was given a user and a password. It still chooses Bearer, whichever line comes first, takes its realm for
# the address of a token service, and stops: `unsupported protocol scheme ""`. Basic, which would do, is never tried.
# With both challenges in one line, Basic first, which means the same, it works.
#
# Why it surprises: by RFC 6750 (bearer tokens) and RFC 9110 the realm is a free label that names a protected area, and
# a client picks among the challenges one that it can answer. That a registry's Bearer realm has to be the address of a
# token service is a convention of the distribution project. A realm that is no address could not be meant that way.
#
# Output seen:
#   Basic alone         works
#   Basic, then Bearer  failed to authorize: failed to fetch oauth token: Post "api": unsupported protocol scheme ""
#   Bearer, then Basic  failed to authorize: failed to fetch oauth token: Post "api": unsupported protocol scheme ""
#   both in one line    works
#   as stated: a Bearer line beside Basic is taken for a token service, and Basic is not tried

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

require github.com/containerd/containerd/v2 v2.4.2
END
cat >"$dir/main.go" <<'END'
// A registry that asks for Basic in several ways, and containerd's client, which has a user and a password.
package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/log"
)

const (
	basic  = `Basic realm="api"`
	bearer = `Bearer realm="api"`
	fault  = `unsupported protocol scheme ""`
)

func main() {
	_ = log.SetLevel("error")
	changed := false
	for _, c := range []struct {
		title string
		lines []string
		works bool
	}{
		{"Basic alone", []string{basic}, true},
		{"Basic, then Bearer", []string{basic, bearer}, false},
		{"Bearer, then Basic", []string{bearer, basic}, false},
		{"both in one line", []string{basic + ", " + bearer}, true},
	} {
		err := resolve(c.lines)
		seen := "works"
		if err != nil {
			seen = err.Error()
		}
		fmt.Printf("%-20s%s\n", c.title, seen)
		if c.works != (err == nil) || !c.works && !strings.Contains(seen, fault) {
			changed = true
		}
	}
	if changed {
		fmt.Println("changed: expected that the second and the third fail with " + fault)
		os.Exit(1)
	}
	fmt.Println("as stated: a Bearer line beside Basic is taken for a token service, and Basic is not tried")
}

// resolve asks a registry of its own for an image.
func resolve(challenges []string) error {
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, _, ok := r.BasicAuth(); !ok {
			w.Header()["Www-Authenticate"] = challenges
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		w.Header().Set("Content-Length", "2")
	}))
	defer registry.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	credentials := func(string) (string, string, error) { return "user", "password", nil }
	resolver := docker.NewResolver(docker.ResolverOptions{Hosts: docker.ConfigureDefaultRegistries(
		docker.WithPlainHTTP(docker.MatchLocalhost),
		docker.WithAuthorizer(docker.NewDockerAuthorizer(docker.WithAuthCreds(credentials))),
	)})
	_, _, err := resolver.Resolve(ctx, strings.TrimPrefix(registry.URL, "http://")+"/team/image:1")
	return err
}
END
cd "$dir"
# The modules go to the temporary folder; the compiled packages to Go's own cache, as always.
GOWORK=off GOMODCACHE="$dir/modules" GOFLAGS='-mod=mod -modcacherw -trimpath' \
	timeout 110 go build -o finding . >"$dir/log" 2>&1 ||
	{ cat "$dir/log"; echo "the program did not build"; exit 2; }
timeout 60 ./finding
