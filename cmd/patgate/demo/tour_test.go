package demo

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
)

// TestStepsFitATerminal checks that each step has one sentence to learn, and that its lines are short and
// don't repeat the API's address.
func TestStepsFitATerminal(t *testing.T) {
	for _, s := range steps {
		curl := s.curl()
		if len(curl) > 140 || len(s.learn) > 90 || strings.Contains(curl, "http://") || !strings.Contains(curl, "$API/") && !strings.Contains(curl, "$MANAGE/") {
			t.Errorf("%s\n%s", s.learn, curl)
		}
		if strings.ToUpper(s.learn[:1]) != s.learn[:1] && !strings.HasPrefix(s.learn, "limitTo") || !strings.HasSuffix(s.learn, ".") {
			t.Errorf("no sentence: %s", s.learn)
		}
	}
}

// TestStepsWaitForEnter checks that each step waits for one line, and that none waits for an input that has
// ended, or after Ctrl-C.
func TestStepsWaitForEnter(t *testing.T) {
	var out bytes.Buffer
	in, typed := io.Pipe()
	enter := (&demo{o: Options{Out: &out, Enter: in}}).enter()
	passed := make(chan struct{})
	go func() {
		for range 4 {
			enter(t.Context())
			passed <- struct{}{}
		}
	}()
	for range 2 {
		select {
		case <-passed:
			t.Fatal("a step did not wait for its line")
		default:
		}
		if _, err := typed.Write([]byte("\n")); err != nil {
			t.Fatal(err)
		}
		<-passed
	}
	_ = typed.Close()
	<-passed
	<-passed
	if got := strings.Count(out.String(), "[Enter for the next step]"); got != 3 {
		t.Errorf("asked %d times: %s", got, out.String())
	}

	stopped, stop := context.WithCancel(t.Context())
	stop()
	open, _ := io.Pipe()
	(&demo{o: Options{Out: &out, Enter: open}}).enter()(stopped)
	(&demo{o: Options{Out: &out}}).enter()(t.Context())
}
