package check

import (
	"regexp"
	"slices"
	"strings"

	"github.com/patgate/patgate/policy"
)

// identityHeaders are those that patgate alone may set, where no manifests say otherwise.
var identityHeaders = []string{"x-forwarded-user", "x-forwarded-groups", "x-patgate-token", policy.HeaderUserAsserted, policy.HeaderID}

// identities returns the headers that patgate alone may set.
func (c *checker) identities() []string {
	if c.gates == nil {
		return identityHeaders
	}
	return c.gates.identities
}

func (c *checker) isIdentity(name string) bool {
	return slices.Contains(c.identities(), strings.ReplaceAll(strings.ToLower(name), "_", "-"))
}

// identity requires the headers that patgate alone sets to be removed before ext_authz, and
// left alone after it.
func (c *checker) identity(conn *connection) {
	first, last := conn.authz[0], conn.authz[len(conn.authz)-1]
	var before, all []*node
	for _, e := range conn.body.get("early_header_mutation_extensions").elements() {
		_, body := typed(e.get("typed_config"))
		before = append(before, body.get("mutations").elements()...)
	}
	for i, f := range conn.filters {
		if f.message != typeHeaderMutation {
			continue
		}
		mutations := f.body.get("mutations", "request_mutations").elements()
		all = append(all, mutations...)
		if i < first {
			before = append(before, mutations...)
		}
		if i > last {
			c.mutatedAfter(mutations)
		}
	}
	c.callers(before)
	c.hostHeadersKept(conn, append(all, before...))
	var kept []string
	for _, name := range c.identities() {
		if !slices.ContainsFunc(before, func(m *node) bool { return removes(m, name) }) {
			kept = append(kept, name)
		}
	}
	if len(kept) > 0 {
		c.find(IdentityKept, conn.filters[first].node.spot(), "filters before ext_authz see %s as the client sent them", strings.Join(kept, ", "))
	}
}

// callerHeaders say who calls, and how: a filter that sets them before ext_authz does so
// for every client.
var callerHeaders = []string{"authorization", "x-forwarded-for", "x-forwarded-proto"}

// targetHeaders name the target of a request.
var targetHeaders = []string{":path", ":method", ":authority", "host", "x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url"}

// callers checks mutations before ext_authz.
func (c *checker) callers(mutations []*node) {
	for _, m := range mutations {
		key := m.get("append", "header", "key")
		if slices.ContainsFunc(callerHeaders, func(name string) bool { return strings.EqualFold(name, key.str()) }) {
			c.find(CallerForged, key.spot(), "%s is set before ext_authz: patgate takes it for the client's own header", key.str())
		}
	}
}

// mutatedAfter checks the mutations of a header_mutation filter behind ext_authz.
func (c *checker) mutatedAfter(mutations []*node) {
	for _, m := range mutations {
		if key := m.get("append", "header", "key"); c.isIdentity(key.str()) {
			c.find(IdentityForged, key.spot(), "%s is set after the check: the upstream takes it for patgate's", key.str())
		}
		if key := m.get("append", "header", "key"); slices.ContainsFunc(targetHeaders, func(name string) bool { return strings.EqualFold(name, key.str()) }) {
			c.find(ChangesAfter, key.spot(), "%s is set after the check: the upstream acts on another request", key.str())
		}
		for _, name := range c.identities() {
			if removes(m, name) {
				c.find(ChangesAfter, m.spot(), "%s, which patgate has set, is removed: the upstream does not learn who calls", name)
			}
		}
	}
}

// removes reports whether a HeaderMutation removes a header.
func removes(m *node, name string) bool {
	if r := m.get("remove"); r != nil && strings.EqualFold(r.str(), name) {
		return true
	}
	return matches(m.get("remove_on_match", "key_matcher"), name)
}

// matches evaluates a StringMatcher. What can't be evaluated does not match.
func matches(m *node, text string) bool {
	if m == nil {
		return false
	}
	fold := func(n *node) string {
		if m.get("ignore_case").isTrue() {
			return strings.ToLower(n.str())
		}
		return n.str()
	}
	switch {
	case m.get("exact") != nil:
		return text == fold(m.get("exact"))
	case m.get("prefix") != nil:
		return strings.HasPrefix(text, fold(m.get("prefix")))
	case m.get("suffix") != nil:
		return strings.HasSuffix(text, fold(m.get("suffix")))
	case m.get("contains") != nil:
		return strings.Contains(text, fold(m.get("contains")))
	case m.get("safe_regex") != nil:
		return fullMatch(m.get("safe_regex", "regex").str(), text)
	}
	return false
}

// fullMatch matches a pattern of RE2 against the whole text, as Envoy does.
func fullMatch(pattern, text string) bool {
	if _, err := regexp.Compile(pattern); err != nil {
		return false
	}
	return regexp.MustCompile(`\A(?:` + pattern + `)\z`).MatchString(text)
}
