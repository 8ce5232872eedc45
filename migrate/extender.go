package migrate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/patgate/patgate/manifest"
)

// extenderToken is an entry of Extender's token list.
type extenderToken struct {
	label, user, token, limitTo, ip string
	validUntil, dateCreated         int64 // milliseconds since 1970; 0: none
}

// Extender reads the token list of the Extender apps for Jira and Confluence, as their
// REST API gives it. It returns an error for a file that is none, and for one that can be
// read in two ways: a name twice, or in another case.
func Extender(data []byte, now time.Time) ([]Imported, error) {
	const expected = `expected JSON such as {"tokens":[{"label":"…"}],"status":"ok"}`
	file, err := readObject(data)
	if err != nil {
		return nil, fmt.Errorf("no token list of Extender: %w, %s", err, expected)
	}
	var status string
	var entries []json.RawMessage
	if file["tokens"] == nil || json.Unmarshal(file["tokens"], &entries) != nil {
		return nil, fmt.Errorf("no token list of Extender, %s", expected)
	}
	if text, given := file["status"]; given && (json.Unmarshal(text, &status) != nil || status != "ok") {
		return nil, fmt.Errorf("the list's status is not ok: it is the answer to a call that failed, %s", expected)
	}
	var list []Imported
	var values []string
	for n, raw := range entries {
		t, unknown, err := readExtenderToken(raw)
		if err != nil {
			return nil, fmt.Errorf("tokens[%d]%w", n, err)
		}
		i := t.imported(now)
		i.texts = append(i.texts, unknown...)
		if len(unknown) > 0 {
			i.note("fields that are not known were left out: %s", strings.Join(unknown, ", "))
		}
		list, values = append(list, i), append(values, t.token)
	}
	return finish(list, values), nil
}

// readExtenderToken reads an entry's fields by their exact names. The names of others are
// returned.
func readExtenderToken(raw json.RawMessage) (t extenderToken, unknown []string, err error) {
	fields, err := readObject(raw)
	if err != nil {
		return t, nil, fmt.Errorf(": %w", err)
	}
	texts := map[string]*string{"label": &t.label, "user": &t.user, "token": &t.token, "limitTo": &t.limitTo, "ip": &t.ip}
	times := map[string]*int64{"validUntil": &t.validUntil, "dateCreated": &t.dateCreated}
	for name, value := range fields {
		if string(value) == "null" || name == "counter" {
			continue
		}
		if text := texts[name]; text != nil {
			if json.Unmarshal(value, text) != nil {
				return t, nil, fmt.Errorf(".%s: no text, expected one", name)
			}
		} else if number := times[name]; number != nil {
			if json.Unmarshal(value, number) != nil || *number < 0 {
				return t, nil, fmt.Errorf(".%s: no time, expected milliseconds since 1970", name)
			}
		} else {
			unknown = append(unknown, fmt.Sprintf("%q", name))
		}
	}
	return t, sorted(unknown), nil
}

// readObject reads a JSON object whose names differ, also in case: of two, readers take
// one or the other, and one of them may hold the limits.
func readObject(data []byte) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("no JSON object")
	}
	fields, seen := map[string]json.RawMessage{}, map[string]bool{}
	for d.More() {
		name, err := d.Token()
		text, ok := name.(string)
		if err != nil || !ok {
			return nil, errors.New("broken JSON")
		}
		if folded := strings.ToLower(text); seen[folded] {
			return nil, fmt.Errorf("the name %q stands twice", folded)
		} else {
			seen[folded] = true
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, errors.New("broken JSON")
		}
		fields[text] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, errors.New("broken JSON")
	}
	return fields, nil
}

func (t *extenderToken) imported(now time.Time) Imported {
	i := Imported{From: t.label, texts: []string{t.label, t.user, plainText(t.limitTo), t.ip}}
	i.setValue(t.token)
	i.Token.User = t.user
	i.Token.Schemes = []string{"basic"} // Extender's default; --scheme says otherwise
	if t.user == "" {
		i.Token.AnyUser = true
		i.note("any user may present it, as before, with Basic alone: give it a user where you can")
	}
	i.Token.Issued = now
	if t.dateCreated > 0 {
		i.Token.Issued = time.UnixMilli(t.dateCreated).UTC()
	}
	if t.validUntil > 0 {
		i.Token.Expires = time.UnixMilli(t.validUntil).UTC()
		if !i.Token.Expires.After(now) {
			i.note("it has expired already")
		}
	}
	i.setRanges(t.ip)
	i.setLines(t.limitTo)
	return i
}

// setRanges takes addresses and ranges, divided by commas, semicolons or blanks.
func (i *Imported) setRanges(text string) {
	if text == "" || text == "*" {
		return
	}
	i.Token.AllowFrom = strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(",; \t\r\n", r) })
	if len(i.Token.AllowFrom) == 0 {
		i.refuse("its ip names no address, expected some or nothing at all")
	}
	i.note("it is for some addresses alone: its gates must say where they take these from (clientIP)")
}

var (
	lineBreak = regexp.MustCompile(`(?i)<br\s*/?>|\r?\n`)
	baseURL   = regexp.MustCompile(`^(\[[A-Za-z,]*\])?\{[A-Z]+_URL\}`)
	groups    = regexp.MustCompile(`\[\w+::`)
	openEnd   = regexp.MustCompile(`(\.[*+])?\$?$`)
	spansAny  = regexp.MustCompile(`\.[*+]`)
	// javaSet is a set within a set, or an intersection of two: Java reads `[a-z&&[^s]]` so.
	javaSet = regexp.MustCompile(`\[[^\]]*(\[|&&)`)
	// entities are those that a page must write; any other is text, as in `?a=1&copy=2`.
	entities = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&quot;", `"`, "&#39;", "'", "&amp;", "&")
)

func plainText(s string) string { return entities.Replace(s) }

// setLines takes the rules. A line that means something else here, or nothing, refuses the
// whole token: with fewer rules it might do less than its owner thinks, and it must be the
// owner who says so.
func (i *Imported) setLines(text string) {
	if text == "" {
		i.unrestricted()
		return
	}
	for _, line := range lineBreak.Split(text, -1) {
		if line = strings.Trim(plainText(line), " \t"); line != "" {
			i.setLine(line)
		}
	}
	if len(i.Token.LimitTo) == 0 {
		i.refuse("its limitTo has no rule in it, expected some or nothing at all")
	}
}

func (i *Imported) setLine(line string) {
	if strings.IndexFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
		i.refuse("the rule %q holds a line's end or a control character, expected one rule a line", line)
		return
	}
	if m := baseURL.FindStringSubmatch(line); m != nil {
		if strings.Contains(line, "|") {
			i.refuse("the rule %q has alternatives beside the base URL, expected a rule for each", line)
		}
		line = m[1] + line[len(m[0]):]
		i.note("the base URL is left out of %q: where the API has a context path such as /jira, the rule must begin with it", line)
	}
	if javaSet.MatchString(groups.ReplaceAllString(line, "::")) {
		i.refuse("the rule %q has a set within a set, which Java and RE2 read differently: expected plain sets", line)
	}
	var dec manifest.Decoder
	if _, err := dec.ParseLine(line); err != nil {
		i.refuse("the rule %q can't be carried over: %s", line, err.Message)
		return
	}
	if spansQuery(line) {
		i.note("the rule %q was matched against the whole URL, so that text in the query could meet it; now it is the path alone", line)
	}
	i.Token.LimitTo = append(i.Token.LimitTo, line)
}

// spansQuery reports whether a line could be met by text in the query where it was matched
// against the whole URL: something that takes any text stands before what it asks for.
func spansQuery(line string) bool {
	path := line
	if at := groups.FindStringIndex(line); at != nil {
		path = line[:at[0]]
	}
	return spansAny.MatchString(openEnd.ReplaceAllString(path, ""))
}
