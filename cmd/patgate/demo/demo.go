// Package demo runs a complete patgate on loopback: a sample API, `patgate serve`, a real Envoy in front, and a tour of
// requests that shows what each part does.
package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/patgate/patgate/envoy"
)

// Options of a demo.
type Options struct {
	Out        io.Writer // the tour
	Executable string    // patgate itself
	Enter      io.Reader // a step ends with a line from it; nil: the tour runs through
	Hold       bool      // keep serving after the tour, until ctx is done

	// Readable makes a readable line of an audit event, which ends with a line end.
	Readable func(event []byte) string
}

// ErrDiffers is returned when the outcome of a step differs from what the tour expects.
var ErrDiffers = errors.New("the tour differs from its description")

// Demo is a running demo.
type demo struct {
	o        Options
	dir      string // of everything that the demo writes
	url      string // of the API, through Envoy
	manage   string // of the page and its API
	secrets  map[string]string
	gate     *exec.Cmd
	ended    context.Context // done when patgate has ended; its cause is why
	log      *os.File        // patgate's stderr
	events   events
	upstream *http.Server
	envoy    *envoy.Process
}

// Run runs a demo and takes everything down again. It returns ErrDiffers where a step
// of the tour had another outcome than it expects.
func Run(ctx context.Context, o Options) (err error) {
	d := &demo{o: o}
	defer func() { err = errors.Join(err, d.stop()) }()
	if err := d.start(ctx); err != nil {
		return err
	}
	differ := d.tour(ctx)
	if o.Hold && ctx.Err() == nil {
		d.hold(ctx)
	}
	return differ
}

// start brings up the API, patgate and Envoy, in this order.
func (d *demo) start(ctx context.Context) error {
	if _, err := envoy.Binary(); err != nil {
		return err
	}
	var err error
	if d.dir, err = os.MkdirTemp("", "patgate-demo-"); err != nil {
		return err
	}
	if err := d.writeManifests(); err != nil {
		return err
	}
	upstream, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	d.upstream = &http.Server{Handler: http.HandlerFunc(sampleAPI), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = d.upstream.Serve(upstream) }()
	addrs, err := freeAddrs(5)
	if err != nil {
		return err
	}
	if err := d.startGate(addrs[0], addrs[1], addrs[4]); err != nil {
		return err
	}
	config, err := envoy.Render(envoy.Addresses{Clients: addrs[2], Admin: addrs[3], Upstream: upstream.Addr().String(), Patgate: addrs[0]})
	if err != nil {
		return err
	}
	d.url, d.manage = "http://"+addrs[2], "http://"+addrs[4]
	if err := d.writeVariables(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	if err := d.awaitGate(ctx, "http://"+addrs[1]+"/readyz"); err != nil {
		return fmt.Errorf("patgate is not ready: %w\n%s", err, d.gateLog())
	}
	d.envoy, err = envoy.Start(ctx, config, addrs[3])
	return err
}

// startGate runs `patgate serve` as a user would, and reads its stdout.
func (d *demo) startGate(checks, status, manage string) error {
	var err error
	if d.log, err = os.Create(filepath.Join(d.dir, "patgate.log")); err != nil {
		return err
	}
	manifests := filepath.Join(d.dir, "manifests")
	d.gate = exec.Command(d.o.Executable, "serve", "--manifests", manifests, "--listen", checks, "--status-listen", status, "--drain-delay", "0s",
		"--manage-listen", manage, "--manage-into", filepath.Join(manifests, "tokens"), "--manage-gate", "jira", "--manage-login-link", "alice")
	d.gate.Stderr = d.log
	d.gate.SysProcAttr = envoy.OwnGroup() // Ctrl-C is for the demo, which stops it
	stdout, err := d.gate.StdoutPipe()
	if err != nil {
		return err
	}
	if err := d.gate.Start(); err != nil {
		return err
	}
	d.events.start(stdout)
	ended, end := context.WithCancelCause(context.Background())
	d.ended = ended
	go func() {
		d.events.done.Wait()
		end(d.gate.Wait())
	}()
	return nil
}

func (d *demo) gateLog() string {
	text, err := os.ReadFile(filepath.Join(d.dir, "patgate.log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// hold keeps serving, for those who want to try more.
func (d *demo) hold(ctx context.Context) {
	d.printf("\nEverything is still running. In another terminal:\n\n"+
		"  source %s   # $API and the tokens\n"+
		"  curl -i -u bob:$CI $API/rest/api/2/issue/JRA-1\n\n"+
		"The page where alice manages her tokens, once and within 10 minutes:\n%s\n\n"+
		"The manifests are in %s: edit them and ask again\n"+
		"(alice's token was revoked above). patgate's log is %s.\n"+
		"Its events follow here. Ctrl-C ends it.\n\n",
		filepath.Join(d.dir, "tokens.env"), d.loginLink(), filepath.Join(d.dir, "manifests"), d.log.Name())
	d.events.follow(func(line []byte) { d.printf("%s", d.o.Readable(line)) })
	<-ctx.Done()
}

// stop takes everything down and removes what the demo wrote.
func (d *demo) stop() error {
	var errs []error
	if d.envoy != nil {
		errs = append(errs, d.envoy.Stop())
	}
	if d.ended != nil {
		_ = d.gate.Process.Signal(syscall.SIGTERM)
		<-d.ended.Done()
		if cause := context.Cause(d.ended); !errors.Is(cause, context.Canceled) {
			errs = append(errs, fmt.Errorf("patgate: %w", cause))
		}
	}
	if d.upstream != nil {
		errs = append(errs, d.upstream.Close())
	}
	if d.log != nil {
		errs = append(errs, d.log.Close())
	}
	if d.dir != "" {
		errs = append(errs, os.RemoveAll(d.dir))
	}
	return errors.Join(errs...)
}

func (d *demo) printf(format string, args ...any) { _, _ = fmt.Fprintf(d.o.Out, format, args...) }

// event is the part of an audit event that the tour shows.
type event struct {
	ID, Decision, Reason, User, Token, Policy, Rule, Client string
	UserAsserted                                            bool
	Micros                                                  int
}

// events collects patgate's stdout.
type events struct {
	mu   sync.Mutex
	byID map[string]event
	more chan struct{} // closed and replaced at each event
	each func([]byte)  // called with each as it was written, where somebody follows
	done sync.WaitGroup
}

// follow calls each for every event from now on.
func (e *events) follow(each func(line []byte)) {
	e.mu.Lock()
	e.each = each
	e.mu.Unlock()
}

func (e *events) start(stdout io.Reader) {
	e.byID, e.more = map[string]event{}, make(chan struct{})
	e.done.Go(func() {
		s := bufio.NewScanner(stdout)
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			var ev event
			if json.Unmarshal(s.Bytes(), &ev) != nil {
				continue
			}
			e.mu.Lock()
			e.byID[ev.ID] = ev
			close(e.more)
			e.more = make(chan struct{})
			each := e.each
			e.mu.Unlock()
			if each != nil {
				each(s.Bytes())
			}
		}
	})
}

// await waits for the event of a decision.
func (e *events) await(ctx context.Context, id string) (event, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		e.mu.Lock()
		ev, ok := e.byID[id]
		more := e.more
		e.mu.Unlock()
		if ok {
			return ev, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return event{}, fmt.Errorf("no event with the id %q on patgate's stdout", id)
		}
	}
}

// awaitGate waits until patgate's status page says that it is ready, or patgate has ended.
func (d *demo) awaitGate(ctx context.Context, url string) error {
	for {
		if answer, err := http.Get(url); err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-d.ended.Done():
			return errors.New("it ended")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// freeAddrs returns loopback addresses that nothing listens on.
func freeAddrs(n int) ([]string, error) {
	var addrs []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }() // all stay bound until each is different
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}

// sampleAPI is the API behind the gate. It answers with the caller that patgate named.
func sampleAPI(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{
		"api": "sample", "method": r.Method, "path": r.URL.Path,
		"user": r.Header.Get("X-Forwarded-User"), "token": r.Header.Get("X-Patgate-Token"),
	})
}

// envName is the variable of a token's value in what the tour prints.
func envName(token string) string { return strings.ToUpper(strings.ReplaceAll(token, "-", "_")) }
