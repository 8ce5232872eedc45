package loader_test

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/loader"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// TestIncrementalLoadEqualsFullLoad makes random changes to directories, good and bad ones, and
// loads each twice: incrementally, by a loader that knows what is loaded, and as a whole, by one
// that does not. Both must report the same and have the same active revision.
func TestIncrementalLoadEqualsFullLoad(t *testing.T) {
	x := stepping{t: t, taken: map[string]int{}}
	for seed := range uint64(24) {
		dir := t.TempDir()
		x.run(seed, dir, func() {}, dir)
	}
	x.want(map[string]int{"policies": 40, "groups": 40, "gates": 30, "tokens": 40, "several": 50})
}

// TestIncrementalLoadOfDirectoriesEqualsFullLoad does it with two directories, of which one is restricted and may keep its last good state.
func TestIncrementalLoadOfDirectoriesEqualsFullLoad(t *testing.T) {
	x := stepping{t: t, taken: map[string]int{}}
	for seed := range uint64(6) {
		dir, top := t.TempDir(), t.TempDir()
		x.run(seed+100, dir, func() { divide(t, dir, top+"/platform", top+"/team") }, top+"/platform", top+"/team,kinds=APIToken")
	}
	x.want(map[string]int{"policies": 40, "groups": 40, "gates": 30, "tokens": 40, "several": 50})
}

// stepping loads changes incrementally and as a whole.
type stepping struct {
	t     *testing.T
	loads int
	taken map[string]int // by what changed: how many were incremental
}

// run makes changes to the files of a directory. written is called before they are loaded from the roots.
func (x *stepping) run(seed uint64, dir string, written func(), roots ...string) {
	w := &wanderer{t: x.t, dir: dir, random: rand.New(rand.NewPCG(seed, 1)), files: map[string][]string{}}
	w.begin()
	quick, whole := newWitness(x.t, roots...), newWitness(x.t, roots...)
	for step := range 40 {
		w.write()
		written()
		before := quick.loader.Loaded()
		quick.load()
		whole.loader.Unload()
		whole.load()
		if step > 0 && before != nil && before == quick.loader.Loaded() && quick.last.Loaded {
			x.taken[w.changed()]++
		}
		x.loads++
		if got, want := quick.describe(w.digests), whole.describe(w.digests); got != want {
			x.t.Fatalf("seed %d, step %d: %s\nincrementally:\n%s\nas a whole:\n%s", seed, step, w.last, got, want)
		}
		w.loaded(quick.last.Rejected())
		w.change()
	}
}

// want checks that at least one in so many loads was incremental, by what changed.
func (x *stepping) want(parts map[string]int) {
	for changed, part := range parts {
		if x.taken[changed] < x.loads/part {
			x.t.Errorf("only %d of %d loads were incremental ones of %s", x.taken[changed], x.loads, changed)
		}
	}
	x.t.Logf("%d loads, incremental: %v", x.loads, x.taken)
}

// witness is a loader, and its last report.
type witness struct {
	t      *testing.T
	loader *loader.Loader
	last   loader.Report
}

func newWitness(t *testing.T, roots ...string) *witness {
	w := &witness{t: t}
	w.loader = loader.New(policy.NewIndex(), directories(time.Microsecond, time.Minute, roots...), func(r loader.Report) { w.last = r }, loader.Options{
		Now: func() time.Time { return time.Unix(1_780_000_000, 0) },
	})
	return w
}

func (w *witness) load() {
	w.last = loader.Report{}
	if err := w.loader.Load(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// describe returns the report and the active revision as text.
func (w *witness) describe(digests []token.Digest) string {
	var b strings.Builder
	r := w.last
	r.Took, r.Applied = 0, 0
	fmt.Fprintf(&b, "%+v\n", r.Change.Names)
	r.Change.Names = nil
	fmt.Fprintf(&b, "%+v\n", r)
	s := w.loader.Index().Snapshot()
	fmt.Fprintf(&b, "revision %d, %x\n", s.Revision().Number, s.Revision().SHA256)
	for row := range s.Tokens {
		fmt.Fprintf(&b, "%s at %v: user %s, %v, previous %v, revoked %v, suspended %v, gates %v, schemes %v, clients %v, fingerprint %x, grants", row.Name,
			row.Source, row.User, row.Digest, row.Previous, row.Revoked, row.Suspended, row.Gates, row.Schemes, row.Clients, row.Fingerprint[:4])
		for _, p := range row.Grant.Policies {
			fmt.Fprintf(&b, " %q of %s", p.Name, rulesOf(p))
			if p.Name != "" && s.Policy(p.Name) != p {
				fmt.Fprint(&b, " (not the one that runs)")
			}
		}
		for _, g := range row.Groups {
			fmt.Fprintf(&b, " in %s", g.Name)
			if s.Group(g.Name) != g {
				fmt.Fprint(&b, " (not the one that runs)")
			}
		}
		fmt.Fprintln(&b)
	}
	describeGates(&b, s)
	decisions(&b, s)
	for u := range 5 {
		for _, g := range s.GroupsOf(fmt.Sprint("u", u)) {
			fmt.Fprintf(&b, "u%d in %s of policies %v, %v\n", u, g.Name, running(g.Policies, func(p *policy.Policy) bool { return s.Policy(p.Name) == p }), s.Group(g.Name) == g)
		}
	}
	for i, d := range digests {
		fmt.Fprintf(&b, "value %d: token %v, gone %v\n", i, s.Token(&d) != nil, s.Gone(d))
	}
	return b.String()
}

// describeGates adds the gates, and which one guards what.
func describeGates(b *strings.Builder, s *policy.Snapshot) {
	for _, g := range s.Gates() {
		own := *g
		own.Groups, own.Policies, own.Anonymous, own.Upstream = nil, nil, nil, nil
		fmt.Fprintf(b, "gate %+v %+v of groups %v and policies %v", own, *g.Upstream, running(g.Groups, func(g *policy.Group) bool { return s.Group(g.Name) == g }),
			running(g.Policies, func(p *policy.Policy) bool { return s.Policy(p.Name) == p }))
		if g.Anonymous != nil {
			fmt.Fprintf(b, ", anonymous %s", rulesOf(g.Anonymous.Policies[0]))
		}
		fmt.Fprintln(b)
	}
}

// decisions adds what becomes of requests: with the first value of each token that was made, and without.
func decisions(b *strings.Builder, s *policy.Snapshot) {
	for _, host := range []string{"jira.example.com", "wiki.example.com", "g3.example.com"} {
		for _, path := range []string{"/0/open", "/1/x", "/more/1"} {
			for value := range 12 {
				for _, credential := range []string{"", "Bearer " + wanderValue(value), "Basic " + base64.StdEncoding.EncodeToString([]byte("u1:"+wanderValue(value)))} {
					r := policy.Request{
						Time: at, Method: "GET", Target: policy.NewTarget(path), Host: host, Header: forUser(""), Peer: netip.MustParseAddr("192.0.2.7"),
						Credential: policy.ParseAuthorization(credential, min(1, len(credential))),
					}
					d := policy.Evaluate(s, &r, nil)
					fmt.Fprintf(b, "%v%v ", d.Effect, d.Reason)
					if d.Gate != nil && s.Gate(d.Gate.Name) != d.Gate {
						fmt.Fprintf(b, "gate %s is not the one that runs", d.Gate.Name)
					}
				}
			}
		}
		fmt.Fprintln(b)
	}
}

// running says for each row of a list whether it is the one that runs.
func running[T any](rows []*T, runs func(*T) bool) (list []bool) {
	for _, row := range rows {
		list = append(list, runs(row))
	}
	return list
}

func rulesOf(p *policy.Policy) string {
	var b strings.Builder
	for _, r := range p.Allow {
		fmt.Fprintf(&b, "+%v %v", r.Path, r.Clients)
	}
	for _, r := range p.Deny {
		fmt.Fprintf(&b, "-%v %v", r.Path, r.Clients)
	}
	return b.String()
}
