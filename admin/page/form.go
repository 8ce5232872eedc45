package page

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/patgate/patgate/admin"
)

// form holds the fields of the form of a new token, as it is shown again.
type form struct {
	Name, Description, User string
	Ends                    string // a preset such as 30d, date or forever
	Date                    string
	Scope                   string // limited or everything
	Policies                []string
	Rules                   []ruleRow
	Lines                   string
	Gates, Schemes          []string
	AllowFrom, DenyFrom     string
	Try                     tryForm
}

// ruleRow is a rule as the form has it: some methods of a path, and of the paths below it.
type ruleRow struct {
	Methods, Path string
	Below         bool
}

// tryForm is a request to try.
type tryForm struct{ Method, Path, Gate, Client, Body string }

type methodChoice struct{ Value, Text, Line string }

// methodChoices are the methods of a rule of the form, and what they are in a line.
var methodChoices = []methodChoice{
	{"read", "Read (GET, HEAD)", "[get,head]"},
	{"write", "Write (POST, PUT, PATCH, DELETE)", "[post,put,patch,delete]"},
	{"any", "Any method", ""},
	{"get", "GET", "[get]"},
	{"post", "POST", "[post]"},
	{"put", "PUT", "[put]"},
	{"patch", "PATCH", "[patch]"},
	{"delete", "DELETE", "[delete]"},
}

// line is the rule in the one-line form. Methods that the form does not offer are an error: a rule without
// methods would allow all of them.
func (r ruleRow) line() (string, error) {
	i := slices.IndexFunc(methodChoices, func(m methodChoice) bool { return m.Value == r.Methods })
	if i < 0 {
		return "", admin.Expected(http.StatusBadRequest, "invalid", "limitTo",
			fmt.Sprintf("the methods %q of the rule for %s are not offered, expected one of %s", r.Methods, r.Path, methodValues()))
	}
	path := strings.TrimRight(r.Path, "/")
	if !r.Below {
		return methodChoices[i].Line + regexp.QuoteMeta(r.Path), nil
	}
	return methodChoices[i].Line + regexp.QuoteMeta(path) + "(/.*)?", nil
}

// methodValues are the methods that the form offers, as text.
func methodValues() string {
	values := make([]string, len(methodChoices))
	for i := range methodChoices {
		values[i] = methodChoices[i].Value
	}
	return strings.Join(values, ", ")
}

// readForm reads a form that was sent.
func readForm(r *http.Request) (url.Values, error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" {
		return nil, admin.Expected(http.StatusUnsupportedMediaType, "unsupported_media_type", "", "expected a form of this page")
	}
	if err := r.ParseForm(); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) || errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, admin.BodyError(err)
		}
		return nil, admin.Expected(http.StatusBadRequest, "invalid", "", "the form can't be read, expected one of this page")
	}
	return r.PostForm, nil
}

// formOf is the form of a new token that was sent.
func formOf(v url.Values) form {
	f := form{
		Name: v.Get("name"), Description: v.Get("description"), User: strings.TrimSpace(v.Get("user")), Ends: v.Get("ends"), Date: v.Get("date"),
		Scope: v.Get("scope"), Policies: v["policy"], Lines: strings.ReplaceAll(v.Get("lines"), "\r\n", "\n"), Gates: v["gate"], Schemes: v["scheme"],
		AllowFrom: v.Get("allow-from"), DenyFrom: v.Get("deny-from"), Try: tryFormOf(v),
	}
	for i, path := range v["rule-path"] {
		row := ruleRow{Path: strings.TrimSpace(path)}
		if i < len(v["rule-methods"]) {
			row.Methods = v["rule-methods"][i]
		}
		if i < len(v["rule-below"]) {
			row.Below = v["rule-below"][i] == "below"
		}
		f.Rules = append(f.Rules, row)
	}
	return f
}

func tryFormOf(v url.Values) tryForm {
	return tryForm{
		Method: v.Get("try-method"), Path: strings.TrimSpace(v.Get("try-path")), Gate: v.Get("try-gate"), Client: strings.TrimSpace(v.Get("try-client")), Body: v.Get("try-body"),
	}
}

// limitTo are the rules of the form's rows and lines, each in the one-line form.
func (f *form) limitTo() (lines []string, err error) {
	for _, row := range f.Rules {
		if row.Path == "" {
			continue
		}
		line, err := row.line()
		if err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	return append(lines, linesOf(f.Lines)...), nil
}

// newToken returns the request of the form, as the API takes it.
func (f *form) newToken() (*admin.NewToken, error) {
	limits, err := f.limitTo()
	if err != nil {
		return nil, err
	}
	return admin.NewTokenOf(f.fields(limits))
}

// linesOf are the lines of a text that are not blank.
func linesOf(text string) []string {
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// fields returns the form with these rules as fields of the API, which checks them.
func (f *form) fields(limits []string) map[string]any {
	fields := map[string]any{"displayName": f.Name}
	set := func(name, value string) {
		if value != "" {
			fields[name] = value
		}
	}
	list := func(name string, values []string) {
		if len(values) > 0 {
			fields[name] = anys(values)
		}
	}
	set("description", strings.TrimSpace(f.Description))
	set("user", f.User)
	switch f.Ends {
	case "forever":
		fields["forever"] = true
	case "date":
		fields["expires"] = f.Date + "T00:00:00Z"
	default:
		set("expiresIn", f.Ends)
	}
	if f.Scope == "everything" {
		fields["unrestricted"] = true
	} else {
		list("policies", f.Policies)
		list("limitTo", limits)
	}
	list("gates", f.Gates)
	list("schemes", f.Schemes)
	clients := map[string]any{}
	if ranges := words(f.AllowFrom); len(ranges) > 0 {
		clients["allow"] = anys(ranges)
	}
	if ranges := words(f.DenyFrom); len(ranges) > 0 {
		clients["deny"] = anys(ranges)
	}
	if len(clients) > 0 {
		fields["clients"] = clients
	}
	return fields
}

// words are the parts of a text between blanks, commas and line ends.
func words(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\r\n,;", r) })
}

func anys(list []string) []any {
	values := make([]any, len(list))
	for i := range list {
		values[i] = list[i]
	}
	return values
}

// try returns the request to try; nil: none is filled in.
func (f *tryForm) try() (*admin.Try, error) {
	if f.Path == "" {
		return nil, nil
	}
	fields := map[string]any{"path": f.Path}
	for name, value := range map[string]string{"method": f.Method, "gate": f.Gate, "client": f.Client, "body": f.Body} {
		if value != "" {
			fields[name] = value
		}
	}
	if f.Body != "" {
		fields["headers"] = map[string]any{"content-type": "application/json"}
	}
	return admin.TryOf(fields)
}

// prefilled is the form as a link fills it in, and which of its parts the link filled in.
func prefilled(v url.Values) (f form, filled []string) {
	mark := func(what string, is bool) {
		if is && !slices.Contains(filled, what) {
			filled = append(filled, what)
		}
	}
	f = form{Name: v.Get("name"), Description: v.Get("description"), User: v.Get("user")}
	mark("the name", f.Name != "")
	mark("the purpose", f.Description != "")
	mark("the user", f.User != "")
	f.Policies, f.Gates, f.Schemes = split(v["policy"]), split(v["gate"]), split(v["scheme"])
	mark("the policies", len(f.Policies) > 0)
	mark("the Gates", len(f.Gates) > 0)
	mark("how it is presented", len(f.Schemes) > 0)
	f.Lines = strings.Join(v["limit"], "\n")
	mark("the rules", f.Lines != "")
	f.AllowFrom, f.DenyFrom = strings.Join(v["from"], "\n"), strings.Join(v["not-from"], "\n")
	mark("the addresses", f.AllowFrom != "" || f.DenyFrom != "")
	if ends := v.Get("expires"); ends != "" {
		f.Ends = ends
		if dateOnly.MatchString(ends) {
			f.Ends, f.Date = "date", ends
		}
		mark("the end", true)
	}
	if v.Get("scope") == "everything" {
		f.Scope = "everything"
		mark("what it may do", true)
	}
	return f, filled
}

var dateOnly = regexp.MustCompile(`^\d{4}-\d\d-\d\d$`)

// split takes lists with commas apart.
func split(values []string) (list []string) {
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); part != "" {
				list = append(list, part)
			}
		}
	}
	return list
}
