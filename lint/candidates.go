package lint

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/patgate/patgate/explain"
	"github.com/patgate/patgate/policy"
)

// candidate is a request in the making, in parts that can be changed one by one.
type candidate struct {
	method, path, host, token, user string
	client                          netip.Addr
	query, nodes                    []named
	bodyTypes                       []string // that all rules on the body read, where there are any
	call                            *mcpCall // where a rule is on messages to an MCP server
}

// named is a parameter's or a node's value.
type named struct{ name, value string }

// candidates makes requests that match all of the rules, shortest path first.
func (t *trial) candidates(rules []*policy.Rule) []*candidate {
	c := &candidate{host: exampleHost(t.gate)}
	ranges, limited := []policy.Ranges{t.gate.Clients}, !t.gate.Clients.Empty()
	if t.token != nil {
		c.token, c.user = t.token.Name, t.user
		ranges, limited = append(ranges, t.token.Clients), limited || !t.token.Clients.Empty()
	}
	var lists [][]netip.Prefix
	for _, r := range rules {
		lists, limited = append(lists, r.Clients), limited || len(r.Clients) > 0
	}
	if limited {
		addr, ok := address(ranges, lists...)
		if !ok {
			return nil
		}
		c.client = addr
	}
	if !c.values(rules) || !c.chooseCall(rules) || !c.chooseMethod(rules) {
		return nil
	}
	return c.withPaths(t.gate, rules)
}

func exampleHost(g *policy.Gate) string {
	return explain.FirstHost(policy.Rows{Gates: []*policy.Gate{g}})
}

func (c *candidate) chooseMethod(rules []*policy.Rule) bool {
	var methods []string
	for _, r := range rules {
		switch {
		case len(r.Methods) == 0:
		case methods == nil:
			methods = r.Methods
		default:
			methods = slices.DeleteFunc(slices.Clone(methods), func(m string) bool { return !slices.Contains(r.Methods, m) })
			if len(methods) == 0 {
				return false
			}
		}
	}
	usual := "GET"
	if len(c.nodes) > 0 || c.call != nil {
		usual = "POST"
	}
	switch {
	case methods == nil || slices.Contains(methods, usual):
		c.method = usual
	default:
		c.method = methods[0]
	}
	return true
}

// values finds a value for each parameter and node.
func (c *candidate) values(rules []*policy.Rule) bool {
	query, nodes := map[string][]string{}, map[string][]string{}
	for _, r := range rules {
		for _, p := range r.Query {
			if _, known := query[p.Name]; !known {
				c.query = append(c.query, named{name: p.Name})
			}
			query[p.Name] = append(query[p.Name], p.Pattern.String())
		}
		if len(r.JSON) > 0 && !c.readBy(r) {
			return false
		}
		for _, n := range r.JSON {
			if _, known := nodes[n.Text]; !known {
				c.nodes = append(c.nodes, named{name: n.Text})
			}
			nodes[n.Text] = append(nodes[n.Text], n.Pattern.String())
		}
	}
	for _, list := range []struct {
		values   []named
		patterns map[string][]string
	}{{c.query, query}, {c.nodes, nodes}} {
		for i := range list.values {
			v := &list.values[i]
			text, found := search(anyText(), list.patterns[v.name]...)
			if found != some {
				return false
			}
			v.value = text
		}
	}
	return true
}

// readBy keeps the types of bodies that a rule also reads, and reports whether any is left.
func (c *candidate) readBy(r *policy.Rule) bool {
	if c.bodyTypes == nil {
		c.bodyTypes = r.BodyTypes()
		return true
	}
	c.bodyTypes = slices.DeleteFunc(slices.Clone(c.bodyTypes), func(t string) bool { return !slices.Contains(r.BodyTypes(), t) })
	return len(c.bodyTypes) > 0
}

// withPaths returns the candidate with a few paths that the rules match.
func (c *candidate) withPaths(g *policy.Gate, rules []*policy.Rule) []*candidate {
	var patterns []*policy.Pattern
	var texts []string
	for _, r := range rules {
		if r.Path != nil && !slices.Contains(texts, r.Path.String()) {
			patterns, texts = append(patterns, r.Path), append(texts, r.Path.String())
		}
	}
	var list []*candidate
	for _, prefix := range g.Prefixes {
		path, found := search(pathsBelow(prefix, g.AllowEncoded), texts...)
		if found != some {
			continue
		}
		for _, more := range []string{"", "1", "/x", "x/y"} {
			longer := path + more
			if slices.ContainsFunc(patterns, func(p *policy.Pattern) bool { return !p.Match(longer) }) {
				continue
			}
			with := *c
			with.path = longer
			list = append(list, &with)
		}
	}
	return list
}

// question writes the candidate as a request.
func (c *candidate) question(now time.Time) explain.Request {
	q := explain.Request{
		Now: now, Method: c.method, Target: escapePath(c.path), Host: c.host, TLS: true, Client: c.client,
		Token: c.token, User: c.user, Body: bodyOf(append(c.call.nodes(), c.nodes...)),
	}
	if len(q.Body) > 0 && len(c.bodyTypes) > 0 {
		q.Header = map[string][]string{"content-type": {c.bodyTypes[0]}}
	}
	for i, p := range c.query {
		sep := "&"
		if i == 0 {
			sep = "?"
		}
		q.Target += sep + url.QueryEscape(p.name) + "=" + url.QueryEscape(p.value)
	}
	return q
}

// escapePath writes a path that rules match as it goes over the wire. A `%` in it begins
// an escape that a gate opens, which stays.
func escapePath(path string) string {
	var b strings.Builder
	for {
		plain, escape, found := strings.Cut(path, "%")
		b.WriteString((&url.URL{Path: plain}).EscapedPath())
		if !found {
			return b.String()
		}
		end := min(2, len(escape))
		b.WriteString("%" + escape[:end])
		path = escape[end:]
	}
}

// mutations change a candidate in one condition of the rule.
func (c *candidate) mutations(r *policy.Rule) []*candidate {
	var list []*candidate
	with := func(change func(*candidate)) {
		m := *c
		m.query, m.nodes = slices.Clone(c.query), slices.Clone(c.nodes)
		change(&m)
		list = append(list, &m)
	}
	if r.Path != nil {
		for _, path := range nearPaths(c.path) {
			with(func(m *candidate) { m.path = path })
		}
	}
	if len(r.Methods) > 0 {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE", "HEAD"} {
			with(func(m *candidate) { m.method = method })
		}
	}
	for i := range r.Query {
		at := slices.IndexFunc(c.query, func(v named) bool { return v.name == r.Query[i].Name })
		with(func(m *candidate) { m.query[at].value += "x" })
		with(func(m *candidate) { m.query = slices.Delete(m.query, at, at+1) })
	}
	for i := range r.JSON {
		at := slices.IndexFunc(c.nodes, func(v named) bool { return v.name == r.JSON[i].Text })
		with(func(m *candidate) { m.nodes[at].value = differing(m.nodes[at].value) })
		with(func(m *candidate) { m.nodes = slices.Delete(m.nodes, at, at+1) })
	}
	if r.MCP != nil && c.call != nil {
		with(func(m *candidate) { m.call = &mcpCall{c.call.method, c.call.key, c.call.name + "x"} })
		with(func(m *candidate) { m.call = &mcpCall{method: "tools/list"} })
	}
	if len(r.Clients) > 0 {
		if out, ok := address([]policy.Ranges{{Deny: r.Clients}}); ok {
			with(func(m *candidate) { m.client = out })
		}
	}
	return list
}

func differing(value string) string {
	switch value {
	case "true":
		return "false"
	case "false":
		return "true"
	}
	return value + "x"
}

// nearPaths returns paths that differ a little, longer ones first.
func nearPaths(path string) []string {
	list := []string{path + "x", path + "/x"}
	short := strings.TrimRight(path, "/")
	if i := strings.LastIndexByte(short, '/'); i >= 0 {
		last := []rune(short[i+1:])
		if len(last) > 1 {
			list = append(list, short[:i+1]+string(last[:len(last)-1]))
		}
		list = append(list, short, short[:i+1]+"other", short[:i+1])
		first, rest, _ := strings.Cut(strings.TrimPrefix(short, "/"), "/")
		list = append(list, "/"+first+"x/"+rest, "/x"+path)
	}
	return slices.DeleteFunc(list, func(p string) bool { return p == "" || p == path })
}
