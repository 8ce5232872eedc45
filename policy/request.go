package policy

import (
	"mime"
	"net/netip"
	"strings"
	"time"
)

// Request is one HTTP request as the gate sees it. It carries its own clock, so that
// a decision depends on nothing but the request and a snapshot.
type Request struct {
	Time       time.Time
	Method     string
	Target     Target
	Host       string // Host or :authority, as received
	Route      string // the gate that the route names, where RouteNamed
	RouteNamed bool
	TLS        bool // the client's connection to Envoy is a TLS session
	Peer       netip.Addr
	Header     Header
	Credential Credential
	Body       Body
}

// Header looks up the headers of a request.
type Header interface {
	// Get returns the value of a header, whose name is in lower case, and how many
	// there were. Several are joined by commas, in their order.
	Get(name string) (value string, count int)
	// All calls yield with the name and value of each header, as they came, until it
	// returns false. Its method value is an iter.Seq2.
	All(yield func(name, value string) bool)
}

// Body is a request's body, as far as Envoy handed it over. The zero value is absent.
type Body struct {
	State BodyState
	Bytes []byte
}

// BodyState says how much of a body there is.
type BodyState uint8

// The states of a body. Only a whole one is read.
const (
	BodyAbsent BodyState = iota
	BodyPartial
	BodyWhole
)

// String returns what the audit calls the state.
func (s BodyState) String() string { return [...]string{"absent", "partial", "whole"}[s] }

// body is a request's body, read as JSON when the first rule asks for it.
type body struct {
	read     bool
	problem  string // why it can't be read; empty where it can
	document document
}

// load reads the body once. It stays unreadable where it is absent or cut, in a
// content encoding, of another type than JSON in UTF-8, or not strict JSON.
func (b *body) load(r *Request) {
	if b.read {
		return
	}
	b.read = true
	b.problem = b.parse(r)
}

func (b *body) parse(r *Request) (problem string) {
	if r.Body.State == BodyAbsent || len(r.Body.Bytes) == 0 {
		return "there is none"
	}
	if r.Body.State != BodyWhole {
		return "it did not arrive whole"
	}
	if _, n := r.Header.Get("content-encoding"); n > 0 {
		return "it is in a content encoding"
	}
	if value, n := r.Header.Get("content-type"); n != 1 || !isJSONType(value) {
		return "its Content-Type is not application/json in UTF-8"
	}
	var ok bool
	if b.document, ok = parseDocument(r.Body.Bytes); !ok {
		return "it is not one valid JSON value without duplicate keys"
	}
	return ""
}

// check tells whether a node is there and matches; it can't tell of an unreadable body.
func (b *body) check(n *Node, all bool) verdict {
	if b.problem != "" {
		return undecided
	}
	return b.document.check(n, all)
}

// isJSONType reports whether a Content-Type is application/json or application/*+json
// in UTF-8.
func isJSONType(value string) bool {
	if value == "application/json" {
		return true
	}
	if strings.ContainsAny(value, ",*") { // two headers, joined; an encoded parameter (RFC 2231)
		return false
	}
	media, params, err := mime.ParseMediaType(value)
	if err != nil {
		return false
	}
	if charset, given := params["charset"]; given && !strings.EqualFold(charset, "utf-8") {
		return false
	}
	subtype, ok := strings.CutPrefix(media, "application/")
	return ok && (subtype == "json" || len(subtype) > len("+json") && strings.HasSuffix(subtype, "+json"))
}
