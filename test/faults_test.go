package test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	loaderdir "github.com/patgate/patgate/loader/dir"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/envoy"
	"github.com/patgate/patgate/extauthz"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// faulty is what surrounds a check, with a panic planted in one place at a time.
type faulty struct {
	index *policy.Index
	where atomic.Value
}

func (f *faulty) at(where string) {
	if f.where.Load() == where {
		panic("planted in " + where)
	}
}

func (f *faulty) Snapshot() *policy.Snapshot { f.at("snapshot"); return f.index.Snapshot() }

func (f *faulty) Record(context.Context, *audit.Event) error {
	f.at("audit")
	if f.where.Load() == "slow audit" { // as long as an allow waits for its event
		time.Sleep(200 * time.Millisecond)
		return audit.ErrUnavailable
	}
	return nil
}

func (f *faulty) Decided(*policy.Decision, time.Duration) { f.at("metrics") }

func (f *faulty) Faulted() {}

// TestFaultsNeverPass plants panics in every surrounding of a check, behind an Envoy
// that would let errors pass: the upstream must not be reached.
func TestFaultsNeverPass(t *testing.T) {
	for _, name := range extauthz.Transports {
		t.Run(name, func(t *testing.T) { faultsNeverPass(t, name) })
	}
}

func faultsNeverPass(t *testing.T, name string) {
	value := token.Mint().Reveal()
	dir := t.TempDir()
	write(t, dir+"/m.yaml", gateManifest+"---\n"+tokenManifest("ci", value, ""))
	set := loaderdir.Load([]string{dir})
	rows, problems := set.Rows, set.Problems
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	f := &faulty{index: policy.NewIndex()}
	f.where.Store("")
	if _, err := f.index.Replace(rows, time.Now()); err != nil {
		t.Fatal(err)
	}
	clock := extauthz.NewClock(func() time.Time { f.at("clock"); return time.Now() }, func(time.Duration) {})
	server := &extauthz.Server{Index: f, Audit: f, Clock: clock, Observer: f, Logger: slog.New(slog.DiscardHandler)}
	transport, err := extauthz.NewTransport(server, extauthz.TransportOptions{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	transport.SetServing(true)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = transport.Serve(l) }()
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		transport.Stop(ctx)
	}()
	upstream, clients, admin := startUpstream(t), freeAddr(t), freeAddr(t)
	config, err := envoy.Render(envoy.Addresses{Admin: admin, Clients: clients, Upstream: upstream.addr, Patgate: l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	startEnvoy(t, replacing(t, "failure_mode_allow: false", "failure_mode_allow: true")(config), admin)
	get := func() int {
		answer, err := plainClient.Do(withBearer(t, "http://"+clients+"/rest/", value))
		if err != nil {
			t.Fatal(err)
		}
		readAll(t, answer)
		return answer.StatusCode
	}
	if status := get(); status != 200 || upstream.requests.Load() != 1 {
		t.Fatalf("without a fault: %d", status)
	}
	for _, where := range []string{"snapshot", "audit", "metrics", "clock"} {
		f.where.Store(where)
		if status := get(); status != 500 {
			t.Errorf("a panic in %s: %d", where, status)
		}
	}
	if n := upstream.requests.Load(); n != 1 {
		t.Errorf("the upstream got %d requests, want the first alone", n)
	}
	f.where.Store("slow audit")
	answer, err := plainClient.Do(withBearer(t, "http://"+clients+"/rest/", value))
	if err != nil {
		t.Fatal(err)
	}
	if body := readAll(t, answer); answer.StatusCode != 503 || !strings.Contains(body, `"reason":"audit_unavailable"`) {
		t.Errorf("a refusal after 200 ms: %d %s", answer.StatusCode, body)
	}
	f.where.Store("")
	if status := get(); status != 200 {
		t.Errorf("afterwards: %d", status)
	}
}

func withBearer(t *testing.T, url, value string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+value)
	return r
}
