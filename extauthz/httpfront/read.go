package httpfront

import (
	"net/http"
	"slices"
	"strings"

	"github.com/patgate/patgate/policy"
)

// Check is the client's request as a front describes it, without its body. The zero value is none that passes.
type Check struct {
	Problem string // why it can't be evaluated, in fixed words; empty: it can be

	Method, Target, Host string

	Address string   // of the client; empty: unknown
	Framing Framing  // whether the request has a body
	Header  []Header // without those of the front's family; names in lower case
}

// Header is one header line.
type Header struct{ Name, Value string }

// Framing describes the request's body, as far as the front does. The zero value: not at all.
type Framing struct {
	Known  bool
	Length string // of Content-Length and Transfer-Encoding; empty: there is no body
}

// Names of headers that policies read. Their values are the front's word, or they are not there.
const (
	headerFor   = "x-forwarded-for"
	headerProto = "x-forwarded-proto"
)

// statements are headers by which one of the kinds states the client's address and TLS. Those of other kinds
// come from the client.
var statements = []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Real-Ip", "X-Envoy-External-Address"}

// framing are headers that describe the body of the check rather than that of the request.
var framing = []string{"Content-Length", "Transfer-Encoding"}

// Read reads a check of a kind.
func Read(kind Kind, r *http.Request) Check {
	f := families[kind]
	if f == nil {
		return Check{Problem: "the kind of front is unknown"}
	}
	var c Check
	c.Problem = f.problem(r.Header)
	if c.Problem == "" {
		c.Problem = connectionProblem(slices.Concat(r.Header["Connection"], []string{first(r.Header, f.connection)}))
	}
	if f.isRequest() {
		c.Method, c.Target, c.Host = r.Method, r.RequestURI, r.Host
	} else {
		c.Method, c.Target, c.Host = first(r.Header, f.method), first(r.Header, f.target), first(r.Header, f.host)
	}
	proto := first(r.Header, f.proto)
	if f.url != "" {
		proto, c.Host, c.Target = splitURL(first(r.Header, f.url))
	}
	if c.Problem == "" && !isToken(c.Method) {
		c.Problem = "the method is no word of HTTP"
	}
	c.Framing = framingOf(first(r.Header, f.body))
	c.Address = lastEntry(first(r.Header, f.address))
	c.Header = f.others(r.Header, proto)
	return c
}

// framingOf reads what a front says of the body. Only HTTP/1 has a header with every body: without one, a request of
// another protocol may have a body.
func framingOf(text string) (f Framing) {
	text, found := strings.CutPrefix(text, "body=")
	comma := strings.LastIndexByte(text, ',')
	if !found || comma < 0 {
		return Framing{}
	}
	length, protocol := text[:comma], text[comma+1:]
	return Framing{Known: length != "" || strings.HasPrefix(protocol, "HTTP/1."), Length: length}
}

// problem returns what is wrong with the headers of the family: one is missing, or there is another of
// its name or of a name that looks like it.
func (f *family) problem(h http.Header) string {
	for _, key := range []string{f.method, f.target, f.host, f.url} {
		if key != "" && len(h[key]) == 0 {
			return "the front sent no " + strings.ToLower(key)
		}
	}
	for key, values := range h {
		if f.owns(key) {
			if len(values) > 1 {
				return "the front sent " + strings.ToLower(key) + " twice"
			}
			continue
		}
		if like := f.likes(key); like != "" {
			return "a header's name looks like " + strings.ToLower(like) + ", which is the front's own"
		}
	}
	return ""
}

// likes returns the header of the family that a name could be taken for.
func (f *family) likes(key string) string {
	if !hasOdd(key) {
		return ""
	}
	folded := policy.FoldHeader(strings.ToLower(key))
	for _, own := range f.names() {
		if own != "" && strings.ToLower(own) == folded {
			return own
		}
	}
	return ""
}

// hasOdd reports whether some character of a header's name folds to another.
func hasOdd(name string) bool {
	for i := range len(name) {
		if c := name[i]; c != '-' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return true
		}
	}
	return false
}

// harmless are the names that a Connection header may hold: others would take headers off the request after the check.
var harmless = []string{"", "close", "keep-alive", "upgrade", "te", "trailer", "trailers", "http2-settings"}

func connectionProblem(values []string) string {
	for _, value := range values {
		for name := range strings.SplitSeq(value, ",") {
			if !slices.Contains(harmless, strings.ToLower(strings.Trim(name, " \t"))) {
				return "Connection names a header, which an API may drop"
			}
		}
	}
	return ""
}

// others returns the headers that are not of the family, and what the family says of the address and TLS
// in those that policies read.
func (f *family) others(h http.Header, proto string) []Header {
	list := make([]Header, 0, len(h)+2)
	for key, values := range h {
		if slices.Contains(framing, key) || !f.keeps(key) {
			continue
		}
		name := strings.ToLower(key)
		for _, value := range values {
			list = append(list, Header{name, value})
		}
	}
	if address := first(h, f.address); address != "" && !f.isRequest() {
		list = append(list, Header{headerFor, address})
	}
	if proto == "https" || proto == "http" {
		list = append(list, Header{headerProto, proto})
	}
	return list
}

// keeps reports whether policies see a header as it came.
func (f *family) keeps(key string) bool {
	switch {
	case f.isRequest():
		return key != f.proto
	case f.owns(key):
		return key == f.address && key != "X-Forwarded-For"
	}
	return !slices.Contains(statements, key)
}

// first returns the one value of a header, or nothing.
func first(h http.Header, key string) string {
	if values := h[key]; key != "" && len(values) == 1 {
		return values[0]
	}
	return ""
}

// lastEntry returns the entry of a list that the front itself added.
func lastEntry(list string) string {
	return strings.Trim(list[strings.LastIndexByte(list, ',')+1:], " \t")
}

// splitURL takes scheme://host and a raw target apart.
func splitURL(url string) (scheme, host, target string) {
	scheme, rest, found := strings.Cut(url, "://")
	if !found {
		return "", "", ""
	}
	if at := strings.IndexAny(rest, "/?#"); at >= 0 {
		return scheme, rest[:at], rest[at:]
	}
	return scheme, rest, ""
}

// isToken reports whether text is a token (RFC 9110, section 5.6.2).
func isToken(text string) bool {
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return text != ""
}
