package check

import (
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/patgate/patgate/diag"
)

// caddy checks a Caddyfile, or Caddy's JSON.
func (c *checker) caddy() error {
	if strings.HasPrefix(strings.TrimSpace(string(c.file.Data)), "{\n") || !strings.HasPrefix(strings.TrimSpace(string(c.file.Data)), "{") || !strings.Contains(string(c.file.Data), `"`) {
		if !strings.Contains(string(c.file.Data), `"handle"`) {
			return c.caddyfile()
		}
	}
	root, err := yamlRoot(c.file)
	if err != nil {
		return err
	}
	c.caddyRoutes(root)
	return nil
}

func (c *checker) caddyfile() error {
	root, err := parse(string(c.file.Data), true)
	if err != nil {
		return err
	}
	snippets := map[string]*directive{}
	for _, d := range root.block {
		if name := d.name(); strings.HasPrefix(name, "(") && strings.HasSuffix(name, ")") {
			snippets[strings.Trim(name, "()")] = d
		}
	}
	expand(root, snippets, 0)
	asks := false
	root.walk(func(d *directive) { asks = asks || d.name() == "forward_auth" })
	for _, site := range root.block {
		if asks && !strings.HasPrefix(site.name(), "(") {
			c.caddyBlock(site, nil)
		}
	}
	if hasDirectives(root) {
		c.caddyBlock(root, nil) // a file of one site needs no braces
	}
	return nil
}

func hasDirectives(root *directive) bool {
	return slices.ContainsFunc(root.block, func(d *directive) bool { return d.block == nil && d.name() == "reverse_proxy" })
}

// expand puts snippets in the places that import them.
func expand(d *directive, snippets map[string]*directive, depth int) {
	var list []*directive
	for _, b := range d.block {
		if s := snippets[b.arg(0)]; b.name() == "import" && s != nil && depth < 8 {
			list = append(list, s.block...)
			continue
		}
		expand(b, snippets, depth+1)
		list = append(list, b)
	}
	d.block = list
	for _, b := range list {
		b.parent = d
	}
}

// changing are directives that change the path or method of a request.
var changing = []string{"rewrite", "uri", "handle_path", "method", "try_files"}

// caddyBlock checks a site, or a block of routes. asked is the check of the block around it.
func (c *checker) caddyBlock(block, asked *directive) {
	ordered := block.name() == "route"
	if !ordered && asked == nil {
		for _, d := range block.all("forward_auth") {
			asked = c.forwardAuth(d, asked)
		}
	}
	for _, d := range block.block {
		switch {
		case d.name() == "forward_auth" && ordered:
			asked = c.forwardAuth(d, asked)
		case asked != nil && slices.Contains(changing, d.name()) && (ordered || d.name() == "handle_path" || asked.parent != block):
			c.find(d.pos, PathChanged, d.name(), "it changes the request after the check")
		case d.name() == "reverse_proxy" || d.name() == "php_fastcgi":
			c.caddyProxy(d, asked)
		}
		if slices.Contains([]string{"route", "handle", "handle_path", "handle_errors"}, d.name()) {
			c.caddyBlock(d, asked)
		}
	}
}

func (c *checker) caddyProxy(d, asked *directive) {
	c.judged++
	if asked == nil {
		c.find(d.pos, Unguarded, d.name(), "it leads to %s without forward_auth before it", strings.Join(d.words[1:], " "))
		return
	}
	for _, sub := range d.block {
		if sub.name() == "rewrite" || sub.name() == "method" {
			c.find(sub.pos, PathChanged, d.name(), "%s changes the request after the check", sub.name())
		}
	}
}

// forwardAuth examines a check. It returns it, or the earlier one if this one is not for every request.
func (c *checker) forwardAuth(d, asked *directive) *directive {
	c.judged++
	if matcher := d.arg(0); strings.HasPrefix(matcher, "/") || strings.HasPrefix(matcher, "@") {
		c.find(d.pos, Unguarded, "forward_auth", "it asks about %s alone, and paths can be spelled otherwise: expected no matcher", matcher)
		return d
	}
	uri := d.all("uri")
	if len(uri) == 0 || !strings.Contains(uri[0].arg(0), "?") {
		at := d.pos
		if len(uri) > 0 {
			at = uri[0].pos
		}
		c.find(at, CheckQuery, "forward_auth", "the uri has no ?, so Caddy appends the client's query")
	}
	var copied []string
	for _, list := range d.all("copy_headers") {
		copied = append(copied, list.words[1:]...)
		for _, line := range list.block {
			copied = append(copied, line.name())
		}
	}
	c.copied(d.pos, "copy_headers", copied)
	if !guardsConnection(d) {
		c.find(d.pos, Connection, "forward_auth", "nothing refuses a Connection that names an identity header")
	}
	return d
}

// copied checks the list of headers that a front takes from answers.
func (c *checker) copied(at diag.Pos, field string, names []string) {
	if missing := c.missing(names); len(missing) > 0 {
		c.find(at, IdentityHeader, field, "%s %s not in it: a client's own reaches the API", strings.Join(missing, ", "), isOrAre(missing))
	}
}

// guardsConnection reports whether a matcher on Connection refuses requests around a directive.
func guardsConnection(d *directive) bool {
	named := map[string]bool{}
	for ; d != nil; d = d.parent {
		for _, b := range d.block {
			if strings.HasPrefix(b.name(), "@") {
				line := strings.Join(b.words, " ")
				for _, sub := range b.block {
					line += " " + strings.Join(sub.words, " ")
				}
				named[b.name()] = strings.Contains(line, "header_regexp") && connectionWord.MatchString(line)
			}
		}
		for _, b := range d.block {
			if refusing := slices.Contains([]string{"error", "respond", "abort"}, b.name()); refusing && named[b.arg(0)] {
				return true
			}
		}
	}
	return false
}

var connectionWord = regexp.MustCompile(`(?i)\bconnection\b`)

// caddyRoutes checks the routes of Caddy's JSON: in each list of routes, a handler that calls patgate comes before one that
// leads to an API.
func (c *checker) caddyRoutes(n *yaml.Node) {
	if n == nil {
		return
	}
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if key := n.Content[i].Value; key == "routes" && n.Content[i+1].Kind == yaml.SequenceNode && hasHandler(n.Content[i+1], isCheck) {
			c.caddySequence(n.Content[i+1], false)
		}
	}
	for _, child := range n.Content {
		c.caddyRoutes(child)
	}
}

func (c *checker) caddySequence(routes *yaml.Node, asked bool) {
	for _, route := range routes.Content {
		handlers := child(route, "handle")
		if handlers == nil {
			continue
		}
		for _, h := range handlers.Content {
			at := diag.Pos{Line: h.Line, Column: h.Column}
			switch name := scalarOf(h, "handler"); {
			case isCheck(h):
				asked = true
				c.judged++
				if uri := child(child(h, "rewrite"), "uri"); uri == nil || !strings.Contains(uri.Value, "?") {
					c.find(at, CheckQuery, "rewrite.uri", "the uri has no ?, so Caddy appends the client's query")
				}
				c.copied(at, "handle_response", copiedInJSON(h))
			case name == "reverse_proxy":
				c.judged++
				if !asked {
					c.find(at, Unguarded, "reverse_proxy", "it leads to an API without a check before it")
				}
			case name == "rewrite" && asked:
				c.find(at, PathChanged, "rewrite", "it changes the request after the check")
			case name == "subroute":
				c.caddySequence(orEmpty(child(h, "routes")), asked)
			}
		}
	}
}

func orEmpty(n *yaml.Node) *yaml.Node {
	if n == nil {
		return &yaml.Node{}
	}
	return n
}

// isCheck reports whether a handler is what the adapter makes of forward_auth: a proxy that always asks by GET.
func isCheck(h *yaml.Node) bool {
	return scalarOf(h, "handler") == "reverse_proxy" && child(h, "handle_response") != nil && child(h, "rewrite") != nil
}

func hasHandler(n *yaml.Node, is func(*yaml.Node) bool) bool {
	return is(n) || slices.ContainsFunc(n.Content, func(child *yaml.Node) bool { return hasHandler(child, is) })
}

// copiedInJSON lists the headers that the answer of a check sets.
func copiedInJSON(n *yaml.Node) (names []string) {
	if scalarOf(n, "handler") == "headers" {
		request := child(n, "request")
		for _, set := range []*yaml.Node{child(request, "set"), child(request, "delete")} {
			for i, key := range orEmpty(set).Content {
				if set.Kind == yaml.SequenceNode || i%2 == 0 {
					names = append(names, key.Value)
				}
			}
		}
	}
	for _, child := range n.Content {
		names = append(names, copiedInJSON(child)...)
	}
	return names
}
