package lookalikes

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Rule is one rule of a token, and what its word means for what an API read.
type Rule struct {
	Name  string
	Allow string // one allow rule in YAML's flow form; or Deny; or none: unrestricted
	Deny  string
	// broken says how what the API read breaks the rule, or nothing.
	broken func(*Report) string
}

var (
	date       = regexp.MustCompile(`\A(?:2018-\d\d-\d\d)\z`)
	trueValue  = regexp.MustCompile(`\A(?:true|1)\z`)
	underOwn   = regexp.MustCompile(`\A/rest/own(?:/.*)?\z`)
	project    = regexp.MustCompile(`\A/projects/[a-z]+(?:/|%2F|%2f)[a-z]+/issues\z`)
	underRest  = regexp.MustCompile(`\A/rest/x\z`)
	withScheme = regexp.MustCompile(`\A[a-zA-Z]+://[^/]*`)
)

// rules are the tokens of a suite. Each has one rule alone, so that it is known what
// allowed a request.
var rules = []Rule{
	{Name: "unrestricted", broken: func(*Report) string { return "" }},
	{Name: "query-allow", Allow: `{path: /rest/x, query: {from: '2018-\d\d-\d\d'}}`, broken: both(pathIs(underRest), queryIs("from"))},
	{Name: "query-allow-2", Allow: `{path: /rest/x, query: {date_from: '2018-\d\d-\d\d'}}`, broken: both(pathIs(underRest), queryIs("date_from"))},
	{Name: "query-deny", Deny: `query: {admin: 'true|1'}`, broken: queryIsNot("admin")},
	{Name: "method-allow", Allow: `{methods: [GET, POST], path: /rest/x}`, broken: both(pathIs(underRest), methodIs("GET", "POST"))},
	{Name: "method-deny", Deny: `methods: [DELETE]`, broken: methodIsNot("DELETE")},
	{Name: "json-allow", Allow: `{methods: [POST], path: /rest/x, json: {dryRun: 'true'}}`, broken: both(methodIs("POST"), jsonIs("dryRun"))},
	{Name: "json-deny", Deny: `{methods: [POST, PUT, PATCH], json: {admin: 'true|1'}}`, broken: jsonIsNot("admin")},
	{Name: "path-deny", Deny: `path: /rest/admin(/.*)?`, broken: routeIsNot("admin")},
	{Name: "destination", Allow: `{methods: [COPY, MOVE, PUT], path: '/rest/own(/.*)?'}`, broken: both(pathIs(underOwn), destinationIsOwn)},
	{Name: "encoded", Allow: `path: '/projects/[a-z]+%2F[a-z]+/issues'`, broken: pathIs(project)},
	{Name: "encoded-any", Allow: `path: '/projects/[^/]+/issues'`, broken: routeIs("project")},
}

func both(first, second func(*Report) string) func(*Report) string {
	return func(r *Report) string {
		if text := first(r); text != "" {
			return text
		}
		return second(r)
	}
}

func pathIs(pattern *regexp.Regexp) func(*Report) string {
	return func(r *Report) string {
		if !pattern.MatchString(r.Path) {
			return fmt.Sprintf("it read the path %q, which the rule does not match", r.Path)
		}
		return ""
	}
}

func methodIs(allowed ...string) func(*Report) string {
	return func(r *Report) string {
		if !slices.Contains(allowed, r.Method) {
			return fmt.Sprintf("it read the method %q, the rule allows %v", r.Method, allowed)
		}
		return ""
	}
}

func methodIsNot(denied string) func(*Report) string {
	return func(r *Report) string {
		if strings.EqualFold(r.Method, denied) {
			return fmt.Sprintf("it read the method %q, which the rule denies", r.Method)
		}
		return ""
	}
}

// queryIs checks that a parameter is there in every view, with values of 2018 alone.
func queryIs(name string) func(*Report) string {
	return func(r *Report) string {
		for _, values := range r.views(name) {
			if len(values) == 0 {
				return fmt.Sprintf("it read no parameter %s, which the rule requires", name)
			}
			for _, value := range values {
				if !date.MatchString(value) {
					return fmt.Sprintf("it read %s=%q, which the rule does not match", name, value)
				}
			}
		}
		return ""
	}
}

// queryIsNot checks that no view has the parameter with a denied value, nested ones included.
func queryIsNot(name string) func(*Report) string {
	return func(r *Report) string {
		for _, values := range r.views(name) {
			for _, value := range values {
				if trueValue.MatchString(value) || strings.HasPrefix(value, "{") || strings.HasPrefix(value, "[") {
					return fmt.Sprintf("it read %s=%q, which the rule denies", name, value)
				}
			}
		}
		return ""
	}
}

func jsonIs(name string) func(*Report) string {
	return func(r *Report) string {
		value, found := r.member(name)
		if !found {
			return fmt.Sprintf("it read no JSON member %s, which the rule requires: %s", name, r.JSON)
		}
		if text := scalar(value); text != "true" {
			return fmt.Sprintf("it read %s as %s, which the rule does not match", name, text)
		}
		return ""
	}
}

func jsonIsNot(name string) func(*Report) string {
	return func(r *Report) string {
		value, found := r.member(name)
		if !found {
			return ""
		}
		switch value.(type) {
		case map[string]any, []any:
			return fmt.Sprintf("it read %s as a container, which is true in most languages: %s", name, r.JSON)
		}
		if text := scalar(value); trueValue.MatchString(text) {
			return fmt.Sprintf("it read %s as %s, which the rule denies", name, text)
		}
		return ""
	}
}

// scalar returns the text that a pattern is matched against.
func scalar(value any) string {
	if text, ok := value.(string); ok {
		return text
	}
	text, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func routeIs(wanted string) func(*Report) string {
	return func(r *Report) string {
		if r.Route != wanted {
			return fmt.Sprintf("it chose the handler of %q for %q, the rule is about that of %q", r.Route, r.Path, wanted)
		}
		return ""
	}
}

func routeIsNot(denied string) func(*Report) string {
	return func(r *Report) string {
		if r.Route == denied {
			return fmt.Sprintf("it chose the handler of %q for %q, which the rule denies", denied, r.Path)
		}
		return ""
	}
}

// destinationIsOwn checks that the target of a copy is where the rule allows writing.
func destinationIsOwn(r *Report) string {
	for _, value := range r.Lookup["destination"] {
		place := withScheme.FindString(value)
		_, host, _ := strings.Cut(place, "://")
		if place != "" && !strings.EqualFold(host, Host) {
			return fmt.Sprintf("it read a Destination at another host: %q", value)
		}
		if path := unescape(value[len(place):]); !underOwn.MatchString(path) || strings.Contains(path, "/.") {
			return fmt.Sprintf("it read the Destination %q, which the rule does not match", value)
		}
	}
	return ""
}

// unescape decodes percent escapes once; what is none stays.
func unescape(text string) string {
	return escape.ReplaceAllStringFunc(text, func(e string) string {
		var c byte
		_, _ = fmt.Sscanf(e, "%%%02x", &c)
		return string([]byte{c})
	})
}

var escape = regexp.MustCompile(`%[0-9a-fA-F]{2}`)
