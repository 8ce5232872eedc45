package envoy_test

import (
	"testing"

	"github.com/patgate/patgate/envoy"
	"github.com/patgate/patgate/policy"
)

// TestBodiesWhereCaseIsIgnored checks that bodies are read for the whole host where a gate's
// prefix matches in any case, as Envoy's routes don't.
func TestBodiesWhereCaseIsIgnored(t *testing.T) {
	reads := &policy.Rule{Name: "by project", Source: policy.Source{File: "m.yaml", Line: 7}}
	folds := gate("folds", func(g *policy.Gate) {
		g.Hosts, g.Prefixes, g.IgnoreCase = []string{"jira.example.com"}, []string{"/rest"}, true
	})
	other := gate("other", func(g *policy.Gate) { g.Hosts, g.Prefixes = []string{"jira.example.com"}, []string{"/open"} })
	text, _, err := envoy.Settings{Kind: envoy.KindStandalone, Gates: []envoy.Gate{{Gate: folds, Body: reads}, {Gate: other}}}.YAML()
	if err != nil {
		t.Fatal(err)
	}
	const want = `
"jira.example.com"
  {prefix: "/", JSON} body
  {prefix: "/"}
"*"
  {prefix: "/"}
`
	if got := routesOf(text); got != want {
		t.Errorf("routes:%swant%s", got, want)
	}
}
