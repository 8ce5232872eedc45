package check

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/patgate/patgate/diag"
)

// nginx checks a configuration of nginx.
func (c *checker) nginx() error {
	main, disk := *c.file, c.disk
	if sections := dump(main.Data); len(sections) > 0 {
		main, disk = sections[0], diskOf(sections)
		c.included = append(c.included, main)
	} else if main.Name == Stdin {
		disk = nil
	}
	root, err := parseFile(main.Name, main.Data)
	if err != nil {
		return placedError{fmt.Errorf("%s%w", main.Name, err)}
	}
	i := &includer{checker: c, disk: disk}
	if disk != nil {
		i.base = baseOf(disk, main.Name)
	}
	if err := i.expand(root, []string{main.Name}); err != nil {
		return err
	}
	c.checkNginx(root)
	return nil
}

// checkNginx checks a whole configuration, or a piece.
func (c *checker) checkNginx(root *directive) {
	n := &nginxFile{checker: c, answers: map[string]bool{}, guardedPasses: map[string]bool{}}
	root.walk(n.note)
	root.walk(func(d *directive) {
		if d.name() == "server" && d.block != nil {
			n.server(d)
		}
	})
	if slices.ContainsFunc(root.block, func(d *directive) bool { return d.name() == "location" }) {
		n.server(root) // a piece of a server
	}
}

// nginxFile is one file of nginx.
type nginxFile struct {
	*checker
	answers       map[string]bool // variables that auth_request_set takes from answers
	guardedPasses map[string]bool // targets of proxy_pass that are guarded somewhere
	asks          bool
}

// find adds a finding at a directive.
func (n *nginxFile) find(d *directive, code diag.Code, field, format string, args ...any) {
	n.findIn(d.file, d.pos, code, field, format, args...)
}

// note collects what counts in the whole file.
func (n *nginxFile) note(d *directive) {
	switch d.name() {
	case "auth_request_set":
		n.answers[d.arg(0)] = strings.HasPrefix(d.arg(1), "$upstream_http_")
	case "auth_request":
		n.asks = n.asks || d.arg(0) != "off"
	case "proxy_pass":
		if asks, _ := effective(d.parent, "auth_request"); asks != nil && asks.arg(0) != "off" {
			n.guardedPasses[passTarget(d.arg(0))] = true
		}
	case "underscores_in_headers":
		if d.arg(0) == "on" {
			n.find(d, AliasHeaders, "underscores_in_headers", "names with underscores are kept, and an API could take x_forwarded_user for x-forwarded-user: expected off")
		}
	case "satisfy":
		if d.arg(0) == "any" {
			n.find(d, FailOpen, "satisfy", "with any, an address that is allowed, or a password, is enough: expected all")
		}
	case "include":
		within := d.parent != nil && (d.parent.name() == "server" || d.parent.name() == "location")
		if within && !slices.Contains(shipped, filepath.Base(d.arg(0))) {
			n.find(d, Unread, "include", "%s is not read", d.arg(0))
		}
	}
}

// effective returns the directive that counts in a block: its own, or the one of the nearest block around it.
// nginx inherits lists such as proxy_set_header as a whole: where a block has one, it has none of those around it.
func effective(d *directive, name string) (last *directive, list []*directive) {
	for ; d != nil; d = d.parent {
		if list = d.all(name); len(list) > 0 {
			return list[len(list)-1], list
		}
	}
	return nil, nil
}

// passes are the directives that send a request to an API.
var passes = []string{"proxy_pass", "grpc_pass", "fastcgi_pass", "uwsgi_pass", "scgi_pass"}

// server checks the locations of a server that calls patgate in one of them, leads to servers that do, or is
// meant to.
func (n *nginxFile) server(server *directive) {
	checks := n.checkLocations(server)
	meant := n.meantToAsk(server)
	server.walk(func(d *directive) {
		if !slices.Contains(passes, d.name()) {
			return
		}
		location := around(d)
		if slices.Contains(checks, location) {
			return
		}
		asks, _ := effective(d.parent, "auth_request")
		if asks == nil || asks.arg(0) == "off" {
			if len(checks) > 0 || n.guardedPasses[passTarget(d.arg(0))] || meant && len(location.all("internal")) == 0 {
				n.judged++
				n.find(d, Unguarded, strings.Join(location.words, " "), "%s leads to %s without auth_request", d.name(), d.arg(0))
			}
			return
		}
		n.judged++
		n.guarded(d)
	})
	for _, location := range checks {
		n.judged++
		n.check(location)
	}
}

// around is the location that a directive is in, without if blocks.
func around(d *directive) *directive {
	for d = d.parent; d.parent != nil && d.name() != "location" && d.name() != "server"; {
		d = d.parent
	}
	return d
}

// checkLocations returns the locations that auth_request names.
func (n *nginxFile) checkLocations(server *directive) (list []*directive) {
	server.walk(func(d *directive) {
		if d.name() != "auth_request" || d.arg(0) == "off" {
			return
		}
		server.walk(func(l *directive) {
			if l.name() == "location" && l.words[len(l.words)-1] == d.arg(0) && !slices.Contains(list, l) {
				list = append(list, l)
			}
		})
	})
	if asks, _ := effective(server.parent, "auth_request"); asks != nil && len(list) == 0 {
		n.judged++
	}
	return list
}

// passTarget is the host of a proxy_pass.
func passTarget(url string) string {
	host, _ := splitPass(url)
	return host
}

// splitPass takes a proxy_pass apart into the host and the path that replaces the request's.
func splitPass(url string) (host, path string) {
	_, rest, found := strings.Cut(url, "://")
	if !found {
		rest = url
	}
	if socket, ok := strings.CutPrefix(rest, "unix:"); ok {
		host, path, _ = strings.Cut(socket, ":")
		return "unix:" + host, path
	}
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		return rest[:i], rest[i:]
	}
	if i := strings.IndexByte(rest, '$'); i > 0 {
		return rest[:i], rest[i:]
	}
	return rest, ""
}

// guarded checks a place that asks, and sends on.
func (n *nginxFile) guarded(pass *directive) {
	field := strings.Join(around(pass).words, " ")
	if _, path := splitPass(pass.arg(0)); pass.name() == "proxy_pass" && path != "" && path != "$request_uri" {
		n.find(pass, PathChanged, field, "proxy_pass has the path %s: nginx decodes and normalizes the path that was checked", path)
	}
	for d := pass.parent; d != nil && d.name() != "http"; d = d.parent {
		n.rewrites(d, field)
	}
	n.identityOf(pass, field)
	n.hostOf(pass, field)
}

// hostOf checks the host that goes to the API: the one that was checked is $host.
func (n *nginxFile) hostOf(pass *directive, field string) {
	_, headers := effective(pass.parent, strings.TrimSuffix(pass.name(), "_pass")+"_set_header")
	for _, h := range headers {
		if strings.Contains(h.arg(1), "$http_host") && !n.found(h) {
			n.find(h, HostHeader, field, "the API gets the host in $http_host, and patgate checks $host")
		}
	}
}

// rewrites finds what changes the path of a request that goes on.
func (n *nginxFile) rewrites(d *directive, field string) {
	for _, r := range d.block {
		if r.name() == "if" {
			n.rewrites(r, field)
		}
		if last := r.words[max(len(r.words)-1, 0):]; r.name() == "rewrite" && last[0] != "permanent" && last[0] != "redirect" && !n.found(r) {
			n.find(r, PathChanged, field, "rewrite changes the path after the check")
		}
	}
}

// found reports whether a place has a finding already.
func (n *nginxFile) found(d *directive) bool {
	for _, f := range n.findings {
		if f.File == d.file && f.Pos == d.pos {
			return true
		}
	}
	return false
}

// identityOf checks the headers that go to the API.
func (n *nginxFile) identityOf(pass *directive, field string) {
	prefix := strings.TrimSuffix(pass.name(), "_pass")
	_, headers := effective(pass.parent, prefix+"_set_header")
	var set []string
	for _, h := range headers {
		value := h.arg(1)
		if value == "" || n.answers[value] {
			set = append(set, h.arg(0))
		}
	}
	if missing := n.missing(set); len(missing) > 0 {
		n.find(pass, IdentityHeader, field, "%s %s not taken from patgate's answer: a client's own reaches the API", strings.Join(missing, ", "), isOrAre(missing))
	}
}

func isOrAre(list []string) string {
	if len(list) == 1 {
		return "is"
	}
	return "are"
}

// checkHeaders are the headers that the check must set, and the variables for them.
var checkHeaders = []struct{ name, value string }{
	{"X-Original-Method", "$request_method"}, {"X-Original-URI", "$request_uri"}, {"X-Original-Host", "$host"},
	{"X-Original-Proto", "$scheme"}, {"X-Real-IP", "$remote_addr"}, {"X-Original-Body", "body=$http_content_length$http_transfer_encoding,$server_protocol"},
}

// check checks the location of the check.
func (n *nginxFile) check(location *directive) {
	field := strings.Join(location.words, " ")
	_, headers := effective(location, "proxy_set_header")
	values := map[string]*directive{}
	for _, h := range headers {
		values[strings.ToLower(h.arg(0))] = h
	}
	if h := values["content-length"]; h == nil || h.arg(1) != "" {
		n.find(location, ContentLength, field, "the check is sent with the length of the request's body")
	}
	if timeout, _ := effective(location, "proxy_read_timeout"); timeout == nil {
		n.find(location, CheckTimeout, field, "proxy_read_timeout is not set: a check may take 60s")
	}
	ingress := values["x-original-url"] != nil
	for _, want := range checkHeaders {
		h := values[strings.ToLower(want.name)]
		switch {
		case ingress && want.name != "X-Original-Method" && want.name != "X-Real-IP":
		case h == nil:
			n.find(location, CheckHeader, field, "%s is not set: the client's own would be believed, expected proxy_set_header %s %s", want.name, want.name, want.value)
		case want.name == "X-Original-Host" && strings.Contains(h.arg(1), "$http_host"):
			n.find(h, HostHeader, field, "patgate checks the host in $http_host")
		case h.arg(1) != want.value && (want.name != "X-Original-Host" || h.arg(1) != "$server_name"):
			n.find(h, CheckHeader, field, "%s is %q, expected %s", want.name, h.arg(1), want.value)
		}
	}
}
