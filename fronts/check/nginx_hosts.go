package check

import (
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
// example.com. A gate for every host says nothing of a server.
func sameHost(name, host string) bool {
	name, host = strings.ToLower(name), strings.ToLower(host)
	suffix, wild := strings.CutPrefix(host, "*.")
	switch {
	case host == "*":
		return false
	case wild:
		return name == host || name == "."+suffix || strings.HasSuffix(name, "."+suffix)
	}
	return name == host || strings.HasPrefix(name, ".") && (host == name[1:] || strings.HasSuffix(host, name)) ||
		strings.HasPrefix(name, "*.") && strings.HasSuffix(host, name[1:])
}
