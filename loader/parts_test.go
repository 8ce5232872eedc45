package loader_test

import (
	"context"
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

// teams is a loader of a platform's directory and those of two teams.
type teams struct {
	harness
	lastGood string
}

const broken = "apiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata: {name: team-b-broken}\nspec: {}\n"

func teamPolicy(name string) string {
	return "apiVersion: patgate.dev/v1alpha1\nkind: TokenPolicy\nmetadata: {name: " + name + "}\nspec: {allow: [{methods: [GET]}]}\n"
}

func tokenOf(name, policy string) string {
	return strings.Replace(tokenNamed(name, ""), "unrestricted: true", "policies: ["+policy+"]", 1)
}

func newTeams(t *testing.T) *teams {
	x := &teams{harness: harness{t: t, dir: t.TempDir()}, lastGood: t.TempDir()}
	write(t, x.dir+"/platform/gate.yaml", gateNamed("jira"))
	write(t, x.dir+"/platform/read.yaml", teamPolicy("read"))
	write(t, x.dir+"/a/ci.yaml", tokenNamed("team-a-ci", ""))
	write(t, x.dir+"/b/ci.yaml", tokenNamed("team-b-ci", ""))
	write(t, x.dir+"/b/old.yaml", tokenNamed("team-b-old", ""))
	x.restart()
	return x
}

// restart begins from nothing, as a new process does.
func (x *teams) restart() {
	x.index, x.more, x.got = policy.NewIndex(), make(chan struct{}, 1), nil
	x.loader = loader.New(x.index, directories(10*time.Millisecond, 60*time.Millisecond,
		x.dir+"/platform", x.dir+"/a,kinds=APIToken|TokenPolicy,names=team-a-*", x.dir+"/b,kinds=APIToken|TokenPolicy,names=team-b-*",
	), func(r loader.Report) { x.got = append(x.got, r) }, loader.Options{
		LastGood: x.lastGood, Now: func() time.Time { return at },
	})
}

// good checks which tokens are good.
func (x *teams) good(what, good string) {
	x.t.Helper()
	var names []string
	for row := range x.index.Snapshot().Tokens {
		if known(x.index.Snapshot(), row.Name) {
			names = append(names, row.Name)
		}
	}
	slices.Sort(names)
	if got := strings.Join(names, " "); got != good {
		x.t.Errorf("%s: good are %s, want %s", what, got, good)
	}
}

// want loads, and checks which tokens are good and which directories keep their last good state.
func (x *teams) want(what, good string, kept ...string) *loader.Report {
	x.t.Helper()
	r := x.load()
	x.good(what, good)
	var dirs []string
	if r != nil {
		for _, k := range r.Kept {
			dirs = append(dirs, filepath.Base(k.Origin))
			if len(k.Problems) == 0 {
				x.t.Errorf("%s: %s is kept without a problem", what, k.Origin)
			}
		}
	}
	if !slices.Equal(dirs, kept) {
		x.t.Errorf("%s: kept are %v, want %v: %+v", what, dirs, kept, r)
	}
	return r
}

func (x *teams) remove(name string) {
	x.t.Helper()
	if err := os.RemoveAll(x.dir + name); err != nil {
		x.t.Fatal(err)
	}
}

// TestInvalidDirectoryDoesNotBlockOthers checks that other teams' changes load while one team's directory is broken.
func TestInvalidDirectoryDoesNotBlockOthers(t *testing.T) {
	x := newTeams(t)
	x.want("start", "team-a-ci team-b-ci team-b-old")

	write(t, x.dir+"/b/broken.yaml", broken)
	write(t, x.dir+"/b/more.yaml", tokenNamed("team-b-more", ""))
	write(t, x.dir+"/a/new.yaml", tokenNamed("team-a-new", ""))
	r := x.want("b breaks, a adds", "team-a-ci team-a-new team-b-ci team-b-old", "b")
	if !r.Loaded || !r.Rejected() || r.Change.Added != 1 || !r.Kept[0].New {
		t.Errorf("%+v", r)
	}
	for _, p := range r.Kept[0].Problems {
		if !strings.HasPrefix(p.File, x.dir+"/b/") {
			t.Errorf("b gets the problem %s", p)
		}
	}
	row := x.index.Snapshot().TokenByName("team-b-ci")

	write(t, x.dir+"/b/old.yaml", tokenNamed("team-b-old", "  revoked: 2026-05-02T00:00:00Z\n"))
	r = x.want("b revokes", "team-a-ci team-a-new team-b-ci", "b")
	if r.Loaded || !slices.Equal(r.Kept[0].RevokedEarly, []string{"team-b-old"}) {
		t.Errorf("%+v", r)
	}
	write(t, x.dir+"/a/ci.yaml", tokenNamed("team-a-ci", "  revoked: 2026-05-02T00:00:00Z\n"))
	if r = x.want("a revokes", "team-a-new team-b-ci", "b"); r.Kept[0].New || r.Change.Changed != 1 {
		t.Errorf("%+v", r)
	}
	write(t, x.dir+"/platform/read.yaml", teamPolicy("read")+"---\n"+teamPolicy("more"))
	if r = x.want("the platform adds a policy", "team-a-new team-b-ci", "b"); r.Change.Added != 1 || r.Change.Changed != 0 {
		t.Errorf("%+v", r)
	}
	write(t, x.dir+"/b/old.yaml", tokenNamed("team-b-old", ""))
	x.want("b takes it back, and is broken still", "team-a-new team-b-ci", "b")
	if !x.index.Snapshot().Same(row) {
		t.Error("the row of the kept directory is another one")
	}

	x.remove("/b/broken.yaml")
	r = x.want("b is mended", "team-a-new team-b-ci team-b-more team-b-old")
	if r.Rejected() || len(r.Revived) != 1 || r.Revived[0].Token != "team-b-old" {
		t.Errorf("%+v", r)
	}
}

// TestRestrictedDirectoryCannotAffectOthers has a team try what would touch others.
func TestRestrictedDirectoryCannotAffectOthers(t *testing.T) {
	digest := func(name string) string { return token.Sum(token.NewSecret("the value of " + name)).String() }
	const good = "team-a-ci team-b-ci team-b-old"
	for name, c := range map[string]struct{ file, text string }{
		"a gate":                          {"x.yaml", gateNamed("team-b-gate")},
		"a name of another":               {"x.yaml", tokenNamed("team-a-more", "")},
		"another's token, revoked":        {"x.yaml", tokenNamed("team-a-ci", "  revoked: 2026-05-02T00:00:00Z\n")},
		"another's digest":                {"x.yaml", strings.Replace(tokenNamed("team-b-x", ""), digest("team-b-x"), digest("team-a-ci"), 1)},
		"another's digest, revoked":       {"x.yaml", strings.Replace(tokenNamed("team-b-x", "  revoked: 2026-05-02T00:00:00Z\n"), digest("team-b-x"), digest("team-a-ci"), 1)},
		"another's digest, as a previous": {"x.yaml", tokenNamed("team-b-x", "  previous: [{digest: \""+digest("team-a-ci")+"\", issued: 2026-04-01T00:00:00Z, until: 2026-12-01T00:00:00Z}]\n")},
		"a policy that there is not":      {"x.yaml", tokenOf("team-b-x", "no-such")},
		"a large number of nothings":      {"x.yaml", strings.Repeat("---\na\n", 1000)},
		"a list that does not end":        {"x.yaml", strings.Replace(broken, "{}", "["+strings.Repeat("a,\n", 5000), 1)},
		"a link out":                      {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			x := newTeams(t)
			x.want("start", good)
			if c.file == "" {
				link(t, "../a/ci.yaml", x.dir+"/b/x.yaml")
			} else {
				write(t, x.dir+"/b/"+c.file, c.text)
			}
			x.want("b does it", good, "b")
			write(t, x.dir+"/a/new.yaml", tokenNamed("team-a-new", ""))
			x.want("a adds", "team-a-ci team-a-new team-b-ci team-b-old", "b")
			x.restart()
			x.want("a restart", "team-a-ci team-a-new team-b-ci team-b-old", "b")
			x.remove("/b/x.yaml")
			if r := x.want("b mends it", "team-a-ci team-a-new team-b-ci team-b-old"); r.Rejected() {
				t.Errorf("%+v", r)
			}
		})
	}
}

// TestDirectoriesThatNeedEachOther changes what one directory names and another holds.
func TestDirectoriesThatNeedEachOther(t *testing.T) {
	x := newTeams(t)
	write(t, x.dir+"/a/r.yaml", tokenOf("team-a-r", "read"))
	const all, more = "team-a-ci team-a-r team-b-ci team-b-old", "team-a-ci team-a-r team-b-ci team-b-new team-b-old"
	x.want("start", all)
	x.remove("/platform/read.yaml")
	r := x.want("the policy goes", all, "platform")
	if text := r.Problems[0].String(); !strings.Contains(text, "a/r.yaml") || !strings.Contains(text, "no TokenPolicy is called read") {
		t.Error(text)
	}
	write(t, x.dir+"/b/new.yaml", tokenOf("team-b-new", "read"))
	x.want("b names it, too", more, "platform")
	write(t, x.dir+"/platform/gate.yaml", gateNamed("jira")+"---\n"+teamPolicy("write"))
	write(t, x.dir+"/a/r.yaml", tokenOf("team-a-r", "write"))
	x.want("a needs what the platform adds, which b blocks", more, "platform", "a")
	write(t, x.dir+"/b/new.yaml", tokenOf("team-b-new", "write"))
	if r := x.want("b stops blocking it", more); r.Rejected() {
		t.Errorf("%+v", r)
	}
	// A name moves from one directory to another, while a third one is broken.
	write(t, x.dir+"/b/broken.yaml", broken)
	write(t, x.dir+"/platform/x.yaml", tokenNamed("team-a-ci", ""))
	x.remove("/a/ci.yaml")
	x.want("a token moves", more, "b")
	if at := x.index.Snapshot().TokenByName("team-a-ci").Source; at.Origin != x.dir+"/platform" {
		t.Errorf("it is of %+v", at)
	}
}

// TestRemovedDirectoryKeepsItsLastGoodState keeps what a directory held.
func TestRemovedDirectoryKeepsItsLastGoodState(t *testing.T) {
	x := newTeams(t)
	const all = "team-a-ci team-b-ci team-b-old"
	x.want("start", all)
	x.remove("/b")
	x.want("b is gone", all, "b")
	write(t, x.dir+"/b/notes.txt", "")
	x.want("b is empty", all, "b")
	x.remove("/platform")
	write(t, x.dir+"/a/new.yaml", tokenNamed("team-a-new", ""))
	x.want("the platform is gone, too", "team-a-ci team-a-new team-b-ci team-b-old", "platform", "b")
	x.restart()
	r := x.want("a restart", "team-a-ci team-a-new team-b-ci team-b-old", "platform", "b")
	if !r.Kept[0].Stored || !r.Kept[0].Since.Equal(at) {
		t.Errorf("%+v", r.Kept)
	}
	write(t, x.dir+"/b/none.yaml", "# no token any more\n")
	x.want("b declares that it has none", "team-a-ci team-a-new", "platform")
}

// TestRestartUsesLastGoodStateOfEachDirectory starts with bad manifests, from the stored last good state.
func TestRestartUsesLastGoodStateOfEachDirectory(t *testing.T) {
	x := newTeams(t)
	x.want("start", "team-a-ci team-b-ci team-b-old")
	write(t, x.dir+"/b/broken.yaml", broken)
	write(t, x.dir+"/b/old.yaml", tokenNamed("team-b-old", "  suspended: true\n"))
	x.want("b breaks and suspends", "team-a-ci team-b-ci", "b")
	x.restart()
	x.want("a restart", "team-a-ci team-b-ci", "b")
	write(t, x.dir+"/b/old.yaml", tokenNamed("team-b-old", ""))
	x.restart()
	x.want("a restart after it was taken back", "team-a-ci team-b-ci", "b")
	write(t, x.dir+"/b/ci.yaml", tokenNamed("team-b-ci", "  revoked: 2026-05-02T00:00:00Z\n"))
	x.restart()
	r := x.want("a restart with a new revocation", "team-a-ci", "b")
	if !r.Loaded || !r.Kept[0].Stored {
		t.Errorf("%+v", r)
	}
	x.remove("/a/ci.yaml")
	write(t, x.dir+"/a/new.yaml", tokenNamed("team-a-new", ""))
	x.want("a deletes", "team-a-new", "b")
	write(t, x.dir+"/a/broken.yaml", strings.ReplaceAll(broken, "team-b", "team-a"))
	x.restart()
	x.want("a restart with two broken ones", "team-a-new", "a", "b")
	x.remove("/a/broken.yaml")
	x.remove("/b/broken.yaml")
	x.restart()
	x.want("all is mended", "team-a-new team-b-old")
}

// TestNoUsableLastGoodState refuses to start where there is none.
func TestNoUsableLastGoodState(t *testing.T) {
	for name, damage := range map[string]func(x *teams, path string, text []byte) error{
		"none":            func(_ *teams, path string, _ []byte) error { return os.Remove(path) },
		"cut":             func(_ *teams, path string, text []byte) error { return os.WriteFile(path, text[:len(text)/2], 0o600) },
		"without its end": func(_ *teams, path string, text []byte) error { return os.WriteFile(path, text[:len(text)-2], 0o600) },
		"empty":           func(_ *teams, path string, _ []byte) error { return os.WriteFile(path, nil, 0o600) },
		"changed": func(_ *teams, path string, text []byte) error {
			text[len(text)/3] ^= 1
			return os.WriteFile(path, text, 0o600)
		},
		"for all to write":   func(_ *teams, path string, _ []byte) error { return os.Chmod(path, 0o666) },
		"another's":          func(x *teams, path string, _ []byte) error { return os.Rename(x.stored("a"), path) },
		"the platform's":     func(x *teams, path string, _ []byte) error { return os.Rename(x.stored("platform"), path) },
		"a directory for it": func(_ *teams, path string, _ []byte) error { _ = os.Remove(path); return os.Mkdir(path, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			x := newTeams(t)
			x.want("start", "team-a-ci team-b-ci team-b-old")
			path := x.stored("b")
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%v, %v", info.Mode(), err)
			}
			if err := damage(x, path, text); err != nil {
				t.Fatal(err)
			}
			write(t, x.dir+"/b/broken.yaml", broken)
			x.restart()
			if r := x.load(); r.Loaded || len(r.Problems) == 0 || x.index.Snapshot().Ready() {
				t.Errorf("%+v", r)
			}
		})
	}
}

// stored returns the file with a directory's last good state.
func (x *teams) stored(name string) string {
	x.t.Helper()
	files, _ := filepath.Glob(x.lastGood + "/*.lastgood")
	for _, f := range files {
		if text, _ := os.ReadFile(f); strings.Contains(string(text), `"directory":"`+x.dir+"/"+name+`"`) {
			return f
		}
	}
	x.t.Fatalf("nothing is stored of %s in %v", name, files)
	return ""
}

// TestALastGoodStateThatCantBeWritten removes the one before, which would bring back what was revoked.
func TestALastGoodStateThatCantBeWritten(t *testing.T) {
	x := newTeams(t)
	x.want("start", "team-a-ci team-b-ci team-b-old")
	path := x.stored("b")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write(t, path+"/in-the-way", "")
	x.remove("/b/old.yaml")
	x.want("b deletes", "team-a-ci team-b-ci")
	write(t, x.dir+"/b/broken.yaml", broken)
	x.restart()
	if r := x.load(); r.Loaded {
		t.Errorf("%+v", r)
	}
}

// TestChangingDirectoryDoesNotDelayOthers keeps one directory from keeping up the others.
func TestChangingDirectoryDoesNotDelayOthers(t *testing.T) {
	x := newTeams(t)
	x.want("start", "team-a-ci team-b-ci team-b-old")
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			_ = os.WriteFile(x.dir+"/b/restless.yaml", []byte(strings.Repeat("#", i%1000)+"\n"), 0o644)
		}
	}()
	write(t, x.dir+"/a/new.yaml", tokenNamed("team-a-new", ""))
	// A busy machine may give the writer no turn during one load: load until b was seen to move.
	var kept []loader.Kept
	for tries := 0; tries < 100 && len(kept) == 0; tries++ {
		if r := x.load(); r != nil {
			kept = r.Kept
		}
	}
	if len(kept) != 1 || filepath.Base(kept[0].Origin) != "b" {
		t.Errorf("b writes on: kept are %+v, want b", kept)
	}
	x.good("b writes on", "team-a-ci team-a-new team-b-ci team-b-old")
	stop()
	<-done
	x.want("b rests", "team-a-ci team-a-new team-b-ci team-b-old")
}
