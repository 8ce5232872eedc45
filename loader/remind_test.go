package loader_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/loader"
	"github.com/patgate/patgate/policy"
)

// logLines sends what is logged to a receiver, if one waits.
type logLines chan string

func (s logLines) Write(b []byte) (int, error) {
	select {
	case s <- string(b):
	default: // no receiver waits
	}
	return len(b), nil
}

// TestARejectedLoadIsLoggedAgain checks that a rejected load is logged again until it is fixed.
func TestARejectedLoadIsLoggedAgain(t *testing.T) {
	lines := make(logLines)
	reports := make(chan loader.Report, 1)
	source := newMemory("m", map[string]string{"gate.yaml": "x: ["})
	l := loader.New(policy.NewIndex(), []loader.Source{source}, func(r loader.Report) { reports <- r }, loader.Options{
		Poll: 2 * time.Millisecond, Remind: 5 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(lines, nil)),
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); l.Run(ctx, nil) }()
	defer func() { stop(); <-done }()
	for range 2 {
		select {
		case line := <-lines:
			if !strings.Contains(line, "still rejected") || !strings.Contains(line, "level=ERROR") {
				t.Errorf("%s", line)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("no reminder was logged")
		}
	}
	<-reports
	source.set(map[string]string{"gate.yaml": gateNamed("jira")})
	if r := <-reports; r.Rejected() {
		t.Errorf("%+v", r)
	}
	stop()
	<-done
	if l.StillRejected() {
		t.Error("a fixed load is still logged as rejected")
	}
}
