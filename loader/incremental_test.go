package loader_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/loader"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// TestAStepIsWhatAWholeLoadIs makes random changes to directories, good and bad ones, and
// loads each twice: incrementally, by a loader that knows what is loaded, and as a whole, by one
// that does not. Both must report the same and have the same active revision.
func TestAStepIsWhatAWholeLoadIs(t *testing.T) {
	incremental, policies, groups, loads := 0, 0, 0, 0
	for seed := range uint64(24) {
		w := &wanderer{t: t, dir: t.TempDir(), random: rand.New(rand.NewPCG(seed, 1)), files: map[string][]string{}}
		w.begin()
		quick, whole := newWitness(t, w.dir), newWitness(t, w.dir)
		for step := range 40 {
			w.write()
			before := quick.loader.Loaded()
			quick.load()
			whole.loader.Unload()
			whole.load()
			if step > 0 && before != nil && before == quick.loader.Loaded() {
				incremental++
				if strings.Contains(w.last, "of groups.yaml") && !strings.Contains(w.last, "of tokens") && quick.last.Loaded {
					groups++
				}
				if strings.Contains(w.last, "of policies.yaml") && !strings.Contains(w.last, "of tokens") && quick.last.Loaded {
					policies++
				}
			}
			loads++
			if got, want := quick.describe(w.digests), whole.describe(w.digests); got != want {
				t.Fatalf("seed %d, step %d: %s\nincrementally:\n%s\nas a whole:\n%s", seed, step, w.last, got, want)
			}
			w.loaded(quick.last.Rejected())
			w.change()
		}
	}
	if incremental < loads/4 || policies < loads/40 || groups < loads/40 {
		t.Errorf("only %d of %d loads were incremental, %d of them of policies, and %d of groups", incremental, loads, policies, groups)
	}
}

// witness is a loader, and its last report.
type witness struct {
	t      *testing.T
	loader *loader.Loader
	last   loader.Report
}

func newWitness(t *testing.T, dir string) *witness {
	w := &witness{t: t}
	w.loader = loader.New(policy.NewIndex(), directories(time.Microsecond, time.Minute, dir), func(r loader.Report) { w.last = r }, loader.Options{
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
	for _, g := range s.Gates() {
		fmt.Fprintf(&b, "gate %s of groups %v and policies %v\n", g.Name, running(g.Groups, func(g *policy.Group) bool { return s.Group(g.Name) == g }),
			running(g.Policies, func(p *policy.Policy) bool { return s.Policy(p.Name) == p }))
	}
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

// wanderer changes a directory at random.
type wanderer struct {
	t       *testing.T
	dir     string
	random  *rand.Rand
	files   map[string][]string // their documents
	good    map[string][]string // as they were when they ran last
	made    int
	digests []token.Digest
	last    string // what was changed
}

const (
	wanderHead  = "apiVersion: patgate.dev/v1alpha1\nkind: "
	wanderGate  = wanderHead + "Gate\nmetadata: {name: jira}\nspec: {schemes: [basic, bearer], forwardUnknown: [basic], policies: [p3], groups: [staff]}\n"
	wanderGroup = wanderHead + "UserGroup\nmetadata: {name: staff}\nspec: {members: [u0, u1, u2], policies: [p2, p3], tokens: {create: true, maxLifetime: 300d}}\n"
	wanderTeam  = wanderHead + "UserGroup\nmetadata: {name: a-team}\nspec: {members: [u1, u3]}\n"
)

func (w *wanderer) begin() {
	w.files["gate.yaml"] = []string{wanderGate}
	w.files["groups.yaml"] = []string{wanderGroup, wanderTeam}
	w.files["policies.yaml"] = []string{w.policy(0), w.policy(1), w.policy(2)}
	w.files["policies-more.yaml"] = []string{w.policy(3), strings.Replace(w.policy(0), "name: p0", "name: ranged", 1) + "    clients: [10.0.0.0/8]\n"}
	for i := range 4 {
		for range 3 {
			w.files[fmt.Sprintf("tokens-%d.yaml", i)] = append(w.files[fmt.Sprintf("tokens-%d.yaml", i)], w.token())
		}
	}
}

func (w *wanderer) policy(i int) string {
	return fmt.Sprintf("%sTokenPolicy\nmetadata: {name: p%d}\nspec:\n  allow:\n  - path: /%d/.*\n", wanderHead, i, w.random.IntN(5))
}

func (w *wanderer) token() string {
	w.made++
	d := token.Sum(token.NewSecret(fmt.Sprintf("a value of no token %d", w.made)))
	w.digests = append(w.digests, d)
	own := ""
	switch w.random.IntN(7) {
	case 0:
		own = "  allow:\n  - path: /own/.*\n"
	case 1:
		own = "  actAs: [\"a{900}\"]\n"
	case 2:
		own = "  limitTo: \"/own/b{700}\"\n"
	case 3:
		d := w.digests[len(w.digests)-1]
		return fmt.Sprintf("%sAPIToken\nmetadata: {name: t%d}\nspec: {anyUser: true, digest: %s, issued: 2026-01-01T00:00:00Z, policies: [p%d]}\n", wanderHead, w.made, d, w.random.IntN(2))
	}
	return fmt.Sprintf("%sAPIToken\nmetadata: {name: t%d}\nspec:\n  user: u%d\n  digest: %s\n  issued: 2026-01-01T00:00:00Z\n  policies: [p%d]\n%s",
		wanderHead, w.made, w.random.IntN(4), d, w.random.IntN(2), own)
}

// write makes the directory hold these files and no others.
func (w *wanderer) write() {
	there, err := filepath.Glob(filepath.Join(w.dir, "*.yaml"))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, name := range there {
		if _, kept := w.files[filepath.Base(name)]; !kept {
			if err := os.Remove(name); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	for name, docs := range w.files {
		text := []byte(strings.Join(docs, "---\n"))
		if old, err := os.ReadFile(filepath.Join(w.dir, name)); err == nil && string(old) == string(text) {
			continue
		}
		if err := os.WriteFile(filepath.Join(w.dir, name), text, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
}

// pick returns a file, mostly one of tokens.
func (w *wanderer) pick() string {
	names := slices.Sorted(maps.Keys(w.files))
	for range 3 {
		if name := names[w.random.IntN(len(names))]; strings.HasPrefix(name, "tokens") {
			return name
		}
	}
	return names[w.random.IntN(len(names))]
}

// loaded sometimes goes back to the last good files after a load was rejected.
func (w *wanderer) loaded(rejected bool) {
	switch {
	case !rejected:
		w.good = maps.Clone(w.files)
	case w.random.IntN(2) == 0:
		w.files = maps.Clone(w.good)
	}
}

// change makes one or a few changes.
func (w *wanderer) change() {
	w.last = ""
	switch w.random.IntN(8) {
	case 0, 1:
		w.changePolicies()
		return
	case 2, 3:
		w.changeGroups()
		return
	}
	for range 1 + w.random.IntN(2) {
		name := w.pick()
		docs := slices.Clone(w.files[name])
		what := w.random.IntN(16)
		w.last += fmt.Sprintf("change %d of %s; ", what, name)
		if len(docs) == 0 {
			what = 1
		}
		at := 0
		if len(docs) > 0 {
			at = w.random.IntN(len(docs))
		}
		put := func(old, new string) { docs[at] = strings.Replace(docs[at], old, new, 1) }
		switch what {
		case 0: // one goes
			docs = slices.Delete(docs, at, at+1)
		case 1, 2: // one comes
			docs = append(docs, w.token())
		case 3:
			put("spec:\n", "spec:\n  revoked: 2026-02-01T00:00:00Z\n")
		case 4:
			put("spec:\n", "spec:\n  suspended: true\n")
		case 5: // the name of another, which may be gone
			if _, name, ok := strings.Cut(docs[at], "{name: "); ok && strings.HasPrefix(name, "t") {
				name, _, _ = strings.Cut(name, "}")
				put("{name: "+name, fmt.Sprintf("{name: t%d", 1+w.random.IntN(w.made)))
			}
		case 6:
			put("policies: [p0]", "policies: [p1]")
		case 7: // a value is rotated to one that may stand elsewhere
			put("  issued:", fmt.Sprintf("  previous:\n  - {digest: %s, issued: 2025-01-01T00:00:00Z, until: 2027-01-01T00:00:00Z}\n  issued:",
				w.digests[w.random.IntN(len(w.digests))]))
		case 8: // moves to another file
			if to := w.pick(); to != name {
				w.files[to] = append(slices.Clone(w.files[to]), docs[at])
				docs = slices.Delete(docs, at, at+1)
			}
		case 9: // addresses at a gate that does not say where they come from, and not any more
			if strings.Contains(docs[at], "clients:") {
				put("  clients: {allow: [10.0.0.0/8]}\n", "")
			} else {
				put("spec:\n", "spec:\n  clients: {allow: [10.0.0.0/8]}\n")
			}
		case 10:
			put("policies: [p", "policies: [x")
		case 11: // mended
			put("policies: [x", "policies: [p")
		case 12: // a comment, which moves what comes after it
			put(wanderHead, "# a comment\n"+wanderHead)
		case 13: // the value of another, which may be gone
			if _, digest, ok := strings.Cut(docs[at], "  digest: "); ok {
				digest, _, _ = strings.Cut(digest, "\n")
				put(digest, w.digests[w.random.IntN(len(w.digests))].String())
			}
		case 14: // a whole file goes
			delete(w.files, name)
			continue
		case 15: // all is good again
			w.files = map[string][]string{}
			w.begin()
			continue
		}
		w.files[name] = docs
		if len(docs) == 0 && strings.HasPrefix(name, "tokens") {
			delete(w.files, name)
		}
	}
}

// changePolicies changes rules of a policy: mostly so that what names it stays good.
func (w *wanderer) changePolicies() {
	docs := slices.Clone(w.files["policies.yaml"])
	if len(docs) == 0 {
		return
	}
	what, at := w.random.IntN(9), w.random.IntN(len(docs))
	w.last = fmt.Sprintf("change %d of policies.yaml", what)
	put := func(old, new string) { docs[at] = strings.Replace(docs[at], old, new, 1) }
	switch what {
	case 0, 1:
		put("  allow:\n", fmt.Sprintf("  allow:\n  - path: /more/%d\n", w.random.IntN(9)))
	case 2:
		put("spec:\n", "spec:\n  deny:\n  - path: /never\n")
	case 3: // it grants nothing any more, or again
		if strings.Contains(docs[at], "  allow:\n") {
			docs[at] = strings.Replace(docs[at], "  allow:\n", "  deny:\n", 1)
		} else {
			put("  deny:\n", "  allow:\n")
		}
	case 4:
		put("  allow:\n", "  allow:\n  - path: /ranged\n    clients: [10.0.0.0/8]\n")
	case 5: // too much together with what some tokens have of their own, and not any more
		if heavy := strings.Repeat("  - path: /c{950}\n", 10); strings.Contains(docs[at], heavy) {
			put(heavy, "")
		} else {
			put("  allow:\n", "  allow:\n"+heavy)
		}
	case 6: // one comes
		w.made++
		docs = append(docs, strings.Replace(w.policy(0), "name: p0", fmt.Sprintf("name: more%d", w.made), 1))
	case 7: // one goes, which tokens may name
		docs = slices.Delete(docs, at, at+1)
	case 8: // one moves
		w.files["policies-more.yaml"] = append(slices.Clone(w.files["policies-more.yaml"]), docs[at])
		docs = slices.Delete(docs, at, at+1)
	}
	w.files["policies.yaml"] = docs
}

// changeGroups changes groups: mostly their members.
func (w *wanderer) changeGroups() {
	docs := slices.Clone(w.files["groups.yaml"])
	if len(docs) == 0 {
		return
	}
	what, at := w.random.IntN(9), w.random.IntN(len(docs))
	w.last = fmt.Sprintf("change %d of groups.yaml", what)
	put := func(old, new string) { docs[at] = strings.Replace(docs[at], old, new, 1) }
	user := fmt.Sprintf("u%d", w.random.IntN(5))
	switch what {
	case 0, 1: // one joins
		put("members: [", "members: ["+user+", ")
	case 2: // one leaves
		put(user+", ", "")
	case 3:
		put("maxLifetime: 300d", "maxLifetime: 900d")
	case 4:
		put("maxLifetime: 900d", "maxLifetime: 300d")
	case 5:
		put("members: [", fmt.Sprintf("policies: [p%d], members: [", w.random.IntN(4)))
	case 6: // one comes
		w.made++
		docs = append(docs, strings.Replace(wanderTeam, "a-team", fmt.Sprintf("z-team%d", w.made), 1))
	case 7: // one goes
		docs = slices.Delete(docs, at, at+1)
	case 8: // ranges that come with a group's policies
		put("members: [", "policies: [ranged], members: [")
	}
	w.files["groups.yaml"] = docs
}
