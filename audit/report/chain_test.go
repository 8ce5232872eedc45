package report

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/patgate/patgate/audit"
)

// keys returns the private and the public key of a chain.
func keys(t testing.TB) (private, public *audit.ChainKey) {
	t.Helper()
	a, b, err := audit.NewChainKey("audit.example.com")
	if err != nil {
		t.Fatal(err)
	}
	if private, err = audit.ParseChainKey(a + "\n"); err != nil {
		t.Fatal(err)
	}
	if public, err = audit.ParseChainKey(b); err != nil {
		t.Fatal(err)
	}
	return private, public
}

// fitfulSink takes what it is given in pieces of any size, or nothing.
type fitfulSink struct {
	mu     sync.Mutex
	random *rand.Rand
	text   bytes.Buffer
	whole  bool // it takes everything
}

func (s *fitfulSink) Await(time.Duration) bool { return true }
func (s *fitfulSink) Chunk() int               { return 3000 }

func (s *fitfulSink) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(b)
	if !s.whole {
		n = s.random.IntN(len(b) + 1)
	}
	s.text.Write(b[:n])
	return n, nil
}

// awaitCheckpoint waits until the last line that is written is one.
func (s *fitfulSink) awaitCheckpoint() {
	written := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		text := strings.TrimSuffix(s.text.String(), "\n")
		return len(text) < s.text.Len() && strings.Contains(text[strings.LastIndexByte(text, '\n')+1:], `"audit.checkpoint"`)
	}
	for !written() {
		runtime.Gosched()
	}
}

// WriteNow takes some at once, as a pipe does.
func (s *fitfulSink) WriteNow(b []byte) (int, bool) {
	if s.random.IntN(4) == 0 {
		return 0, false
	}
	n, _ := s.Write(b)
	return n, true
}

// chained returns a log that one process wrote, by both ways in which events are written.
func chained(t testing.TB, key *audit.ChainKey, instance string, n int, sink *fitfulSink) []string {
	t.Helper()
	log := audit.New(sink, audit.Options{Instance: instance, Chain: key, Checkpoint: 2 * time.Millisecond, Wait: 10 * time.Second, Now: func() time.Time { return start }})
	event := func(i int) *audit.Event {
		e := &audit.Event{
			Time: start.Add(time.Duration(i) * time.Millisecond), Kind: audit.Decision, ID: fmt.Sprint("ID", i), Decision: audit.Allow, Reason: "ok",
			Token: fmt.Sprint("t", i%7), Gate: "api", User: "alice", Method: "GET", Path: fmt.Sprintf("/rest/api/2/issue/JRA-%d", i),
		}
		if i%3 == 0 {
			e.Decision, e.Reason = audit.Deny, "no_rule_matched"
		}
		return e
	}
	for i := 0; i < n; {
		if i%30 == 20 {
			sink.awaitCheckpoint()
		}
		if i%2 == 0 {
			if err := log.Record(context.Background(), event(i)); err != nil {
				t.Fatal(err)
			}
			i++
			continue
		}
		batch := log.NewBatch()
		for range 5 {
			batch.Add(event(i))
			i++
		}
		for _, late := range batch.Commit() {
			if err := late.Wait(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := log.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(sink.text.String(), "\n"), "\n")
}

func verifyWith(t testing.TB, key *audit.ChainKey, lines []string) *Verification {
	t.Helper()
	v, err := Verify(context.Background(), []audit.Input{{Name: "log", Reader: strings.NewReader(strings.Join(lines, "\n") + "\n")}}, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestChainHolds writes through a sink that cuts lines anywhere: the chain is whole all the same, in any order of
// the files, and with any key.
func TestChainHolds(t *testing.T) {
	private, public := keys(t)
	for seed := range uint64(20) {
		lines := chained(t, private, "pod/x", 120, &fitfulSink{random: rand.New(rand.NewPCG(seed, 1))})
		for name, key := range map[string]*audit.ChainKey{"the private key": private, "the public key": public, "no key": nil} {
			if v := verifyWith(t, key, lines); !v.OK || v.Instances[0].Open || v.Instances[0].From != 1 || v.Instances[0].Checkpoint != v.Instances[0].To {
				t.Fatalf("seed %d, %s: %+v", seed, name, v)
			}
		}
		var inputs []audit.Input
		for part := range slices.Chunk(lines, 1+len(lines)/7) {
			inputs = append(inputs, audit.Input{Name: fmt.Sprint("part", len(inputs)), Reader: strings.NewReader(strings.Join(part, "\n"))})
		}
		slices.Reverse(inputs)
		if v, err := Verify(context.Background(), inputs, private, nil); err != nil || !v.OK {
			t.Fatalf("seed %d, in parts: %v %+v", seed, err, v)
		}
	}
}

// found reports whether a verification names the place of a change of one line: the line, or a gap behind the line
// before it.
func found(v *Verification, at int) bool {
	for _, d := range v.Broken {
		if d.Line == at+1 {
			return true
		}
	}
	for _, i := range v.Instances {
		for _, g := range i.Gaps {
			if g.Line == at && g.Missing == 1 {
				return true
			}
		}
	}
	return false
}

// TestChainFindsEachChange deletes, swaps and edits 1,000 lines each, and checks that each is found with its place.
func TestChainFindsEachChange(t *testing.T) {
	private, _ := keys(t)
	lines := chained(t, private, "pod/x", 60, &fitfulSink{whole: true, random: rand.New(rand.NewPCG(1, 1))})
	last := len(lines) - 1
	random := rand.New(rand.NewPCG(5, 6))
	for n := range 1000 {
		at := random.IntN(len(lines))
		v := verifyWith(t, private, slices.Delete(slices.Clone(lines), at, at+1))
		switch one := v.Instances[0]; at {
		case 0: // as after a rotation
			if one.From != 2 {
				t.Fatalf("without the first line: %+v", v)
			}
		case last:
			if !one.Open {
				t.Fatalf("without the last line: %+v", v)
			}
		default:
			if v.OK || !found(v, at) {
				t.Fatalf("without line %d: %+v", at+1, v)
			}
		}

		swapped := slices.Clone(lines)
		other := random.IntN(len(lines) - 1)
		if other >= at {
			other++
		}
		swapped[at], swapped[other] = swapped[other], swapped[at]
		if v := verifyWith(t, private, swapped); v.OK || !slices.ContainsFunc(v.Broken, func(d Damage) bool { return d.Line == max(at, other)+1 || d.Line == min(at, other)+2 }) {
			t.Fatalf("lines %d and %d swapped: %+v", at+1, other+1, v)
		}

		edited := slices.Clone(lines)
		edited[at] = edit(random, lines[at])
		switch v := verifyWith(t, private, edited); {
		case at == 0 && v.Instances[0].From == 2, at == last && v.Instances[0].Open: // it is no event any more
		case v.OK || !found(v, at):
			t.Fatalf("%d: line %d edited to %q: %+v", n, at+1, edited[at], v)
		}
	}
}

// edit changes, inserts or removes one byte within a line.
func edit(random *rand.Rand, line string) string {
	at := 1 + random.IntN(len(line)-2)
	b := byte(' ' + random.IntN(95))
	for b == line[at] || b == line[at-1] || line[at] == line[at+1] && random.IntN(2) == 0 {
		at, b = 1+random.IntN(len(line)-2), byte(' '+random.IntN(95))
	}
	switch random.IntN(3) {
	case 0:
		return line[:at] + string(b) + line[at+1:]
	case 1:
		return line[:at] + string(b) + line[at:]
	}
	return line[:at] + line[at+1:]
}

func TestForgeriesAreFound(t *testing.T) {
	private, public := keys(t)
	stranger, _ := keys(t)
	lines := chained(t, private, "pod/x", 30, &fitfulSink{whole: true, random: rand.New(rand.NewPCG(1, 1))})
	forged := chained(t, stranger, "pod/x", 30, &fitfulSink{whole: true, random: rand.New(rand.NewPCG(1, 1))})
	plain := []string{line("pod/x", 1, start), line("pod/x", 2, start)}
	for _, c := range []struct {
		name  string
		key   *audit.ChainKey
		lines []string
		want  string
	}{
		{"sealed with another key", private, forged, "its seal does not fit"},
		{"signed with another key", public, forged, "no signature of audit.example.com"},
		{"no seals", private, plain, "the line has no seal"},
		{"lines of two forgeries", nil, slices.Concat(lines[:10], forged[10:]), "does not refer to event 10"},
		{"the note of another checkpoint", public, withNoteOf(lines), "its note is of another event"},
	} {
		v := verifyWith(t, c.key, c.lines)
		if v.OK || len(v.Broken) == 0 || !strings.Contains(fmt.Sprint(v.Broken), c.want) {
			t.Errorf("%s: %+v", c.name, v)
		}
	}
	for _, bad := range []string{"", "x", "PRIVATE+KEY+x", "PRIVATE+KEY+audit+00000000+AAAA", "audit+1+AAAA"} {
		if _, err := audit.ParseChainKey(bad); err == nil || bad != "" && bad != "x" && strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// withNoteOf puts the last checkpoint's note into an earlier event, and makes that a checkpoint.
func withNoteOf(lines []string) []string {
	out := slices.Clone(lines)
	_, note, _ := strings.Cut(out[len(out)-1], `,"note":`)
	note, _, _ = strings.Cut(note, `,"instance"`)
	out[9] = strings.Replace(out[9], `,"instance"`, `,"note":`+note+`,"instance"`, 1)
	out[9] = strings.Replace(out[9], `"kind":"decision"`, `"kind":"audit.checkpoint"`, 1)
	return out
}
