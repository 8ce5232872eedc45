package lookalikes

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Kinds are the kinds of look-alikes about which Reads says something, with what it says.
var Kinds = []struct{ Name, Title, About string }{
	{"header", "Header names", "The header that patgate sets and the API asks for, as the client could forge it: what the API finds under the name proper."},
	{"host", "Hosts", "The host that the API builds links and tenants from, where it is not `" + Host + "`."},
	{"method", "Methods", "The method that the API acts on."},
	{"query", "Query names", "The value of the parameter `from` (or `date_from`) where it is not `2018-01-01` alone."},
	{"form", "Form bodies", "The same of a request whose body is a form, and the method where the form has `_method`."},
	{"json", "JSON bodies", "The member `dryRun` of the body, which is `true` where nothing else is said."},
	{"path", "Paths", "Whether the handler of `/rest/admin` runs."},
	{"encoded", "Escapes in paths", "The `id` of the handler of `/projects/{id}/issues`; *other* is another handler."},
}

// Reads says in a few words what an API took from a request: the cell of a table.
func Reads(q *Request, a *Answer) string {
	r, ok, err := ParseReport(a)
	switch {
	case err != nil:
		return "?"
	case !ok && a.Status == 0:
		return "closed"
	case !ok:
		return fmt.Sprint(a.Status)
	}
	switch q.Kind {
	case "header":
		return readHeaders(r)
	case "host":
		return unless(r.hostname(), Host)
	case "method":
		return r.Method
	case "query":
		return readQuery(q, r)
	case "form":
		if q.Rule == "method-deny" {
			return unless(r.Method, q.Method)
		}
		return readQuery(q, r)
	case "json":
		return readJSON(r)
	case "path":
		return unless(r.Route, "other")
	case "encoded":
		if r.Route != "project" {
			return "*" + r.Route + "*"
		}
		return code(r.ID)
	}
	return ""
}

// unless returns a text in code style, or a dash for the ordinary one.
func unless(text, ordinary string) string {
	if text == ordinary {
		return "–"
	}
	return code(text)
}

func code(text string) string {
	if text == "" {
		return "none"
	}
	return "`" + strings.ReplaceAll(strings.Trim(fmt.Sprintf("%q", text), `"`), "|", `\|`) + "`"
}

// readHeaders lists what the API finds in the headers that a client may not set.
func readHeaders(r *Report) string {
	var list []string
	for _, name := range []string{"x-forwarded-user", "x-forwarded-groups", "x-patgate-token", "x-patgate-user-asserted", "x-patgate-id", "x-on-behalf-of",
		"x-http-method-override", "x-original-url", "x-rewrite-url"} {
		if values := r.Lookup[name]; len(values) > 0 {
			list = append(list, strings.Join(values, ","))
		}
	}
	if len(list) == 0 {
		return "–"
	}
	return code(strings.Join(list, "; "))
}

func readQuery(q *Request, r *Report) string {
	name := "from"
	if q.Rule == "query-allow-2" {
		name = "date_from"
	}
	var all []string
	for _, values := range r.views(name) {
		for _, value := range values {
			if !slices.Contains(all, value) {
				all = append(all, value)
			}
		}
	}
	slices.Sort(all)
	if len(all) == 0 {
		return "none"
	}
	return unless(strings.Join(all, ", "), "2018-01-01")
}

func readJSON(r *Report) string {
	value, found := r.member("dryRun")
	if !found {
		return "none"
	}
	return unless(scalar(value), "true")
}

// Verdict says what became of a request on its way to the API: allowed, the reason of
// patgate's refusal, or the status with which a proxy refused it.
func Verdict(a *Answer) string {
	var problem struct{ Reason string }
	switch {
	case a.Header("x-patgate-id") == "" && a.Status == 0:
		return "closed"
	case a.Header("x-patgate-id") == "":
		return fmt.Sprintf("proxy: %d", a.Status)
	case a.Header("content-type") == "application/problem+json" && json.Unmarshal(a.Body, &problem) == nil && problem.Reason != "":
		return "`" + problem.Reason + "`"
	}
	return "allowed"
}
