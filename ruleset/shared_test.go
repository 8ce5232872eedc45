package ruleset

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

const sharedHosts = "hosts: [a.example.com], schemes: [basic, bearer]"

// sharedFiles are manifests from which TestIncrementalLoadOfSharedDocuments makes its changes.
func sharedFiles() map[string]string {
	t := func(name, spec string) string {
		return strings.Replace(tokenOf(name), "unrestricted: true", spec, 1)
	}
	return map[string]string{
		"m/a.yaml":      manifestOf("Gate", "a", sharedHosts+", clientIP: {source: peer}"),
		"m/b.yaml":      manifestOf("Gate", "b", "hosts: [b.example.com], groups: [staff]"),
		"m/groups.yaml": manifestOf("UserGroup", "staff", "members: [alice, bob]") + manifestOf("UserGroup", "others", "members: [carol]"),
		"m/p.yaml":      manifestOf("TokenPolicy", "p", "allow: [{path: /p/.*}]") + manifestOf("TokenPolicy", "deny", "deny: [{path: /no}]"),
		"m/ranged.yaml": manifestOf("TokenPolicy", "ranged", "allow: [{path: /p/.*, clients: [10.0.0.0/8]}]"),
		"m/t.yaml":      t("named", "gates: [a], policies: [p]") + t("all", "policies: [p, deny]"),
		"m/u.yaml":      t("bearer", "gates: [a], schemes: [bearer], limitTo: '/x'") + t("from", "gates: [a], policies: [p], clients: {allow: [10.0.0.0/8]}"),
	}
}

// TestIncrementalLoadOfSharedDocuments changes gates, policies and groups. What runs after a step is what a whole load makes run, and where the rows of
// tokens can't decide, there is none.
func TestIncrementalLoadOfSharedDocuments(t *testing.T) {
	gate := func(spec string) string { return manifestOf("Gate", "a", sharedHosts+spec) }
	const known = ", clientIP: {source: peer}"
	for name, c := range map[string]struct {
		change map[string]string // empty: the file is gone
		whole  bool              // everything is decoded
		wrong  string            // what is wrong with all then
	}{
		"a host":                     {change: map[string]string{"m/a.yaml": manifestOf("Gate", "a", "hosts: [x.example.com], schemes: [basic, bearer]"+known)}},
		"a path prefix":              {change: map[string]string{"m/a.yaml": gate(known + ", paths: [/rest]")}},
		"its policies":               {change: map[string]string{"m/a.yaml": gate(known + ", policies: [deny]")}},
		"its groups":                 {change: map[string]string{"m/a.yaml": gate(known + ", groups: [staff, others]")}},
		"a header":                   {change: map[string]string{"m/a.yaml": gate(known + ", upstream: {userHeader: x-user}")}},
		"a gate comes":               {change: map[string]string{"m/c.yaml": manifestOf("Gate", "c", "hosts: [c.example.com], clientIP: {source: peer}")}},
		"an open gate comes":         {change: map[string]string{"m/c.yaml": manifestOf("Gate", "c", "hosts: [c.example.com]")}},
		"it moves":                   {change: map[string]string{"m/a.yaml": "", "m/c.yaml": gate(known)}},
		"it goes":                    {change: map[string]string{"m/b.yaml": ""}},
		"it is called otherwise":     {change: map[string]string{"m/b.yaml": manifestOf("Gate", "d", "hosts: [b.example.com]")}},
		"a scheme that no one needs": {change: map[string]string{"m/a.yaml": manifestOf("Gate", "a", "hosts: [a.example.com], schemes: [bearer]"+known)}},
		"all kinds in one": {change: map[string]string{
			"m/a.yaml": "", "m/c.yaml": manifestOf("Gate", "c", sharedHosts+known+", groups: [staff]") + tokenOf("beside"),
			"m/groups.yaml": manifestOf("UserGroup", "staff", "members: [alice, dora], policies: [deny]") + manifestOf("UserGroup", "others", "members: [alice]"),
			"m/p.yaml":      manifestOf("TokenPolicy", "p", "allow: [{path: /q/.*}]") + manifestOf("TokenPolicy", "deny", "deny: [{path: /no}, {path: /never}]"),
			"m/t.yaml":      strings.Replace(sharedFiles()["m/t.yaml"], "gates: [a]", "gates: [c]", 1),
			"m/u.yaml":      strings.ReplaceAll(sharedFiles()["m/u.yaml"], "gates: [a]", "gates: [c]"),
		}},
		"one that a token names goes":     {change: map[string]string{"m/a.yaml": ""}, whole: true, wrong: "no Gate is called a"},
		"and its token with it":           {change: map[string]string{"m/a.yaml": "", "m/t.yaml": "", "m/u.yaml": ""}},
		"a scheme that a token needs":     {change: map[string]string{"m/a.yaml": manifestOf("Gate", "a", "hosts: [a.example.com], schemes: [basic]"+known)}, whole: true, wrong: "expected a scheme in common"},
		"addresses of a token":            {change: map[string]string{"m/a.yaml": gate("")}, whole: true, wrong: "spec.clientIP: missing"},
		"addresses of the gate":           {change: map[string]string{"m/b.yaml": manifestOf("Gate", "b", "hosts: [b.example.com], clients: {allow: [10.0.0.0/8]}")}, whole: true, wrong: "spec.clientIP: missing"},
		"addresses of its policies":       {change: map[string]string{"m/b.yaml": manifestOf("Gate", "b", "hosts: [b.example.com], policies: [ranged]")}, whole: true, wrong: "spec.clientIP: missing"},
		"a policy with addresses changes": {change: map[string]string{"m/ranged.yaml": manifestOf("TokenPolicy", "ranged", "allow: [{path: /q/.*, clients: [10.0.0.0/8]}]")}, whole: true},
		"a policy goes":                   {change: map[string]string{"m/ranged.yaml": ""}, whole: true},
		"no gate is left":                 {change: map[string]string{"m/a.yaml": "", "m/b.yaml": "", "m/t.yaml": "", "m/u.yaml": ""}, whole: true, wrong: "no Gate in the manifests"},
		"two of one name":                 {change: map[string]string{"m/c.yaml": gate(known)}, whole: true, wrong: "appears twice"},
		"two for one host":                {change: map[string]string{"m/c.yaml": manifestOf("Gate", "c", sharedHosts+known)}, whole: true, wrong: "both guard host a.example.com"},
		"a field that is unknown":         {change: map[string]string{"m/a.yaml": gate(known + ", host: x")}, whole: true, wrong: "host"},
		"a group that is not there":       {change: map[string]string{"m/a.yaml": gate(known + ", groups: [nobody]")}, whole: true, wrong: "no UserGroup is called nobody"},
		"a kind that is unknown":          {change: map[string]string{"m/a.yaml": gate(known) + manifestOf("Gatte", "a", "")}, whole: true, wrong: "Gatte"},
		"one takes over on purpose":       {change: map[string]string{"m/b.yaml": "", "m/any.yaml": manifestOf("Gate", "a", "schemes: [basic, bearer]"+known), "m/a.yaml": ""}},
	} {
		t.Run(name, func(t *testing.T) {
			files := sharedFiles()
			loaded, index := run(t, files)
			change(files, c.change)
			step := loaded.Step(inputOf(files), Options{Running: index.Snapshot()})
			if good := step.Check(); good == c.whole {
				t.Errorf("taken as a step: %v", good)
			}
			set := Load(inputOf(files), Options{Running: index.Snapshot()})
			if got := fmt.Sprint(set.Problems); (len(set.Problems) > 0) != (c.wrong != "") || !strings.Contains(got, c.wrong) {
				t.Errorf("wrong with all: %s, want %q", got, c.wrong)
			}
			if c.whole {
				return
			}
			want := policy.NewIndex()
			if _, err := want.Replace(set.Rows, time.Now()); err != nil {
				t.Fatal(err)
			}
			if _, err := index.Apply(step.Changes, time.Now()); err != nil {
				t.Fatal(err)
			}
			if got, want := sharedOfIndex(index.Snapshot()), sharedOfIndex(want.Snapshot()); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			after := step.Accept()
			if known := after.Known(); len(known) != len(files) {
				t.Errorf("files %v", known)
			}
			if again := after.Step(inputOf(files), Options{Running: index.Snapshot()}); !again.Check() || len(again.Changes.Old.Gates)+len(again.Changes.New.Tokens) > 0 {
				t.Errorf("the same again: %+v", again.Changes)
			}
		})
	}
}

// TestIncrementalLoadKeepsRemovedGate takes a gate away beside a weaker one: all is decoded, and the load reports it.
func TestIncrementalLoadKeepsRemovedGate(t *testing.T) {
	files := sharedFiles()
	files["m/any.yaml"] = manifestOf("Gate", "any", "schemes: [basic]")
	loaded, index := run(t, files)
	delete(files, "m/b.yaml")
	if loaded.Step(inputOf(files), Options{Running: index.Snapshot()}).Check() {
		t.Error("taken as a step")
	}
	set := Load(inputOf(files), Options{Running: index.Snapshot()})
	if losses := Losses(index.Snapshot(), &set.Rows, time.Now()); len(losses) != 1 {
		t.Errorf("losses %v", losses)
	}
}

// TestIncrementalLoadWithClusterObjects changes groups of files that run together with objects of a cluster. Tokens of files
// are in groups of files, and those of objects in groups of objects, as after a full load.
func TestIncrementalLoadWithClusterObjects(t *testing.T) {
	in := func(doc string) string { return strings.Replace(doc, "}\nspec", ", namespace: team}\nspec", 1) }
	files := sharedFiles()
	files["m/team.yaml"] = in(manifestOf("UserGroup", "staff", "members: [bob], tokens: {maxLifetime: 30d}"))
	files["m/v.yaml"] = in(tokenOf("v"))
	source := policy.Source{File: "APIToken/x", Line: 1, Origin: policy.OriginObjects}
	long := &policy.Group{Name: "team/long", Namespace: "team", Members: []string{"alice"}, MaxLifetime: 900 * 24 * time.Hour, Source: source}
	objects := policy.Changes{Origin: policy.OriginObjects, All: true, New: policy.Rows{Groups: []*policy.Group{long}, Tokens: []*policy.Token{
		{Name: "x", User: "alice", Source: source, Digest: token.Sum(token.NewSecret("x")), Fingerprint: policy.Fingerprint{1}},
		{Name: "team/x", Namespace: "team", User: "alice", Source: source, Digest: token.Sum(token.NewSecret("team/x")), Fingerprint: policy.Fingerprint{2}, Groups: []*policy.Group{long}},
		{Name: "team/y", Namespace: "team", User: "bob", Source: source, Digest: token.Sum(token.NewSecret("team/y")), Fingerprint: policy.Fingerprint{3}},
	}}}
	for name, by := range map[string]map[string]string{
		"a gate":                      {"m/b.yaml": manifestOf("Gate", "b", "hosts: [b.example.com]")},
		"a group without a namespace": {"m/groups.yaml": manifestOf("UserGroup", "staff", "members: [alice, bob], policies: [p]") + manifestOf("UserGroup", "others", "members: [carol]")},
		"a group beside one of objects": {
			"m/team.yaml": in(manifestOf("UserGroup", "staff", "members: [alice, bob], tokens: {maxLifetime: 30d}")) + in(manifestOf("UserGroup", "few", "members: [bob]"))},
		"a group and a token": {
			"m/team.yaml": in(manifestOf("UserGroup", "staff", "members: [alice], tokens: {maxLifetime: 30d}")), "m/w.yaml": in(tokenOf("w"))},
	} {
		t.Run(name, func(t *testing.T) {
			files := maps.Clone(files)
			loaded, index := run(t, files)
			_, other := run(t, files)
			for _, x := range []*policy.Index{index, other} {
				if _, err := x.Apply(objects, time.Now()); err != nil {
					t.Fatal(err)
				}
			}
			change(files, by)
			step := loaded.Step(inputOf(files), Options{Running: index.Snapshot()})
			if !step.Check() {
				t.Fatal("not taken as a step")
			}
			if _, err := index.Apply(step.Changes, time.Now()); err != nil {
				t.Fatal(err)
			}
			if _, err := other.Replace(Load(inputOf(files), Options{Running: other.Snapshot()}).Rows, time.Now()); err != nil {
				t.Fatal(err)
			}
			if got, want := sharedOfIndex(index.Snapshot()), sharedOfIndex(other.Snapshot()); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// TestLargeChangeIsStreamed leaves much for later: a step does not hold it.
func TestLargeChangeIsStreamed(t *testing.T) {
	files := sharedFiles()
	loaded, index := run(t, files)
	in := inputOf(files)
	later := fileOf("m/z.yaml", tokenOf("z"))
	data := later.Data
	later.Data, later.Read = nil, func() ([]byte, bool) { return data, true }
	for size, taken := range map[int64]bool{maxDeferred: true, maxDeferred + 1: false} {
		later.Size = size
		with := in
		with.Files = append(slices.Clip(in.Files), later)
		if step := loaded.Step(with, Options{Running: index.Snapshot()}); step.Check() != taken || len(step.Tokens) != len(step.Changes.New.Tokens) {
			t.Errorf("%d bytes: %d tokens", size, len(step.Tokens))
		}
	}
}

// run makes files an active revision.
func run(t *testing.T, files map[string]string) (*Loaded, *policy.Index) {
	t.Helper()
	set, index := Load(inputOf(files), Options{}), policy.NewIndex()
	if _, err := index.Replace(set.Rows, time.Now()); err != nil || len(set.Problems) > 0 {
		t.Fatal(set.Problems, err)
	}
	return newLoaded(set), index
}

func change(files, by map[string]string) {
	for name, text := range by {
		if files[name] = text; text == "" {
			delete(files, name)
		}
	}
}

func inputOf(files map[string]string) Input {
	in := Input{Origin: "m"}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		in.Files = append(in.Files, fileOf(name, files[name]))
	}
	in.Digest = Digest(slices.Values(in.Files), nil)
	return in
}

// sharedOfIndex returns what runs as text, each row with what it refers to.
func sharedOfIndex(s *policy.Snapshot) string {
	var b strings.Builder
	policies := func(list []*policy.Policy) {
		for _, p := range list {
			fmt.Fprintf(&b, " %s of %d and %d rules (%v)", p.Name, len(p.Allow), len(p.Deny), p.Name == "" || s.Policy(p.Name) == p)
		}
	}
	groups := func(list []*policy.Group) {
		for _, g := range list {
			fmt.Fprintf(&b, " %s of %v (%v)", g.Name, g.Members, s.Group(g.Name) == g)
			policies(g.Policies)
		}
	}
	fmt.Fprintf(&b, "%x\n", s.Revision().SHA256)
	for _, g := range s.Gates() {
		fmt.Fprintf(&b, "gate %s at %v for %v%v:", g.Name, g.Source, g.Hosts, g.Prefixes)
		groups(g.Groups)
		policies(g.Policies)
		fmt.Fprintln(&b)
	}
	for row := range s.Tokens {
		fmt.Fprintf(&b, "token %s at %v for %v:", row.Name, row.Source, row.Gates)
		groups(row.Groups)
		policies(row.Grant.Policies)
		fmt.Fprintln(&b)
	}
	for _, user := range []string{"alice", "bob", "carol", "dora"} {
		fmt.Fprintf(&b, "%s:", user)
		groups(s.GroupsOf(user))
		fmt.Fprintln(&b)
	}
	return b.String()
}
