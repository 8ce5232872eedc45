package test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/patgate/patgate/token"
)

// bare is a `patgate serve` whose stdout the test controls.
type bare struct {
	t       *testing.T
	cmd     *exec.Cmd
	stderr  bytes.Buffer
	client  authv3.AuthorizationClient
	request *authv3.CheckRequest
	status  string
	exited  chan error
}

func startBare(t *testing.T, stdout *os.File, flags ...string) *bare {
	t.Helper()
	value := token.Mint().Reveal()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "m.yaml"), gateManifest+"---\n"+tokenManifest("ci", value, ""))
	addr := freeAddr(t)
	b := &bare{t: t, status: freeAddr(t), exited: make(chan error, 1)}
	b.cmd = exec.Command(binary, append([]string{"serve", "--manifests", dir, "--listen", addr, "--status-listen", b.status,
		"--drain-delay", "0s", "--drain-grace", "2s", "--audit-wait", "100ms"}, flags...)...)
	b.cmd.Stdout, b.cmd.Stderr = stdout, &b.stderr
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { b.exited <- b.cmd.Wait() }()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if answer, err := http.Get("http://" + b.status + "/readyz"); err == nil {
			answer.Body.Close()
			if answer.StatusCode == 200 {
				break
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("not ready: %s", b.stderr.String())
		}
	}
	b.client = dial(t, addr)
	b.request = (&message{method: "GET", target: "/" + strings.Repeat("x", 500), host: "h",
		headers: [][2]string{{"authorization", "Bearer " + value}}}).checkRequest(true)
	return b
}

// check asks once and returns the reason, the status of a refusal, and how long it took.
func (b *bare) check() (id, reason string, status int, took time.Duration) {
	b.t.Helper()
	start := time.Now()
	answer, err := b.client.Check(context.Background(), b.request)
	if err != nil {
		b.t.Fatal(err)
	}
	fields := answer.GetDynamicMetadata().GetFields()
	return fields["id"].GetStringValue(), fields["reason"].GetStringValue(), int(answer.GetDeniedResponse().GetStatus().GetCode()), time.Since(start)
}

// end stops the process and returns its exit code.
func (b *bare) end() int {
	b.t.Helper()
	_ = b.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-b.exited:
	case <-time.After(20 * time.Second):
		_ = b.cmd.Process.Kill()
		b.t.Fatal("patgate does not end")
	}
	if strings.Contains(b.stderr.String(), "DATA RACE") {
		b.t.Error(b.stderr.String())
	}
	return b.cmd.ProcessState.ExitCode()
}

// TestStalledStdout leaves the audit unread: no allow may be answered without its
// line, every check must be answered in time, and patgate must recover when the reader
// resumes.
func TestStalledStdout(t *testing.T) { onBothTransports(t, testStalledStdout) }

func testStalledStdout(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	b := startBare(t, w)
	w.Close()
	allowed := map[string]bool{}
	refused := map[string]bool{}
	for len(refused) < 5 {
		id, reason, status, took := b.check()
		switch {
		case reason == "ok":
			allowed[id] = true
		case reason == "audit_unavailable" && status == 503:
			refused[id] = true
			if took < 100*time.Millisecond || took > 2*time.Second {
				t.Errorf("refused after %v", took)
			}
		default:
			t.Fatalf("%s %d", reason, status)
		}
	}
	t.Logf("%d allowed before the pipe was full", len(allowed))
	events := map[string]string{}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		s := bufio.NewScanner(r)
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			var e event
			if err := json.Unmarshal(s.Bytes(), &e); err != nil {
				t.Error(err)
			}
			events[e.ID] = e.Decision + " " + e.Reason
		}
	}()
	for deadline := time.Now().Add(20 * time.Second); ; {
		if id, reason, _, _ := b.check(); reason == "ok" {
			allowed[id] = true
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no recovery when the reader came back")
		}
	}
	if code := b.end(); code != 0 {
		t.Errorf("exit code %d, though nothing was lost: %s", code, b.stderr.String())
	}
	<-finished
	for id := range allowed {
		if events[id] != "allow ok" {
			t.Errorf("allowed %s has the event %q", id, events[id])
		}
	}
	for id := range refused {
		if events[id] != "deny audit_unavailable" {
			t.Errorf("refused %s has the event %q", id, events[id])
		}
	}
}

// TestClosedAndFullStdout ends the audit under a running server. It must go on, refuse
// what it can't audit (or let it through, where that is the rule), and say in its exit
// code that events were lost.
func TestClosedAndFullStdout(t *testing.T) { onBothTransports(t, testClosedAndFullStdout) }

func testClosedAndFullStdout(t *testing.T) {
	for _, sink := range []string{"closed", "full"} {
		for _, overflow := range []string{"deny", "drop"} {
			t.Run(sink+", "+overflow, func(t *testing.T) {
				var w *os.File
				if sink == "full" {
					var err error
					if w, err = os.OpenFile("/dev/full", os.O_WRONLY, 0); err != nil {
						t.Fatal(err)
					}
				} else {
					r, pipe, err := os.Pipe()
					if err != nil {
						t.Fatal(err)
					}
					w = pipe
					r.Close() // a reader that is gone: writes raise SIGPIPE
				}
				b := startBare(t, w, "--audit-overflow", overflow)
				w.Close()
				want := map[string]string{"deny": "audit_unavailable", "drop": "ok"}[overflow]
				for range 3 {
					if _, reason, _, took := b.check(); reason != want || took > 2*time.Second {
						t.Errorf("%s after %v, want %s", reason, took, want)
					}
				}
				answer, err := http.Get("http://" + b.status + "/metrics")
				if err != nil {
					t.Fatal(err)
				}
				if text := readAll(t, answer); !strings.Contains(text, "patgate_audit_stalled 1") {
					t.Error("the metrics do not show that the audit is stalled")
				}
				if code := b.end(); code != 1 || !strings.Contains(b.stderr.String(), "audit events were lost") {
					t.Errorf("exit code %d: %s", code, b.stderr.String())
				}
			})
		}
	}
}

// TestNobodyListens starts a server with its stdout closed: it must say so.
func TestNobodyListens(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "m.yaml"), gateManifest)
	for _, redirect := range []string{">&-", ">/dev/null"} {
		script := fmt.Sprintf("exec %s serve --manifests %s --listen %s --status-listen %s %s", binary, dir, freeAddr(t), freeAddr(t), redirect)
		cmd := exec.Command("sh", "-c", script)
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		said := false
		for s := bufio.NewScanner(stderr); s.Scan(); {
			said = said || strings.Contains(s.Text(), "every audit event is discarded")
			if strings.Contains(s.Text(), "serving") {
				_ = cmd.Process.Signal(syscall.SIGINT)
			}
		}
		if err := cmd.Wait(); err != nil || !said {
			t.Errorf("%s: %v, said %v", redirect, err, said)
		}
	}
}

// TestDrain checks that a terminating server first reports not ready, and still answers.
func TestDrain(t *testing.T) { onBothTransports(t, testDrain) }

func testDrain(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "m.yaml"), gateManifest)
	p := startPatgate(t, dir, "--drain-delay", "700ms")
	conn, err := grpc.NewClient(p.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	watch, err := healthv1.NewHealthClient(conn).Watch(context.Background(), &healthv1.HealthCheckRequest{Service: "envoy.service.auth.v3.Authorization"})
	if err != nil {
		t.Fatal(err)
	}
	state := func() healthv1.HealthCheckResponse_ServingStatus {
		answer, err := watch.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return answer.GetStatus()
	}
	if got := state(); got != healthv1.HealthCheckResponse_SERVING {
		t.Fatalf("%v", got)
	}
	stopped := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := state(); got != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("%v", got)
	}
	answer, err := http.Get("http://" + p.status + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	if readAll(t, answer); answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("readyz while draining: %d", answer.StatusCode)
	}
	request := (&message{method: "GET", target: "/", host: "h"}).checkRequest(true)
	if _, err := authv3.NewAuthorizationClient(conn).Check(context.Background(), request); err != nil {
		t.Errorf("a check while draining: %v", err)
	}
	conn.Close()
	<-p.exited
	if took := time.Since(stopped); took < 700*time.Millisecond {
		t.Errorf("ended after %v, before callers could see it", took)
	}
	p.wantDecisions(1)
}

// TestUnixSocket answers on a unix socket, which only its group may use.
func TestUnixSocket(t *testing.T) { onBothTransports(t, testUnixSocket) }

func testUnixSocket(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "m.yaml"), gateManifest)
	path := filepath.Join(t.TempDir(), "patgate.sock")
	for range 2 { // the second start finds the socket gone
		p := startPatgate(t, dir, "--listen", "unix://"+path)
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o660 {
			t.Errorf("%v, %v", info, err)
		}
		conn, err := grpc.NewClient("unix://"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		request := (&message{method: "GET", target: "/", host: "h"}).checkRequest(true)
		answer, err := authv3.NewAuthorizationClient(conn).Check(context.Background(), request)
		if err != nil || answer.GetDeniedResponse().GetStatus().GetCode() != 401 {
			t.Errorf("%v, %v", answer, err)
		}
		conn.Close()
		p.stop(syscall.SIGTERM)
		if _, err := os.Stat(path); err == nil {
			t.Error("the socket is left behind")
		}
	}
}
