package loader_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	loaderdir "github.com/patgate/patgate/loader/dir"

	"github.com/patgate/patgate/loader"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/test/configmap"
	"github.com/patgate/patgate/token"
)

func tokenNamed(name, more string) string {
	d := token.Sum(token.NewSecret("the value of " + name))
	return "apiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata: {name: " + name + "}\nspec:\n  user: alice\n  digest: " + d.String() +
		"\n  issued: 2026-05-01T00:00:00Z\n  unrestricted: true\n" + more
}

// harness is a loader with what it reported.
type harness struct {
	t      *testing.T
	dir    string
	index  *policy.Index
	loader *loader.Loader
	mu     sync.Mutex
	got    []loader.Report
	more   chan struct{}
}

func newHarness(t *testing.T, dir string) *harness {
	return newHarnessSettling(t, dir, 5*time.Millisecond)
}

func newHarnessSettling(t *testing.T, dir string, settle time.Duration) *harness {
	h := &harness{t: t, dir: dir, index: policy.NewIndex(), more: make(chan struct{}, 1)}
	h.loader = loader.New(h.index, directories(settle, 0, dir), func(r loader.Report) {
		h.mu.Lock()
		h.got = append(h.got, r)
		h.mu.Unlock()
		select {
		case h.more <- struct{}{}:
		default:
		}
	}, loader.Options{Now: func() time.Time { return at }})
	return h
}

// load loads once and returns the report, or nil where nothing changed.
func (h *harness) load() *loader.Report {
	h.t.Helper()
	before := len(h.got)
	if err := h.loader.Load(context.Background()); err != nil {
		h.t.Fatal(err)
	}
	if len(h.got) == before {
		return nil
	}
	return &h.got[len(h.got)-1]
}

// run starts the loader's loop; the test's end stops it.
func (h *harness) run() {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.loader.Run(ctx, nil)
	}()
	h.t.Cleanup(func() { stop(); <-done })
}

// await waits until a condition on the running revision holds.
func (h *harness) await(what string, holds func(*policy.Snapshot) bool) time.Duration {
	h.t.Helper()
	start := time.Now()
	deadline := time.After(10 * time.Second)
	for !holds(h.index.Snapshot()) {
		select {
		case <-h.more:
		case <-deadline:
			h.t.Fatalf("%s: not within 10 s", what)
		}
	}
	return time.Since(start)
}

func known(s *policy.Snapshot, name string) bool {
	d := token.Sum(token.NewSecret("the value of " + name))
	t := s.Token(&d)
	return t != nil && !t.Revoked && !t.Suspended
}

// counts is a change without the names.
func counts(c policy.Change) policy.Change {
	c.Names = nil
	return c
}

func TestReload(t *testing.T) {
	h := newHarness(t, t.TempDir())
	write(t, h.dir+"/gate.yaml", gateNamed("jira"))
	write(t, h.dir+"/a.yaml", tokenNamed("a", ""))
	write(t, h.dir+"/b.yaml", tokenNamed("b", ""))
	if r := h.load(); r == nil || r.Rejected() || counts(r.Change) != (policy.Change{Revision: 1, Added: 3}) || r.Files != 3 {
		t.Fatalf("the first load: %+v", r)
	}
	if r := h.load(); r != nil {
		t.Errorf("the same files: %+v", r)
	}
	b := h.index.Snapshot().TokenByName("b")
	write(t, h.dir+"/a.yaml", tokenNamed("a", "  displayName: A\n"))
	if r := h.load(); r == nil || r.Rejected() || counts(r.Change) != (policy.Change{Revision: 2, Changed: 1}) {
		t.Errorf("a changed file: %+v", r)
	}
	if !h.index.Snapshot().Same(b) {
		t.Error("the row of a file that did not change is another one")
	}
	if err := os.Remove(h.dir + "/a.yaml"); err != nil {
		t.Fatal(err)
	}
	if r := h.load(); r == nil || r.Rejected() || counts(r.Change) != (policy.Change{Revision: 3, Removed: 1}) {
		t.Errorf("a removed file: %+v", r)
	}
	if known(h.index.Snapshot(), "a") || !known(h.index.Snapshot(), "b") {
		t.Error("the tokens are not those of the files")
	}
}

func TestARejectedLoadChangesNothingButRevocations(t *testing.T) {
	h := newHarness(t, t.TempDir())
	write(t, h.dir+"/gate.yaml", gateNamed("jira"))
	for _, name := range []string{"a", "b", "c", "d"} {
		write(t, h.dir+"/"+name+".yaml", tokenNamed(name, ""))
	}
	h.load()
	write(t, h.dir+"/gate.yaml", "apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata: {name: jira}\nspec: {hosts: []}\n")
	write(t, h.dir+"/a.yaml", tokenNamed("a", "  revoked: 2026-06-01T00:00:00Z\n"))
	write(t, h.dir+"/b.yaml", tokenNamed("b", "  suspended: true\n"))
	write(t, h.dir+"/c.yaml", tokenNamed("c", "  revoked: yesterday\n")) // what is meant is clear
	write(t, h.dir+"/e.yaml", tokenNamed("e", ""))
	if err := os.Remove(h.dir + "/d.yaml"); err != nil {
		t.Fatal(err)
	}
	r := h.load()
	if r == nil || len(r.Problems) != 2 || !slices.Equal(r.RevokedEarly, []string{"a", "b", "c"}) || r.Change.Revision != 2 {
		t.Fatalf("%+v", r)
	}
	s := h.index.Snapshot()
	for name, want := range map[string]bool{"a": false, "b": false, "c": false, "d": true, "e": false} {
		if known(s, name) != want {
			t.Errorf("token %s: %v, want %v", name, !want, want)
		}
	}
	if r := h.load(); r != nil {
		t.Errorf("the same problems are reported again: %+v", r)
	}
	write(t, h.dir+"/a.yaml", tokenNamed("a", ""))
	if h.load(); known(h.index.Snapshot(), "a") {
		t.Error("a rejected load took a revocation back")
	}
	write(t, h.dir+"/gate.yaml", gateNamed("jira"))
	write(t, h.dir+"/c.yaml", tokenNamed("c", ""))
	if r := h.load(); r == nil || r.Rejected() {
		t.Fatalf("a good load: %+v", r)
	}
	for name, want := range map[string]bool{"a": true, "b": false, "c": true, "d": false, "e": true} {
		if known(h.index.Snapshot(), name) != want {
			t.Errorf("after it token %s: %v, want %v", name, !want, want)
		}
	}
}

func TestMissingFilesKeepTheActiveRevision(t *testing.T) {
	h := newHarness(t, t.TempDir())
	write(t, h.dir+"/gate.yaml", gateNamed("jira"))
	write(t, h.dir+"/a.yaml", tokenNamed("a", ""))
	h.load()
	if err := os.Remove(h.dir + "/gate.yaml"); err != nil {
		t.Fatal(err)
	}
	if r := h.load(); r == nil || !r.Rejected() || !known(h.index.Snapshot(), "a") {
		t.Errorf("without a gate: %+v", r)
	}
	if err := os.RemoveAll(h.dir); err != nil {
		t.Fatal(err)
	}
	if r := h.load(); r == nil || !r.Rejected() || h.index.Snapshot().Revision().Number != 1 {
		t.Errorf("without a directory: %+v", r)
	}
}

// TestRemovedGateMustNotExposeItsPaths checks that a deleted gate's requests fall to no weaker gate, unless that one changes its hosts or paths for them.
func TestRemovedGateMustNotExposeItsPaths(t *testing.T) {
	gate := func(name, spec string) string {
		return "apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata: {name: " + name + "}\nspec: " + spec + "\n"
	}
	h := newHarness(t, t.TempDir())
	write(t, h.dir+"/rest.yaml", gate("rest", "{anonymous: {unrestricted: true}}"))
	write(t, h.dir+"/strict.yaml", gate("strict", "{hosts: [strict.example.com], paths: [/a, /b]}"))
	h.load()
	if err := os.Remove(h.dir + "/strict.yaml"); err != nil {
		t.Fatal(err)
	}
	r := h.load()
	if r == nil || len(r.Problems) != 2 || !strings.Contains(r.Problems[0].Message, "the Gate strict is gone, and rest would guard host strict.example.com and path /a/") {
		t.Fatalf("%+v", r)
	}
	if h.index.Snapshot().Gate("strict") == nil {
		t.Error("the gate went")
	}
	write(t, h.dir+"/renamed.yaml", gate("renamed", "{hosts: [strict.example.com], paths: [/b, /a]}"))
	if r := h.load(); r == nil || r.Rejected() {
		t.Errorf("renamed: %+v", r)
	}
	if err := os.Remove(h.dir + "/renamed.yaml"); err != nil {
		t.Fatal(err)
	}
	write(t, h.dir+"/rest.yaml", gate("rest", "{hosts: ['*', strict.example.com], paths: [/, /a, /b], anonymous: {unrestricted: true}}"))
	if r := h.load(); r == nil || r.Rejected() {
		t.Errorf("named by another: %+v", r)
	}
	write(t, h.dir+"/rest.yaml", gate("rest", "{hosts: [other.example.com]}"))
	if r := h.load(); r == nil || r.Rejected() {
		t.Errorf("an edit of a gate that stays: %+v", r)
	}
	write(t, h.dir+"/rest.yaml", gate("new", "{schemes: [bearer]}"))
	if r := h.load(); r == nil || r.Rejected() {
		t.Errorf("a new gate for what an old one guarded: %+v", r)
	}
	write(t, h.dir+"/named.yaml", gate("named", "{hosts: [jira.example.com]}"))
	h.load()
	if err := os.Remove(h.dir + "/named.yaml"); err != nil {
		t.Fatal(err)
	}
	write(t, h.dir+"/rest.yaml", gate("new", "{schemes: [basic]}"))
	if r := h.load(); r == nil || !r.Rejected() {
		t.Errorf("gone while the weaker one changed in something else: %+v", r)
	}
}

// TestRemovedGateAboveOtherGates hands no part of what it guarded to a weaker gate either.
func TestRemovedGateAboveOtherGates(t *testing.T) {
	gate := func(name, spec string) string {
		return "apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata: {name: " + name + "}\nspec: " + spec + "\n"
	}
	for name, c := range map[string]struct {
		goes, others, want string
	}{
		"a longer path for every host":       {"{hosts: [a.example.com]}", "{paths: [/rest]}", "host a.example.com and path /rest/"},
		"a longer path for a wildcard":       {"{hosts: [a.example.com], paths: [/api]}", "{hosts: ['*.example.com'], paths: [/api/v2]}", "host a.example.com and path /api/v2/"},
		"a host in the way of a wildcard":    {"{hosts: ['*.example.com']}", "{hosts: [any.example.com], paths: [/x]}", "host *.example.com and path /y/"},
		"a longer path of that host already": {"{hosts: [a.example.com]}", "{hosts: [a.example.com], paths: [/rest]}", ""},
		"what no gate guarded at that host":  {"{hosts: [a.example.com], paths: [/api]}", "{paths: [/apis]}", "host a.example.com and path /apis/"},
		"the same of another host":           {"{hosts: [a.example.com]}", "{hosts: [b.example.com, '*.b.example.com']}", "host a.example.com and path /y/"},
	} {
		h := newHarness(t, t.TempDir())
		write(t, h.dir+"/every.yaml", gate("every", "{paths: [/y]}"))
		write(t, h.dir+"/others.yaml", gate("others", c.others))
		write(t, h.dir+"/goes.yaml", gate("goes", c.goes))
		if r := h.load(); r.Rejected() {
			t.Fatalf("%s: %v", name, r.Problems)
		}
		if err := os.Remove(h.dir + "/goes.yaml"); err != nil {
			t.Fatal(err)
		}
		r := h.load()
		if r == nil || c.want != "" && (!r.Rejected() || !strings.Contains(fmt.Sprint(r.Problems), c.want)) {
			t.Errorf("%s: %+v, want %s", name, r, c.want)
		}
	}
}

// TestOneMissingPolicyIsFoundFast names a policy that is not there from many tokens.
func TestOneMissingPolicyIsFoundFast(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/gate.yaml", gateNamed("jira"))
	var b strings.Builder
	const tokens = 5000
	for i := range tokens {
		b.WriteString("---\n" + strings.Replace(tokenNamed(fmt.Sprint("t", i), ""), "unrestricted: true", fmt.Sprintf("policies: [missing-%d]", i%200), 1))
	}
	for i := range 2000 {
		fmt.Fprintf(&b, "---\napiVersion: patgate.dev/v1alpha1\nkind: TokenPolicy\nmetadata: {name: p%d}\nspec: {deny: [{path: /a}]}\n", i)
	}
	write(t, dir+"/tokens.yaml", b.String())
	start := time.Now()
	set := loaderdir.Load([]string{dir})
	problems := set.Problems
	t.Logf("%d problems after %v", len(problems), time.Since(start).Round(time.Millisecond))
	if last := problems[len(problems)-1].String(); len(problems) != manifest.MaxReported+1 || last != "the manifests: and 1,000 more problems: mend the first 1,000" {
		t.Errorf("%d problems, %s", len(problems), last)
	}
}

func TestRunSeesEveryKindOfChange(t *testing.T) {
	base := t.TempDir()
	h := newHarness(t, filepath.Join(base, "current"))
	one := filepath.Join(base, "one")
	write(t, one+"/gate.yaml", gateNamed("jira"))
	write(t, one+"/a.yaml", tokenNamed("a", ""))
	link(t, "one", h.dir)
	h.load()
	h.run()
	write(t, one+"/deep/er/b.yaml", tokenNamed("b", ""))
	h.await("a file in a new folder", func(s *policy.Snapshot) bool { return known(s, "b") })
	if err := os.Remove(one + "/a.yaml"); err != nil {
		t.Fatal(err)
	}
	took := h.await("a removed file", func(s *policy.Snapshot) bool { return !known(s, "a") })
	t.Logf("a removed file was seen after %v", took)
	write(t, one+"/deep/er/b.tmp", tokenNamed("b", "  suspended: true\n"))
	if err := os.Rename(one+"/deep/er/b.tmp", one+"/deep/er/b.yaml"); err != nil {
		t.Fatal(err)
	}
	h.await("a renamed file", func(s *policy.Snapshot) bool { return !known(s, "b") })
	two := filepath.Join(base, "two")
	write(t, two+"/gate.yaml", gateNamed("jira"))
	write(t, two+"/c.yaml", tokenNamed("c", ""))
	link(t, "two", filepath.Join(base, "next"))
	if err := os.Rename(filepath.Join(base, "next"), h.dir); err != nil {
		t.Fatal(err)
	}
	h.await("another directory behind the link", func(s *policy.Snapshot) bool { return known(s, "c") })
	if err := os.RemoveAll(two); err != nil {
		t.Fatal(err)
	}
	write(t, two+"/gate.yaml", gateNamed("jira"))
	write(t, two+"/d.yaml", tokenNamed("d", ""))
	h.await("a directory made again", func(s *policy.Snapshot) bool { return known(s, "d") })
}

// TestConfigMapSwapsAreAtomic swaps a mount many times during reads, which must see
// rows of one generation alone, and the last generation in the end.
func TestConfigMapSwapsAreAtomic(t *testing.T) {
	h := newHarness(t, t.TempDir())
	m := configmap.Mount{Dir: h.dir}
	generation := func(g int) map[string]string {
		mark := fmt.Sprintf("  displayName: \"%d\"\n  logins: [g%d]\n", g, g)
		return map[string]string{
			"gate.yaml":                  fmt.Sprintf("apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata: {name: jira}\nspec: {upstream: {userHeader: x-g%d}}\n", g),
			"a.yaml":                     tokenNamed("a", mark),
			fmt.Sprintf("b%d.yaml", g%3): tokenNamed("b", mark),
		}
	}
	if err := m.Write(generation(0)); err != nil {
		t.Fatal(err)
	}
	h.load()
	h.run()
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				s := h.index.Snapshot()
				a, b, g := s.TokenByName("a").Logins[0], s.TokenByName("b").Logins[0], s.Gates()[0].Upstream.UserHeader
				if a != b || "x-"+a != g {
					t.Errorf("a mixture: %s, %s, %s", a, b, g)
					return
				}
			}
		})
	}
	const swaps = 150
	for g := 1; g <= swaps; g++ {
		if err := m.Write(generation(g)); err != nil {
			t.Fatal(err)
		}
	}
	h.await("the last generation", func(s *policy.Snapshot) bool {
		return s.TokenByName("a").Logins[0] == fmt.Sprint("g", swaps)
	})
	close(done)
	readers.Wait()
	for _, r := range h.got {
		if r.Rejected() {
			t.Errorf("a swap was rejected: %v", r.Problems)
		}
	}
}
