package manifest

import (
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"gopkg.in/yaml.v3"

	"github.com/patgate/patgate/policy"
)

// Name is a Kubernetes name (RFC 1123 subdomain) and its place.
type Name struct {
	Text string
	At   Pos
}

func (Name) expects() string { return "a name" }

func (v *Name) decode(s *scope, n *yaml.Node, field string) {
	if text, ok := s.text(n, field); ok {
		if !isKubernetesName(text) {
			s.problem(n, field, "%q is no name, expected at most 253 lower-case letters, digits, `-` and `.`, "+
				"with a letter or digit at both ends of each part", text)
			return
		}
		*v = Name{text, s.pos(n)}
	}
}

func isKubernetesName(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	for part := range strings.SplitSeq(name, ".") {
		if part == "" || part[0] == '-' || part[len(part)-1] == '-' {
			return false
		}
		for i := range len(part) {
			if c := part[i]; !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-') {
				return false
			}
		}
	}
	return true
}

// Ref is another manifest's name, in the own namespace or with one in front, and the place where it is named.
type Ref Name

func (Ref) expects() string { return "a manifest's name" }

// User is a user's name, compared byte for byte everywhere.
type User string

func (User) expects() string { return "a user's name" }

func (v *User) decode(s *scope, n *yaml.Node, field string) {
	text, ok := s.text(n, field)
	switch {
	case !ok:
	case len(text) > policy.MaxUser:
		s.problem(n, field, "a name of %d bytes, expected at most %d", len(text), policy.MaxUser)
	case strings.TrimSpace(text) != text || strings.ContainsFunc(text, func(r rune) bool { return r != ' ' && !unicode.IsPrint(r) }):
		s.problem(n, field, "%q, expected printable text without blanks around it, as it goes into a header", text)
	default:
		*v = User(text)
	}
}

// Method is an HTTP method, upper-cased on load.
type Method string

func (Method) expects() string { return "an HTTP method" }

func (v *Method) decode(s *scope, n *yaml.Node, field string) {
	text, ok := s.text(n, field)
	if !ok {
		return
	}
	if !isHTTPToken(text) {
		s.problem(n, field, "%q is no HTTP method, expected one such as GET", text)
		return
	}
	*v = Method(strings.ToUpper(text))
}

// isHTTPToken is the syntax of methods and header names (RFC 9110, section 5.6.2).
func isHTTPToken(text string) bool {
	for i := range len(text) {
		c := text[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return text != ""
}

// HeaderName is the name of a header, in lower case.
type HeaderName string

func (HeaderName) expects() string { return "a header's name" }

// notOurs are headers that no gate may set, remove or read an identity from.
var notOurs = []string{"authorization", "connection", "content-encoding", "content-length", "content-type", "cookie",
	"destination", "host", "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
	"x-envoy-auth-partial-body", "x-forwarded-for", "x-forwarded-proto", "x-request-id",
	policy.HeaderID, policy.HeaderUserAsserted, policy.HeaderTokenExpires, policy.HeaderBasicEnds,
	"x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url"}

func (v *HeaderName) decode(s *scope, n *yaml.Node, field string) {
	text, ok := s.text(n, field)
	if !ok {
		return
	}
	name := strings.ToLower(text)
	switch {
	case !isHTTPToken(text): // before it is in lower case: that of U+212A is k
		s.problem(n, field, "%q is no header's name, expected one such as x-forwarded-user", text)
	case slices.Contains(notOurs, policy.FoldHeader(name)):
		s.problem(n, field, "%s has a meaning of its own, expected another header's name", name)
	case strings.Contains(name, "_"):
		s.problem(n, field, "%s holds an underscore, which proxies drop or refuse, expected %s", name, strings.ReplaceAll(name, "_", "-"))
	default:
		*v = HeaderName(name)
	}
}

// Host is a host name, a wildcard such as *.example.com, or * for every host.
type Host string

func (Host) expects() string { return "a host's name" }

func (v *Host) decode(s *scope, n *yaml.Node, field string) {
	text, ok := s.text(n, field)
	if !ok {
		return
	}
	host := strings.ToLower(text)
	if host == policy.AnyHost {
		*v = Host(host)
		return
	}
	if !isASCII(text) || !isHost(strings.TrimPrefix(host, "*.")) {
		s.problem(n, field, "%q is no host, expected one such as jira.example.com or *.example.com, without scheme, port and path", text)
		return
	}
	*v = Host(host)
}

func isASCII(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII })
}

func isHost(host string) bool {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		a, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		return err == nil && a.Is6() && a.Zone() == "" && strings.HasSuffix(inner, "]")
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for i := range len(label) {
			if c := label[i]; !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
				return false
			}
		}
	}
	return len(host) <= 253
}

// Prefix is a path prefix by whole segments, compared with the decoded path.
type Prefix struct {
	Path string // without a trailing slash
	At   Pos
}

func (Prefix) expects() string { return "a path prefix such as /rest/" }

func (v *Prefix) decode(s *scope, n *yaml.Node, field string) {
	text, ok := s.text(n, field)
	if !ok {
		return
	}
	if !strings.HasPrefix(text, "/") {
		s.problem(n, field, "%q has no leading slash, expected /%s", text, text)
		return
	}
	if strings.ContainsAny(text, "*()|^$") {
		s.problem(n, field, "%q looks like a pattern, expected a plain prefix: /rest/ guards /rest and all below", text)
		return
	}
	if target := policy.NewTarget(text); target.Problem() != "" || target.Encoded != 0 || target.HasQuery || target.Path != text {
		s.problem(n, field, "%q is no plain path, expected it decoded, without dot or empty segments, query, `%%`, `;` and `#`", text)
		return
	}
	*v = Prefix{policy.CanonicalPrefix(text), s.pos(n)}
}
