package admin

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

var updatePages = flag.Bool("update-pages", false, "rewrite docs/api.md")

// schemaOf is the part of an OpenAPI schema that the page shows.
type schemaOf struct {
	Ref         string `json:"$ref"`
	Type        any
	Description string
	Format      string
	Enum        []any
	Required    []string
	Properties  map[string]*schemaOf
	Items       *schemaOf
	AllOf       []*schemaOf `json:"allOf"`
}

type operationOf struct {
	Summary     string
	Description string
	Parameters  []struct {
		Name, In, Description string
		Required              bool
		Schema                *schemaOf
	}
	RequestBody struct {
		Content map[string]struct{ Schema *schemaOf }
	}
	Responses map[string]struct {
		Description string
		Ref         string `json:"$ref"`
		Content     map[string]struct{ Schema *schemaOf }
	}
}

// TestAPIPage holds docs/api.md against the OpenAPI document, of which it is made:
// go test ./admin -run TestAPIPage -update-pages
func TestAPIPage(t *testing.T) {
	var doc struct {
		Info       struct{ Description string }
		Paths      map[string]map[string]json.RawMessage
		Components struct{ Schemas map[string]*schemaOf }
	}
	if err := json.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# API reference\n\nMade of `/api/v1/openapi.json`, which the server has. %s\n\n[Managing tokens](manage.md) shows how to use it.\n", doc.Info.Description)
	for _, path := range slices.SortedFunc(maps.Keys(doc.Paths), byUse) {
		for _, method := range []string{"get", "post", "patch", "delete"} {
			raw, has := doc.Paths[path][method]
			if !has || strings.Contains(path, "/1.0/") {
				continue
			}
			var o operationOf
			if err := json.Unmarshal(raw, &o); err != nil {
				t.Fatal(path, err)
			}
			writeOperation(&b, strings.ToUpper(method), path, &o)
		}
	}
	b.WriteString("\n`/rest/pat/1.0/…` is the same as `/rest/pat/latest/…`.\n\n## Objects\n")
	for _, name := range slices.Sorted(maps.Keys(doc.Components.Schemas)) {
		writeSchema(&b, name, doc.Components.Schemas[name])
	}
	const file = "../docs/api.md"
	if *updatePages {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want, err := os.ReadFile(file); err != nil || string(want) != b.String() {
		t.Errorf("%s is not what the OpenAPI document says (%v): -update-pages writes it", file, err)
	}
}

// byUse orders paths: our own API first.
func byUse(a, b string) int {
	own := func(path string) int {
		if strings.HasPrefix(path, "/api/") {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(own(a), own(b)), strings.Compare(a, b))
}

func writeOperation(b *strings.Builder, method, path string, o *operationOf) {
	fmt.Fprintf(b, "\n## %s %s\n\n%s\n", method, path, strings.TrimSpace(o.Summary+" "+o.Description))
	if len(o.Parameters) > 0 {
		b.WriteString("\n| parameter | in | |\n|---|---|---|\n")
		for _, p := range o.Parameters {
			fmt.Fprintf(b, "| `%s` | %s | %s |\n", p.Name, p.In, cell(kindOfSchema(p.Schema), p.Description))
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(o.RequestBody.Content)) {
		fmt.Fprintf(b, "\nBody (`%s`): %s\n", kind, kindOfSchema(o.RequestBody.Content[kind].Schema))
	}
	b.WriteString("\n| status | answer |\n|---|---|\n")
	for _, status := range slices.Sorted(maps.Keys(o.Responses)) {
		r := o.Responses[status]
		var kinds []string
		for _, kind := range slices.Sorted(maps.Keys(r.Content)) {
			kinds = append(kinds, kindOfSchema(r.Content[kind].Schema))
		}
		fmt.Fprintf(b, "| %s | %s |\n", status, cell(strings.Join(kinds, ", "), r.Description))
	}
}

func writeSchema(b *strings.Builder, name string, s *schemaOf) {
	fmt.Fprintf(b, "\n### %s\n", name)
	if s.Description != "" {
		fmt.Fprintf(b, "\n%s\n", s.Description)
	}
	for _, of := range s.AllOf {
		if of.Ref != "" {
			fmt.Fprintf(b, "\nAll of %s, and:\n", kindOfSchema(of))
		}
	}
	fields := map[string]*schemaOf{}
	required := slices.Clone(s.Required)
	for _, of := range append([]*schemaOf{s}, s.AllOf...) {
		maps.Copy(fields, of.Properties)
		required = append(required, of.Required...)
	}
	if len(fields) == 0 {
		return
	}
	b.WriteString("\n| field | |\n|---|---|\n")
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		always := ""
		if slices.Contains(required, field) {
			always = " (always)"
		}
		fmt.Fprintf(b, "| `%s`%s | %s |\n", field, always, cell(kindOfSchema(fields[field]), fields[field].Description))
	}
}

// cell joins what a cell of a table says.
func cell(parts ...string) string {
	parts = slices.DeleteFunc(parts, func(p string) bool { return p == "" })
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(strings.Join(parts, ": "))
}

// kindOfSchema says in a word or two what a value is.
func kindOfSchema(s *schemaOf) string {
	switch {
	case s == nil:
		return ""
	case s.Ref != "":
		name := s.Ref[strings.LastIndex(s.Ref, "/")+1:]
		return "[" + name + "](#" + strings.ToLower(name) + ")"
	case len(s.Enum) > 0:
		return strings.Trim(strings.Join(strings.Fields(fmt.Sprint(s.Enum)), ", "), "[]")
	}
	kind := strings.Join(strings.Fields(strings.Trim(fmt.Sprint(s.Type), "[]")), " or ")
	if s.Type == nil {
		kind = "any"
	}
	if s.Items != nil {
		kind += " of " + kindOfSchema(s.Items)
	}
	if s.Format != "" {
		kind += ", " + s.Format
	}
	return kind
}
