// Package lookalikes makes requests that a lenient API could read in another way than
// patgate did, and checks what the API says that it read.
//
// A Suite holds the manifests to load, the requests to send and the check of each answer.
// It knows nothing of what is between: an Envoy, another proxy, or nothing at all.
//
//	suite := lookalikes.New(lookalikes.Profile{})
//	write(suite.Manifests())
//	for _, request := range suite.Requests(seed, 2000) {
//		answer, err := request.Send(address)
//		for _, broken := range suite.Check(request, answer) { … }
//	}
package lookalikes

import (
	"fmt"
	"strings"
	"time"

	"github.com/patgate/patgate/token"
)

// Hosts of the gates. OtherHost belongs to a gate that no token of the suite may use.
const (
	Host        = "api.example.com"
	EncodedHost = "files.example.com"
	OtherHost   = "wiki.example.com"
)

// Profile is what an operator says in a Gate about the API behind it.
type Profile struct {
	Routing      string   // upstream.routing; empty: the default
	FormBodies   string   // formBodies; empty: the default
	AllowEncoded []string // allowEncoded of the gate of EncodedHost
	KeepsEncoded bool     // the API routes by a path in which %2F is no slash
	FoldsJSON    bool     // the API takes JSON keys in another case for the named one
}

// Suite is the manifests of one profile with the values of its tokens.
type Suite struct {
	profile Profile
	values  map[string]string // of the tokens, by the name of the rule
	rules   map[string]*Rule
}

// New returns a suite with fresh values.
func New(profile Profile) *Suite {
	s := &Suite{profile: profile, values: map[string]string{}, rules: map[string]*Rule{}}
	for i := range rules {
		s.rules[rules[i].Name] = &rules[i]
		s.values[rules[i].Name] = token.Mint().Reveal()
	}
	return s
}

// Secrets returns the values of the tokens by name. They must appear nowhere.
func (s *Suite) Secrets() map[string]string { return s.values }

// Manifests returns the manifests to load, as one YAML text.
func (s *Suite) Manifests() string {
	var b strings.Builder
	b.WriteString(s.gate("api", Host, nil, true))
	b.WriteString(s.gate("files", EncodedHost, s.profile.AllowEncoded, false))
	b.WriteString(s.gate("wiki", "*.example.com", nil, false))
	b.WriteString(document("Gate", "rest", "schemes: [basic, bearer]\n"))
	b.WriteString(document("UserGroup", "staff", "members: [alice]\n"))
	issued := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	for i := range rules {
		rule := &rules[i]
		digest := token.Sum(token.NewSecret(s.values[rule.Name]))
		spec := fmt.Sprintf("user: alice\ndigest: %s\nissued: %s\ngates: [api, files]\n", digest, issued)
		if rule.Deny != "" {
			b.WriteString(document("TokenPolicy", rule.Name, "deny:\n- "+rule.Deny+"\n"))
			spec += "unrestricted: true\npolicies: [" + rule.Name + "]\n"
		} else if rule.Allow != "" {
			spec += "allow:\n- " + rule.Allow + "\n"
		} else {
			spec += "unrestricted: true\n"
		}
		b.WriteString(document("APIToken", rule.Name, spec))
	}
	return b.String()
}

func (s *Suite) gate(name, host string, encoded []string, anonymous bool) string {
	spec := fmt.Sprintf("hosts: [%q]\nschemes: [basic, bearer]\nactAs: {header: x-on-behalf-of}\n", host)
	if anonymous {
		spec += "anonymous:\n  allow:\n  - path: /rest/public(/.*)?\n"
	}
	if len(encoded) > 0 {
		spec += fmt.Sprintf("allowEncoded: [%s]\n", quoted(encoded))
	}
	if s.profile.FormBodies != "" {
		spec += "formBodies: " + s.profile.FormBodies + "\n"
	}
	if s.profile.Routing != "" {
		spec += "upstream: {routing: " + s.profile.Routing + "}\n"
	}
	return document("Gate", name, spec)
}

func quoted(list []string) string {
	made := make([]string, len(list))
	for i, text := range list {
		made[i] = fmt.Sprintf("%q", text)
	}
	return strings.Join(made, ", ")
}

// document writes a manifest.
func document(kind, name, spec string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: patgate.dev/v1alpha1\nkind: %s\nmetadata: {name: %s}\nspec:\n", kind, name)
	for line := range strings.Lines(spec) {
		b.WriteString("  " + line)
	}
	b.WriteString("---\n")
	return b.String()
}
