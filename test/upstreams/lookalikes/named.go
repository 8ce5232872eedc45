package lookalikes

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// Named returns the requests that have names: one of each spelling that is known to be
// read otherwise somewhere, and ordinary ones for comparison.
func (s *Suite) Named() []Request {
	var list []Request
	for _, part := range [][]Request{
		ordinary(), namedHeaders(), namedHosts(), namedMethods(), namedQueries(), namedJSON(), namedForms(),
		namedDestinations(), namedPaths(), namedEncoded(s.profile.KeepsEncoded), s.namedCredentials(),
	} {
		list = append(list, part...)
	}
	for i := range list {
		list[i] = s.authorized(list[i])
		list[i].Aside = list[i].Aside || list[i].Rule == "" || list[i].HTTP2 // as with a token, as over HTTP/1.1
	}
	return list
}

// ordinary requests must be allowed: a gate that refuses everything proves nothing.
func ordinary() (list []Request) {
	for _, rule := range []string{"", "unrestricted", "encoded", "query-allow", "query-allow-2", "query-deny", "method-allow", "method-deny",
		"json-allow", "json-deny", "path-deny", "destination"} {
		q := plain("ordinary", rule)
		list = append(list, q.with(named("rule "+rule)), q.with(named("rule "+rule+", HTTP/2"), overHTTP2))
		if q.Body != "" {
			list = append(list, q.with(named("rule "+rule+", in chunks"), chunked), q.with(named("rule "+rule+", HTTP/2 without a length"), overHTTP2, chunked))
		}
	}
	return list
}

// spelled returns a header's name in spellings that some server turns into one variable.
func spelled(name string) []string {
	list := []string{strings.ToUpper(name)}
	for _, c := range "_.~!#$%&'*+^`|" {
		list = append(list, strings.ReplaceAll(name, "-", string(c)), strings.Replace(name, "-", string(c), 1))
	}
	return append(list, name[:len(name)-1]+"_"+name[len(name)-1:], name+"-", "-"+name, strings.Replace(name, "-", "--", 1))
}

func namedHeaders() (list []Request) {
	for _, rule := range []string{"unrestricted", ""} {
		q := plain("header", rule)
		for _, name := range spelled("x-forwarded-user") {
			q := q.with(named(fmt.Sprintf("`%s: root`%s", name, ofAnonymous(rule))), header(name, "root"))
			q.Aside = strings.ContainsAny(name, "!#$%&'*+^`|") // as with ~
			list = append(list, q)
		}
		for _, h := range [][2]string{{"X!Forwarded!Groups", "admins"}, {"X.Patgate.User.Asserted", "true"}, {"X.Patgate.Token", "admin"},
			{"x.patgate.id", "AAAAAAAAAAAAAAAAAAAAAAAAAA"}, {"x.on.behalf.of", "bob"}} {
			list = append(list, q.with(named(fmt.Sprintf("`%s: %s`%s", h[0], h[1], ofAnonymous(rule))), header(h[0], h[1])))
		}
		list = append(list, q.with(named("`X.Forwarded.User`, `X~Forwarded~Groups`, `X!HTTP!Method!Override`"+ofAnonymous(rule)), found("A1"),
			header("X.Forwarded.User", "root"), header("X~Forwarded~Groups", "admins"), header("X!HTTP!Method!Override", "DELETE"), header("X.Patgate.User.Asserted", "true")))
	}
	for _, name := range spelled("x-http-method-override") {
		list = append(list, plain("header", "method-deny").with(post("", ""), aside, named(fmt.Sprintf("`%s: DELETE`", name)), header(name, "DELETE")))
	}
	for _, name := range []string{"X.Original.URL", "X!Rewrite!URL", "x_original_url"} {
		list = append(list, plain("header", "path-deny").with(named(fmt.Sprintf("`%s: /rest/admin`", name)), header(name, "/rest/admin")))
	}
	return append(list,
		plain("header", "unrestricted").with(named("`Connection: x-forwarded-user`"), header("Connection", "x-forwarded-user")),
		plain("header", "unrestricted").with(named("`X-Forwarded-User: root` twice"), header("X-Forwarded-User", "root"), header("X-Forwarded-User", "admin")))
}

func ofAnonymous(rule string) string {
	if rule == "" {
		return ", anonymous"
	}
	return ""
}

func namedHosts() (list []Request) {
	q := plain("host", "unrestricted")
	for _, h := range []string{"API.example.com", Host + ":80", Host + ".", Host + ".:99", Host + "..", OtherHost, OtherHost + ".", "other.org",
		Host + "," + OtherHost, "root@" + Host, Host + "%2e", "." + Host, Host + "/", "[::1]", ""} {
		fault := ""
		if h == Host+"." || h == Host+".:99" {
			fault = "A2"
		}
		list = append(list, q.with(named(fmt.Sprintf("`Host: %s`", h)), host(h), found(fault)),
			q.with(named(fmt.Sprintf("`:authority: %s`", h)), host(h), overHTTP2))
	}
	for _, h := range [][2]string{{"X-Forwarded-Host", "evil.example.org"}, {"X-Forwarded-Host", Host + ", evil.example.org"},
		{"X-Forwarded-Host", "evil.example.org, " + Host}, {"x.forwarded.host", "evil.example.org"}, {"X_Forwarded_Host", "evil.example.org"},
		{"Forwarded", "host=evil.example.org"}, {"Forwarded", `for=192.0.2.1;HOST="evil.example.org"`}, {"Forwarded", "host=" + Host + ", host=evil.example.org"},
		{"X-Host", "evil.example.org"}, {"X-Original-Host", "evil.example.org"}, {"X-Forwarded-Server", "evil.example.org"},
		{"X-HTTP-Host-Override", "evil.example.org"}, {"X-Forwarded-Host", Host}, {"X-Forwarded-Host", Host + "."},
		{"X-Forwarded-Port", "99"}, {"X-Forwarded-Prefix", "/evil"}} {
		fault := ""
		if h == [2]string{"X-Forwarded-Host", "evil.example.org"} {
			fault = "A9"
		}
		list = append(list, q.with(named(fmt.Sprintf("`%s: %s`", h[0], h[1])), header(h[0], h[1]), found(fault)))
	}
	return append(list, q.with(named("`GET http://evil.example.org/rest/x`"), target("http://evil.example.org/rest/x")),
		q.with(named("`GET http://evil.example.org./rest/x`"), target("http://evil.example.org./rest/x")))
}

func namedMethods() (list []Request) {
	q := plain("method", "method-deny")
	for _, m := range []string{"DELETE", "delete", "Delete", "dELETE", "DELETE\u0130", "PATCH", "OPTIONS", "PUT"} {
		fault := ""
		if m == "delete" || m == "Delete" {
			fault = "A4"
		}
		list = append(list, q.with(named(fmt.Sprintf("`%s`", m)), method(m)),
			q.with(named(fmt.Sprintf("`:method: %s`", m)), method(m), overHTTP2, found(fault)))
	}
	for _, h := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"} {
		list = append(list, q.with(post("", ""), named(fmt.Sprintf("`%s: DELETE`", h)), header(h, "DELETE")))
	}
	return append(list, q.with(post("", ""), named("POST with `?_method=DELETE`"), query("_method=DELETE")),
		plain("method", "method-allow").with(named("`:method: get`"), method("get"), overHTTP2))
}

func namedForms() (list []Request) {
	const form = "application/x-www-form-urlencoded"
	many := "--b\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n--b--\r\n"
	of := func(name, value string) string { return fmt.Sprintf(many, name, value) }
	q, m := plain("form", "query-allow"), plain("form", "method-deny")
	for _, c := range []struct{ kind, body, fault string }{
		{form, "from=1999-01-01", "A7"}, {form + "; charset=utf-8", "from=1999-01-01", ""}, {strings.ToUpper(form), "from=1999-01-01", ""},
		{form + ";", "from=1999-01-01", ""}, {form + ",text/plain", "from=1999-01-01", ""}, {"text/plain, " + form, "from=1999-01-01", ""},
		{"multipart/form-data; boundary=b", of("from", "1999-01-01"), ""}, {"Multipart/Form-Data;boundary=\"b\"", of("from", "1999-01-01"), ""},
		{"multipart/mixed; boundary=b", of("from", "1999-01-01"), ""}, {"", "from=1999-01-01", ""}, {"text/plain", "from=1999-01-01", ""},
		{" " + form, "from=1999-01-01", ""}, {form + "\t", "from=1999-01-01", ""}, {"application/x-www-form-urlencoded-x", "from=1999-01-01", ""},
		{form, "from=2018-01-02", ""},
	} {
		list = append(list, q.with(post(c.kind, c.body), found(c.fault), named(fmt.Sprintf("`?from=2018-01-01`, %s, body `from` of %s", typed(c.kind), year(c.body)))))
	}
	for _, verb := range []string{"PUT", "PATCH", "DELETE", "GET"} {
		list = append(list, q.with(post(form, "from=1999-01-01"), method(verb), named(verb+" with `?from=2018-01-01` and a form of 1999")))
	}
	for _, c := range []struct{ kind, body, fault string }{
		{form, "_method=DELETE", "A7"}, {form, "_method=delete", ""}, {form, "%5Fmethod=DELETE", ""}, {form, "a=1&_method=DELETE&b=2", ""},
		{"multipart/form-data; boundary=b", of("_method", "DELETE"), ""}, {"", "_method=DELETE", ""}, {"text/plain", "_method=DELETE", ""},
		{form + "; charset=utf-7", "_method=DELETE", ""}, {"application/json", `{"_method":"DELETE"}`, ""}, {form, "_method[]=DELETE", ""}, {form, " _method=DELETE", ""},
	} {
		list = append(list, m.with(post(c.kind, c.body), found(c.fault), named(fmt.Sprintf("%s, body %s", typed(c.kind), short(c.body)))))
	}
	return list
}

func year(body string) string {
	if strings.Contains(body, "1999") {
		return "1999"
	}
	return "2018"
}

func short(body string) string {
	if strings.HasPrefix(body, "--") {
		return "with a part `_method`"
	}
	return "`" + body + "`"
}

// typed names a content type.
func typed(kind string) string {
	if kind == "" {
		return "no `Content-Type`"
	}
	return "`" + strings.ReplaceAll(kind, "\t", `\t`) + "`"
}

func namedDestinations() (list []Request) {
	q := Request{Kind: "destination", Rule: "destination", Method: "COPY", Target: "/rest/own/a", Host: Host}
	for _, to := range []string{"/rest/own/b", "http://" + Host + "/rest/own/b", "/rest/admin", "http://" + Host + "/rest/admin", "http://evil.example.org/rest/own/b",
		"/rest/own/../admin", "/rest/own/%2e%2e/admin", "/rest/own%2f..%2fadmin", "//evil.example.org/rest/own/b", "/rest/own/b/..;/x", "/REST/OWN/b",
		"rest/own/b", "http://" + Host + "./rest/own/b", "http://root@" + Host + "/rest/own/b", "/rest/own/b?x=1", ""} {
		list = append(list, q.with(named(fmt.Sprintf("`Destination: %s`", to)), header("Destination", to)))
	}
	return append(list, q.with(named("`destination.: /rest/admin`"), header("destination.", "/rest/admin")),
		q.with(named("PUT with `Destination: /rest/admin`"), method("PUT"), header("Destination", "/rest/admin")),
		q.with(named("two `Destination`"), header("Destination", "/rest/own/b"), header("Destination", "/rest/admin")),
		q.with(named("`:method: copy`, `Destination: /rest/admin`"), method("copy"), overHTTP2, header("Destination", "/rest/admin")))
}

func namedPaths() (list []Request) {
	q := plain("path", "path-deny")
	for _, path := range []string{"/rest/admin", "/REST/ADMIN", "/rest/Admin", "/Rest/admin/x", "/rest/ADMIN/", "/rest/%41dmin", "/rest/adm%69n", "/rest//admin",
		"/rest/./admin", "/rest/x/../admin", "/rest/%2e/admin", "/rest/admin;x=1", "/rest;x=1/admin", "/rest/admin%3bx", "/rest/admin%2f", "/rest%2fadmin",
		"/rest/admin%00", "/rest/admin%20", "/rest/admin.", "/rest\\admin", "/rest/admin%5c", "/rest/adm\u0131n", "/re\u017Ft/admin", "/rest/%ef%bd%81dmin",
		"/rest/admin.json", "/rest/admin?x", "/rest/admin%3f", "/rest/admin%23", "/rest/admin%25", "/rest/x/..%2fadmin", "/rest/admin/.", "/rest/admin%0a"} {
		fault := ""
		switch path {
		case "/REST/ADMIN", "/rest/Admin", "/Rest/admin/x", "/rest/ADMIN/":
			fault = "A6"
		}
		list = append(list, q.with(named(fmt.Sprintf("`%s`", path)), target(path), found(fault)))
	}
	return list
}

func namedEncoded(keeps bool) (list []Request) {
	q, all := plain("encoded", "encoded"), plain("encoded", "encoded-any")
	for _, id := range []string{"group%2Fname", "group%2fname", "group/name", "group%252Fname", "group%2F..%2Fname", "group%2F%2Fname", "group%2F", "%2Fname",
		"..%2Fname", "group%2F.", "group%5Cname", "group%2Fname%23x", "group%2Fname%3Fx", "group%2Fname;x", "group%2Fname%3Bx", "group%2Fname%25", "group%2Fname%00",
		"%67roup%2Fname", "group%2F%2e%2e", "group%2F%252e%252e", "group%2Fname%2F..;%2Fx"} {
		list = append(list, q.with(named(fmt.Sprintf("`/projects/%s/issues`", id)), target("/projects/"+id+"/issues")))
		if keeps {
			list = append(list, all.with(aside, named(fmt.Sprintf("`/projects/%s/issues`", id)), target("/projects/"+id+"/issues")))
		}
	}
	return list
}

// namedCredentials put the value of a token where it does not belong.
func (s *Suite) namedCredentials() (list []Request) {
	value := s.values["unrestricted"]
	q := plain("credential", "unrestricted")
	encoded := base64.StdEncoding.EncodeToString([]byte("alice:" + value))
	for _, h := range []struct{ name, value, shown string }{
		{"Private-Token", value, "TOKEN"}, {"X-API-Key", value, "TOKEN"}, {"X-Auth", "Bearer " + value, "Bearer TOKEN"},
		{"X-Basic", "Basic " + encoded, "Basic base64(alice:TOKEN)"}, {"Proxy-Authorization", "Bearer " + value, "Bearer TOKEN"},
		{"Authorization.", "Bearer " + value, "Bearer TOKEN"}, {"X_Authorization", value, "TOKEN"},
	} {
		anonymous := plain("credential", "")
		list = append(list, q.with(named(fmt.Sprintf("`%s: %s`", h.name, h.shown)), header(h.name, h.value)),
			anonymous.with(named(fmt.Sprintf("`%s: %s`, anonymous", h.name, h.shown)), header(h.name, h.value)))
	}
	for _, auth := range [][2]string{{"Basic " + encoded, "Basic base64(alice:TOKEN)"}, {"bearer " + value, "bearer TOKEN"}, {"Bearer  " + value, "two blanks"},
		{"Bearer \"" + value + "\"", "quotes"}, {"Bearer\t" + value, "a tab"}, {"Token " + value, "Token TOKEN"}} {
		list = append(list, q.with(named("`Authorization: "+auth[1]+"`"), header("Authorization", auth[0])))
	}
	return list
}
