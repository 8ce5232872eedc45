package migrate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"regexp"
	"strings"
	"time"

	"github.com/patgate/patgate/loader/manifest"
)

// extenderToken is an entry of Extender's token list.
type extenderToken struct {
	Label       string `json:"label"`
	User        string `json:"user"`
	Token       string `json:"token"`
	LimitTo     string `json:"limitTo"`
	IP          string `json:"ip"`
	ValidUntil  int64  `json:"validUntil"`  // milliseconds since 1970; 0: no end
	DateCreated int64  `json:"dateCreated"` // the same
	Counter     int64  `json:"counter"`
}

// Extender reads the token list of the Extender apps for Jira and Confluence, as their
// REST API gives it. It returns an error for a file that is none.
func Extender(data []byte, now time.Time) ([]Imported, error) {
	var file struct {
		Tokens *[]json.RawMessage `json:"tokens"`
	}
	if err := json.Unmarshal(data, &file); err != nil || file.Tokens == nil {
		return nil, errors.New(`no token list of Extender, expected JSON such as {"tokens":[{"label":"…"}],"status":"ok"}`)
	}
	var list []Imported
	for n, raw := range *file.Tokens {
		var t extenderToken
		if err := json.Unmarshal(raw, &t); err != nil {
			return nil, fmt.Errorf("tokens[%d]%s", n, jsonProblem(err))
		}
		i := t.imported(now)
		if unknown := unknownFields(raw); len(unknown) > 0 {
			i.note("fields that are not known were left out: %s", strings.Join(unknown, ", "))
		}
		list = append(list, i)
	}
	setNames(list)
	return list, nil
}

// jsonProblem says where and what is wrong, and nothing of what is there.
func jsonProblem(err error) string {
	var e *json.UnmarshalTypeError
	if errors.As(err, &e) {
		field := ""
		if e.Field != "" {
			field = "." + e.Field
		}
		return fmt.Sprintf("%s: a %s, expected a %s", field, strings.Fields(e.Value + " value")[0], e.Type)
	}
	return ": no JSON object"
}

func unknownFields(raw json.RawMessage) []string {
	var all map[string]json.RawMessage
	if json.Unmarshal(raw, &all) != nil {
		return nil
	}
	for name := range all {
		d := json.NewDecoder(bytes.NewReader([]byte(fmt.Sprintf("{%q:null}", name))))
		d.DisallowUnknownFields()
		if d.Decode(new(extenderToken)) == nil {
			delete(all, name)
		}
	}
	var names []string
	for name := range all {
		names = append(names, fmt.Sprintf("%q", name))
	}
	return sorted(names)
}

func (t *extenderToken) imported(now time.Time) Imported {
	i := Imported{From: t.Label}
	i.setValue(t.Token)
	if i.holds(t.Token, t.Label, t.User, t.LimitTo, t.IP) {
		return i
	}
	i.Token.User = t.User
	if t.User == "" {
		i.Token.AnyUser = true
		i.note("any user may present it, as before, with Basic alone: give it a user where you can")
	}
	i.Token.Issued = now
	if t.DateCreated > 0 {
		i.Token.Issued = time.UnixMilli(t.DateCreated).UTC()
	}
	if t.ValidUntil > 0 {
		i.Token.Expires = time.UnixMilli(t.ValidUntil).UTC()
		if !i.Token.Expires.After(now) {
			i.note("it has expired already")
		}
	}
	i.setRanges(t.IP)
	i.setLines(t.LimitTo)
	return i
}

// setRanges takes addresses and ranges, divided by commas, semicolons or blanks.
func (i *Imported) setRanges(text string) {
	for _, r := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(",; \t\r\n", r) }) {
		if r == "*" {
			continue
		}
		i.Token.AllowFrom = append(i.Token.AllowFrom, r)
	}
	if len(i.Token.AllowFrom) > 0 {
		i.note("it is for some addresses alone: its gates must say where they take these from (clientIP)")
	}
}

var (
	lineBreak = regexp.MustCompile(`(?i)<br\s*/?>|\r?\n`)
	baseURL   = regexp.MustCompile(`^(\[[A-Za-z,]*\])?\{[A-Z]+_URL\}`)
	groups    = regexp.MustCompile(`\[\w+::`)
	openEnd   = regexp.MustCompile(`(\.[*+])?\$?$`)
	spansAny  = regexp.MustCompile(`\.[*+]`)
)

// spansQuery reports whether a line could be met by text in the query where it was matched
// against the whole URL: something that takes any text stands before what it asks for.
func spansQuery(line string) bool {
	path := line
	if at := groups.FindStringIndex(line); at != nil {
		path = line[:at[0]]
	}
	return spansAny.MatchString(openEnd.ReplaceAllString(path, ""))
}

// setLines takes the rules. A line that means something else here, or nothing, refuses the
// whole token: with fewer rules it might do less than its owner thinks, never more; but it
// must be the owner who says so.
func (i *Imported) setLines(text string) {
	var dec manifest.Decoder
	for _, line := range lineBreak.Split(text, -1) {
		line = strings.TrimSpace(html.UnescapeString(line))
		if line == "" {
			continue
		}
		if m := baseURL.FindStringSubmatch(line); m != nil {
			line = m[1] + line[len(m[0]):]
			i.note("the base URL is left out of %s: where the API has a context path such as /jira, the rule must begin with it", line)
		}
		if _, err := dec.ParseLine(line); err != nil {
			i.refuse("the rule %s can't be carried over: %s", line, err.Message)
			return
		}
		if spansQuery(line) {
			i.note("the rule %s was matched against the whole URL, so that text in the query could meet it; now it is the path alone", line)
		}
		i.Token.LimitTo = append(i.Token.LimitTo, line)
	}
	if len(i.Token.LimitTo) == 0 {
		i.unrestricted()
	}
}
