package migrate

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/patgate/patgate/manifest"
)

// extenderToken is an entry of Extender's token list.
type extenderToken struct {
	label, user, token, limitTo, ip string
	validUntil, dateCreated         time.Time // zero: none
}

// Extender reads the token list of the Extender apps for Jira and Confluence, as their
// REST API gives it. It returns an error for a file that is none, and for one that can be
// read in two ways: a name twice, or in another case.
func Extender(data []byte, now time.Time) ([]Imported, error) {
	const expected = `expected JSON such as {"tokens":[{"label":"…"}],"status":"ok"}`
	fields, err := readObject(data)
	if err != nil {
		return nil, fmt.Errorf("no token list of Extender: %w, %s", err, expected)
	}
	file := map[string]json.RawMessage{}
	for _, f := range fields {
		file[f.name] = f.value
	}
	if file["sops"] != nil {
		return nil, errors.New("the list is encrypted by SOPS, decrypt it first: sops decrypt FILE")
	}
	var status string
	if text, given := file["status"]; given && (json.Unmarshal(text, &status) != nil || status != "ok") {
		return nil, fmt.Errorf("the list's status is not ok: it is the answer to a call that failed, %s", expected)
	}
	at := slices.IndexFunc(fields, func(f field) bool { return f.name == "tokens" })
	if at < 0 {
		return nil, fmt.Errorf("no token list of Extender, %s", expected)
	}
	entries, err := readArray(fields[at])
	if err != nil {
		return nil, fmt.Errorf("no token list of Extender: %w, %s", err, expected)
	}
	var list []Imported
	var values []string
	for n, entry := range entries {
		i, value := importEntry(n, entry, now)
		i.Pos = position(data, entry.offset)
		list, values = append(list, i), append(values, value)
	}
	return finish(list, values), nil
}

// importEntry reads the nth entry of a list. One with fields that can't be read is refused, with
// what is wrong with each.
func importEntry(n int, entry field, now time.Time) (Imported, string) {
	t, unknown, problems := readExtenderToken(entry.value)
	i := Imported{From: t.label, texts: []string{t.label, t.user, plainText(t.limitTo), t.ip}}
	if len(problems) > 0 && t.label == "" {
		i.From = fmt.Sprintf("tokens[%d]", n)
	}
	for _, p := range problems {
		i.refuse("tokens[%d]%s", n, p)
	}
	t.carryOver(&i, now)
	i.texts = append(i.texts, unknown...)
	if len(unknown) > 0 {
		i.note("fields that are not known were left out: %s", strings.Join(unknown, ", "))
	}
	return i, t.token
}

// readExtenderToken reads an entry's fields by their exact names, in their order. It returns the
// names of others, and what is wrong with the known ones.
func readExtenderToken(raw json.RawMessage) (t extenderToken, unknown, problems []string) {
	fields, err := readObject(raw)
	if err != nil {
		return t, nil, []string{": " + err.Error()}
	}
	texts := map[string]*string{"label": &t.label, "user": &t.user, "token": &t.token, "limitTo": &t.limitTo, "ip": &t.ip}
	times := map[string]*time.Time{"validUntil": &t.validUntil, "dateCreated": &t.dateCreated}
	for _, f := range fields {
		if string(f.value) == "null" || f.name == "counter" {
			continue
		}
		if text := texts[f.name]; text != nil {
			if json.Unmarshal(f.value, text) != nil {
				problems = append(problems, fmt.Sprintf(".%s: no text, expected one", f.name))
			}
		} else if at := times[f.name]; at != nil {
			if *at, err = readTime(f.value); err != nil {
				problems = append(problems, fmt.Sprintf(".%s: %s", f.name, err))
			}
		} else {
			unknown = append(unknown, fmt.Sprintf("%q", f.name))
		}
	}
	return t, sorted(unknown), problems
}

// carryOver fills in a token's manifest.
func (t *extenderToken) carryOver(i *Imported, now time.Time) {
	i.setValue(t.token)
	i.Token.User = t.user
	if i.Token.Schemes == nil {
		i.Token.Schemes = []string{"basic"} // Extender's default; --scheme says otherwise
	}
	if t.user == "" {
		i.Token.AnyUser = true
		i.note("any user may present it, as before, with Basic alone: give it a user where you can")
	}
	i.setTimes(t.dateCreated, t.validUntil, now)
	i.setRanges(t.ip)
	i.setLines(t.limitTo)
}

// setTimes sets a token's issue and end; the zero time is none.
func (i *Imported) setTimes(created, end, now time.Time) {
	i.Token.Issued, i.Token.Expires = now, end
	if !created.IsZero() {
		i.Token.Issued = created
	}
	switch {
	case end.IsZero():
	case !created.IsZero() && !end.After(created):
		i.refuse("it ends before it was created: expected validUntil to be later than dateCreated")
	case !end.After(now):
		i.note("it has expired already")
	}
}

// setRanges reads addresses and ranges, separated by commas, semicolons or blanks.
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

// setLines reads the rules. A line that means something else in patgate, or nothing, refuses
// the whole token: with fewer rules it might do less than its owner expects, and only the
// owner can decide that.
func (i *Imported) setLines(text string) {
	if text == "" {
		i.unrestricted()
		return
	}
	blank := true
	for _, line := range lineBreak.Split(text, -1) {
		if line = strings.Trim(plainText(line), " \t"); line != "" {
			blank = false
			i.setLine(line)
		}
	}
	if blank {
		i.refuse("its limitTo is blank, expected rules, or nothing at all")
	}
}

func (i *Imported) setLine(line string) {
	if strings.IndexFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
		i.refuse("the rule %q holds a line's end or a control character, expected one rule a line", line)
		return
	}
	if m := baseURL.FindStringSubmatch(line); m != nil {
		if strings.Contains(line, "|") {
			i.refuse("the rule %q has alternatives next to the base URL, expected a rule for each", line)
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
// against the whole URL: a part that matches any text comes before the condition.
func spansQuery(line string) bool {
	path := line
	if at := groups.FindStringIndex(line); at != nil {
		path = line[:at[0]]
	}
	return spansAny.MatchString(openEnd.ReplaceAllString(path, ""))
}
