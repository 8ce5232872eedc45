package edit_test

import (
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/manifest/edit"
)

const setSpec = "spec:\n  user: a # who\n  issued: 2026-05-01T00:00:00Z\n  digest: " + digestA + "\n"

// sets are texts in which Set changes what the marks show.
var sets = map[string]struct {
	field edit.Field
	text  string
}{
	"a new flag":            {edit.Field{Key: "suspended", Value: true}, tokenHead + "spec:\n  user: a # who\n  issued: 2026-05-01T00:00:00Z\n‹  suspended: true\n›  digest: " + digestA + "\n"},
	"a flag goes":           {edit.Field{Key: "suspended"}, tokenHead + setSpec + "«  suspended: true # for a week\n»  unrestricted: true\n"},
	"another time":          {edit.Field{Key: "expires", Value: time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)}, tokenHead + setSpec + "  expires: 2026-0«9»‹7›-01T00:00:00Z # ends\n"},
	"another text":          {edit.Field{Key: "displayName", Value: "the bot"}, tokenHead + setSpec + "  displayName: \"«CI»‹the bot›\" # shown\n"},
	"a text with a quote":   {edit.Field{Key: "displayName", Value: "it's: #1"}, tokenHead + setSpec + "  displayName: «CI»‹'it''s: #1'›\n"},
	"another list":          {edit.Field{Key: "policies", Value: []string{"read"}}, tokenHead + setSpec + "  policies: [read«, write»] # all\n  # after\n"},
	"a block of text":       {edit.Field{Key: "limitTo", Value: "[get]/a\n"}, tokenHead + setSpec + "«  limitTo: |\n    [get]/a\n    [post]/b\n»‹  limitTo: |\n    [get]/a\n›\n  # after\n"},
	"a block of text goes":  {edit.Field{Key: "limitTo"}, tokenHead + setSpec + "«  limitTo: |\n    [get]/a\n\n    [post]/b\n»  unrestricted: true\n"},
	"a list in lines":       {edit.Field{Key: "gates", Value: []string{"a"}}, tokenHead + setSpec + "  gates: # where\n  - a # one\n«  - b\n»  unrestricted: true\n"},
	"items of a list go":    {edit.Field{Key: "gates", Value: []string{"b", "d"}}, tokenHead + setSpec + "  gates: [«a, »b, «c, »d«, \"e\"»] # where\n"},
	"an item more":          {edit.Field{Key: "gates", Value: []string{"a", "b"}}, tokenHead + setSpec + "  gates:\n    - a # one\n‹    - b\n›  unrestricted: true\n"},
	"an item more, in line": {edit.Field{Key: "gates", Value: []string{"a", "b"}}, tokenHead + setSpec + "  gates: [a‹, b›] # where\n"},
	"a rule goes": {edit.Field{Key: "allow", Value: []any{map[string]any{"methods": []string{"GET", "POST"}, "path": "/a"}}},
		tokenHead + setSpec + "  allow:\n  # read\n  - methods: [GET, POST]  # both\n    path: /a  # all\n  # more\n«  - methods: [DELETE]\n    path: /b\n»  unrestricted: true\n"},
	"a rule changes": {edit.Field{Key: "allow", Value: []any{map[string]any{"methods": []string{"GET"}, "path": "/a"}, map[string]any{"path": "/c"}}},
		tokenHead + setSpec + "  allow:\n  - methods: [GET«, POST»]  # both\n    path: /a  # all\n  # more\n  - path: /«b»‹c›  # some\n  unrestricted: true\n"},
	"a range goes":          {edit.Field{Key: "clients", Value: map[string]any{"allow": []string{"10.0.0.0/8"}}}, tokenHead + setSpec + "  clients:\n    # the office\n    allow: [10.0.0.0/8«, 192.168.0.0/16»] # both\n«    deny: [10.9.0.0/16]\n»"},
	"a value with escapes":  {edit.Field{Key: "limitTo"}, tokenHead + "spec: {user: a, digest: '" + digestA + "'«, limitTo: \"[get]/x\\n\"»}\n"},
	"a text after escapes":  {edit.Field{Key: "displayName", Value: "it's: #1"}, tokenHead + setSpec + "  displayName: «\"a\\tb\"»‹\"it's: #1\"› # shown\n"},
	"within braces":         {edit.Field{Key: "suspended", Value: true}, tokenHead + "spec: {user: a, issued: 2026-05-01T00:00:00Z‹, suspended: true›, digest: '" + digestA + "'}\n"},
	"within braces, goes":   {edit.Field{Key: "suspended"}, tokenHead + "spec: {user: a, «suspended: true, »digest: '" + digestA + "'}\n"},
	"within braces, a list": {edit.Field{Key: "gates", Value: []string{"a"}}, tokenHead + "spec: {user: a, gates: [a«, b»], digest: '" + digestA + "'}\n"},
	"an annotation":         {edit.Field{Annotation: true, Key: "patgate.dev/hint", Value: "patg_abcd"}, header + "kind: APIToken\nmetadata:\n  name: ci\n‹  annotations:\n    patgate.dev/hint: patg_abcd\n›" + setSpec},
	"in braces":             {edit.Field{Annotation: true, Key: "patgate.dev/hint", Value: "patg_abcd"}, header + "kind: APIToken\nmetadata: {name: ci‹, annotations: {patgate.dev/hint: patg_abcd}›}\n" + setSpec},
	"next to another":       {edit.Field{Annotation: true, Key: "patgate.dev/hint", Value: "patg_abcd"}, header + "kind: APIToken\nmetadata:\n  name: ci\n  annotations:\n    a: b # mine\n‹    patgate.dev/hint: patg_abcd\n›" + setSpec},
	"another annotation":    {edit.Field{Annotation: true, Key: "patgate.dev/hint", Value: "patg_abcd"}, header + "kind: APIToken\nmetadata:\n  name: ci\n  annotations:\n    patgate.dev/hint: patg_«wxyz»‹abcd›\n" + setSpec},
	"the last one goes":     {edit.Field{Annotation: true, Key: "patgate.dev/hint"}, header + "kind: APIToken\nmetadata:\n  name: ci\n«  annotations:\n    patgate.dev/hint: patg_wxyz\n»" + setSpec},
	"JSON":                  {edit.Field{Key: "gates", Value: []string{"a"}}, `{"apiVersion": "patgate.dev/v1alpha1", "kind": "APIToken", "metadata": {"name": "ci"}, "spec": {"user": "a", "digest": "` + digestA + `"‹, "gates": ["a"]›}}`},
	"nothing to take out":   {edit.Field{Key: "suspended"}, tokenHead + setSpec},
}

func TestSetChangesOneField(t *testing.T) {
	for name, c := range sets {
		for _, form := range []string{"\n", "\r\n"} {
			before, after := split(strings.ReplaceAll(c.text, "\n", form))
			if form == "\r\n" && strings.Contains(c.text, "limitTo: |") && c.field.Value != nil {
				continue // what a line break in a block of text means is the same, and written anew
			}
			got, err := edit.Set("f.yaml", []byte(before), "ci", c.field)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			} else if string(got) != after {
				t.Errorf("%s: got\n%s\nwant\n%s", name, got, after)
			}
		}
	}
}

// TestSetRefuses has places that an edit would change more of.
func TestSetRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"no such token": strings.Replace(tokenHead, "ci", "other", 1) + setSpec,
		"a folded text": tokenHead + setSpec + "  displayName:\n    the\n    bot\n",
	} {
		if got, err := edit.Set("f.yaml", []byte(text), "ci", edit.Field{Key: "displayName", Value: "x"}); err == nil {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// FuzzSet sets a field in any file: the result decodes to what was there but for the field, or the
// edit is refused.
func FuzzSet(f *testing.F) {
	for _, c := range sets {
		before, _ := split(c.text)
		f.Add([]byte(before), c.field.Annotation, c.field.Key, "a text: with 'quotes'\nand lines", true)
		f.Add([]byte(before), c.field.Annotation, c.field.Key, "", false)
	}
	f.Fuzz(func(t *testing.T, data []byte, annotation bool, key, value string, set bool) {
		field := edit.Field{Annotation: annotation, Key: key}
		if set {
			field.Value = value
		}
		got, err := edit.Set("f.yaml", data, "ci", field)
		if err != nil {
			return
		}
		var dec manifest.Decoder
		before, _ := dec.Decode("f.yaml", data)
		after, _ := dec.Decode("f.yaml", got)
		if len(before) != len(after) {
			t.Fatalf("%d documents, and %d before:\n%s", len(after), len(before), got)
		}
		for i := range after {
			if before[i].Kind != after[i].Kind && key != "kind" || before[i].Metadata.Name.Text != after[i].Metadata.Name.Text {
				t.Errorf("%s %s became %s %s:\n%s", before[i].Kind, before[i].Metadata.Name.Text, after[i].Kind, after[i].Metadata.Name.Text, got)
			}
		}
	})
}
