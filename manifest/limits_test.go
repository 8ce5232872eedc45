package manifest

import (
	"fmt"
	"strings"
	"testing"
)

const limitsHead = "apiVersion: " + APIVersion + "\nkind: UserGroup\nmetadata: {name: g}\nspec:\n"

// TestLimits decodes documents that are beyond a limit, and checks that few problems report it.
func TestLimits(t *testing.T) {
	repeat := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	for name, c := range map[string]struct {
		text string
		want string // the last problem
		most int    // problems
	}{
		"documents":         {strings.Repeat("---\na\n", MaxDocuments+1), "f:40001:1: 20001 documents in the file, expected at most 20000: divide it", 1},
		"junk":              {strings.Repeat("---\na\n", 1000), "f:1:1: and 980 more documents that are no manifests", 21},
		"values":            {limitsHead + "  members: [" + strings.Repeat("a,", MaxValues) + "]\n", "f:1:1: about 200,015 values in the document, expected at most 200,000: divide it", 1},
		"depth":             {limitsHead + "  members: []\n  x: " + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "\n", "f:6:3: spec.x: unknown field, expected one of members, policies, admin, tokens", 2},
		"unknown fields":    {limitsHead + "  members: []\n" + repeat(5000, "  k%d: 1\n"), "f:1:1: and 4,980 more problems in the document: mend the first 20", 21},
		"equal problems":    {limitsHead + "  members: [" + strings.TrimSuffix(strings.Repeat("1,", 500), ",") + "]\n", "f:5:13: spec.members[0]: a number, expected text: put 1 in quotes (also at 5:15 and 498 more places)", 1},
		"two that equal":    {limitsHead + "  members: [1, a, 1]\n", "f:5:13: spec.members[0]: a number, expected text: put 1 in quotes (also at 5:19)", 1},
		"a long text":       {limitsHead + "  members: []\n  " + strings.Repeat("k", 900) + ": 1\n", "f:6:3: spec." + strings.Repeat("k", 195) + "…: unknown field, expected one of members, policies, admin, tokens", 1},
		"what terminals do": {limitsHead + "  members: []\n  \"a\\e[31m\\nb\": 1\n", `f:6:3: spec["a\x1b[31m\nb"]: unknown field, expected one of members, policies, admin, tokens`, 1},
	} {
		var dec Decoder
		_, problems := dec.Decode("f", []byte(c.text))
		if len(problems) == 0 || len(problems) > c.most || problems[len(problems)-1].String() != c.want {
			t.Errorf("%s: %d problems, the last %q, want %q", name, len(problems), problems[max(0, len(problems)-1):], c.want)
		}
	}
}

// TestForeignContentIsNotRepeated decodes files that are not manifests, and checks that no problem
// repeats their content.
func TestForeignContentIsNotRepeated(t *testing.T) {
	for name, text := range map[string]string{
		"keys":            "hunter2: a\nhunter3: b\n",
		"values":          "password: hunter2\n",
		"a version":       "apiVersion: hunter2\nkind: Gate\n",
		"a kind":          "kind: hunter2\nmetadata: {name: hunter3}\n",
		"a Secret":        "apiVersion: v1\nkind: Secret\nstringData: {hunter2: hunter3}\n",
		"one text":        "hunter2\n",
		"a list":          "- hunter2\n",
		"a tag":           "!hunter2 x\n",
		"a tag on a map":  "!hunter2\nkind: a\n",
		"an anchor":       "&hunter2 a: b\n",
		"an alias":        "a: *hunter2\n",
		"a complex key":   "{hunter2: a}: b\n",
		"a key twice":     "hunter2: a\nhunter2: b\n",
		"broken":          "hunter2: [a\nhunter3: b\n",
		"a broken quote":  "a: 'hunter2\n",
		"a directive":     "%hunter2 x\n",
		"a version a map": "apiVersion: {hunter2: a}\nkind: Gate\n",
		"a long version":  "apiVersion: patgate.dev/hunter2" + strings.Repeat("x", 50) + "\n",
		"JSON":            `{"hunter2": "hunter3", "kind": ["hunter4"]}`,
		"a private key":   "-----BEGIN hunter2-----\nhunter3\n",
		"in PolicyTests":  "kind: hunter2\n",
	} {
		var dec Decoder
		for _, decode := range []func(string, []byte) ([]*Document, []Problem){dec.Decode, dec.DecodeTests} {
			_, problems := decode("f", []byte(text))
			if len(problems) == 0 {
				t.Errorf("%s: no problem", name)
			}
			for _, p := range problems {
				if strings.Contains(p.String(), "hunter") {
					t.Errorf("%s: %s", name, p)
				}
			}
		}
	}
}
