//go:build clients

package test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// Clients whose paths have an escaped slash, at a gate that accepts it.
const encodedGate = bothGate + "allowEncoded: ['%2F']\n"

// TestClientsNpm publishes and installs a package of a scope: /@team%2fexample. npm sends
// packages as JSON, so that what is buffered for rules must hold them.
func TestClientsNpm(t *testing.T) {
	t.Parallel()
	dir, api := t.TempDir(), freeAddr(t)
	write(t, filepath.Join(dir, "config.yaml"), "storage: ./storage\nauth: {htpasswd: {file: ./htpasswd}}\nuplinks: {}\nlog: {type: stdout, level: warn}\n"+
		"packages: {'**': {access: $all, publish: $all, unpublish: $all}}\n")
	startAPI(t, api, dir, "node", filepath.Join(clientsDir(t), "node_modules", "verdaccio", "bin", "verdaccio"), "--config", filepath.Join(dir, "config.yaml"), "--listen", "http://"+api)
	p := startPrinted(t, api, encodedGate, anything, "--max-request-bytes", "1048576")
	source, target := t.TempDir(), t.TempDir()
	write(t, filepath.Join(source, "package.json"), `{"name": "@team/example", "version": "1.0.0", "files": ["data"]}`)
	randomFile(t, filepath.Join(source, "data"), 200_000)
	write(t, filepath.Join(target, "package.json"), `{"name": "user", "version": "1.0.0"}`)
	for _, folder := range []string{source, target} {
		write(t, filepath.Join(folder, ".npmrc"), fmt.Sprintf("registry=%s/\n//%s/:_authToken=${PATGATE_TOKEN}\n", p.url, p.clients))
	}
	home := []string{"npm_config_cache=" + t.TempDir(), "npm_config_update_notifier=false"}
	p.program(t, source, home, "npm", "publish", "--no-audit")
	p.program(t, target, home, "npm", "install", "--no-audit", "--no-fund", "@team/example")
	if info, err := os.Stat(filepath.Join(target, "node_modules", "@team", "example", "data")); err != nil || info.Size() != 200_000 {
		t.Errorf("what is installed: %v, %v", info, err)
	}
	p.wantNoRefusals(t)
}

// TestClientsGitLab asks for a project and a file by their paths, as python-gitlab does. A
// GitLab is not available: a stand-in answers these two paths, as they come.
func TestClientsGitLab(t *testing.T) {
	t.Parallel()
	answers := map[string]any{
		"/api/v4/projects/group%2Fproject": map[string]any{"id": 7},
		"/api/v4/projects/7/repository/files/src%2Fmain.py?ref=main": map[string]any{"file_path": "src/main.py", "encoding": "base64",
			"content": base64.StdEncoding.EncodeToString([]byte("print()"))},
	}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.RequestURI]
		if !ok {
			http.Error(w, "no "+r.RequestURI, http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(api.Close)
	host, port, _ := net.SplitHostPort(api.Listener.Addr().String())
	p := startPrinted(t, net.JoinHostPort(host, port), encodedGate, anything)
	if got := p.program(t, t.TempDir(), nil, python(t, "python"), clientFile(t, "projects.py"), p.url); got != "7 print()\n" {
		t.Errorf("the client says %q", got)
	}
	p.wantNoRefusals(t)
}
