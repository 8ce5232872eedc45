// Package check reads configurations of nginx, Caddy, Traefik and HAProxy, and finds settings that let requests bypass
// patgate, or that let clients set what only patgate may set. It reads text and calls no server.
package check

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/patgate/patgate/diag"
)

// File is one file to read.
type File struct {
	Name string
	Data []byte
}

// Options say what a configuration is for.
type Options struct {
	Kind     string   // one of Kinds; empty: by the content of each file
	Identity []string // the headers that only patgate may set, in lower case; none: the defaults of a gate
	Hosts    []string // the hosts that gates name, as gates write them: a server of nginx or a frontend of HAProxy for one of them must ask
	Disk     *Disk    // for what nginx's files include; nil: that is not read
}

// The kinds of files.
const (
	Nginx   = "nginx"
	Caddy   = "caddy"
	Traefik = "traefik"
	HAProxy = "haproxy"
	Gateway = "gateway-api"
)

// Kinds lists the kinds of files.
func Kinds() []string { return []string{Nginx, Caddy, Traefik, HAProxy, Gateway} }

// Stdin is the name of a file that was not read from a disk: nothing that it includes is looked for.
const Stdin = "stdin"

// defaults are the identity headers of a gate that names none.
var defaults = []string{"x-forwarded-user", "x-forwarded-groups", "x-patgate-token", "x-patgate-user-asserted", "x-patgate-id"}

// checker collects findings. Files of one kind are checked together.
type checker struct {
	identity []string
	hosts    []string
	file     *File
	findings []diag.Problem
	judged   int // what asks, or should

	disk     *Disk
	included []File // of nginx

	traefik traefikFiles
}

// Check checks configurations. The findings are in the order of their places. An error says that a file can't be
// read, or that nothing in them calls patgate.
func Check(files []File, o Options) ([]diag.Problem, error) {
	c := &checker{identity: o.Identity, hosts: o.Hosts, disk: o.Disk}
	if len(c.identity) == 0 {
		c.identity = defaults
	}
	var errs []error
	for i := range files {
		c.file = &files[i]
		kind := o.Kind
		if kind == "" {
			kind = KindOf(c.file)
		}
		if err := c.read(kind); errors.As(err, new(placedError)) {
			errs = append(errs, err)
		} else if err != nil {
			errs = append(errs, fmt.Errorf("%s%w", c.file.Name, err))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	c.checkTraefik()
	if c.judged == 0 {
		return nil, errors.New("nothing to check: no auth_request, forward_auth, forwardAuth or lua action was found, so nothing asks patgate: " +
			"`patgate front-config` prints a configuration that does")
	}
	c.suppress(slices.Concat(files, c.included))
	diag.Sort(c.findings)
	return slices.CompactFunc(c.findings, func(a, b diag.Problem) bool {
		return a.File == b.File && a.Pos == b.Pos && a.Code == b.Code && a.Message == b.Message
	}), nil
}

func (c *checker) read(kind string) error {
	switch kind {
	case Nginx:
		return c.nginx()
	case Caddy:
		return c.caddy()
	case Traefik:
		return c.readTraefik()
	case HAProxy:
		return c.haproxy()
	case Gateway:
		return c.gateway()
	}
	return errors.New(": no configuration that is known, expected one of nginx, Caddy, Traefik, HAProxy or the Gateway API (--for names the kind); `patgate envoy-check` checks Envoy's")
}

var (
	haproxyLine = regexp.MustCompile(`(?m)^(frontend|backend|listen|defaults|global)\b[^{;:]*$`)
	nginxLine   = regexp.MustCompile(`(?m)^\s*(location\s.*\{|server\s*\{|http\s*\{|proxy_pass\s.*;)`)
	traefikLine = regexp.MustCompile(`(?mi)^\s*"?(http|entryPoints|middlewares|routers|providers)"?\s*:|^\s*\[(http|entryPoints)[.\]]|kind:\s*(Middleware|IngressRoute)`)
)

// KindOf returns the kind of a file, which its content shows, or "" if that is none of Kinds.
func KindOf(f *File) string {
	switch {
	case bytes.Contains(f.Data, []byte("HTTPRoute")) && bytes.Contains(f.Data, []byte("ExternalAuth")):
		return Gateway
	case strings.HasSuffix(f.Name, ".lua"), haproxyLine.Match(f.Data):
		return HAProxy
	case nginxLine.Match(f.Data):
		return Nginx
	case strings.Contains(filepath.Base(f.Name), "Caddyfile"), bytes.Contains(f.Data, []byte("forward_auth")), bytes.Contains(f.Data, []byte(`"apps"`)):
		return Caddy
	case traefikLine.Match(f.Data):
		return Traefik
	case bytes.Contains(f.Data, []byte("reverse_proxy")):
		return Caddy
	}
	return ""
}

// find adds a finding at a place of the current file.
func (c *checker) find(at diag.Pos, code diag.Code, field, format string, args ...any) {
	c.findIn(c.file.Name, at, code, field, format, args...)
}

func (c *checker) findIn(file string, at diag.Pos, code diag.Code, field, format string, args ...any) {
	info := codes[code]
	c.findings = append(c.findings, diag.Problem{
		Code: code, Severity: info.severity, File: file, Pos: at, Field: field, Message: fmt.Sprintf(format, args...), Fix: info.fix,
	})
}

// suppress marks the findings that a comment accepts.
func (c *checker) suppress(files []File) {
	for _, f := range files {
		var problems []*diag.Problem
		for i := range c.findings {
			if c.findings[i].File == f.Name {
				problems = append(problems, &c.findings[i])
			}
		}
		for _, s := range diag.Suppressions(f.Data) {
			s.Suppress(problems, Codes(), func(i int) bool { return s.Covers(problems[i].Pos.Line) })
		}
	}
}

// missing lists the identity headers that are not among names, in any case.
func (c *checker) missing(names []string) (list []string) {
	for _, want := range c.identity {
		if !slices.ContainsFunc(names, func(have string) bool { return strings.EqualFold(have, want) }) {
			list = append(list, want)
		}
	}
	return list
}
