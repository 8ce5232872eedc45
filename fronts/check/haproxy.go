package check

import (
	"regexp"
	"slices"
	"strings"

	"github.com/patgate/patgate/diag"
)

// haproxySection is a section of a configuration: what begins it, and its lines.
type haproxySection struct {
	kind, name string
	pos        diag.Pos
	lines      []*directive
}

// haproxy checks a configuration of HAProxy, or the script that it loads.
func (c *checker) haproxy() error {
	if strings.HasSuffix(c.file.Name, ".lua") || !haproxyLine.Match(c.file.Data) {
		c.haproxyScript()
		return nil
	}
	sections := haproxySections(string(c.file.Data))
	asks := slices.ContainsFunc(sections, func(s *haproxySection) bool { return s.check() >= 0 })
	guarded := map[string]bool{}
	for _, s := range sections {
		if s.check() >= 0 {
			for _, name := range s.backends() {
				guarded[name] = true
			}
		}
	}
	for _, s := range sections {
		switch {
		case s.kind == "frontend", s.kind == "listen":
			c.haproxyFrontend(s, guarded, asks)
		case s.kind == "backend" && guarded[s.name]:
			c.haproxyChanges(s, 0)
		}
	}
	return nil
}

var haproxyWords = regexp.MustCompile(`[^\s"'\\]*(?:(?:"[^"]*"|'[^']*'|\\.)[^\s"'\\]*)+|\S+`)

// haproxySections cuts a configuration into its sections.
func haproxySections(text string) (list []*haproxySection) {
	number := 0
	for line := range strings.Lines(text) {
		number++
		if at := strings.Index(" "+line, " #"); at >= 0 {
			line = line[:at]
		}
		words := haproxyWords.FindAllString(line, -1)
		if len(words) == 0 {
			continue
		}
		pos := diag.Pos{Line: number, Column: strings.Index(line, words[0]) + 1}
		if pos.Column == 1 {
			s := &haproxySection{kind: words[0], pos: pos}
			if len(words) > 1 {
				s.name = words[1]
			}
			list = append(list, s)
		} else if len(list) > 0 {
			last := list[len(list)-1]
			last.lines = append(last.lines, &directive{words: words, pos: pos})
		}
	}
	return list
}

// check returns the number of the line that calls patgate, or -1.
func (s *haproxySection) check() int {
	return slices.IndexFunc(s.lines, func(d *directive) bool {
		return d.name() == "http-request" && strings.HasPrefix(d.arg(0), "lua.") && strings.Contains(strings.ToLower(d.arg(0)), "patgate")
	})
}

// backends lists where a section leads.
func (s *haproxySection) backends() (names []string) {
	for _, d := range s.lines {
		if d.name() == "default_backend" || d.name() == "use_backend" {
			names = append(names, d.arg(0))
		}
		if d.name() == "server" {
			names = append(names, s.name)
		}
	}
	return names
}

// hostOf returns a word of a section that is a host which a gate names, or "".
func (s *haproxySection) hostOf(hosts []string) string {
	for _, d := range s.lines {
		ends := byEnd.MatchString(strings.Join(d.words, " "))
		for _, word := range d.words {
			word = strings.Trim(word, `"'`)
			if slices.ContainsFunc(hosts, func(host string) bool {
				return sameHost(word, host) || ends && sameHost("."+strings.TrimPrefix(word, "."), host)
			}) {
				return word
			}
		}
	}
	return ""
}

// byEnd matches a line that compares a host by its end.
var byEnd = regexp.MustCompile(`(?i)hdr_(end|dom)\(|-m (end|dom)\b`)

func (c *checker) haproxyFrontend(s *haproxySection, guarded map[string]bool, asks bool) {
	check := s.check()
	if check < 0 {
		if leads := slices.IndexFunc(s.backends(), func(name string) bool { return guarded[name] }); leads >= 0 {
			c.judged++
			c.find(s.pos, Unguarded, s.kind+" "+s.name, "it leads to %s, and does not ask", s.backends()[leads])
		} else if host := s.hostOf(c.hosts); host != "" && len(s.backends()) > 0 {
			c.judged++
			c.find(s.pos, Unguarded, s.kind+" "+s.name, "it is for %s, which a Gate names, and does not ask", host)
		} else if asks {
			c.judged++
		}
		return
	}
	c.judged++
	line := s.lines[check]
	if slices.Contains(line.words, "if") || slices.Contains(line.words, "unless") {
		c.find(line.pos, Unguarded, "http-request", "it asks on a condition, and requests can be spelled otherwise")
	}
	for _, d := range s.lines[:check] {
		if d.name() == "http-request" && d.arg(0) == "allow" {
			c.find(d.pos, Unguarded, "http-request", "allow ends the rules before the one that asks")
		}
	}
	refuses := slices.ContainsFunc(s.lines[check:], func(d *directive) bool {
		text := strings.Join(d.words, " ")
		return d.name() == "http-request" && (d.arg(0) == "deny" || d.arg(0) == "reject") && strings.Contains(text, "unless") && strings.Contains(text, "txn.patgate_allow")
	})
	if !refuses {
		c.find(line.pos, FailOpen, "http-request", "a request goes on where the script fails: expected http-request deny deny_status 503 unless { var(txn.patgate_allow) -m bool } after it")
	}
	c.haproxyChanges(s, check)
}

// haproxyChanging are the actions that change what was judged.
var haproxyChanging = []string{"set-path", "set-pathq", "set-uri", "set-query", "set-method", "replace-path", "replace-pathq", "replace-uri", "normalize-uri"}

// haproxyChanges finds what changes a request after the check.
func (c *checker) haproxyChanges(s *haproxySection, from int) {
	for i, d := range s.lines {
		action := d.arg(0)
		switch {
		case d.name() != "http-request":
		case slices.Contains(haproxyChanging, action):
			if i >= from {
				c.find(d.pos, PathChanged, "http-request", "%s changes the request after the check", action)
			}
		case i > from && (action == "set-header" || action == "add-header") && slices.ContainsFunc(c.identity, func(name string) bool { return strings.EqualFold(name, d.arg(1)) }):
			c.find(d.pos, IdentityHeader, "http-request", "%s is written after the check, which only patgate may", d.arg(1))
		}
	}
}

var luaIdentity = regexp.MustCompile(`(?s)local identity = \{(.*?)\}`)

// haproxyScript checks the script that asks.
func (c *checker) haproxyScript() {
	m := luaIdentity.FindSubmatchIndex(c.file.Data)
	if m == nil {
		return
	}
	c.judged++
	before := string(c.file.Data[:m[0]])
	pos := diag.Pos{Line: strings.Count(before, "\n") + 1, Column: 1}
	var names []string
	for text := range strings.SplitSeq(string(c.file.Data[m[2]:m[3]]), ",") {
		names = append(names, strings.Trim(text, " \t\r\n\"'"))
	}
	c.copied(pos, "identity", names)
	if !strings.Contains(string(c.file.Data), "timeout =") {
		c.find(pos, CheckTimeout, "httpclient", "the check has no timeout")
	}
}
