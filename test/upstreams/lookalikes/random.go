package lookalikes

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Requests returns n requests: the named ones, and random ones made from a seed. The
// same seed makes the same requests, the tokens' values apart.
func (s *Suite) Requests(seed uint64, n int) []Request {
	list := s.Named()
	r := random{rand.New(rand.NewPCG(seed, 0)), s.profile}
	for i := len(list); i < n; i++ {
		q := r.request()
		q.Name = fmt.Sprintf("random %d of seed %d", i, seed)
		q.HTTP2, q.Chunked = r.IntN(2) == 0, r.IntN(3) == 0
		list = append(list, s.authorized(q))
	}
	return list
}

type random struct {
	*rand.Rand
	profile Profile
}

func pick[T any](r random, list ...T) T { return list[r.IntN(len(list))] }

// request makes one look-alike, sometimes two of different kinds.
func (r random) request() Request {
	kinds := []func() Request{r.header, r.host, r.method, r.query, r.query, r.denied, r.json, r.jsonDenied, r.form, r.override, r.destination, r.path, r.encoded}
	q := kinds[r.IntN(len(kinds))]()
	if r.IntN(6) == 0 {
		q = q.with(header(r.headerName("x-forwarded-user"), "root"))
	}
	if r.IntN(12) == 0 {
		q = q.with(header(pick(r, "X-Forwarded-Host", "Forwarded", "X-Host", "x.forwarded.host"), pick(r, "evil.example.org", "host=evil.example.org", Host)))
	}
	return q
}

// headerName respells a header's name: any character that a name may have for each
// hyphen, and any case.
func (r random) headerName(name string) string {
	const others = "-------_.~!#$%&'*+^`|"
	var b strings.Builder
	for _, c := range name {
		switch {
		case c == '-':
			b.WriteByte(others[r.IntN(len(others))])
		case r.IntN(4) == 0:
			b.WriteString(strings.ToUpper(string(c)))
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}

func (r random) header() Request {
	name := pick(r, "x-forwarded-user", "x-forwarded-groups", "x-patgate-token", "x-patgate-user-asserted", "x-patgate-id", "x-on-behalf-of",
		"x-http-method-override", "x-http-method", "x-method-override")
	rule := pick(r, "", "unrestricted", "method-deny")
	value := "root"
	if strings.Contains(name, "method") {
		value = "DELETE"
	}
	return plain("header", rule).with(method(pick(r, "GET", "POST")), header(r.headerName(name), value))
}

func (r random) host() Request {
	q := plain("host", pick(r, "", "unrestricted", "query-allow"))
	if r.IntN(2) == 0 {
		name := pick(r, "X-Forwarded-Host", "Forwarded", "X-Host", "X-Original-Host", "X-Forwarded-Server", "X-HTTP-Host-Override")
		value := pick(r, "", Host+", ", Host+":443", "for=1;") + pick(r, "", "host=", `host="`) + pick(r, Host, OtherHost, "evil.example.org", r.cased(Host)) + pick(r, "", ".", `"`)
		return q.with(header(name, value))
	}
	return q.with(host(pick(r, "", "www.", ".") + r.cased(pick(r, Host, Host, OtherHost, "other.org")) + pick(r, "", ".", "..") + pick(r, "", ":80", ":", ":99", ":x")))
}

// cased returns a text with some letters in upper case.
func (r random) cased(text string) string {
	return strings.Map(func(c rune) rune {
		if r.IntN(4) == 0 {
			return []rune(strings.ToUpper(string(c)))[0]
		}
		return c
	}, text)
}

func (r random) method() Request {
	m := r.cased(strings.ToLower(pick(r, "DELETE", "DELETE", "GET", "POST", "PATCH", "PUT", "OPTIONS")))
	if r.IntN(3) == 0 {
		m = strings.ToUpper(m)
	}
	return plain("method", pick(r, "method-deny", "method-allow", "query-allow")).with(method(m))
}

// around puts characters that parsers drop, cut at or take for brackets around and into
// a name.
func (r random) around(name string) string {
	parts := []string{"", "", "", "[", "]", "[]", "+", "%20", "%00", "%00x", ".", "_", "-", "%5B", "%5D", "[x]", "%09", "%0A", "&", ";", "?", "%FF", "$", "x", "[0]", "%EF%BB%BF", ":"}
	made := pick(r, parts...) + pick(r, parts...)
	for i, c := range name {
		switch {
		case c == '_' && r.IntN(2) == 0:
			made += pick(r, ".", "+", "%20", "[", "-", "_", "%2E")
		case r.IntN(12) == 0:
			made += fmt.Sprintf("%%%02X", c)
		case r.IntN(20) == 0 && i > 0:
			made += pick(r, parts...) + string(c)
		default:
			made += string(c)
		}
	}
	if r.IntN(8) == 0 {
		made = r.cased(made)
	}
	return made + pick(r, parts...) + pick(r, parts...)
}

func (r random) query() Request {
	rule, name := "query-allow", "from"
	if r.IntN(2) == 0 {
		rule, name = "query-allow-2", "date_from"
	}
	fields := []string{name + "=2018-01-01", r.around(name) + "=" + pick(r, "1999-01-01", "1999-01-01", "2018-02-02", "")}
	if r.IntN(4) == 0 {
		fields = append(fields, strings.Repeat("&", r.IntN(1200)), pick(r, "a=1", "a", "b[]=2", "c%zz=1"))
	}
	r.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	return plain("query", rule).with(target("/rest/x?" + strings.Join(fields, "&")))
}

func (r random) denied() Request {
	return plain("query", "query-deny").with(query(r.around("admin") + "=" + pick(r, "true", "1", "%31", "tru%65")))
}

func (r random) body(name string) string {
	if r.IntN(2) == 0 {
		return member(bodies[r.IntN(len(bodies))].text, name)
	}
	values := []string{"true", "false", `"true"`, "1", "[true]", `{"x":true}`, "null", `"1"`}
	members := []string{fmt.Sprintf("%q:%s", name, pick(r, values...)), fmt.Sprintf("%q:%s", r.cased(name), pick(r, values...)), `"a":[{"b":{}}]`}
	r.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	text := "{" + strings.Join(members[:1+r.IntN(3)], pick(r, ",", ", ", ",\n")) + "}"
	return pick(r, "", "", "", "\uFEFF", " ", "[") + text + pick(r, "", "", "", "\n", "]", "x")
}

func (r random) contentType() string {
	if r.IntN(3) > 0 {
		return "application/json"
	}
	return contentTypes[r.IntN(len(contentTypes))].name
}

func (r random) json() Request {
	return Request{Kind: "json", Rule: "json-allow", Target: "/rest/x", Host: Host}.with(post(r.contentType(), r.body("dryRun")))
}

func (r random) jsonDenied() Request {
	return Request{Kind: "json", Rule: "json-deny", Target: "/rest/x", Host: Host}.with(post(r.contentType(), r.body("admin")), method(pick(r, "POST", "PUT", "PATCH")))
}

func (r random) formType() string {
	kind := pick(r, "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "text/plain", "", "application/octet-stream")
	if r.IntN(3) == 0 {
		kind = r.cased(kind)
	}
	return pick(r, "", "", " ") + kind + pick(r, "", "", ";", "; charset=utf-8", ", text/plain", " ")
}

func (r random) form() Request {
	name := r.around("from")
	return plain("form", "query-allow").with(post(r.formType(), pick(r, "from", name)+"="+pick(r, "1999-01-01", "2018-01-01")), method(pick(r, "POST", "PUT", "PATCH", "GET")))
}

func (r random) override() Request {
	field := pick(r, "_method", r.around("_method")) + "=" + r.cased("delete")
	q := plain("form", pick(r, "method-deny", "method-allow")).with(post(r.formType(), field))
	if r.IntN(3) == 0 {
		q = q.with(query(field))
	}
	return q
}

func (r random) destination() Request {
	to := pick(r, "", "http://", "https://", "//") + pick(r, "", Host, Host+".", OtherHost, r.cased(Host)) + "/" +
		pick(r, "rest/own/b", "rest/admin", "rest/own/../admin", "rest/own/%2e%2e/x", "rest//own/b", "rest/own/b;x", "REST/own/b", "rest/own/%41")
	return Request{Kind: "destination", Rule: "destination", Method: pick(r, "COPY", "MOVE", "PUT"), Target: "/rest/own/a", Host: Host}.
		with(header(pick(r, "Destination", "Destination", "destination", "Destination."), to))
}

// escaped writes some characters of a path as escapes.
func (r random) escaped(path string, often int) string {
	var b strings.Builder
	for _, c := range path {
		if r.IntN(often) == 0 {
			fmt.Fprintf(&b, "%%%02x", c)
		} else {
			b.WriteRune(c)
		}
	}
	return b.String()
}

func (r random) path() Request {
	path := pick(r, "", "", "/x/..", "/.", "/") + "/rest" + pick(r, "/", "/", "//", "/./", "/x/../", ";a/", "%2f") + "admin" + pick(r, "", "", "/", "/x", ";x", ".json", "%20", "%00", "?x", "/..")
	if r.IntN(2) == 0 {
		path = r.cased(path)
	}
	if r.IntN(3) == 0 {
		path = r.escaped(path, 8)
	}
	return plain("path", "path-deny").with(target(path))
}

func (r random) encoded() Request {
	parts := []string{"group", "name", "%2F", "%2f", "/", "..", ".", "%23", "%3F", "%25", "%3B", ";", "%5C", "%252F", "%2e", "x"}
	id := pick(r, "group%2Fname", "group%2Fname", "group%2fname", "group")
	for range r.IntN(3) {
		id += pick(r, parts...)
	}
	rule := "encoded"
	if r.profile.KeepsEncoded && r.IntN(2) == 0 {
		rule = "encoded-any"
	}
	return plain("encoded", rule).with(target("/projects/" + r.escaped(id, 40) + "/issues"))
}
