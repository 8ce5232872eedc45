package lookalikes

import (
	"fmt"
	"slices"
	"strings"
)

// Request is one request as it goes onto the wire, byte for byte.
type Request struct {
	Kind  string // which look-alike it holds: header, host, method, query, …
	Name  string // what is special about it, unique within its kind
	Fault string // the fault that it was found by, if any
	Rule  string // of the token that it presents; none: an anonymous caller
	Aside bool   // it says about APIs what another request says already

	HTTP2        bool
	HTTPS        bool // the scheme that HTTP/2 says
	Chunked      bool // over HTTP/1.1: the body in chunks; over HTTP/2: without a Content-Length
	Method       string
	Target, Host string
	Headers      [][2]string // in their order; Host and Content-Length are written from the fields
	Body         string
}

// String names a request in messages, without its credential.
func (q *Request) String() string {
	protocol := "HTTP/1.1"
	if q.HTTP2 {
		protocol = "HTTP/2"
	}
	rule := q.Rule
	if rule == "" {
		rule = "anonymous"
	}
	return fmt.Sprintf("%s %q (%s, %s): %.300q", q.Kind, q.Name, rule, protocol, q.shown())
}

func (q *Request) shown() string {
	target := q.Target
	if len(target) > 120 {
		target = target[:60] + "…" + target[len(target)-60:]
	}
	text := q.Method + " " + target + "\nHost: " + q.Host
	for _, h := range q.Headers {
		if !strings.EqualFold(h[0], "authorization") {
			text += "\n" + h[0] + ": " + h[1]
		}
	}
	return text + "\n\n" + q.Body
}

// authorized returns the request with its token as a Bearer credential, unless it has
// one already.
func (s *Suite) authorized(q Request) Request {
	has := func(h [2]string) bool { return h[0] == "Authorization" }
	if q.Rule != "" && !slices.ContainsFunc(q.Headers, has) {
		q.Headers = append([][2]string{{"Authorization", "Bearer " + s.values[q.Rule]}}, q.Headers...)
	}
	return q
}

// plain returns an ordinary request that the rule allows.
func plain(kind, rule string) Request {
	q := Request{Kind: kind, Rule: rule, Method: "GET", Target: "/rest/x", Host: Host}
	switch rule {
	case "":
		q.Target = "/rest/public/x"
	case "query-allow":
		q.Target = "/rest/x?from=2018-01-01"
	case "query-allow-2":
		q.Target = "/rest/x?date_from=2018-01-01"
	case "json-allow":
		q = q.with(post("application/json", `{"dryRun":true}`))
	case "json-deny":
		q = q.with(post("application/json", `{"admin":false}`))
	case "encoded", "encoded-any":
		q.Host, q.Target = EncodedHost, "/projects/group%2Fname/issues"
	case "destination":
		q.Method, q.Target = "COPY", "/rest/own/a"
		q.Headers = [][2]string{{"Destination", "/rest/own/b"}}
	}
	return q
}

// change is what turns a request into another one.
type change func(*Request)

func (q Request) with(changes ...change) Request {
	q.Headers = append([][2]string(nil), q.Headers...)
	for _, c := range changes {
		c(&q)
	}
	return q
}

func named(name string) change  { return func(q *Request) { q.Name = name } }
func found(fault string) change { return func(q *Request) { q.Fault = fault } }
func target(text string) change { return func(q *Request) { q.Target = text } }
func method(text string) change { return func(q *Request) { q.Method = text } }
func host(text string) change   { return func(q *Request) { q.Host = text } }
func aside(q *Request)          { q.Aside = true }
func chunked(q *Request)        { q.Chunked = true }
func overHTTP2(q *Request)      { q.HTTP2 = true }
func header(name, v string) change {
	return func(q *Request) { q.Headers = append(q.Headers, [2]string{name, v}) }
}

// query adds fields to the query.
func query(fields string) change {
	return func(q *Request) {
		if strings.Contains(q.Target, "?") {
			q.Target += "&" + fields
		} else {
			q.Target += "?" + fields
		}
	}
}

// post makes it a POST with a body of a type; without a type where that is empty.
func post(contentType, body string) change {
	return func(q *Request) {
		q.Method, q.Body = "POST", body
		if contentType != "" {
			q.Headers = append(q.Headers, [2]string{"Content-Type", contentType})
		}
	}
}
