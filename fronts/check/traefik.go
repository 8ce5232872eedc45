package check

import (
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/patgate/patgate/diag"
)

// traefikFiles holds the configuration of all files of Traefik.
type traefikFiles struct {
	middlewares map[string]*traefikPart
	routers     []*traefikPart
	points      []*traefikPart
}

// traefikPart is a named piece, with its file.
type traefikPart struct {
	name string
	node *yaml.Node
	file string
}

func (p *traefikPart) pos() diag.Pos { return diag.Pos{Line: p.node.Line, Column: p.node.Column} }

// readTraefik collects the middlewares, routers and entry points of a file: static or dynamic configuration, or
// objects of Kubernetes.
func (c *checker) readTraefik() error {
	documents, err := c.traefikDocuments()
	if err != nil {
		return err
	}
	t := &c.traefik
	if t.middlewares == nil {
		t.middlewares = map[string]*traefikPart{}
	}
	for _, n := range documents {
		c.each(at(n, "http", "middlewares"), func(p *traefikPart) { t.middlewares[p.name] = p })
		c.each(at(n, "http", "routers"), func(p *traefikPart) { t.routers = append(t.routers, p) })
		c.each(child(n, "entryPoints"), func(p *traefikPart) { t.points = append(t.points, p) })
		name := scalarOf(child(n, "metadata"), "name")
		switch scalarOf(n, "kind") {
		case "Middleware":
			if spec := child(n, "spec"); spec != nil {
				t.middlewares[name] = &traefikPart{name, spec, c.file.Name}
			}
		case "IngressRoute":
			for _, route := range orEmpty(at(n, "spec", "routes")).Content {
				t.routers = append(t.routers, &traefikPart{name, route, c.file.Name})
			}
		}
	}
	return nil
}

func (c *checker) each(n *yaml.Node, f func(*traefikPart)) {
	if n == nil || n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		f(&traefikPart{n.Content[i].Value, n.Content[i+1], c.file.Name})
	}
}

// checkTraefik checks all files of Traefik together.
func (c *checker) checkTraefik() {
	t := &c.traefik
	asks := false
	for _, p := range t.middlewares {
		if auth := child(p.node, "forwardAuth"); auth != nil {
			asks = true
			c.judged++
			c.traefikAuth(&traefikPart{p.name, auth, p.file})
		}
	}
	for _, p := range t.points {
		c.judged++
		c.traefikPoint(p)
	}
	for _, p := range t.routers {
		if asks {
			c.judged++
			c.traefikRouter(p)
		}
	}
}

// traefikAuth checks a forwardAuth middleware.
func (c *checker) traefikAuth(p *traefikPart) {
	field := p.name + ".forwardAuth"
	switch trust := child(p.node, "trustForwardHeader"); {
	case trust == nil:
		c.findIn(p.file, p.pos(), TrustForward, field, "trustForwardHeader is not set, and what that means changes between versions")
	case trust.Value != "false":
		c.findIn(p.file, diag.Pos{Line: trust.Line, Column: trust.Column}, TrustForward, field, "trustForwardHeader is %s", trust.Value)
	}
	names := texts(child(p.node, "authResponseHeaders"))
	if pattern, err := regexp.Compile(scalarOf(p.node, "authResponseHeadersRegex")); err == nil && pattern.String() != "" {
		for _, name := range c.identity {
			if pattern.MatchString(name) {
				names = append(names, name)
			}
		}
	}
	if missing := c.missing(names); len(missing) > 0 {
		c.findIn(p.file, p.pos(), IdentityHeader, field, "%s %s not in authResponseHeaders: a client's own reaches the API", strings.Join(missing, ", "), isOrAre(missing))
	}
}

// traefikPoint checks an entry point.
func (c *checker) traefikPoint(p *traefikPart) {
	strategy := at(p.node, "http", "aliasHeadersStrategy")
	if strategy == nil || strategy.Value != "delete" {
		where := p.pos()
		if strategy != nil {
			where = diag.Pos{Line: strategy.Line, Column: strategy.Column}
		}
		c.findIn(p.file, where, AliasHeaders, p.name+".http.aliasHeadersStrategy", "headers with underscores are kept, expected delete")
	}
	if insecure := at(p.node, "forwardedHeaders", "insecure"); insecure != nil && insecure.Value == "true" {
		c.findIn(p.file, diag.Pos{Line: insecure.Line, Column: insecure.Column}, TrustForward, p.name+".forwardedHeaders.insecure", "every client's X-Forwarded headers are believed, expected false")
	}
}

// traefikChanging are middlewares that change the path.
var traefikChanging = []string{"stripPrefix", "stripPrefixRegex", "addPrefix", "replacePath", "replacePathRegex"}

// traefikRouter checks a router: one of its middlewares asks, and none after it changes the path.
func (c *checker) traefikRouter(p *traefikPart) {
	list := child(p.node, "middlewares")
	asked := false
	for _, name := range c.chain(list, 0) {
		m := c.traefik.middlewares[name]
		if m == nil {
			continue
		}
		if child(m.node, "forwardAuth") != nil {
			asked = true
		}
		if i := slices.IndexFunc(traefikChanging, func(kind string) bool { return child(m.node, kind) != nil }); i >= 0 && asked {
			c.findIn(p.file, p.pos(), PathChanged, p.name, "%s (%s) changes the path after the check", name, traefikChanging[i])
		}
	}
	if !asked {
		c.findIn(p.file, p.pos(), Unguarded, p.name, "none of its middlewares is a forwardAuth")
	}
}

// chain lists the names of middlewares, those of chains in their place.
func (c *checker) chain(list *yaml.Node, depth int) (names []string) {
	if list == nil || depth > 8 {
		return nil
	}
	for _, n := range list.Content {
		name := n.Value
		if n.Kind == yaml.MappingNode {
			name = scalarOf(n, "name")
		}
		name, _, _ = strings.Cut(name, "@")
		if m := c.traefik.middlewares[name]; m != nil && child(m.node, "chain") != nil {
			names = append(names, c.chain(at(m.node, "chain", "middlewares"), depth+1)...)
			continue
		}
		names = append(names, name)
	}
	return names
}

// traefikDocuments reads YAML, or TOML.
func (c *checker) traefikDocuments() ([]*yaml.Node, error) {
	if strings.HasSuffix(c.file.Name, ".toml") {
		root, err := tomlRoot(string(c.file.Data))
		return []*yaml.Node{root}, err
	}
	return yamlDocuments(c.file)
}
