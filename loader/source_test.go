package loader_test

import (
	"context"
	"crypto/sha256"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/patgate/patgate/loader"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
)

// memory is a source of one origin, whose documents are in memory.
type memory struct {
	origin  string
	mu      sync.Mutex
	files   map[string]string
	changed func()
}

func newMemory(origin string, files map[string]string) *memory {
	return &memory{origin: origin, files: files, changed: func() {}}
}

// set replaces all documents.
func (m *memory) set(files map[string]string) {
	m.mu.Lock()
	m.files = files
	changed := m.changed
	m.mu.Unlock()
	changed()
}

func (m *memory) Origins() []loader.Origin { return []loader.Origin{{Name: m.origin}} }

func (m *memory) Read(context.Context, loader.Have) ([]loader.Update, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := loader.Update{Origin: m.origin}
	for _, name := range slices.Sorted(maps.Keys(m.files)) {
		data := []byte(m.files[name])
		u.Documents = append(u.Documents, ruleset.File{Name: m.origin + "/" + name, Data: data, Sum: sha256.Sum256(data)})
	}
	u.Digest = ruleset.Digest(slices.Values(u.Documents), nil)
	return []loader.Update{u}, nil
}

func (m *memory) Watch(changed func()) (stop func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changed = changed
	return func() {}
}

// with returns documents with one of them replaced.
func with(files map[string]string, name, text string) map[string]string {
	files = maps.Clone(files)
	files[name] = text
	return files
}

func memoryHarness(t *testing.T, lastGood string, sources ...loader.Source) *harness {
	h := &harness{t: t, index: policy.NewIndex(), more: make(chan struct{}, 1)}
	h.loader = loader.New(h.index, sources, func(r loader.Report) {
		h.mu.Lock()
		h.got = append(h.got, r)
		h.mu.Unlock()
		select {
		case h.more <- struct{}{}:
		default:
		}
	}, loader.Options{LastGood: lastGood, Poll: time.Hour, Now: func() time.Time { return at }})
	return h
}

// TestASourceInMemory loads from a source that ignores what the loader has: only what differs is
// loaded, and a rejected load revokes.
func TestASourceInMemory(t *testing.T) {
	files := map[string]string{"gate.yaml": gateNamed("jira"), "a.yaml": tokenNamed("a", ""), "b.yaml": tokenNamed("b", "")}
	m := newMemory("cluster", files)
	h := memoryHarness(t, "", m)
	if r := h.load(); r == nil || r.Rejected() || r.Files != 3 || counts(r.Change) != (policy.Change{Revision: 1, Added: 3}) {
		t.Fatalf("the first load: %+v", r)
	}
	if r := h.load(); r != nil {
		t.Errorf("the same documents: %+v", r)
	}
	b := h.index.Snapshot().TokenByName("b")
	if b.Source.File != "cluster/b.yaml" || b.Source.Origin != "cluster" {
		t.Errorf("the row is from %+v", b.Source)
	}
	m.set(with(files, "a.yaml", tokenNamed("a", "  displayName: A\n")))
	if r := h.load(); r == nil || counts(r.Change) != (policy.Change{Revision: 2, Changed: 1}) || !h.index.Snapshot().Same(b) {
		t.Errorf("a changed document: %+v", r)
	}
	m.set(map[string]string{"gate.yaml": "kind: Gate\n", "a.yaml": tokenNamed("a", "  revoked: 2026-05-20T00:00:00Z\n"), "b.yaml": files["b.yaml"]})
	if r := h.load(); r == nil || !r.Rejected() || known(h.index.Snapshot(), "a") || !known(h.index.Snapshot(), "b") {
		t.Errorf("a rejected load: %+v", r)
	}
}

// TestASourceWakesItsLoader checks that a change counts long before the next poll.
func TestASourceWakesItsLoader(t *testing.T) {
	files := map[string]string{"gate.yaml": gateNamed("jira"), "a.yaml": tokenNamed("a", "")}
	m := newMemory("cluster", files)
	h := memoryHarness(t, "", m)
	h.load()
	h.run()
	revoked := false
	for i := 0; !revoked; i++ { // Watch is called by Run, at some time after it began
		m.set(with(files, "a.yaml", tokenNamed("a", "  suspended: true\n")))
		select {
		case <-h.more:
			revoked = !known(h.index.Snapshot(), "a")
		case <-time.After(10 * time.Millisecond):
			if i > 1_000 {
				t.Fatal("the loader was not woken")
			}
		}
	}
}

// TestTwoSources has directories and a source in memory in one set. Each refers to what the other
// defines, and a broken one keeps its own last good state, over a restart too.
func TestTwoSources(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	write(t, dir+"/gate.yaml", gateNamed("jira"))
	write(t, dir+"/read.yaml", teamPolicy("read"))
	files := map[string]string{"a.yaml": tokenOf("a", "read"), "b.yaml": tokenOf("b", "read")}
	m := newMemory("cluster", files)
	start := func() *harness { return memoryHarness(t, state, directories(time.Millisecond, 0, dir)[0], m) }
	h := start()
	if r := h.load(); r == nil || r.Rejected() || r.Files != 4 || !known(h.index.Snapshot(), "a") {
		t.Fatalf("the first load: %+v", r)
	}
	m.set(with(files, "a.yaml", strings.Replace(tokenOf("a", "read"), "user: alice", "suspended: true\n  usr: alice", 1)))
	if r := h.load(); r == nil || len(r.Kept) != 1 || r.Kept[0].Origin != "cluster" || known(h.index.Snapshot(), "a") || !known(h.index.Snapshot(), "b") {
		t.Errorf("a broken document: %+v", r)
	}
	write(t, dir+"/gate.yaml", gateNamed("wiki"))
	if r := h.load(); r == nil || len(r.Kept) != 1 || !r.Loaded || h.index.Snapshot().TokenByName("b") == nil {
		t.Errorf("the other source goes on: %+v", r)
	}
	h = start()
	if r := h.load(); r == nil || len(r.Kept) != 1 || !r.Loaded || known(h.index.Snapshot(), "a") || !known(h.index.Snapshot(), "b") {
		t.Errorf("a restart: %+v", r)
	}
	m.set(files)
	if r := h.load(); r == nil || r.Rejected() || !known(h.index.Snapshot(), "a") {
		t.Errorf("a repaired document: %+v", r)
	}
}
