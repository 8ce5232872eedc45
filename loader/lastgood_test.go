package loader_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/loader"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// live lists which values are good, and by what rules.
func (w *witness) live(digests []token.Digest) string {
	var b strings.Builder
	s := w.loader.Index().Snapshot()
	for i, d := range digests {
		if row := s.Token(&d); row != nil && !row.Revoked {
			fmt.Fprintf(&b, "value %d: %s at %v, suspended %v, in %d groups, grants", i, row.Name, row.Source, row.Suspended, len(row.Groups))
			for _, p := range row.Grant.Policies {
				fmt.Fprintf(&b, " %q of %d rules", p.Name, len(p.Allow))
			}
			fmt.Fprintln(&b)
		}
	}
	return b.String()
}

func newKeepingWitness(t *testing.T, dir, lastGood string) *witness {
	w := &witness{t: t}
	w.loader = loader.New(policy.NewIndex(), directories(time.Microsecond, time.Minute, dir), func(r loader.Report) { w.last = r }, loader.Options{
		LastGood: lastGood, Now: func() time.Time { return time.Unix(1_780_000_000, 0) },
	})
	return w
}

// TestRestartRestoresTheActiveRevision makes random changes to a directory, good and bad ones. A loader that keeps
// its last good state runs what one without runs, and so does after each change a new one that
// begins beside what may be bad.
func TestRestartRestoresTheActiveRevision(t *testing.T) {
	restored := 0
	for seed := range uint64(6) {
		w := &wanderer{t: t, dir: t.TempDir(), random: rand.New(rand.NewPCG(seed, 2)), files: map[string][]string{}}
		w.begin()
		state := t.TempDir()
		plain, keeps := newWitness(t, w.dir), newKeepingWitness(t, w.dir, state)
		for step := range 25 {
			w.write()
			plain.load()
			keeps.load()
			want := plain.live(w.digests)
			if got := keeps.live(w.digests); got != want {
				t.Fatalf("seed %d, step %d: %s\nruns\n%s\nwant\n%s", seed, step, w.last, got, want)
			}
			if plain.last.Rejected() != keeps.last.Rejected() || plain.last.Loaded != keeps.last.Loaded {
				t.Fatalf("seed %d, step %d: %s\n%+v\nwant\n%+v", seed, step, w.last, keeps.last, plain.last)
			}
			copied := t.TempDir()
			if err := os.CopyFS(copied, os.DirFS(state)); err != nil {
				t.Fatal(err)
			}
			again := newKeepingWitness(t, w.dir, copied)
			again.load()
			if opens := keeps.last.Rejected() && !again.last.Rejected(); !opens && again.live(w.digests) != want {
				t.Fatalf("seed %d, step %d: %s\na restart runs\n%s\nwant\n%s\n%+v", seed, step, w.last, again.live(w.digests), want, again.last)
			}
			if len(again.last.Kept) > 0 {
				restored++
			}
			w.loaded(plain.last.Rejected())
			w.change()
		}
	}
	if restored < 20 {
		t.Errorf("only %d restarts were beside bad manifests", restored)
	}
}

// divide copies the files of a folder into one for tokens and one for the rest.
func divide(t *testing.T, from, platform, team string) {
	t.Helper()
	for _, dir := range []string{platform, team} {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	files, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		to := platform
		if strings.HasPrefix(f.Name(), "tokens") {
			to = team
		}
		text, err := os.ReadFile(from + "/" + f.Name())
		if err == nil {
			err = os.WriteFile(to+"/"+f.Name(), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestRestartWithRestrictedDirectories does it with two directories. Each state that runs is one that a whole load of
// what the parts keep takes, and a restart runs it again.
func TestRestartWithRestrictedDirectories(t *testing.T) {
	mixed := 0
	for seed := range uint64(6) {
		w := &wanderer{t: t, dir: t.TempDir(), random: rand.New(rand.NewPCG(seed, 3)), files: map[string][]string{}}
		w.begin()
		top, state := t.TempDir(), t.TempDir()
		roots := []string{top + "/platform", top + "/team,kinds=APIToken"}
		start := func(state string) *witness {
			k := newKeepingWitness(t, top, state)
			k.loader = loader.New(policy.NewIndex(), directories(time.Microsecond, time.Minute, roots...), func(r loader.Report) { k.last = r }, k.loader.Options())
			return k
		}
		keeps := start(state)
		for step := range 25 {
			w.write()
			divide(t, w.dir, top+"/platform", top+"/team")
			keeps.load()
			if step > 0 && keeps.last.Loaded && len(keeps.last.Kept) > 0 {
				mixed++
			}
			if whole := keeps.loader.TryKept(); len(whole.Problems) > 0 {
				t.Fatalf("seed %d, step %d: %s\nwhat runs is not sound: %v", seed, step, w.last, whole.Problems)
			}
			copied := t.TempDir()
			if err := os.CopyFS(copied, os.DirFS(state)); err != nil {
				t.Fatal(err)
			}
			again := start(copied)
			again.load()
			if len(again.last.Kept) == len(keeps.last.Kept) && again.live(w.digests) != keeps.live(w.digests) {
				t.Fatalf("seed %d, step %d: %s\na restart runs\n%s\nwant\n%s\n%+v\n%+v", seed, step, w.last, again.live(w.digests), keeps.live(w.digests), again.last, keeps.last)
			}
			w.loaded(keeps.last.Rejected())
			w.change()
			if w.random.IntN(2) == 0 { // the platform goes on
				w.files["policies.yaml"] = []string{w.policy(0), w.policy(1)}
			}
		}
	}
	if mixed < 10 {
		t.Errorf("only %d loads took one part and not the other", mixed)
	}
}
