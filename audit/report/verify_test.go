package report

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/audit"
)

func line(instance string, seq int, at time.Time) string {
	return fmt.Sprintf(`{"v":1,"seq":%d,"instance":%q,"time":%q,"kind":"decision","id":"ID%d","decision":"allow","reason":"ok","token":"t%d"}`,
		seq, instance, at.Format(time.RFC3339Nano), seq, seq%7)
}

func verify(t *testing.T, logs ...[]string) *Verification {
	t.Helper()
	var inputs []audit.Input
	for i, log := range logs {
		inputs = append(inputs, audit.Input{Name: fmt.Sprint("log", i), Reader: strings.NewReader(strings.Join(log, "\n") + "\n")})
	}
	v, err := Verify(context.Background(), inputs, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

var start = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// twoInstances are the interleaved events of two processes.
func twoInstances(n int) []string {
	var lines []string
	for seq := 1; seq <= n; seq++ {
		for _, instance := range []string{"a", "b"} {
			lines = append(lines, line(instance, seq, start.Add(time.Duration(seq)*time.Second)))
		}
	}
	return lines
}

// TestVerifyFindsDamage deletes, swaps and cuts lines at random places; each is found, with its place.
func TestVerifyFindsDamage(t *testing.T) {
	whole := twoInstances(200)
	if v := verify(t, whole); !v.OK || v.Events != 400 || len(v.Instances) != 2 {
		t.Fatalf("a whole log: %+v", v)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		at := 2 + random.IntN(len(whole)-6) // neither the first nor the last of a process
		seq, instance := uint64(at/2+1), []string{"a", "b"}[at%2]
		index := at % 2

		v := verify(t, slices.Delete(slices.Clone(whole), at, at+1))
		if gaps := v.Instances[index].Gaps; v.OK || len(gaps) != 1 || gaps[0].After != seq-1 || gaps[0].Missing != 1 || gaps[0].Line != at-1 || len(v.Broken) > 0 {
			t.Fatalf("without event %d of %s: %+v", seq, instance, v)
		}
		swapped := slices.Clone(whole)
		swapped[at], swapped[at+2] = swapped[at+2], swapped[at]
		if v := verify(t, swapped); v.OK || len(v.Broken) != 1 || v.Broken[0].Line != at+3 {
			t.Fatalf("events %d and %d of %s swapped: %+v", seq, seq+1, instance, v)
		}
		cut := slices.Clone(whole)
		cut[at] = cut[at][:20+random.IntN(len(cut[at])-20)]
		if v := verify(t, cut); v.OK || len(v.Broken) != 1 || v.Broken[0].Line != at+1 || len(v.Instances[index].Gaps) != 1 {
			t.Fatalf("event %d of %s cut to %q: %+v", seq, instance, cut[at], v)
		}
	}
}

func TestVerifyTakesFilesInAnyOrder(t *testing.T) {
	whole := twoInstances(90)
	parts := slices.Collect(slices.Chunk(whole, 17))
	rand.New(rand.NewPCG(3, 4)).Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	if v := verify(t, parts...); !v.OK {
		t.Errorf("in any order: %+v", v)
	}
	if v := verify(t, parts[1:]...); v.OK {
		t.Errorf("without one file: %+v", v)
	}
	reversed := slices.Clone(whole)
	slices.Reverse(reversed)
	if v := verify(t, reversed); !v.OK {
		t.Errorf("newest first: %+v", v)
	}
}

func TestVerifyBoundsWhatItDescribes(t *testing.T) {
	var lines []string
	for seq := 1; seq <= 3*MaxDamages; seq++ {
		lines = append(lines, line("a", seq, start)[:30])
	}
	if v := verify(t, lines); len(v.Broken) != MaxDamages || v.More != 2*MaxDamages || v.OK {
		t.Errorf("%d and %d more", len(v.Broken), v.More)
	}
}
