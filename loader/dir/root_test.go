package dir

import (
	"os"
	"strings"
	"testing"

	"github.com/patgate/patgate/token"
)

// TestParseRoot reads roots as they are written on a command line.
func TestParseRoot(t *testing.T) {
	for text, want := range map[string]string{
		"m":                             "m",
		"m,n":                           "m,n", // a comma in the path
		"/a/b,kinds=APIToken":           "/a/b kinds APIToken",
		"m,kinds=APIToken|TokenPolicy":  "m kinds APIToken TokenPolicy",
		"m,names=team-a|team-a-*":       "m names team-a team-a-*",
		"m,names=*,kinds=Gate":          "m kinds Gate names *",
		"m,kinds=":                      `error: kinds: no kind is called "", expected one of Gate, APIToken, UserGroup, TokenPolicy`,
		"m,kinds=apitoken":              `error: kinds: no kind is called "apitoken", did you mean APIToken?`,
		"m,kinds=APIToken,TokenPolicy":  "error: TokenPolicy: expected one of kinds, names",
		"m,kind=APIToken":               "error: kind=APIToken: did you mean kinds?",
		"m,names=Team-*":                `error: names: "Team-*" can't match a name, expected lower-case letters, digits, - and ., with * for any text`,
		"m,names=a||b":                  `error: names: "" can't match a name, expected lower-case letters, digits, - and ., with * for any text`,
		"m,names=a,names=b":             "error: names appears twice, expected one list, with | between its entries",
		",kinds=APIToken":               "error: no directory before the comma, expected DIR,kinds=KIND|KIND,names=PATTERN|PATTERN",
		"m,kinds=APIToken,names=[a]b*c": `error: names: "[a]b*c" can't match a name, expected lower-case letters, digits, - and ., with * for any text`,
	} {
		r, err := ParseRoot(text)
		got := r.Path
		if len(r.Scope.Kinds) > 0 {
			got += " kinds " + strings.Join(r.Scope.Kinds, " ")
		}
		if len(r.Scope.Names) > 0 {
			got += " names " + strings.Join(r.Scope.Names, " ")
		}
		if err != nil {
			got = "error: " + err.Error()
		}
		if got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func tokenNamed(name, more string) string {
	return "apiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata: {name: " + name + "}\nspec:\n  user: alice\n  digest: " +
		token.Sum(token.NewSecret("the value of "+name)).String() + "\n  issued: 2026-05-01T00:00:00Z\n  unrestricted: true\n" + more
}

// TestRestrictedDirectories loads a platform's directory and a team's, which may hold tokens of its own names.
func TestRestrictedDirectories(t *testing.T) {
	const policy = "apiVersion: patgate.dev/v1alpha1\nkind: TokenPolicy\nmetadata: {name: team-a-more}\nspec: {allow: [{methods: [GET]}]}\n"
	for name, c := range map[string]struct{ file, text, want string }{
		"its own token":         {"a.yaml", tokenNamed("team-a-ci", ""), ""},
		"the bare name":         {"a.yaml", tokenNamed("team-a", ""), ""},
		"another team's name":   {"a.yaml", tokenNamed("team-b-ci", ""), "DIR/a/a.yaml:3:18: metadata.name: team-b-ci is a name that DIR/a may not hold, expected one like team-a or team-a-*"},
		"a name that begins so": {"a.yaml", tokenNamed("team-ab", ""), "DIR/a/a.yaml:3:18: metadata.name: team-ab is a name that DIR/a may not hold, expected one like team-a or team-a-*"},
		"a gate":                {"a.yaml", strings.Replace(gate, "jira", "team-a-x", 1), "DIR/a/a.yaml:1:1: kind: Gate is a kind that DIR/a may not hold, expected APIToken"},
		"a policy of its name":  {"a.yaml", policy, "DIR/a/a.yaml:1:1: kind: TokenPolicy is a kind that DIR/a may not hold, expected APIToken"},
		"a second document":     {"a.yaml", tokenNamed("team-a-ci", "") + "---\n" + policy, "DIR/a/a.yaml:10:1: kind: TokenPolicy is a kind that DIR/a may not hold, expected APIToken"},
		"a deep file":           {"x/y/a.yml", policy, "DIR/a/x/y/a.yml:1:1: kind: TokenPolicy is a kind that DIR/a may not hold, expected APIToken"},
		"an escaped kind":       {"a.yaml", strings.Replace(policy, "kind:", `"k\u0069nd":`, 1), "DIR/a/a.yaml:1:1: kind: TokenPolicy is a kind that DIR/a may not hold, expected APIToken"},
		"a broken gate":         {"a.yaml", "apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata: {name: team-a-x}\nspec: {host: [x]}\n", "DIR/a/a.yaml:1:1: kind: Gate is a kind that DIR/a may not hold, expected APIToken"},
		"the platform's digest": {"a.yaml", strings.Replace(tokenNamed("team-a-ci", ""), token.Sum(token.NewSecret("the value of team-a-ci")).String(),
			token.Sum(token.NewSecret("the value of team-a-old")).String(), 1), "DIR/platform/t.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			put(t, top+"/platform/gate.yaml", gate)
			put(t, top+"/platform/t.yaml", tokenNamed("team-a-old", "")) // the platform's may have any name
			put(t, top+"/a/"+c.file, c.text)
			set := Load([]string{top + "/platform", top + "/a,kinds=APIToken,names=team-a|team-a-*"})
			var got []string
			for _, p := range set.Problems {
				got = append(got, strings.ReplaceAll(p.String(), top, "DIR"))
			}
			all := strings.Join(got, "\n")
			if c.want == "" && all != "" || !strings.Contains(all, c.want) {
				t.Errorf("%s\nwant %s", all, c.want)
			}
		})
	}
}

// TestRestrictedDirectoriesLieApart checks that a restricted directory overlaps no other, also through links.
func TestRestrictedDirectoriesLieApart(t *testing.T) {
	top := t.TempDir()
	put(t, top+"/m/gate.yaml", gate)
	put(t, top+"/m/a/t.yaml", tokenNamed("team-a-ci", ""))
	put(t, top+"/b/t.yaml", tokenNamed("b", ""))
	if err := os.Symlink("m/a", top+"/link"); err != nil {
		t.Fatal(err)
	}
	const restricted = ",kinds=APIToken"
	for name, c := range map[string]struct {
		roots []string
		apart bool
	}{
		"apart":                         {[]string{top + "/m", top + "/b" + restricted}, true},
		"below, and left out there":     {[]string{top + "/m", top + "/m/a" + restricted}, true},
		"below a restricted one":        {[]string{top + "/m" + restricted, top + "/m/a,kinds=Gate"}, false},
		"above":                         {[]string{top + "/m/a", top + "/m" + restricted}, false},
		"by a link":                     {[]string{top + "/m", top + "/link" + restricted}, true},
		"the same, free":                {[]string{top + "/m", top + "/m" + restricted}, false},
		"the same, otherwise":           {[]string{top + "/m,kinds=Gate", top + "/m" + restricted}, false},
		"the same twice":                {[]string{top + "/b" + restricted, top + "/m", top + "/b" + restricted}, true},
		"both unrestricted, as ever":    {[]string{top + "/m", top + "/m/a"}, true},
		"a file in a restricted folder": {[]string{top + "/m" + restricted, top + "/m/gate.yaml"}, false},
	} {
		if problems := CheckRoots(Distinct(c.roots)); (len(problems) == 0) != c.apart {
			t.Errorf("%s: %v", name, problems)
		}
		if set := Load(c.roots); Restricted(c.roots) && c.apart != (len(set.Problems) == 0) {
			t.Errorf("%s: %v", name, set.Problems)
		}
	}
}

// TestARestrictedFolder has a restricted directory within another one, which leaves it out, also by links.
func TestARestrictedFolder(t *testing.T) {
	top := t.TempDir()
	put(t, top+"/m/gate.yaml", gate)
	put(t, top+"/m/a/t.yaml", strings.NewReplacer("{name: jira}", "{name: open}", "jira.ex", "wiki.ex").Replace(gate))
	roots := []string{top + "/m", top + "/m/a,kinds=APIToken"}
	want := func(what, text string) {
		t.Helper()
		var got []string
		for _, p := range Load(roots).Problems {
			got = append(got, strings.ReplaceAll(p.String(), top, "DIR"))
		}
		if strings.Join(got, "\n") != text {
			t.Errorf("%s: %s, want %s", what, strings.Join(got, "\n"), text)
		}
	}
	want("a gate", "DIR/m/a/t.yaml:1:1: kind: Gate is a kind that DIR/m/a may not hold, expected APIToken")
	put(t, top+"/m/a/t.yaml", tokenNamed("a", ""))
	want("a token", "")
	for link, target := range map[string]string{"/m/x.yaml": "a/t.yaml", "/m/x": "a"} {
		if err := os.Symlink(target, top+link); err != nil {
			t.Fatal(err)
		}
		want(link, "DIR"+link+": a symbolic link into DIR/m/a, which is restricted, expected one that stays outside of it")
		if err := os.Remove(top + link); err != nil {
			t.Fatal(err)
		}
	}
	put(t, top+"/m/a/t.yaml", "# none\n")
	want("none", "")
	t.Chdir(top)
	roots = []string{"m", "./m/a,kinds=APIToken"}
	put(t, top+"/m/a/t.yaml", tokenNamed("a", ""))
	want("by relative paths", "")
}
