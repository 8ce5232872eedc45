package check

import (
	"regexp"
	"slices"
	"strings"
)

// meantToAsk reports whether a server is for a host that a gate names, or takes headers from an answer: one that
// asks nowhere has lost its auth_request.
func (n *nginxFile) meantToAsk(server *directive) (meant bool) {
	server.walk(func(d *directive) { meant = meant || d.name() == "auth_request_set" })
	for _, names := range server.all("server_name") {
		for _, name := range names.words[1:] {
			meant = meant || slices.ContainsFunc(n.hosts, func(host string) bool { return sameHost(name, host) })
		}
	}
	return meant
}

// sameHost reports whether a server_name is for hosts that a gate names: *.example.com is every host below
// example.com, .example.com also that itself, www.* that name with any end, and a name after ~ is a regular expression.
// A gate for every host says nothing of a server.
func sameHost(name, host string) bool {
	host = strings.ToLower(host)
	if host == "*" {
		return false
	}
	if expression, is := strings.CutPrefix(name, "~"); is {
		re, err := regexp.Compile("(?i)" + expression) // nginx reads more than Go does; what Go can't read is left out
		return err == nil && re.MatchString(strings.Replace(host, "*", "a", 1))
	}
	name = strings.ToLower(name)
	if begin, anyEnd := strings.CutSuffix(name, ".*"); anyEnd {
		return strings.HasPrefix(host, begin+".")
	}
	below := strings.HasPrefix(name, ".") || strings.HasPrefix(name, "*.")
	suffix := strings.TrimPrefix(name, "*") // with its dot, where the name is for all hosts below one
	if below && strings.HasSuffix(host, suffix) || suffix[min(1, len(suffix)):] == host && strings.HasPrefix(name, ".") {
		return true
	}
	end, wild := strings.CutPrefix(host, "*")
	return name == host || wild && strings.HasSuffix(name, end)
}
