package test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/patgate/patgate/server"
	"github.com/patgate/patgate/token"
)

// TestClockSteps steps the clock of a whole server under load. A token that has
// expired stays so through every step back of up to an hour. A longer one is followed, with
// an event for a person to look at and a metric; and the token that it revives ends again at
// its time.
func TestClockSteps(t *testing.T) {
	const lifetime = 10 * time.Minute
	start := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	short, long := token.Mint().Reveal(), token.Mint().Reveal()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "m.yaml"), gateManifest+"---\n"+
		tokenManifest("short", short, fmt.Sprintf("expires: %s\n", start.Add(lifetime).Format(time.RFC3339)))+tokenManifest("long", long, ""))
	p := &stepped{patgate: &patgate{t: t, more: make(chan struct{})}}
	p.now.Store(start.UnixNano())
	p.run(dir)
	client := dial(t, p.addr)
	ask := func(value string) string {
		r := (&message{method: "GET", target: "/", host: "h", headers: [][2]string{{"authorization", "Bearer " + value}}}).checkRequest(true)
		answer, err := client.Check(context.Background(), r)
		if err != nil {
			t.Fatal(err)
		}
		return answer.GetDynamicMetadata().GetFields()["reason"].GetStringValue()
	}
	done, asked := make(chan struct{}), make(chan int)
	go func() { // whatever the clock does, a token without an end is good
		n := 0
		defer func() { asked <- n }()
		for ; ; n++ {
			select {
			case <-done:
				return
			default:
			}
			if got := ask(long); got != "ok" {
				t.Errorf("the token without an end: %s", got)
				return
			}
		}
	}()
	steps := 0.0
	for _, c := range []struct {
		step time.Duration
		want string // for the token that ends
		told bool   // of a long step back
	}{
		{0, "ok", false},
		{30 * time.Minute, "token_expired", false},
		{-30 * time.Minute, "token_expired", false},
		{-29 * time.Minute, "token_expired", false}, // within an hour of the latest
		{59 * time.Minute, "token_expired", false},
		{2 * time.Hour, "token_expired", false},
		{-30 * time.Minute, "token_expired", false},
		{30 * time.Minute, "token_expired", false},
		{-time.Hour, "token_expired", false},
		{time.Hour, "token_expired", false},
		{-2*time.Hour - 30*time.Minute, "ok", true}, // to the start: followed, and told
		{lifetime - time.Second, "ok", false},
		{time.Second, "token_expired", false},
		{-time.Minute, "token_expired", false},
		{-2 * time.Hour, "ok", true},
		{4 * time.Hour, "token_expired", false},
	} {
		p.now.Add(int64(c.step))
		at := time.Unix(0, p.now.Load()).UTC().Format(time.TimeOnly)
		for range 3 {
			if got := ask(short); got != c.want {
				t.Errorf("after a step of %v, at %s: %s, want %s", c.step, at, got, c.want)
			}
		}
		if c.told {
			steps++
		}
		if got := p.metrics()["patgate_clock_steps_total"]; got != steps {
			t.Errorf("after a step of %v, at %s: %v long steps counted, want %v", c.step, at, got, steps)
		}
	}
	close(done)
	if n := <-asked; n == 0 {
		t.Error("no request was sent meanwhile")
	}
	p.end()
	alerts := 0.0
	for _, e := range p.events {
		if e.Kind == "clock.stepped" {
			if alerts++; e.Severity != "alert" || len(e.Problems) == 0 {
				t.Errorf("the event of a long step: %+v", e)
			}
		}
	}
	if alerts != steps {
		t.Errorf("%v events of %v long steps", alerts, steps)
	}
}

// stepped is a server in this process with a clock that the test steps.
type stepped struct {
	*patgate
	now atomic.Int64 // nanoseconds since 1970
	end func()
}

func (p *stepped) run(manifests string) {
	p.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		p.t.Fatal(err)
	}
	s, err := server.New(server.Options{
		Manifests: []string{manifests}, Listen: "127.0.0.1:0", StatusListen: "127.0.0.1:0", Audit: w,
		Now: func() time.Time { return time.Unix(0, p.now.Load()) },
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.addr, p.status = s.Addr().String(), s.StatusAddr().String()
	p.exited = make(chan struct{})
	p.reader.Go(func() { p.read(r) })
	ctx, cancel := context.WithCancelCause(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	p.end = func() {
		cancel(server.ErrNow)
		err := <-ran
		if err := errors.Join(err, w.Close()); err != nil {
			p.t.Error(err)
		}
		p.reader.Wait()
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		if answer, err := http.Get("http://" + p.status + "/readyz"); err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			p.t.Fatal("the server is not ready")
		}
	}
}
