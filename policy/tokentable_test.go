package policy_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// tableWorld is an index of tokens, and the same tokens in a map.
type tableWorld struct {
	t        *testing.T
	random   *rand.Rand
	index    *policy.Index
	want     map[string]*policy.Token
	policies []*policy.Policy
	groups   []*policy.Group
	values   int
	origin   string
}

// own returns random rules of a token's own.
func (w *tableWorld) own(source policy.Source) *policy.Policy {
	p := &policy.Policy{Source: source}
	for i := range 1 + w.random.IntN(3) {
		r := &policy.Rule{Name: fmt.Sprintf("allow[%d]", i), Source: source}
		if r.Source.Line += i; w.random.IntN(3) > 0 {
			r.Path = shared(w.t, fmt.Sprintf("/own/%d", w.random.IntN(5)))
		}
		if w.random.IntN(2) == 0 {
			r.Methods = []string{"GET", "POST"}[:1+w.random.IntN(2)]
		}
		if w.random.IntN(9) == 0 {
			r.ContentTypes = []string{"application/json"}
		}
		p.Allow = append(p.Allow, r)
	}
	return p
}

// shared returns the pattern of a text that all rows share.
func shared(t *testing.T, text string) *policy.Pattern {
	p, err := policy.SharedPattern(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// digest returns a new digest. Many share their first bytes, as somebody who writes manifests could choose them.
func (w *tableWorld) digest() token.Digest {
	w.values++
	d := digest(fmt.Sprint("value ", w.values))
	if w.random.IntN(2) == 0 {
		copy(d[:], "the same eight bytes or more"[:8+w.random.IntN(16)])
	}
	return d
}

// row returns a random token, with everything that a token can have.
func (w *tableWorld) row(name string) *policy.Token {
	r := w.random
	maybe := func(one int) bool { return r.IntN(one) == 0 }
	t := &policy.Token{
		Name: name, Source: policy.Source{File: fmt.Sprint("f", r.IntN(30)), Line: r.IntN(1000), Origin: w.origin}, User: fmt.Sprint("u", r.IntN(20)), Digest: w.digest(),
		Issued: now.Add(-time.Duration(r.IntN(1000)) * time.Hour), Revoked: maybe(5), Suspended: maybe(5), Canary: maybe(9), AnyUser: maybe(9),
	}
	copy(t.Fingerprint[:], fmt.Sprintf("%016x", r.Uint64()))
	if maybe(4) {
		t.Namespace, t.NotAccepted = "team", maybe(2)
	}
	if t.Grant.Unrestricted = maybe(3); maybe(2) {
		t.Grant.Policies = slices.Clone(w.policies[:1+r.IntN(len(w.policies))])
	}
	if w.origin == policy.OriginObjects {
		t.Source = policy.Source{File: "APIToken/" + name, Line: 1, Origin: w.origin}
	}
	if maybe(4) {
		t.Grant.Policies = append(t.Grant.Policies, w.own(t.Source))
	}
	if maybe(3) {
		t.Groups = w.groups[:1+r.IntN(len(w.groups))]
	}
	if maybe(4) {
		t.Gates = []string{"jira", "wiki"}[:1+r.IntN(2)]
	}
	if maybe(4) {
		t.Logins = []string{"login"}
	}
	if maybe(3) {
		t.Expires = now.Add(time.Duration(r.Int64N(int64(time.Hour))))
	}
	if maybe(4) {
		t.Schemes = policy.Schemes(0).With(policy.Bearer)
	}
	for range r.IntN(3) * r.IntN(2) {
		t.Previous = append(t.Previous, policy.PreviousValue{Digest: w.digest(), Issued: now, Until: now.Add(time.Hour)})
	}
	return t
}

// step changes some tokens: new ones, other ones, none, digests that move. It returns the old rows and the new.
func (w *tableWorld) step(some int) (old, rows []*policy.Token) {
	names := slices.Sorted(maps.Keys(w.want))
	moved := map[token.Digest]bool{}
	for range some {
		name := fmt.Sprint("t", w.random.IntN(2*some+len(names)))
		if slices.ContainsFunc(rows, func(t *policy.Token) bool { return t.Name == name }) || slices.ContainsFunc(old, func(t *policy.Token) bool { return t.Name == name }) {
			continue
		}
		was := w.want[name]
		if was != nil {
			old = append(old, was)
		}
		switch w.random.IntN(4) {
		case 0:
			if was != nil {
				delete(w.want, name)
				continue
			}
		case 1:
			if was != nil { // it stays as it is
				rows = append(rows, was)
				continue
			}
		}
		row := w.row(name)
		if n := len(old); n > 0 && old[n-1].Name != name && w.want[old[n-1].Name] == nil && !moved[old[n-1].Digest] {
			row.Digest = old[n-1].Digest // of one that goes
			moved[row.Digest] = true
		}
		w.want[name] = row
		rows = append(rows, row)
	}
	return old, rows
}

// check compares a snapshot with a map.
func (w *tableWorld) check(s *policy.Snapshot, want map[string]*policy.Token) {
	w.t.Helper()
	same := func(got, want *policy.Token) bool {
		return got != nil && reflect.DeepEqual(got, want)
	}
	names := slices.Sorted(maps.Keys(want))
	i := 0
	for got := range s.Tokens {
		if i >= len(names) || got.Name != names[i] {
			w.t.Fatalf("token %d is %s, want one of %d", i, got.Name, len(names))
		}
		i++
	}
	if i != len(names) {
		w.t.Fatalf("%d tokens, want %d", i, len(names))
	}
	files := map[string]int{}
	for _, row := range want {
		if got := s.Outline(row.Name); got == nil || got.Digest != row.Digest || got.Source != row.Source {
			w.t.Fatalf("the outline:\n%+v, of\n%+v", got, row)
		}
		if got := s.TokenByName(row.Name); !same(got, row) {
			w.t.Fatalf("by name:\n%+v, want\n%+v", got, row)
		}
		if got := s.Token(&row.Digest); !same(got, row) {
			w.t.Fatalf("by digest:\n%+v, want\n%+v", got, row)
		}
		for _, p := range row.Previous {
			if got := s.Token(&p.Digest); !same(got, row) {
				w.t.Fatalf("by a previous digest:\n%+v, want\n%+v", got, row)
			}
		}
		if !s.Same(row) {
			w.t.Fatalf("%s is another one", row.Name)
		}
		if w.origin == "o" {
			files[row.Source.File]++
		}
	}
	for file, n := range files {
		for got := range func(yield func(*policy.Token) bool) {
			s.TokensIn(func(f, origin string) bool { return f == file && origin == w.origin }, yield)
		} {
			if n--; got.Source.File != file {
				w.t.Fatalf("a token of %s is in %s", got.Source.File, file)
			}
		}
		if n != 0 {
			w.t.Fatalf("%s misses %d tokens", file, n)
		}
	}
	for range 20 {
		if d := w.digest(); s.Token(&d) != nil || s.TokenByName(fmt.Sprint("nobody", w.values)) != nil {
			w.t.Fatal("a value that no token has leads to one")
		}
	}
}

func newTableWorld(t *testing.T, seed uint64) *tableWorld {
	w := &tableWorld{t: t, origin: "o", random: rand.New(rand.NewPCG(seed, 14)), index: policy.NewIndex(), want: map[string]*policy.Token{}}
	for i := range 4 {
		w.policies = append(w.policies, &policy.Policy{Name: fmt.Sprint("p", i)})
		w.groups = append(w.groups, &policy.Group{Name: fmt.Sprint("g", i)})
	}
	return w
}

// TestTokensAreThoseOfAMap makes random changes, small and large, to an index and to a map, and compares both. Snapshots of
// before stay what they were.
func TestTokensAreThoseOfAMap(t *testing.T) {
	type kept struct {
		snapshot *policy.Snapshot
		want     map[string]*policy.Token
	}
	for seed := range uint64(4) {
		w := newTableWorld(t, seed)
		if seed%2 == 1 {
			w.origin = policy.OriginObjects
		}
		var before []kept
		for round := range 24 {
			old, rows := w.step([]int{1, 3, 40, 1200}[round%4])
			c := policy.Changes{Old: policy.Rows{Tokens: old}, New: policy.Rows{Tokens: rows}}
			if round%7 == 3 { // as a whole, in either form
				c = policy.Changes{All: true, Origin: w.origin, New: policy.Rows{Packed: policy.NewPacked(w.random.IntN(2) * len(w.want))}}
				for i, name := range slices.Sorted(maps.Keys(w.want)) {
					if i%3 == 0 {
						c.New.Tokens = append(c.New.Tokens, w.want[name])
					} else if err := c.New.Packed.Add(w.want[name]); err != nil {
						t.Fatal(err)
					}
				}
			}
			change, err := w.index.Apply(c, now)
			if err != nil {
				t.Fatalf("seed %d, round %d: %v", seed, round, err)
			}
			if round%7 != 3 {
				was := len(w.want) - change.Added + change.Removed
				if len(before) > 0 && was != len(before[len(before)-1].want) {
					t.Fatalf("seed %d, round %d: %+v from %d to %d", seed, round, change, was, len(w.want))
				}
			}
			w.check(w.index.Snapshot(), w.want)
			before = append(before, kept{w.index.Snapshot(), maps.Clone(w.want)})
			if k := before[max(0, len(before)-2)]; round%4 != 0 { // the one before is as it was
				w.check(k.snapshot, k.want)
			}
		}
		w.check(before[0].snapshot, before[0].want)
	}
}

// TestEditedTableIsRebuilt changes tokens until their table has left much behind, to users that had none.
func TestEditedTableIsRebuilt(t *testing.T) {
	w := newTableWorld(t, 1)
	for round := range 12 {
		old := slices.Collect(maps.Values(w.want))
		var rows []*policy.Token
		for i := range 1500 {
			row := w.row(fmt.Sprint("t", i))
			row.User = fmt.Sprint("user ", round, " ", i)
			w.want[row.Name], rows = row, append(rows, row)
		}
		if _, err := w.index.Apply(policy.Changes{Old: policy.Rows{Tokens: old}, New: policy.Rows{Tokens: rows}}, now); err != nil {
			t.Fatal(err)
		}
		w.check(w.index.Snapshot(), w.want)
	}
	if grown := w.index.Grown(); grown > 4*1024+1500/4+3*1500 {
		t.Errorf("%d entries that edits added", grown)
	}
}

// TestAValueOfTwoTokensIsRefused holds that neither form of a load takes a value, or a name, twice: which token would
// it be?
func TestAValueOfTwoTokensIsRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		rows []*policy.Token
	}{
		{"two names", []*policy.Token{row("a", "1"), row("a", "2")}},
		{"two values", []*policy.Token{row("a", "1"), row("b", "1")}},
		{"a previous value", []*policy.Token{row("a", "1"), row("b", "2", "1")}},
		{"a value that was one", []*policy.Token{row("a", "1", "2"), row("b", "2")}},
	} {
		x := policy.NewIndex()
		replace(t, x, row("z", "9"))
		p := policy.NewPacked(0)
		err := p.Add(c.rows[0])
		if err == nil {
			err = p.Add(c.rows[1])
		}
		if err == nil {
			t.Errorf("%s: packed, it was taken", c.name)
		}
		if _, err := x.Replace(policy.Rows{Tokens: c.rows}, now); err == nil {
			t.Errorf("%s: it was taken", c.name)
		}
		if _, err := x.Apply(policy.Changes{New: policy.Rows{Tokens: c.rows}}, now); err == nil {
			t.Errorf("%s: in addition, it was taken", c.name)
		}
		holds(t, x, map[string]string{"9": "z", "1": "", "2": ""})
	}
}
