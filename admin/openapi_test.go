package admin_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/patgate/patgate/admin"
	"github.com/patgate/patgate/token/snippet"
)

// document is the OpenAPI document, read once.
var document = sync.OnceValues(func() (map[string]any, error) {
	text, err := os.ReadFile("openapi.json")
	if err != nil {
		return nil, err
	}
	var doc map[string]any
	return doc, json.Unmarshal(text, &doc)
})

// templateOf returns the path of the document that a request's path is of; empty: none.
func templateOf(doc map[string]any, path string) string {
	path, _, _ = strings.Cut(path, "?")
	best := ""
	for template := range doc["paths"].(map[string]any) {
		pattern := "^" + regexp.MustCompile(`\\\{[a-z]+\\\}`).ReplaceAllString(regexp.QuoteMeta(template), `[^/:]+`) + "$"
		if regexp.MustCompile(pattern).MatchString(path) && (best == "" || strings.Count(template, "{") < strings.Count(best, "{")) {
			best = template
		}
	}
	return best
}

// holdsTo checks that the document describes an answer, and its form.
func holdsTo(t *testing.T, method, path string, answer *http.Response) {
	t.Helper()
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	template := templateOf(doc, path)
	if template == "" || answer.StatusCode == http.StatusMethodNotAllowed || strings.HasSuffix(path, "openapi.json") {
		return
	}
	operation, there := doc["paths"].(map[string]any)[template].(map[string]any)[strings.ToLower(method)].(map[string]any)
	if !there {
		return
	}
	response, _ := operation["responses"].(map[string]any)[fmt.Sprint(answer.StatusCode)].(map[string]any)
	if response == nil {
		t.Errorf("%s %s: the document has no %d", method, template, answer.StatusCode)
		return
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body = io.NopCloser(bytes.NewReader(text))
	forms, _ := response["content"].(map[string]any)
	content, _ := forms[answer.Header.Get("Content-Type")].(map[string]any)
	if content == nil {
		if len(text) > 0 {
			t.Errorf("%s %s %d: the document has no %s", method, template, answer.StatusCode, answer.Header.Get("Content-Type"))
		}
		return
	}
	c := jsonschema.NewCompiler()
	body, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%s %s: %v", method, template, err)
	}
	whole := map[string]any{"components": doc["components"], "allOf": []any{content["schema"]}}
	if err := c.AddResource("document.json", whole); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("document.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(body); err != nil {
		t.Errorf("%s %s %d: %v\n%s", method, template, answer.StatusCode, err, text)
	}
}

// TestDocumentNamesTheLanguages holds the languages of snippets, and the orders of lists, to the document.
func TestDocumentNamesTheLanguages(t *testing.T) {
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	enum := func(path, parameter string) (names []string) {
		for _, p := range doc["paths"].(map[string]any)[path].(map[string]any)["get"].(map[string]any)["parameters"].([]any) {
			if p := p.(map[string]any); p["name"] == parameter {
				for _, name := range p["schema"].(map[string]any)["enum"].([]any) {
					names = append(names, name.(string))
				}
			}
		}
		return names
	}
	if got := enum("/api/v1/tokens/{name}/snippets", "lang"); !slices.Equal(got, snippet.Languages()) {
		t.Errorf("languages %v, want %v", got, snippet.Languages())
	}
	if got := enum("/api/v1/tokens", "sort"); len(got) != 2*len(admin.Sorts) {
		t.Errorf("orders %v, want %v", got, admin.Sorts)
	}
}

// TestNoValueLeaks has values and digests in every answer but the one that shows a value, in every
// event and in what is stored.
func TestNoValueLeaks(t *testing.T) {
	g := newOffice(t, nil)
	g.Log.Take()
	var shown []string // values that were answered once
	forbidden := func() (list []string) {
		for _, value := range g.values {
			list = append(list, value.Reveal())
		}
		return append(list, shown...)
	}
	leaks := func(where, text string) {
		for _, value := range forbidden() {
			if strings.Contains(text, value) {
				t.Errorf("%s holds a value", where)
			}
		}
	}
	for _, body := range []string{`{"displayName": "A", "policies": ["read"]}`, `{"displayName": "B", "unrestricted": true, "description": "` + g.values["mine"].Reveal() + `"}`,
		`{"displayName": "C", "unrestricted": true, "description": "\u0070` + g.values["mine"].Reveal()[1:] + `"}`, `{"displayName": "` + g.values["mine"].Reveal() + `", "unrestricted": true}`} {
		answer := g.do(as{header: "alice"}, "POST", "/api/v1/tokens", body)
		value, _ := read(t, answer)["value"].(string)
		if value == "" && answer.StatusCode == http.StatusCreated {
			t.Error("no value")
		}
		if value != "" {
			shown = append(shown, value)
		}
	}
	for _, call := range calls {
		for _, caller := range callers {
			if strings.HasSuffix(call.path, ":rotate") || call.method == "POST" && strings.HasSuffix(call.path, "/tokens") {
				continue // they show a new value
			}
			answer := textOf(t, g.do(caller.who(g), call.method, call.path, call.body))
			leaks(call.method+" "+call.path, answer)
			if strings.Contains(answer, "sha256:") {
				t.Errorf("%s %s as %s: a digest: %s", call.method, call.path, caller.name, answer)
			}
		}
	}
	leaks("the store", g.Store.Text())
	for _, e := range g.Log.Events() {
		leaks("an event", fmt.Sprint(e.By, e.Detail, e.Reason, e.Path, e.Query, e.Token, e.User, e.Problems, e.Fields))
	}
}
