// Package test runs the whole system: the patgate binary, a real Envoy, real clients
// and an upstream that counts. It needs Envoy: `make envoy` puts it into the cache.
package test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/patgate/patgate/extauthz"
	"github.com/patgate/patgate/test/freeaddr"
)

// binary is patgate, built with the race detector where the tests are: a race ends it
// with a report.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "patgate-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "patgate")
		build := exec.Command("go", "build", raceFlag, "-o", binary, "../cmd/patgate")
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "building patgate:", err)
			return 1
		}
		return m.Run()
	}())
}

// event is one line of the audit, as a reader sees it.
type event struct {
	V            int
	Seq          uint64
	Instance     string
	Time         time.Time
	Kind         string
	Severity     string
	ID           string
	Decision     string
	Reason       string
	Status       int
	Gate         string
	Scheme       string
	User         string
	UserAsserted bool
	Actor        string
	Token        string
	Previous     bool
	Policy       string
	Rule         string
	Source       string
	Detail       string
	Observed     map[string]string
	Shadow       string
	Client       string
	ClientSource string
	Peer         string
	PeerName     string `json:"peerName"`
	TLS          bool   `json:"tls"`
	AddedNames   []string
	Method       string
	Host         string
	Path         string
	Query        string
	RequestID    string `json:"requestId"`
	UserAgent    string `json:"userAgent"`
	Traceparent  string
	Revision     uint64
	Micros       *int64
	BasicEnds    string
	Truncated    bool
	Tokens       []string
	Problems     []string
	Count        int
}

// onBothTransports runs a test with each transport of patgate: the one that is the default,
// and grpc-go.
func onBothTransports(t *testing.T, run func(t *testing.T)) {
	for _, name := range extauthz.Transports {
		t.Run(name, func(t *testing.T) {
			t.Setenv("PATGATE_TRANSPORT", name)
			run(t)
		})
	}
}

// patgate is a running `patgate serve`, and what it wrote.
type patgate struct {
	t      *testing.T
	binary string
	cmd    *exec.Cmd
	addr   string
	status string
	exited chan struct{}
	reader sync.WaitGroup

	mu     sync.Mutex
	lines  []string
	events []event
	more   chan struct{} // closed and replaced at each event
	stderr bytes.Buffer
}

// freeAddr returns a loopback address that nothing listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	addr, err := freeaddr.Get()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// startPatgate runs `patgate serve` on a directory and waits until it is ready. It must
// end well when the test does.
func startPatgate(t *testing.T, manifests string, flags ...string) *patgate {
	t.Helper()
	return startBinary(t, binary, manifests, flags...)
}

// startBinary does it with a build of its own.
func startBinary(t *testing.T, binary, manifests string, flags ...string) *patgate {
	t.Helper()
	p := &patgate{t: t, binary: binary, addr: freeAddr(t), status: freeAddr(t), exited: make(chan struct{}), more: make(chan struct{})}
	p.start(manifests, flags...)
	settled := p.usage()
	t.Cleanup(func() {
		p.wantNoLeaks(settled)
		p.stop(syscall.SIGTERM)
		if t.Failed() {
			t.Logf("patgate's log:\n%s", p.log())
		}
	})
	return p
}

func (p *patgate) start(manifests string, flags ...string) {
	p.t.Helper()
	args := append([]string{"serve", "--manifests", manifests, "--listen", p.addr, "--status-listen", p.status, "--drain-delay", "0s"}, flags...)
	p.cmd = exec.Command(p.binary, args...)
	p.cmd.Stderr = writer(func(b []byte) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.stderr.Write(b)
	})
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.reader.Go(func() { p.read(out) })
	go func() {
		p.reader.Wait()
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	p.awaitReady()
}

type writer func([]byte)

func (w writer) Write(b []byte) (int, error) { w(b); return len(b), nil }

// read reads patgate's stdout until its end.
func (p *patgate) read(stdout io.Reader) {
	s := bufio.NewScanner(stdout)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		p.line(s.Text())
	}
}

// line reads one line of stdout, which must be an event.
func (p *patgate) line(text string) {
	var e event
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		p.t.Errorf("stdout has a line that is no event: %v: %q", err, text)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.events); n > 0 && p.events[n-1].Instance == e.Instance && e.Seq != p.events[n-1].Seq+1 {
		p.t.Errorf("seq %d after %d", e.Seq, p.events[n-1].Seq)
	}
	p.lines, p.events = append(p.lines, text), append(p.events, e)
	close(p.more)
	p.more = make(chan struct{})
}

func (p *patgate) awaitReady() {
	p.t.Helper()
	deadline := time.After(2 * time.Minute)
	for {
		if answer, err := http.Get("http://" + p.status + "/readyz"); err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-p.exited:
			p.t.Fatalf("patgate ended: %v\n%s", p.cmd.ProcessState, p.log())
		case <-deadline:
			p.t.Fatalf("patgate is not ready\n%s", p.log())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// stop ends patgate, which must exit with 0 and without a race.
func (p *patgate) stop(sig os.Signal) {
	p.t.Helper()
	select {
	case <-p.exited:
		return
	default:
	}
	_ = p.cmd.Process.Signal(sig)
	select {
	case <-p.exited:
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Kill()
		p.t.Error("patgate did not end")
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		p.t.Errorf("patgate exited with %d\n%s", code, p.log())
	}
	if strings.Contains(p.log(), "DATA RACE") {
		p.t.Errorf("a race:\n%s", p.log())
	}
}

func (p *patgate) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

// find waits for the first event that fits.
func (p *patgate) find(what string, fits func(*event) bool) event {
	p.t.Helper()
	deadline := time.After(15 * time.Second)
	seen := 0
	for {
		p.mu.Lock()
		for ; seen < len(p.events); seen++ {
			if e := p.events[seen]; fits(&e) {
				p.mu.Unlock()
				return e
			}
		}
		more := p.more
		p.mu.Unlock()
		select {
		case <-more:
		case <-deadline:
			p.t.Fatalf("no event: %s", what)
		}
	}
}

// byID waits for the event of a decision.
func (p *patgate) byID(id string) event {
	p.t.Helper()
	if len(id) != 26 {
		p.t.Fatalf("%q is no id of a decision", id)
	}
	return p.find("of decision "+id, func(e *event) bool { return e.ID == id })
}

// decisions returns the events of decisions so far.
func (p *patgate) decisions() []event {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []event
	for _, e := range p.events {
		if e.Kind == "decision" {
			list = append(list, e)
		}
	}
	return list
}

// wantAtLeast waits for this many events of decisions. Those of refusals may come after
// their answers.
func (p *patgate) wantAtLeast(n int) {
	p.t.Helper()
	seen := 0
	p.find(fmt.Sprintf("number %d", n), func(e *event) bool {
		if e.Kind == "decision" {
			seen++
		}
		return seen >= n
	})
}

// wantDecisions waits for this many events of decisions, and requires that no more come.
func (p *patgate) wantDecisions(n int) {
	p.t.Helper()
	p.wantAtLeast(n)
	if got := len(p.decisions()); got != n {
		p.t.Errorf("%d events for %d checks", got, n)
	}
}

// holdsNo checks that nothing that patgate wrote holds one of the secrets.
func (p *patgate) holdsNo(secrets map[string]string) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, value := range secrets {
		for _, line := range p.lines {
			if strings.Contains(line, value) {
				p.t.Errorf("the value of %s is in the audit: %s", name, line)
			}
		}
		if strings.Contains(p.stderr.String(), value) {
			p.t.Errorf("the value of %s is in the log", name)
		}
	}
}
