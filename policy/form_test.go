package policy_test

import (
	"strings"
	"testing"

	"github.com/patgate/patgate/policy"
)

// posting is a POST with a body of this type. An empty type: there is no header.
func posting(media, body string) func(*policy.Request) {
	return func(r *policy.Request) {
		r.Method = "POST"
		if media != "" {
			header("content-type", media)(r)
		}
		if body != "" {
			r.Body = policy.Body{State: policy.BodyWhole, Bytes: []byte(body)}
		}
	}
}

func unread(r *policy.Request) { r.Body = policy.Body{} }
func partly(r *policy.Request) { r.Body.State = policy.BodyPartial }

// answersAt checks a rule as an allow and as a deny rule at a gate with this formBodies.
func answersAt(t *testing.T, forms policy.FormBodies, r *policy.Rule, q *policy.Request) both {
	t.Helper()
	w := newWorld(t)
	w.gate.FormBodies = forms
	w.token.Grant = policy.Grant{Policies: []*policy.Policy{allowing(r)}}
	allow := w.ask(q).Reason
	w.token.Grant = policy.Grant{Unrestricted: true, Policies: []*policy.Policy{denying(r)}}
	return both{allow, w.ask(q).Reason}
}

const urlencoded = "application/x-www-form-urlencoded"

func TestWhatMayBeAForm(t *testing.T) {
	r := rule(t, "r", "query", "from=2018-.*")
	q := target("/x?from=2018-01-01")
	for _, media := range []string{urlencoded, "Application/X-WWW-Form-URLEncoded", urlencoded + "; charset=utf-8", urlencoded + " x", urlencoded + ",application/json",
		"application/json, " + urlencoded, "application/x-url-encoded", "multipart/form-data; boundary=x", "MULTIPART/related", "multipart/x", "multipart", "", " ", ";boundary=x"} {
		if got := answersAt(t, policy.FormsUnknown, r, request(q, posting(media, "a=1"))); got != unreadableQ {
			t.Errorf("%q: %v", media, got)
		}
		if got := answersAt(t, policy.FormsMerged, r, request(q, posting(media, "a=1"))); got != unreadableQ {
			t.Errorf("merged, %q: %v", media, got)
		}
		if got := answersAt(t, policy.FormsSeparate, r, request(q, posting(media, "a=1"))); got != yes {
			t.Errorf("separate, %q: %v", media, got)
		}
	}
	for _, media := range []string{"application/json", "text/plain", "application/octet-stream", "text/html; charset=utf-8"} {
		if got := answersAt(t, policy.FormsMerged, r, request(q, posting(media, "a=1"))); got != yes {
			t.Errorf("%q: %v", media, got)
		}
	}
	for name, c := range map[string]struct {
		want both
		how  []func(*policy.Request)
	}{
		"not read":                      {unreadableQ, []func(*policy.Request){posting(urlencoded, "")}},
		"no type, not read":             {unreadableQ, []func(*policy.Request){posting("", ""), header("content-length", "9")}},
		"no type, not read, in chunks":  {unreadableQ, []func(*policy.Request){posting("", ""), header("transfer-encoding", "chunked")}},
		"no type, no body":              {yes, []func(*policy.Request){posting("", "")}},
		"no type, declared to be empty": {yes, []func(*policy.Request){posting("", ""), header("content-length", "0")}},
		"a form that is empty":          {yes, []func(*policy.Request){posting(urlencoded, ""), header("content-length", "0")}},
		"two types":                     {unreadableQ, []func(*policy.Request){posting("", "a=1"), header("content-type", "text/plain", urlencoded)}},
		"a form, the path fails before": {no, []func(*policy.Request){posting(urlencoded, "a=1")}},
	} {
		asked := r
		if c.want == no {
			asked = rule(t, "r", "path", "/y", "query", "from=2018-.*")
		}
		if got := answersAt(t, policy.FormsUnknown, asked, request(append(c.how, q)...)); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// A form may say another method than the request, which a deny rule refuses.
func TestMethodsInForms(t *testing.T) {
	denies := rule(t, "r", "method", "DELETE")
	part := func(line string) string { return "--x\r\n" + line + "\r\n\r\nDELETE\r\n--x--\r\n" }
	multipart := "multipart/form-data; boundary=x"
	for _, c := range []struct {
		media, body string
		named       bool
	}{
		{urlencoded, "_method=DELETE", true},
		{urlencoded, "a=1&_method=DELETE", true},
		{urlencoded, "a=1;_METHOD=DELETE", true},
		{urlencoded, "%5Fmethod=DELETE", true},
		{urlencoded, "_%6dethod=DELETE", true},
		{urlencoded, "_method]=DELETE", true},
		{urlencoded, "[_method]=DELETE", true},
		{urlencoded, "_method%00x=DELETE", true},
		{urlencoded, ".method=DELETE", true},
		{urlencoded, "_method", true},
		{"", "_method=DELETE", true},
		{"multipart/mixed", "_method=DELETE", true},
		{urlencoded + "; charset=utf-16", "a=1", true},
		{urlencoded, "method=DELETE&a_method=1&x=_method&_methods=1", false},
		{urlencoded + "; charset=UTF-8", "a=1", false},
		{"application/json", `{"a":"_method"}`, false},
		{multipart, part(`Content-Disposition: form-data; name="_method"`), true},
		{multipart, part(`content-disposition:form-data;name=_method`), true},
		{multipart, part("Content-Disposition: form-data;\r\n name=\"_method\""), true},
		{multipart, part(`Content-Disposition: form-data; name*=utf-8''%5Fmethod`), true},
		{multipart, part(`Content-Disposition: form-data; name="\_method"`), true},
		{multipart, part(`Content-Disposition: form-data; name="=?utf-8?b?X21ldGhvZA==?="`), true},
		{multipart, strings.ReplaceAll(part(`Content-Disposition: form-data; name="_METHOD["`), "\r\n", "\n"), true},
		{multipart, part(`Content-Disposition: form-data; name="method"`), false},
		{multipart, part(`Content-Disposition: form-data; name="file"; filename="get_method.py"`), false},
		{multipart, part("Content-Disposition: form-data; name=\"file\"\r\n\r\nself._method()\r\n_method"), false},
	} {
		q := request(posting(c.media, c.body))
		want := policy.OK
		if c.named {
			want = policy.BodyUnavailable
		}
		for _, forms := range []policy.FormBodies{policy.FormsUnknown, policy.FormsMerged} {
			if got := answersAt(t, forms, denies, q).deny; got != want {
				t.Errorf("%q, %s %q: %v, want %v", forms, c.media, c.body, got, want)
			}
		}
		if got := answersAt(t, policy.FormsSeparate, denies, q).deny; got != policy.OK {
			t.Errorf("separate, %s %q: %v", c.media, c.body, got)
		}
		allows := rule(t, "r", "method", "POST")
		if got := answersAt(t, policy.FormsUnknown, allows, q).allow; got != policy.OK {
			t.Errorf("an allow rule, %s %q: %v", c.media, c.body, got)
		}
		if got := answersAt(t, policy.FormsMerged, allows, q).allow; got != want {
			t.Errorf("merged, an allow rule, %s %q: %v, want %v", c.media, c.body, got, want)
		}
	}
}

// Some that take the method from forms take it from the query of any request, too.
func TestMethodsInQueries(t *testing.T) {
	denies, allows := rule(t, "r", "method", "DELETE"), rule(t, "r", "method", "POST")
	for asked, named := range map[string]bool{
		"_method=DELETE": true, "a=1&_method=delete": true, "%5Fmethod=DELETE": true, "_method[]=DELETE": true, "a;_method=DELETE": true, "%20_method=DELETE": true,
		"": false, "method=DELETE": false, "x_method=DELETE": false, "a=_method": false, "_methods=DELETE": false,
	} {
		q := request(posting("", ""), func(r *policy.Request) { r.Target.Query = asked })
		want := policy.OK
		if named {
			want = policy.QueryUnreadable
		}
		for _, forms := range []policy.FormBodies{policy.FormsUnknown, policy.FormsMerged} {
			if got := answersAt(t, forms, denies, q).deny; got != want {
				t.Errorf("%q, ?%s: %v, want %v", forms, asked, got, want)
			}
		}
		if got := answersAt(t, policy.FormsMerged, allows, q).allow; got != want {
			t.Errorf("merged, an allow rule, ?%s: %v, want %v", asked, got, want)
		}
		if got := answersAt(t, policy.FormsUnknown, allows, q).allow; got != policy.OK {
			t.Errorf("an allow rule, ?%s: %v", asked, got)
		}
		if got := answersAt(t, policy.FormsSeparate, denies, q).deny; got != policy.OK {
			t.Errorf("separate, ?%s: %v", asked, got)
		}
	}
}

// An API that takes the method from forms may take it from JSON: deny and allow rules then
// refuse a member `_method`, at gates whose API does so.
func TestMethodsInJSON(t *testing.T) {
	denies, allows := rule(t, "r", "method", "DELETE"), rule(t, "r", "method", "POST")
	for body, named := range map[string]bool{
		`{"_method":"DELETE"}`: true, `{"a":1, "_method" : "DELETE"}`: true, `{"\u005fmethod":"DELETE"}`: true, `{"_m\u0065thod":1}`: true, `[{"_method":"PUT"}]`: true,
		`{"method":"DELETE"}`: false, `{"a":"_method"}`: false, `{"a":"\"_method\":1"}`: false, `{"a_method":1}`: false, `{"a":"_method`: false,
	} {
		q := request(posting("application/json", body))
		want := policy.OK
		if named {
			want = policy.BodyUnavailable
		}
		if got := answersAt(t, policy.FormsMerged, denies, q).deny; got != want {
			t.Errorf("merged, %s: %v, want %v", body, got, want)
		}
		if got := answersAt(t, policy.FormsMerged, allows, q).allow; got != want {
			t.Errorf("merged, an allow rule, %s: %v, want %v", body, got, want)
		}
		for _, forms := range []policy.FormBodies{policy.FormsUnknown, policy.FormsSeparate} {
			if got := answersAt(t, forms, denies, q).deny; got != policy.OK {
				t.Errorf("%q, %s: %v", forms, body, got)
			}
		}
	}
}

// Over HTTP/2 a body needs neither a length nor a type, and some take a POST without a type
// for a form.
func TestFormsWithoutATypeOverHTTP2(t *testing.T) {
	asks := rule(t, "r", "query", "from=2018-.*")
	q := func(how ...func(*policy.Request)) *policy.Request {
		return request(append([]func(*policy.Request){posting("", ""), func(r *policy.Request) { r.Target.Query, r.Unframed = "from=2018-01-01", true }}, how...)...)
	}
	get := func(r *policy.Request) { r.Method = "GET" }
	for name, c := range map[string]struct {
		q       *policy.Request
		refused bool
	}{
		"POST": {q(), true}, "a blank type": {q(header("content-type", " ")), true}, "GET": {q(get), false},
		"an empty body": {q(header("content-length", "0")), false}, "JSON": {q(header("content-type", "application/json")), false},
	} {
		want := policy.OK
		if c.refused {
			want = policy.QueryUnreadable
		}
		if got := answersAt(t, policy.FormsMerged, asks, c.q).allow; got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		if got := answersAt(t, policy.FormsUnknown, asks, c.q).allow; got != policy.OK {
			t.Errorf("%s, without formBodies: %v", name, got)
		}
	}
}

// The unread part of a form counts at a gate with `formBodies: merged`.
func TestMethodsInFormsThatAreNotRead(t *testing.T) {
	denies := rule(t, "r", "method", "DELETE", "path", "/x")
	for name, c := range map[string]struct {
		absent, merged policy.Reason
		how            []func(*policy.Request)
	}{
		"not read":           {policy.OK, policy.BodyUnavailable, []func(*policy.Request){posting(urlencoded, "a=1"), unread}},
		"in part":            {policy.OK, policy.BodyUnavailable, []func(*policy.Request){posting(urlencoded, "a=1"), partly}},
		"in part, with it":   {policy.BodyUnavailable, policy.BodyUnavailable, []func(*policy.Request){posting(urlencoded, "_method=DELETE&a"), partly}},
		"in an encoding":     {policy.BodyUnavailable, policy.BodyUnavailable, []func(*policy.Request){posting(urlencoded, "\x1f\x8b"), header("content-encoding", "gzip")}},
		"another path":       {policy.OK, policy.OK, []func(*policy.Request){posting(urlencoded, "_method=DELETE"), target("/y")}},
		"the method denied":  {policy.BodyUnavailable, policy.BodyUnavailable, []func(*policy.Request){posting(urlencoded, "_method=GET"), method("DELETE")}},
		"no form, no method": {policy.OK, policy.OK, []func(*policy.Request){posting("application/json", "{}")}},
	} {
		q := request(append([]func(*policy.Request){target("/x")}, c.how...)...)
		if got := answersAt(t, policy.FormsUnknown, denies, q).deny; got != c.absent {
			t.Errorf("%s: %v, want %v", name, got, c.absent)
		}
		if got := answersAt(t, policy.FormsMerged, denies, q).deny; got != c.merged {
			t.Errorf("merged, %s: %v, want %v", name, got, c.merged)
		}
	}
}

// TestUnseenBodies decides where what asks says nothing of a body: a POST may have one, whatever its headers say.
func TestUnseenBodies(t *testing.T) {
	for _, c := range []struct {
		method string
		length string
		allows bool
	}{
		{"GET", "", true}, {"HEAD", "", true}, {"POST", "", false}, {"POST", "0", false}, {"PUT", "", false},
	} {
		w := newWorld(t)
		w.token.Grant = policy.Grant{Policies: []*policy.Policy{allowing(rule(t, "r", "query", "a=[0-9]+"))}}
		r := request()
		r.Method, r.Unseen, r.Target = c.method, true, policy.NewTarget("/?a=1")
		if c.length != "" {
			header("content-length", c.length)(r)
		}
		if d := policy.Evaluate(w.snapshot(), r, nil); (d.Effect == policy.Allow) != c.allows {
			t.Errorf("%s with the length %q: %v", c.method, c.length, d.Reason)
		}
	}
}

// TestProblemOfTheRequest refuses what can't be evaluated before anything else is looked at.
func TestProblemOfTheRequest(t *testing.T) {
	w, r := newWorld(t), request()
	r.Problem = "the front sent no x-original-uri"
	if d := policy.Evaluate(w.snapshot(), r, nil); d.Effect == policy.Allow || d.Reason != policy.BadTarget || d.Detail != r.Problem {
		t.Errorf("%+v", d)
	}
}
