//go:build clients

package test

import (
	"archive/zip"
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	basicGate = "schemes: [basic]\n"
	bothGate  = "schemes: [basic, bearer]\n"
	anything  = "unrestricted: true\n"
)

// awaitPort waits until an address takes connections.
func awaitPort(t *testing.T, address string, ended <-chan struct{}) {
	t.Helper()
	for deadline := time.After(2 * time.Minute); ; {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return
		}
		select {
		case <-ended:
			t.Fatal("the API ended")
		case <-deadline:
			t.Fatalf("nothing listens on %s", address)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// randomFile writes a file that does not compress.
func randomFile(t *testing.T, path string, size int64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(f, rand.Reader, size); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestClientsGit pushes 100 MB over git's smart HTTP, and clones them.
func TestClientsGit(t *testing.T) {
	t.Parallel()
	const size = 100 << 20
	root := t.TempDir()
	for _, command := range [][]string{{"git", "init", "--bare", "repo.git"}, {"git", "-C", "repo.git", "config", "http.receivepack", "true"}} {
		if out, err := runProgram(root, nil, command...); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	execPath, err := runProgram(root, nil, "git", "--exec-path")
	if err != nil {
		t.Fatal(err)
	}
	backend := &cgi.Handler{Path: filepath.Join(strings.TrimSpace(execPath), "git-http-backend"), Root: "/", Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1"}}
	api := httptest.NewServer(withLength(t, backend))
	t.Cleanup(api.Close)
	p := startPrinted(t, api.Listener.Addr().String(), basicGate, anything)
	work := t.TempDir()
	randomFile(t, filepath.Join(work, "large"), size)
	for _, command := range [][]string{
		{"git", "init", "-b", "main"}, {"git", "config", "core.compression", "0"}, {"git", "config", "user.email", "a@example.com"}, {"git", "config", "user.name", "alice"},
		{"git", "add", "large"}, {"git", "commit", "-qm", "large"}, {"git", "push", p.userURL("/repo.git"), "main"},
	} {
		p.program(t, work, []string{"GIT_TERMINAL_PROMPT=0"}, command...)
	}
	p.program(t, work, nil, "git", "clone", "-q", "-b", "main", p.userURL("/repo.git"), "again")
	if info, err := os.Stat(filepath.Join(work, "again", "large")); err != nil || info.Size() != size {
		t.Errorf("the clone has %v, %v", info, err)
	}
	p.wantNoRefusals(t)
}

// withLength gives chunked bodies a length, which a CGI program needs.
func withLength(t *testing.T, next http.Handler) http.Handler {
	dir := t.TempDir()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, err := os.CreateTemp(dir, "body")
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer f.Close()
		defer os.Remove(f.Name())
		n, err := io.Copy(f, r.Body)
		if err == nil {
			_, err = f.Seek(0, io.SeekStart)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.Body, r.ContentLength, r.TransferEncoding = f, n, nil
		next.ServeHTTP(w, r)
	})
}

// TestClientsPython uploads a package with twine, and installs it with pip.
func TestClientsPython(t *testing.T) {
	t.Parallel()
	packages, api := t.TempDir(), freeAddr(t)
	_, port, _ := net.SplitHostPort(api)
	startAPI(t, api, packages, python(t, "pypi-server"), "run", "-i", "127.0.0.1", "-p", port, "-P", ".", "-a", ".", packages)
	p := startPrinted(t, api, basicGate, anything)
	work := t.TempDir()
	wheel := filepath.Join(work, "patgate_example-1.0-py3-none-any.whl")
	writeWheel(t, wheel)
	p.program(t, work, nil, python(t, "twine"), "upload", "--non-interactive", "--repository-url", p.url+"/", "-u", "alice", "-p", p.value, wheel)
	p.program(t, work, nil, python(t, "pip"), "install", "--no-cache-dir", "--disable-pip-version-check", "--no-deps", "--target", work, "--index-url", p.userURL("/simple/"), "patgate-example")
	if info, err := os.Stat(filepath.Join(work, "patgate_example", "data")); err != nil || info.Size() != 1<<20 {
		t.Errorf("what is installed: %v, %v", info, err)
	}
	p.wantNoRefusals(t)
}

// writeWheel writes a package of Python with a large file.
func writeWheel(t *testing.T, path string) {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	large := make([]byte, 1<<20)
	_, _ = rand.Read(large)
	for _, f := range []struct{ name, text string }{
		{"patgate_example/__init__.py", ""}, {"patgate_example/data", string(large)},
		{"patgate_example-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: patgate-example\nVersion: 1.0\n"},
		{"patgate_example-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
		{"patgate_example-1.0.dist-info/RECORD", "patgate_example/__init__.py,,\npatgate_example/data,,\npatgate_example-1.0.dist-info/METADATA,,\n" +
			"patgate_example-1.0.dist-info/WHEEL,,\npatgate_example-1.0.dist-info/RECORD,,\n"},
	} {
		w, err := z.Create(f.name)
		if err == nil {
			_, err = io.WriteString(w, f.text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// store keeps what is put into it, as repositories of files do.
type store struct {
	mu    sync.Mutex
	files map[string][]byte
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodPut {
		data, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.files[r.URL.Path] = data
		w.WriteHeader(http.StatusCreated)
		return
	}
	data, ok := s.files[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write(data)
}

// TestClientsMaven deploys an archive of 5 MB, which Maven sends again after the challenge.
func TestClientsMaven(t *testing.T) {
	t.Parallel()
	files := &store{files: map[string][]byte{}}
	api := httptest.NewServer(files)
	t.Cleanup(api.Close)
	p := startPrinted(t, api.Listener.Addr().String(), basicGate, anything)
	work := t.TempDir()
	randomFile(t, filepath.Join(work, "large.jar"), 5<<20)
	write(t, filepath.Join(work, "settings.xml"), "<settings><servers><server><id>gate</id><username>alice</username><password>${env.PATGATE_TOKEN}</password></server></servers></settings>")
	p.program(t, work, nil, "mvn", "-B", "-q", "-s", "settings.xml", "-Dmaven.repo.local="+clientFile(t, "m2"),
		"org.apache.maven.plugins:maven-deploy-plugin:3.1.4:deploy-file", "-DrepositoryId=gate", "-Durl="+p.url+"/maven",
		"-DgroupId=com.example", "-DartifactId=large", "-Dversion=1.0", "-Dpackaging=jar", "-Dfile=large.jar")
	files.mu.Lock()
	defer files.mu.Unlock()
	if n := len(files.files["/maven/com/example/large/1.0/large-1.0.jar"]); n != 5<<20 {
		t.Errorf("%d bytes were deployed", n)
	}
	p.wantNoRefusals(t)
}

// TestClientsRegistry pushes to a registry of images and pulls, as containerd does, and logs
// in to it and reads a manifest with docker, which needs no daemon for that. The registry
// makes the URLs that uploads go to of Host, port and all.
func TestClientsRegistry(t *testing.T) {
	t.Parallel()
	dir, api := t.TempDir(), freeAddr(t)
	startAPI(t, api, dir, clientFile(t, "registry"), "serve", api, dir)
	p := startPrinted(t, api, bothGate+"challenge: [basic]\n", anything)
	p.program(t, dir, nil, clientFile(t, "registry"), "copy", p.clients+"/team/app:1", "alice")
	docker := []string{"DOCKER_CONFIG=" + dir}
	p.program(t, dir, docker, "sh", "-c", `printf %s "$PATGATE_TOKEN" | docker login "$0" -u alice --password-stdin`, p.clients)
	if got := p.program(t, dir, docker, "docker", "manifest", "inspect", "--insecure", p.clients+"/team/app:1"); !strings.Contains(got, "image.manifest.v1") {
		t.Errorf("docker reads %s", got)
	}
	p.wantNoRefusals(t)
}

// TestClientsDjango sends a form whose Origin must be the site's own, with its port.
func TestClientsDjango(t *testing.T) {
	t.Parallel()
	api := freeAddr(t)
	startAPI(t, api, t.TempDir(), python(t, "python"), clientFile(t, "site.py"), api)
	p := startPrinted(t, api, basicGate, anything)
	got := p.program(t, t.TempDir(), nil, python(t, "python"), clientFile(t, "page.py"), p.url+"/form")
	if want := "alice all " + p.url + "/form\n"; got != want {
		t.Errorf("the site says %q, want %q", got, want)
	}
	p.wantNoRefusals(t)
}

// TestClientsSocket sends messages through a WebSocket, which a wrong token does not open.
func TestClientsSocket(t *testing.T) {
	t.Parallel()
	api := freeAddr(t)
	_, port, _ := net.SplitHostPort(api)
	startAPI(t, api, t.TempDir(), "node", clientFile(t, "socket.js"), "serve", port)
	p := startPrinted(t, api, bothGate, anything, "--upgrade", "websocket")
	got := p.program(t, t.TempDir(), nil, "node", clientFile(t, "socket.js"), "call", "ws://"+p.clients+"/socket")
	if got != "alice 5\nalice 200000\nalice 1000000\n" {
		t.Errorf("the API says %q", got)
	}
	p.wantNoRefusals(t)
	out, err := runProgram(t.TempDir(), []string{"PATGATE_TOKEN=wrong"}, "node", clientFile(t, "socket.js"), "call", "ws://"+p.clients+"/socket")
	if err == nil || !strings.Contains(out, "status 401") {
		t.Errorf("with a wrong token: %v %s", err, out)
	}
}

// TestClientsEvents reads events for two minutes.
func TestClientsEvents(t *testing.T) {
	t.Parallel()
	const events, pause = 25, 5 * time.Second
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		tick := time.NewTicker(pause)
		defer tick.Stop()
		for i := range events {
			if _, err := fmt.Fprintf(w, "data: %d\n\n", i); err != nil || http.NewResponseController(w).Flush() != nil {
				return
			}
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
		}
	}))
	t.Cleanup(api.Close)
	p := startPrinted(t, api.Listener.Addr().String(), bothGate, anything)
	start := time.Now()
	got := p.program(t, t.TempDir(), nil, "curl", "-sSN", "--fail", "-u", "alice:"+p.value, p.url+"/events")
	if n := strings.Count(got, "data: "); n != events || time.Since(start) < 2*time.Minute {
		t.Errorf("%d events in %s: %s", n, time.Since(start), got)
	}
	p.wantNoRefusals(t)
}
