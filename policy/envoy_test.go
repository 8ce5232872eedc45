package policy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/patgate/patgate/policy"
)

// TestMutatedHeadersNameAll holds the list that Envoy gets against what answers remove.
func TestMutatedHeadersNameAll(t *testing.T) {
	g := &policy.Gate{ActAsHeader: "x-on-behalf-of", ClientIP: policy.ClientIP{Source: policy.FromXFF}, Upstream: policy.NewUpstream("x-u", "x-g", "x-t", "x-on-behalf-of", false)}
	names := g.MutatedHeaders()
	removed := []string{}
	for identity := range policy.Identity(4) {
		removed = append(removed, g.Upstream.Remove(identity, true)...)
	}
	for _, name := range removed {
		if !slices.Contains(names, strings.ReplaceAll(name, "_", "-")) {
			t.Errorf("%s is removed and not named", name)
		}
	}
	for _, name := range g.IdentityHeaders() {
		if !slices.Contains(names, name) {
			t.Errorf("%s is set and not named", name)
		}
	}
	for _, name := range names {
		if name == policy.PatgateHeaders || name == policy.HeaderID || slices.Contains(removed, name) {
			continue
		}
		w := newWorld(t)
		w.gate.ClientIP = g.ClientIP
		spelling := strings.Replace(name, "-", "_", 1)
		if d := w.ask(request(header(spelling, "x"))); spelling != name && !slices.Equal(d.Remove, []string{spelling}) {
			t.Errorf("%s is named, and no answer removes it or %s", name, spelling)
		}
	}
}

func TestBodyRule(t *testing.T) {
	node, err := policy.NewNode("fields.project.key", pattern(t, "KANBAN"))
	if err != nil {
		t.Fatal(err)
	}
	reads := &policy.Rule{Name: "by project", JSON: []policy.Node{node}}
	with := &policy.Policy{Name: "json", Allow: []*policy.Rule{{Name: "first"}, reads}}
	for _, c := range []struct {
		name string
		set  func(w *world)
		want bool
	}{
		{"no rule at all", func(*world) {}, false},
		{"a bound of the gate", func(w *world) { w.gate.Policies = []*policy.Policy{with} }, true},
		{"one that only observes", func(w *world) {
			w.gate.Policies = []*policy.Policy{{Observe: true, Deny: []*policy.Rule{reads}}}
		}, true},
		{"the anonymous", func(w *world) { w.gate.Anonymous = &policy.Grant{Policies: []*policy.Policy{with}} }, true},
		{"a token", func(w *world) { w.token.Grant = policy.Grant{Policies: []*policy.Policy{with}} }, true},
		{"a suspended token", func(w *world) {
			w.token.Grant, w.token.Suspended = policy.Grant{Policies: []*policy.Policy{with}}, true
		}, true},
		{"a revoked token", func(w *world) {
			w.token.Grant, w.token.Revoked = policy.Grant{Policies: []*policy.Policy{with}}, true
		}, false},
		{"a token of another gate", func(w *world) {
			w.token.Grant, w.token.Gates = policy.Grant{Policies: []*policy.Policy{with}}, []string{"wiki"}
		}, false},
		{"a token whose user the gate does not admit", func(w *world) {
			w.token.Grant = policy.Grant{Policies: []*policy.Policy{with}}
			w.gate.Groups = []*policy.Group{w.group("others", "bob")}
		}, false},
		{"a group of the token's user", func(w *world) { w.group("staff", "alice").Policies = []*policy.Policy{with} }, true},
		{"a group of others", func(w *world) { w.group("others", "bob").Policies = []*policy.Policy{with} }, false},
		{"a group of others, for a token of any user", func(w *world) {
			w.group("others", "bob").Policies = []*policy.Policy{with}
			w.token.User, w.token.AnyUser = "", true
		}, true},
		{"a group of whom the token may speak for", func(w *world) {
			w.group("others", "bob").Policies = []*policy.Policy{with}
			w.gate.ActAsHeader, w.token.ActAs = "x-on-behalf-of", []*policy.Pattern{pattern(t, "b.*")}
		}, true},
		{"where the gate takes no word of it", func(w *world) {
			w.group("others", "bob").Policies = []*policy.Policy{with}
			w.token.ActAs = []*policy.Pattern{pattern(t, "b.*")}
		}, false},
	} {
		w := newWorld(t)
		c.set(w)
		w.snapshot() // gives the tokens their groups
		rows := policy.Rows{Gates: w.gates, Tokens: w.tokens, Groups: w.groups}
		if got := rows.BodyTypes(w.gate); (len(got) == 1 && got[0] == "application/json") != c.want {
			t.Errorf("%s: bodies of %v are read", c.name, got)
		}
		if got := rows.BodyRule(w.gate); (got == reads) != c.want || got != nil && got != reads {
			t.Errorf("%s: %v, want one: %v", c.name, got, c.want)
		}
	}
}

// An API that merges forms may take the method from one: then deny rules on methods read it.
func TestMethodsOfMergedFormsReadBodies(t *testing.T) {
	w := newWorld(t)
	refuses := rule(t, "refuses", "method", "DELETE")
	w.gate.Policies = []*policy.Policy{denying(refuses), allowing(rule(t, "r", "method", "GET"))}
	w.snapshot()
	rows := policy.Rows{Gates: w.gates, Tokens: w.tokens}
	for _, forms := range []policy.FormBodies{policy.FormsUnknown, policy.FormsSeparate} {
		w.gate.FormBodies = forms
		if got := rows.BodyRule(w.gate); got != nil {
			t.Errorf("%q: %v", forms, got)
		}
	}
	w.gate.FormBodies = policy.FormsMerged
	want := []string{"application/x-www-form-urlencoded", "multipart/form-data"}
	if got := rows.BodyRule(w.gate); got != refuses || !slices.Equal(rows.BodyTypes(w.gate), want) {
		t.Errorf("merged: %v, %v", got, rows.BodyTypes(w.gate))
	}
}
