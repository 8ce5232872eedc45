package manifest

import (
	"strings"
	"testing"
)

// TestRulesThatNeverFire has rules that look right and whose YAML says something else: each is refused, with what
// to write.
func TestRulesThatNeverFire(t *testing.T) {
	const head = "apiVersion: patgate.dev/v1alpha1\nkind: TokenPolicy\nmetadata:\n  name: p\nspec:\n"
	for name, c := range map[string]struct{ spec, want string }{
		"folded query":     {"  deny:\n  - query:\n      debug: >\n        true\n", "f:8:14: spec.deny[0].query.debug: the block of text has a line end in it"},
		"literal json":     {"  deny:\n  - methods: [POST]\n    json:\n      admin: |\n        true\n", "f:9:14: spec.deny[0].json.admin: the block of text has a line end in it"},
		"literal path":     {"  deny:\n  - path: |\n      /admin/.*\n", "f:7:11: spec.deny[0].path: the block of text has a line end in it"},
		"kept line ends":   {"  deny:\n  - path: |+\n      /admin/.*\n\n", "the block of text has a line end in it"},
		"plain over lines": {"  deny:\n  - path: /admin/\n      .*\n", "f:7:11: spec.deny[0].path: the text is on several lines"},
		"single quotes":    {"  deny:\n  - path: '/admin/\n      .*'\n", "the text is on several lines"},
		"double quotes":    {"  deny:\n  - path: \"/admin/\n      .*\"\n", "the text is on several lines"},
		"folded, stripped": {"  deny:\n  - path: >-\n      /admin/\n      .*\n", "the text is on several lines"},
		"unquoted yes":     {"  deny:\n  - methods: [POST]\n    json: {admin: yes}\n", "f:8:19: spec.deny[0].json.admin: yes is a boolean to Helm and kubectl, expected text: put yes in quotes"},
		"unquoted Off":     {"  deny:\n  - query: {debug: Off}\n", "Off is a boolean to Helm and kubectl"},
		"unquoted key":     {"  deny:\n  - query: {on: a}\n", "spec.deny[0].query.on: a key that is a boolean to Helm and kubectl, expected text: put it in quotes"},
	} {
		docs, problems := new(Decoder).Decode("f", []byte(head+c.spec))
		if len(docs) != 1 || len(problems) != 1 || !strings.Contains(problems[0].String(), c.want) {
			t.Errorf("%s: %v, want %s", name, problems, c.want)
		}
	}
	for name, spec := range map[string]string{
		"stripped literal": "  deny:\n  - path: |-\n      /admin/.*\n",
		"stripped folded":  "  deny:\n  - path: >-\n      /admin/a b.*\n",
		"blanks":           "  deny:\n  - query: {q: a b, r: 'it''s a', s: \"x \\\" y\"}\n",
		"a joined escape":  "  deny:\n  - path: \"/ad\\\n      min/a b\"\n",
		"quoted words":     "  deny:\n  - query: {\"on\": 'yes', no1: \"off\"}\n",
	} {
		if _, problems := new(Decoder).Decode("f", []byte(head+spec)); len(problems) > 0 {
			t.Errorf("%s: %v", name, problems)
		}
	}
}

// TestLinesThatJoin has limitTo in forms that are no lines.
func TestLinesThatJoin(t *testing.T) {
	const head = "apiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata:\n  name: t\nspec:\n  user: alice\n  issued: 2026-05-01T00:00:00Z\n" +
		"  digest: sha256:a225fab98955e121e6b28bd2fcfe197dffc8706e731a58295f31369fbd6a41d8\n"
	for limit, want := range map[string]string{
		"  limitTo: >\n    /rest/a\n    /rest/b\n":     "f:9:12: spec.limitTo: YAML joins these lines into one rule, expected one rule a line: write `limitTo: |`",
		"  limitTo: /rest/a\n    /rest/b\n":            "YAML joins these lines into one rule",
		"  limitTo: '/rest/a\n    /rest/b'\n":          "YAML joins these lines into one rule",
		"  limitTo: |\n    /rest/a\n    # the board\n": "f:11:5: spec.limitTo[1]: a comment is part of the rule here",
		"  limitTo: |\n    /rest/a   # the board\n":    "f:10:15: spec.limitTo[0]: a comment is part of the rule here",
		"  limitTo: |\n    #/rest/a\n    /rest/b\n":    "f:10:5: spec.limitTo[0]: a comment is part of the rule here",
		"  limitTo: |\n    /rest/a\n":                  "",
		"  limitTo: >\n    /rest/a\n":                  "",
		"  limitTo: |\n    /a[QueryParam::q==x y]\n":   "",
		"  limitTo: \"/rest/a\\n/rest/b c\"\n":         "",
	} {
		_, problems := new(Decoder).Decode("f", []byte(head+limit))
		switch {
		case want == "" && len(problems) > 0:
			t.Errorf("%q: %v", limit, problems)
		case want != "" && (len(problems) != 1 || !strings.Contains(problems[0].String(), want)):
			t.Errorf("%q: %v, want %s", limit, problems, want)
		}
	}
}

// TestManifestsAsOthersWriteThem has what kubectl and people write: it is read, or refused with the way out.
func TestManifestsAsOthersWriteThem(t *testing.T) {
	const group = "apiVersion: patgate.dev/v1alpha1\nkind: UserGroup\nmetadata: {name: g}\nspec: {members: [a], tokens: {maxLifetime: 1y}}\n"
	for name, c := range map[string]struct{ text, want string }{
		"%YAML":            {"%YAML 1.1\n---\n" + group, ""},
		"a year":           {group, ""},
		"a list":           {"apiVersion: v1\nkind: List\nitems:\n- a\n", "f:1:1: a List of Kubernetes, expected its items as documents of their own, with `---` between them"},
		"no labels":        {"apiVersion: patgate.dev/v1alpha1\nkind: UserGroup\nmetadata:\n  name: g\n  annotations:\nspec: {members: [a]}\n", "({} for none)"},
		"a date":           {"apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata: {name: g}\nspec: {basicEnds: 2027-06-30}\n", "f:4:19: spec.basicEnds: 2027-06-30 is a date, expected a time: write 2027-06-30T00:00:00Z"},
		"a colon":          {"apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata: {name: g}\nspec: a: b\n", "not YAML: a second colon on the line"},
		"no blank, first":  {"apiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata:\n  name: t\nspec:\n  user:bob\n  digest: x\n", "f:6:3: not YAML: no blank after the colon of `user:`, expected `user: VALUE`"},
		"no blank, middle": {"apiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata:\n  name: t\nspec:\n  digest: x\n  user:bob\n  issued: y\n", "f:7:3: not YAML: no blank after the colon of `user:`, expected `user: VALUE`"},
		"no blank, last":   {"apiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata:\n  name: t\nspec:\n  digest: x\n  user:bob\n", "f:7:3: not YAML: no blank after the colon of `user:`, expected `user: VALUE`"},
		"no blank, top":    {"apiVersion:patgate.dev/v1alpha1\nkind: APIToken\n", "f:1:1: not YAML: no blank after the colon of `apiVersion:`, expected `apiVersion: VALUE`"},
		"no blank, entry":  {"apiVersion: patgate.dev/v1alpha1\nkind: TokenPolicy\nmetadata: {name: p}\nspec:\n  allow:\n  - path:/a\n    methods: [GET]\n", "f:6:5: not YAML: no blank after the colon of `path:`, expected `path: VALUE`"},
		"no blank, CRLF":   {"apiVersion: patgate.dev/v1alpha1\r\nkind: APIToken\r\nmetadata:\r\n  name:t\r\n  labels: {}\r\n", "f:4:3: not YAML: no blank after the colon of `name:`, expected `name: VALUE`"},
		"a URL above":      {"apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata: {name: g}\nspec: https://a\n  b: c\n", "not YAML: a second colon on the line"},
		"yes for true":     {"apiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata: {name: t}\nspec:\n  anyUser: yes\n  digest: sha256:0000000000000000000000000000000000000000000000000000000000000005\n  issued: 2026-05-01T00:00:00Z\n  policies: [p]\n", "f:5:12: spec.anyUser: text (yes), expected true or false"},
		"on for true":      {"apiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata: {name: t}\nspec:\n  user: a\n  digest: sha256:0000000000000000000000000000000000000000000000000000000000000005\n  issued: 2026-05-01T00:00:00Z\n  unrestricted: on\n", "f:8:17: spec.unrestricted: text (on), expected true or false"},
		"a list of lines":  {"apiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata: {name: t}\nspec:\n  user: a\n  digest: sha256:0000000000000000000000000000000000000000000000000000000000000005\n  issued: 2026-05-01T00:00:00Z\n  limitTo:\n  - /a\n", "f:9:3: spec.limitTo: a list, expected text with one rule a line: write `limitTo: |`, and the rules below without `- `"},
		"a quote":          {"apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata: {name: \"g}\n", "not YAML: a text in quotes that does not end, expected the closing quote"},
	} {
		_, problems := new(Decoder).Decode("f", []byte(c.text))
		switch {
		case c.want == "" && len(problems) > 0:
			t.Errorf("%s: %v", name, problems)
		case c.want != "" && (len(problems) != 1 || !strings.Contains(problems[0].String(), c.want)):
			t.Errorf("%s: %v, want %s", name, problems, c.want)
		}
	}
}
