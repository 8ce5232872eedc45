//go:build upstreams

package test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/test/upstreams/lookalikes"
)

// api is an API as people write it with a framework. It reports what it read.
type api struct {
	name    string
	profile lookalikes.Profile // what an operator must say about it
	command func(p *parts) *exec.Cmd
	handler http.Handler // instead of a command
	addr    string
}

// parts is the folder that install.py printed.
type parts struct {
	dir, sources string
	t            *testing.T
}

func (p *parts) path(elements ...string) string {
	return filepath.Join(append([]string{p.dir}, elements...)...)
}

func (p *parts) source(elements ...string) string {
	return filepath.Join(append([]string{p.sources}, elements...)...)
}

// with returns a command with additional environment variables.
func with(cmd *exec.Cmd, environment ...string) *exec.Cmd {
	cmd.Env = append(os.Environ(), environment...)
	return cmd
}

// apis lists the APIs in the order of the table.
func apis() []*api {
	escapes := []string{"%2F", "%25", "%23", "%3F", "%3B", ";"}
	merged, separate := lookalikes.Profile{FormBodies: "merged", AllowEncoded: escapes}, lookalikes.Profile{FormBodies: "separate", AllowEncoded: escapes}
	keeping := merged
	keeping.KeepsEncoded = true
	express := keeping
	express.Routing = "caseInsensitive"
	goes := keeping
	goes.FoldsJSON = true
	fastify := separate
	fastify.KeepsEncoded = true
	return []*api{
		{name: "Tomcat 10.1", command: java("TomcatServer"), profile: keeping},
		{name: "Jetty 12.0", command: java("JettyServer"), profile: merged},
		{name: "Spring 6.2", command: java("SpringServer"), profile: keeping},
		{name: "Flask 3.1", command: flask, profile: merged},
		{name: "Django 5.2, uvicorn", command: djangoASGI, profile: separate},
		{name: "Django 5.2, gunicorn", command: djangoWSGI, profile: separate},
		{name: "Express 4", command: nodeJS("express.js", "express4"), profile: express},
		{name: "Express 5", command: nodeJS("express.js", "express5"), profile: express},
		{name: "Fastify 5", command: nodeJS("fastify.js"), profile: fastify},
		{name: "PHP 8.2", command: php("plain.php"), profile: merged},
		{name: "Symfony 5.4", command: php("symfony.php"), profile: merged},
		{name: "Rack 2.2, Puma", command: rack, profile: merged},
		{name: "lighttpd, CGI.pm", command: lighttpd, profile: separate},
		{name: "Go ServeMux", handler: goAPI(), profile: goes},
	}
}

func java(class string) func(*parts) *exec.Cmd {
	return func(p *parts) *exec.Cmd {
		return exec.Command("java", "-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData",
			"-cp", p.path("java", "classes")+":"+p.path("java", "jars")+"/*", class)
	}
}

func nodeJS(args ...string) func(*parts) *exec.Cmd {
	return func(p *parts) *exec.Cmd {
		args := append([]string{p.source("node", args[0])}, args[1:]...)
		return with(exec.Command("node", args...), "NODE_PATH="+p.path("node", "node_modules"))
	}
}

func flask(p *parts) *exec.Cmd {
	return exec.Command(p.path("python", "bin", "python"), p.source("python", "flask_app.py"))
}

func djangoASGI(p *parts) *exec.Cmd {
	// h11 is uvicorn's parser without C extensions; its other one, httptools, is stricter.
	return exec.Command(p.path("python", "bin", "uvicorn"), "--app-dir", p.source("python"), "--http", "h11", "--log-level", "error",
		"--port", "$PORT", "django_app:asgi")
}

func djangoWSGI(p *parts) *exec.Cmd {
	return exec.Command(p.path("python", "bin", "gunicorn"), "--chdir", p.source("python"), "--log-level", "critical", "--threads", "4",
		"--bind", "127.0.0.1:$PORT", "django_app:wsgi")
}

func php(script string) func(*parts) *exec.Cmd {
	return func(p *parts) *exec.Cmd {
		extensions, err := filepath.Glob(p.path("debian", "root", "usr", "lib", "php", "2*"))
		if err != nil || len(extensions) != 1 {
			p.t.Fatalf("PHP's extensions: %v, %v", extensions, err)
		}
		cmd := exec.Command(p.path("debian", "root", "usr", "bin", "php8.2"), "-n", "-d", "extension_dir="+extensions[0], "-d", "extension=mbstring",
			"-d", "include_path="+p.path("debian", "root", "usr", "share", "php"), "-d", "display_errors=0", "-S", "127.0.0.1:$PORT", p.source("debian", script))
		return with(cmd, "PHP_CLI_SERVER_WORKERS=2")
	}
}

func rack(p *parts) *exec.Cmd {
	root := p.path("debian", "root", "usr")
	var libraries []string
	for _, pattern := range []string{"lib/ruby/vendor_ruby", "lib/ruby/3.1.0", "lib/*/ruby/3.1.0", "share/rubygems-integration/all/gems/*/lib",
		"lib/*/rubygems-integration/3.1.0/gems/*/lib", "lib/*/rubygems-integration/3.1.0/extensions/*/3.1.0/*"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			p.t.Fatal(err)
		}
		libraries = append(libraries, found...)
	}
	shared, err := filepath.Glob(filepath.Join(root, "lib", "*-linux-gnu"))
	if err != nil {
		p.t.Fatal(err)
	}
	return with(exec.Command(filepath.Join(root, "bin", "ruby3.1"), p.source("debian", "rack.rb")),
		"RUBYLIB="+strings.Join(libraries, ":"), "LD_LIBRARY_PATH="+strings.Join(shared, ":"))
}

func lighttpd(p *parts) *exec.Cmd {
	root := p.path("debian", "root", "usr")
	config := filepath.Join(p.t.TempDir(), "lighttpd.conf")
	text := fmt.Sprintf("server.modules = (\"mod_alias\", \"mod_cgi\", \"mod_setenv\")\nserver.document-root = %q\nserver.bind = \"127.0.0.1\"\nserver.port = env.PORT\n"+
		"cgi.assign = (\".cgi\" => \"\")\nalias.url = (\"/\" => %q)\nsetenv.set-environment = (\"LOOKUPS\" => env.LOOKUPS, \"PERL5LIB\" => %q)\n"+
		"mimetype.assign = (\"\" => \"text/plain\")\n", p.source("debian"), p.source("debian", "report.cgi")+"/", filepath.Join(root, "share", "perl5"))
	write(p.t, config, text)
	return exec.Command(filepath.Join(root, "sbin", "lighttpd"), "-D", "-f", config, "-m", filepath.Join(root, "lib", "lighttpd"))
}

// quietAddr returns a loopback address that nothing listens on, with a port that the system
// gives to no client: the requests of these tests open tens of thousands of connections.
func quietAddr(t *testing.T) string {
	t.Helper()
	for range 1000 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000)))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no free port")
	return ""
}

// start runs the API until the test ends, and waits until it reports.
func (a *api) start(t *testing.T, p *parts) error {
	if a.handler != nil {
		return a.serve(t)
	}
	_, port, _ := strings.Cut(a.addr, ":")
	cmd := a.command(p)
	for i, arg := range cmd.Args {
		cmd.Args[i] = strings.ReplaceAll(arg, "$PORT", port)
	}
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, "PORT="+port, "LOOKUPS="+strings.Join(lookalikes.Lookups, ","), "PYTHONDONTWRITEBYTECODE=1")
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		log.Close()
	})
	return a.await(log.Name())
}

// await waits until the API reports.
func (a *api) await(log string) error {
	probe := lookalikes.Request{Method: "GET", Target: "/rest/public/x", Host: lookalikes.Host}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		answer, err := probe.Send(a.addr)
		if err == nil && answer.Header("x-upstream") == "1" {
			return nil
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(log)
			return fmt.Errorf("it does not report: %v, %w\n%s", answer, err, text)
		}
	}
}

// serve runs the handler until the test ends.
func (a *api) serve(t *testing.T) error {
	l, err := net.Listen("tcp", a.addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: a.handler}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return nil
}
