package loader_test

import (
	"encoding/base64"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	loaderdir "github.com/patgate/patgate/loader/dir"

	"github.com/patgate/patgate/loader"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
	"github.com/patgate/patgate/token"
)

// damage makes random manifests, one a file, and requests about them.
type damage struct {
	*rand.Rand
	files map[string]string
	users []string
}

func (d *damage) pick(list ...string) string { return list[d.IntN(len(list))] }

func (d *damage) file(kind, name, spec string) {
	d.files[name+".yaml"] = "apiVersion: patgate.dev/v1alpha1\nkind: " + kind + "\nmetadata:\n  name: " + name + "\nspec:\n" + spec
}

// manifests fills the files: gates that are weaker and stronger than each other, groups
// with bounds and caps, policies of every kind and tokens that name some of them. Every
// group is named by a gate: what goes with one that nothing names is the exception that
// promise P6 has.
func (d *damage) manifests() {
	d.files, d.users = map[string]string{}, []string{"alice", "bob", "carol"}
	d.file("TokenPolicy", "reads", "  allow:\n  - methods: [GET]\n    path: /rest/.*\n")
	d.file("TokenPolicy", "no-users", "  deny:\n  - path: /rest/user.*\n")
	d.file("TokenPolicy", "only-issues", "  allow:\n  - path: .*/issue.*\n  deny:\n  - methods: [DELETE]\n")
	groups := []string{"staff", "guests"}
	for _, g := range groups {
		spec := "  members: [" + strings.Join(d.users[:1+d.IntN(3)], ", ") + "]\n"
		if d.IntN(2) == 0 {
			spec += "  policies: [" + d.pick("no-users", "only-issues") + "]\n"
		}
		if d.IntN(2) == 0 {
			spec += "  tokens:\n    maxLifetime: " + d.pick("30d", "400d", "forever") + "\n"
		}
		d.file("UserGroup", g, spec)
	}
	d.file("Gate", "every", "  schemes: [basic, bearer]\n  groups: [staff, guests]\n"+
		d.pick("", "  policies: [no-users]\n")+d.pick("", "  paths: [/rest]\n")+d.pick("", "  actAs: {header: x-for}\n"))
	if d.IntN(2) == 0 {
		d.file("Gate", "open", "  hosts: [other.org]\n  schemes: [basic, bearer]\n  actAs: {header: x-for}\n")
	}
	if d.IntN(3) > 0 {
		d.file("Gate", "wild", "  hosts: [\"*.example.com\"]\n  schemes: [bearer]\n  groups: ["+d.pick(groups...)+"]\n"+d.pick("", "  requireTLS: true\n"))
	}
	if d.IntN(3) > 0 {
		d.file("Gate", "named", "  hosts: [jira.example.com]\n  paths: [/rest]\n  schemes: [bearer]\n  groups: [staff]\n  anonymous:\n    allow:\n    - path: /rest/info\n")
	}
	for i := range 4 {
		value := fmt.Sprint("value-of-token-", i)
		whose := "user: " + d.pick(d.users...) + d.pick("", "", "\n  actAs: [alice, b.*]")
		if d.IntN(4) == 0 {
			whose = "anyUser: true\n  schemes: [basic]"
		}
		spec := fmt.Sprintf("  %s\n  digest: %s\n  issued: 2026-03-0%dT00:00:00Z\n", whose, token.Sum(token.NewSecret(value)), i+1)
		spec += d.pick("  unrestricted: true\n", "  unrestricted: true\n  policies: [no-users]\n", "  policies: [reads]\n", "  limitTo: '[get]/rest/issue.*'\n")
		spec += d.pick("", "  expires: 2026-04-01T00:00:00Z\n", "  suspended: true\n", "  revoked: 2026-05-01T00:00:00Z\n")
		d.file("APIToken", fmt.Sprint("t", i), spec)
	}
}

func (d *damage) write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// allowed evaluates every way to present every token, host, method and path, and lists what
// is allowed.
func allowed(s *policy.Snapshot) map[string]bool {
	list := map[string]bool{}
	ask := func(authorization string, headers forUser) {
		for _, host := range []string{"jira.example.com", "wiki.example.com", "other.org"} {
			for _, method := range []string{"GET", "DELETE"} {
				for _, path := range []string{"/", "/rest/info", "/rest/issue/1", "/rest/user/1"} {
					r := policy.Request{
						Time: at, Method: method, Target: policy.NewTarget(path), Host: host, TLS: true, Header: headers,
						Peer: netip.MustParseAddr("192.0.2.7"), Credential: policy.ParseAuthorization(authorization, min(1, len(authorization))),
					}
					if d := policy.Evaluate(s, &r, nil); d.Effect == policy.Allow {
						list[strings.Join([]string{authorization, string(headers), host, method, path}, " ")] = true
					}
				}
			}
		}
	}
	ask("", "")
	for i := range 4 {
		value := fmt.Sprint("value-of-token-", i)
		for _, headers := range []forUser{"", "alice", "bob"} {
			ask("Bearer "+value, headers)
			for _, user := range []string{"alice", "bob", "carol"} {
				ask("Basic "+base64.StdEncoding.EncodeToString([]byte(user+":"+value)), headers)
			}
		}
	}
	return list
}

var at = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// forUser are headers that ask to act for a user, if for any.
type forUser string

func (u forUser) Get(name string) (string, int) {
	if name == "x-for" && u != "" {
		return string(u), 1
	}
	return "", 0
}

func (u forUser) Len() int { return min(len(u), 1) }

func (u forUser) At(int) (name, value string) { return "x-for", string(u) }

// widened lists what one set holds beyond another.
func widened(before, after map[string]bool) (list []string) {
	for what := range after {
		if !before[what] {
			list = append(list, what)
		}
	}
	return list
}

// seeds is how many random manifests the test of deleted files tries.
var seeds = flag.Uint64("seeds", 150, "how many random manifests TestDeletedFilesNeverWidenAccess tries")

// TestDeletedFilesNeverWidenAccess deletes random files of random manifests: the load is
// rejected, or what is allowed afterwards was allowed before.
func TestDeletedFilesNeverWidenAccess(t *testing.T) {
	rejected, taken, groups := 0, 0, 0
	for seed := range *seeds {
		d := &damage{Rand: rand.New(rand.NewPCG(seed, 1))}
		d.manifests()
		dir := t.TempDir()
		d.write(t, dir, d.files)
		h := newHarnessSettling(t, dir, time.Millisecond)
		if r := h.load(); r.Rejected() {
			t.Fatalf("seed %d: %v", seed, r.Problems)
		}
		before := allowed(h.index.Snapshot())
		gone := d.delete()
		for _, name := range gone {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		r := h.load()
		switch {
		case r == nil:
			continue
		case r.Rejected():
			rejected++
			if strings.Contains(fmt.Sprint(r.Problems), "the UserGroup ") {
				groups++
			}
		default:
			taken++
		}
		if more := widened(before, allowed(h.index.Snapshot())); len(more) > 0 {
			t.Errorf("seed %d: without %v, allowed now: %q; %v\n%v", seed, gone, more, r.Problems, d.files)
		}
	}
	t.Logf("%d loads were rejected, %d of them for a group, and %d taken", rejected, groups, taken)
	if rejected < 20 || taken < 20 || groups < 10 {
		t.Error("the manifests try too little")
	}
}

// delete lists files to delete: each now and then, and often a group with every gate that
// names it.
func (d *damage) delete() (gone []string) {
	group := d.pick("staff", "guests", "guests", "nothing")
	for _, name := range slices.Sorted(maps.Keys(d.files)) {
		text := d.files[name]
		names := strings.Contains(text, "kind: Gate") && strings.Contains(text, group)
		if names || name == group+".yaml" || d.IntN(8) == 0 {
			gone = append(gone, name)
		}
	}
	return gone
}

// sampled says that a test takes a sample of its inputs: with -short, and with the race detector, where the
// same inputs take five times as long. `make test` runs these tests without it as well, in full.
func sampled() bool { return testing.Short() || raced }

// TestTruncatedFilesAreNeverHalfApplied cuts each file at every byte and swaps files: the revision is
// the old one, less what the files revoke, or exactly what a new start would load.
// The files are in memory; a few of the cuts are made on disk too.
func TestTruncatedFilesAreNeverHalfApplied(t *testing.T) {
	d := &damage{Rand: rand.New(rand.NewPCG(7, 7))}
	d.manifests()
	step := 1
	if sampled() {
		step = 7
	}
	t.Run("in memory", func(t *testing.T) {
		m := newMemory("m", maps.Clone(d.files))
		d.cut(&cutting{
			harness: memoryHarness(t, "", m),
			put: func(files map[string]string) {
				all := maps.Clone(m.files)
				maps.Copy(all, files)
				m.set(all)
			},
			fresh: func() *ruleset.Set {
				updates, err := m.Read(t.Context(), loader.Have{})
				if err != nil {
					t.Fatal(err)
				}
				return ruleset.Load(ruleset.Input{Origin: "m", Files: updates[0].Documents}, ruleset.Options{})
			},
		}, step)
	})
	t.Run("on disk", func(t *testing.T) {
		dir := t.TempDir()
		d.write(t, dir, d.files)
		d.cut(&cutting{
			harness: newHarnessSettling(t, dir, time.Millisecond),
			put:     func(files map[string]string) { d.write(t, dir, files) },
			fresh:   func() *ruleset.Set { return loaderdir.Load([]string{dir}) },
		}, 29*step)
	})
}

// cutting is a loader, how its files are written, and what a new start would load.
type cutting struct {
	*harness
	put   func(files map[string]string)
	fresh func() *ruleset.Set

	asked *policy.Snapshot // what allows asked last
	list  map[string]bool
}

// allows lists what is allowed now. Most loads are rejected and leave the snapshot as it is: what it allows
// needs no second look.
func (c *cutting) allows() map[string]bool {
	if s := c.index.Snapshot(); s != c.asked {
		c.asked, c.list = s, allowed(s)
	}
	return c.list
}

// cut cuts each file at every step-th byte, and swaps each pair.
func (d *damage) cut(c *cutting, step int) {
	c.t.Helper()
	c.load()
	good := c.allows()
	for _, name := range slices.Sorted(maps.Keys(d.files)) {
		text := d.files[name]
		for cut := 0; cut < len(text); cut += step {
			c.try(fmt.Sprintf("%s cut at %d", name, cut), map[string]string{name: text[:cut]}, d.files, good)
		}
		for other := range d.files {
			if other > name {
				c.try(name+" and "+other+" swapped", map[string]string{name: d.files[other], other: text}, d.files, good)
			}
		}
	}
}

// try loads damaged files, and then the good ones again.
func (c *cutting) try(what string, damaged, files map[string]string, good map[string]bool) {
	c.t.Helper()
	c.put(damaged)
	if r := c.load(); r != nil {
		c.wantWhole(what, r, good)
	}
	c.put(files)
	if r := c.load(); r != nil && r.Rejected() {
		c.t.Fatalf("%s, and mended: %v", what, r.Problems)
	}
	if now := c.allows(); len(widened(good, now))+len(widened(now, good)) > 0 {
		c.t.Fatalf("%s, and mended: it allows %v", what, now)
	}
}

// wantWhole checks that a rejected load at most revoked tokens, and that an accepted one
// decides as a new start would.
func (c *cutting) wantWhole(what string, r *loader.Report, good map[string]bool) {
	c.t.Helper()
	now := c.allows()
	if r.Rejected() {
		if more := widened(good, now); len(more) > 0 {
			c.t.Errorf("%s: rejected, and allows %q", what, more)
		}
		return
	}
	set := c.fresh()
	if len(set.Problems) > 0 {
		c.t.Fatalf("%s: taken, but a new start reports %v", what, set.Problems)
	}
	fresh := policy.NewIndex()
	if _, err := fresh.Replace(set.Rows, at); err != nil {
		c.t.Fatal(err)
	}
	if want := allowed(fresh.Snapshot()); len(widened(want, now))+len(widened(now, want)) > 0 {
		c.t.Errorf("%s: it allows %v, a new start would %v", what, now, want)
	}
}
