// Package snippet writes client code that calls an API with a token. The code reads the value from the environment or
// prompts for it; it never contains a value.
package snippet

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Variable is the environment variable from which the code reads the token's value.
const Variable = "PATGATE_TOKEN"

// Methods lists the methods that a call may have: those that every client of a snippet sends.
var Methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

// Call is the request that the code sends.
type Call struct {
	URL    string // absolute, http or https
	Method string // one of Methods; empty: GET, or POST where there are data
	Data   string // the body, one JSON value; empty: none
	User   string // presented with Basic; unused with Bearer
	Bearer bool   // Bearer instead of Basic
}

// languages holds each language's template and how a text is written in it.
var languages = []struct {
	name, file string
	quote      func(string) string
}{
	{"curl", "curl.sh", quoteShell},
	{"javascript", "fetch.js", quoteScript},
	{"jquery", "jquery.js", quoteScript},
	{"python", "requests.py", quoteC},
	{"java", "Call.java", quoteASCII},
	{"go", "main.go", quoteC},
	{"csharp", "Call.cs", quoteASCII},
	{"powershell", "call.ps1", quotePowerShell},
	{"php", "call.php", quotePHP},
}

// Languages lists the names of the languages.
func Languages() []string {
	var names []string
	for _, l := range languages {
		names = append(names, l.name)
	}
	return names
}

//go:embed templates
var templates embed.FS

// ErrLanguage is the error for a language that there is no template of.
var ErrLanguage = errors.New("unknown language")

// FieldError says which field of a Call is wrong: url, user, method or data.
type FieldError struct {
	Field string
	Err   error
}

func (e *FieldError) Error() string { return e.Err.Error() }
func (e *FieldError) Unwrap() error { return e.Err }

// Code returns the code in a language. It returns ErrLanguage for an unknown one, and a
// *FieldError that describes what is wrong with the call: a URL that clients would send in different
// ways, a user that Basic can't carry (RFC 7617), a method or data that not all clients send.
func (c Call) Code(language string) (string, error) {
	for _, part := range []struct {
		field string
		check func() error
	}{{"url", c.checkURL}, {"user", c.checkUser}, {"method", c.completeMethod}, {"data", c.completeData}} {
		if err := part.check(); err != nil {
			return "", &FieldError{part.field, err}
		}
	}
	for _, l := range languages {
		if l.name != language {
			continue
		}
		t, err := template.New(l.file+".tmpl").Funcs(template.FuncMap{"quote": l.quote, "lower": strings.ToLower}).ParseFS(templates, "templates/"+l.file+".tmpl")
		if err != nil {
			return "", err
		}
		var b strings.Builder
		err = t.Execute(&b, c)
		return b.String(), err
	}
	return "", ErrLanguage
}

func (c *Call) checkURL() error {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return errors.New("the URL is none, expected an absolute one such as https://jira.example.com/rest/api/2/myself")
	case u.User != nil:
		return errors.New("the URL holds a user, expected none in it: a token does not belong into a URL")
	case strings.Contains(c.URL, "#"):
		return errors.New("the URL holds a fragment, expected none: it never reaches a server")
	case strings.ContainsAny(u.EscapedPath()+u.RawQuery, "[]") || badEscape.MatchString(c.URL) || badPort(u.Port()):
		return errors.New("the URL has a bracket outside its host, a broken percent escape or no good port, which clients read differently")
	case dotSegment.MatchString(u.EscapedPath()):
		return errors.New("the URL has a dot segment, which some clients resolve and others send, expected the path itself")
	case strings.IndexFunc(c.URL, notInURL) >= 0:
		return errors.New("the URL holds a character that has to be percent-encoded, expected it so")
	}
	return nil
}

func (c *Call) checkUser() error {
	switch {
	case c.Bearer:
		return nil
	case c.User == "":
		return errors.New("the user is missing, expected the token's user for Basic")
	case strings.Contains(c.User, ":"):
		return errors.New("the user holds a colon, expected none: with Basic it ends the user's name")
	case !utf8.ValidString(c.User) || strings.IndexFunc(c.User, notInName) >= 0:
		return errors.New("the user holds control characters or is not UTF-8, expected printable text")
	}
	return nil
}

// completeMethod sets the method that follows from the data.
func (c *Call) completeMethod() error {
	if c.Method == "" {
		c.Method = "GET"
		if c.Data != "" {
			c.Method = "POST"
		}
	}
	if !slices.Contains(Methods, c.Method) {
		return fmt.Errorf("the method is %q, expected one of %s", c.Method, strings.Join(Methods, ", "))
	}
	return nil
}

// completeData writes the data on one line of printable text, as the same JSON.
func (c *Call) completeData() error {
	switch {
	case c.Data == "":
		return nil
	case c.Method == "GET" || c.Method == "HEAD":
		return fmt.Errorf("there are data with the method %s, expected POST, PUT, PATCH, DELETE or OPTIONS: some clients send no body with it", c.Method)
	case !utf8.ValidString(c.Data) || !json.Valid([]byte(c.Data)):
		return errors.New(`the data are not JSON, expected one value such as {"body": "Comment text"}`)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(c.Data)); err != nil {
		return err
	}
	c.Data = escapeHidden(b.String())
	return nil
}

// escapeHidden writes characters that don't print as JSON's escapes. In compact JSON they
// occur in strings alone.
func escapeHidden(text string) string {
	var b strings.Builder
	for _, r := range text {
		if notInName(r) {
			writeEscape(&b, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

var (
	badEscape  = regexp.MustCompile(`%([^0-9A-Fa-f]|.[^0-9A-Fa-f]|.?$)`)
	dotSegment = regexp.MustCompile(`(?i)/(\.|%2e){1,2}(/|$)`)
)

func badPort(port string) bool {
	if port == "" {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err != nil || n == 0
}

// notInURL reports whether a character has no place in a URL (RFC 3986).
func notInURL(r rune) bool {
	return r > unicode.MaxASCII || !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
		strings.ContainsRune("-._~:/?[]@!$&'()*+,;=%", r))
}

func notInName(r rune) bool { return r != ' ' && !unicode.IsPrint(r) }

// quoteShell writes a text for a POSIX shell.
func quoteShell(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// quoteScript is quoteC for a script that may stand in a page, which `</script>` would end.
func quoteScript(s string) string { return strings.ReplaceAll(quoteC(s), "<", `\u003c`) }

// quoteC writes a text in double quotes, as JavaScript, Python and Go read it. Control
// characters don't occur.
func quoteC(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// quoteASCII is quoteC in ASCII alone: compilers of Java and C# may read a source in the
// system's encoding.
func quoteASCII(s string) string {
	var b strings.Builder
	for _, r := range quoteC(s) {
		if r < utf8.RuneSelf {
			b.WriteRune(r)
		} else {
			writeEscape(&b, r)
		}
	}
	return b.String()
}

// writeEscape writes a character as \uXXXX, in one or two units of UTF-16.
func writeEscape(b *strings.Builder, r rune) {
	for _, unit := range utf16.AppendRune(nil, r) {
		fmt.Fprintf(b, `\u%04x`, unit)
	}
}

// quotePowerShell writes a text in single quotes, in which PowerShell expands nothing. To it
// the typographic quotes are single quotes too.
func quotePowerShell(s string) string {
	var b strings.Builder
	for _, r := range s {
		if strings.ContainsRune("'\u2018\u2019\u201a\u201b", r) {
			b.WriteRune(r)
		}
		b.WriteRune(r)
	}
	return "'" + b.String() + "'"
}

// quotePHP writes a text in single quotes, in which PHP expands nothing.
func quotePHP(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
}
