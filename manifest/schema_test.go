package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

// compiled is the schema as another program reads it.
func compiled(t testing.TB) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("patgate.json", document); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("patgate.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// documents reads YAML as an editor does.
func documents(text string) (docs []any, err error) {
	for d := yaml.NewDecoder(strings.NewReader(text)); ; {
		var n yaml.Node
		switch err := d.Decode(&n); {
		case errors.Is(err, io.EOF):
			return docs, nil
		case err != nil:
			return docs, err
		}
		if len(n.Content) == 1 && n.Content[0].ShortTag() != "!!null" {
			docs = append(docs, asJSON(n.Content[0]))
		}
	}
}

// asJSON returns a node as JSON's types. What only YAML knows is text, as it is in
// YAML 1.2.
func asJSON(n *yaml.Node) any {
	switch n.Kind {
	case yaml.AliasNode:
		return asJSON(n.Alias)
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			m[n.Content[i].Value] = asJSON(n.Content[i+1])
		}
		return m
	case yaml.SequenceNode:
		list := []any{}
		for _, c := range n.Content {
			list = append(list, asJSON(c))
		}
		return list
	}
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		return strings.EqualFold(n.Value, "true")
	case "!!int":
		if i, err := strconv.ParseInt(n.Value, 0, 64); err == nil {
			return i
		}
	case "!!float":
		if f, err := strconv.ParseFloat(n.Value, 64); err == nil {
			return f
		}
	}
	return n.Value
}

// block is a manifest in a document.
var block = regexp.MustCompile("(?ms)^```yaml\n(apiVersion: patgate.dev/.*?)^```$")

// goodManifests are all that the project has, by the names of their files.
func goodManifests(t testing.TB) map[string]string {
	t.Helper()
	good := map[string]string{}
	for _, pattern := range []string{"../ruleset/testdata/good/*.yaml", "../cmd/patgate/demo/*.yaml", "../test/corpus/manifests.yaml",
		"../README.md", "../envoy/README.md", "../docs/*.md"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %v, %v", pattern, names, err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			good[name] = string(text)
			if strings.HasSuffix(name, ".md") {
				var b strings.Builder
				for _, found := range block.FindAllSubmatch(text, -1) {
					b.WriteString("---\n" + string(found[1]))
				}
				good[name] = b.String()
			}
		}
	}
	corpus := "../test/corpus/manifests.yaml"
	good[corpus] = regexp.MustCompile(`\$\{[^}]*DAYS-AGO\}`).ReplaceAllString(good[corpus], "2026-05-01T00:00:00Z")
	good[corpus] = regexp.MustCompile(`\$\{\w+\}`).ReplaceAllString(good[corpus], "sha256:"+strings.Repeat("ab", 32))
	return good
}

func TestSchemaTakesGoodManifests(t *testing.T) {
	s := compiled(t)
	used := map[string]bool{}
	for name, text := range goodManifests(t) {
		docs, err := documents(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for i, doc := range docs {
			if err := s.Validate(doc); err != nil {
				t.Errorf("%s, document %d: %v", name, i, err)
			}
		}
		if strings.HasPrefix(name, "../ruleset/testdata/good/") {
			if len(docs) == 0 {
				t.Errorf("%s is empty", name)
			}
			collectKeys(docs, used)
		}
	}
	for name := range descriptions {
		if _, field, ok := strings.Cut(name, "."); ok && !used[field] {
			t.Errorf("no file of testdata/good holds a field %s", name)
		}
	}
}

func collectKeys(v any, used map[string]bool) {
	switch v := v.(type) {
	case []any:
		for _, each := range v {
			collectKeys(each, used)
		}
	case map[string]any:
		for key, value := range v {
			used[key] = true
			collectKeys(value, used)
		}
	}
}

// TestSchemaRefusesBadManifests checks that the schema refuses every archive of testdata/bad
// except those that are listed, which only patgate refuses.
func TestSchemaRefusesBadManifests(t *testing.T) {
	s := compiled(t)
	reasons := map[string]string{}
	for reason, names := range beyondSchema {
		for _, name := range strings.Fields(names) {
			reasons[name] = reason
		}
	}
	archives, err := filepath.Glob("../ruleset/testdata/bad/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("%v, %v", archives, err)
	}
	for _, path := range archives {
		name := strings.TrimSuffix(filepath.Base(path), ".txtar")
		refusal := archiveRefused(t, s, path)
		reason, listed := reasons[name]
		switch {
		case refusal == nil && !listed:
			t.Errorf("%s: taken, and not listed as what only patgate can see", name)
		case refusal != nil && listed:
			t.Errorf("%s: listed (%s), but refused: %v", name, reason, refusal)
		}
		delete(reasons, name)
	}
	for _, name := range slices.Sorted(maps.Keys(reasons)) {
		t.Errorf("%s: listed, but there is no such archive", name)
	}
}

func archiveRefused(t *testing.T, s *jsonschema.Schema, path string) error {
	t.Helper()
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range archive.Files {
		if !strings.HasSuffix(f.Name, ".yaml") && !strings.HasSuffix(f.Name, ".yml") {
			continue
		}
		docs, _ := documents(string(f.Data)) // an editor itself reports what is not YAML
		for i, doc := range docs {
			if err := s.Validate(doc); err != nil {
				return fmt.Errorf("%s, document %d: %w", f.Name, i, err)
			}
		}
	}
	return nil
}

// TestSchemaDescribesEveryField checks that each type and field has a description, and that
// no description is left over.
func TestSchemaDescribesEveryField(t *testing.T) {
	d := describer{defs: map[string]*schema{}}
	d.manifest()
	want := map[string]bool{"manifest": true, "apiVersion": true, "kind": true, "spec": true, "status": true, "serverSet": true}
	for name, s := range d.defs {
		want[name] = true
		for _, p := range s.Properties {
			if !isServerSet(p.key) {
				want[name+"."+p.key] = true
			}
		}
	}
	for name := range want {
		if describe(name) == "" {
			t.Errorf("nothing describes %s: descriptions in schema_texts.go needs a line", name)
		}
	}
	for name := range descriptions {
		if !want[name] {
			t.Errorf("a description of %s, which there is not", name)
		}
	}
}

// fuzzed are manifests with a place for a value: each form that a field may have.
var fuzzed = []string{
	"kind: Gate\nmetadata: {name: %s}\nspec: {requireTLS: true}",
	"kind: Gate\nmetadata: {name: a}\nspec: {basicEnds: %s}",
	"kind: Gate\nmetadata: {name: a}\nspec: {hosts: [%s]}",
	"kind: Gate\nmetadata: {name: a}\nspec: {paths: [%s]}",
	"kind: Gate\nmetadata: {name: a}\nspec: {schemes: [%s]}",
	"kind: Gate\nmetadata: {name: a}\nspec: {groups: [%s]}",
	"kind: Gate\nmetadata: {name: a}\nspec: {actAs: {header: %s}}",
	"kind: Gate\nmetadata: {name: a}\nspec: {clients: {deny: [%s]}}",
	"kind: UserGroup\nmetadata: {name: a}\nspec: {members: [%s]}",
	"kind: UserGroup\nmetadata: {name: a}\nspec: {members: [], tokens: {maxLifetime: %s}}",
	"kind: TokenPolicy\nmetadata: {name: a}\nspec: {allow: [{path: %s}]}",
	"kind: TokenPolicy\nmetadata: {name: a}\nspec: {allow: [{methods: [%s]}]}",
	"kind: TokenPolicy\nmetadata: {name: a}\nspec: {allow: [{query: {%s: a}}]}",
	"kind: TokenPolicy\nmetadata: {name: a}\nspec: {allow: [{json: {%s: a}}]}",
	"kind: APIToken\nmetadata: {name: a}\nspec: {user: a, digest: %s, issued: 2026-05-01T00:00:00Z, unrestricted: true}",
	"kind: APIToken\nmetadata: {name: a}\nspec: {user: a, digest: sha256:" + oneDigest + ", issued: 2026-05-01T00:00:00Z, limitTo: %s}",
	"kind: PolicyTest\nmetadata: {name: a}\nspec: {cases: [{request: %s, want: allow}]}",
	"kind: PolicyTest\nmetadata: {name: a}\nspec: {cases: [{request: GET /, want: %s}]}",
	"kind: PolicyTest\nmetadata: {name: a}\nspec: {cases: [{request: GET /, want: allow, client: %s}]}",
}

const oneDigest = "a225fab98955e121e6b28bd2fcfe197dffc8706e731a58295f31369fbd6a41d8"

// FuzzSchema holds the schema against the decoder: it takes whatever decodes.
func FuzzSchema(f *testing.F) {
	s := compiled(f)
	for _, value := range []string{"a.b-c.0", "2026-07-30T00:00:00.5+02:00", "*.jira.example.com", "*.[::1]", "_a", "\u212a", "/rest/a b/", "/...", "/.a", "/a..", "bearer",
		"X-Client", "10.0.0.0/8", "2001:db8::/32", "::ffff:1.2.3.4", "::ffff:0:0/96", "1::", "zoë b.", "1w2d3h4m5.5s", ".5h", "1d0", "0w90d", "1w-0s", "5.µs", "007d", "forever", `.*/issue/JRA-\d+`, "get",
		"sha256:" + oneDigest, "[post]/a[JsonData::a==b]", "GET /a?b=c", "deny no_rule_matched", "allow"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		quoted, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		for _, template := range fuzzed {
			text := "apiVersion: " + APIVersion + "\n" + fmt.Sprintf(template, quoted) + "\n"
			var dec Decoder
			docs := dec.read("f.yaml", []byte(text), strings.Contains(text, KindPolicyTest), nil)
			if problems := dec.Explain(docs); len(problems) > 0 {
				continue
			}
			read, err := documents(text)
			if err != nil {
				t.Fatal(err)
			}
			for _, doc := range read {
				if err := s.Validate(doc); err != nil {
					t.Errorf("%v\n%s", err, text)
				}
			}
		}
	})
}
