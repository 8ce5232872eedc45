package page

import (
	"errors"
	"fmt"
	"html/template"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/patgate/patgate/admin"
)

// functions are the functions that templates call.
func functions(now func() time.Time) template.FuncMap {
	return template.FuncMap{
		"date": date, "moment": moment, "machine": machine, "ago": func(t time.Time) string { return ago(t, now()) },
		"stateText": stateText, "stateClass": stateClass, "left": left, "limits": limits, "join": strings.Join, "has": slices.Contains[[]string],
		"count": count, "dict": dict, "language": language, "schemeText": schemeText, "plus": func(a, b int) int { return a + b }, "small": func(n uint64) int { return int(min(n, 1<<30)) },
		"ended": ended, "sentence": sentence, "reason": reasonText, "lifetime": lifetime, "tryMethods": func() []string { return tryMethods }, "overlaps": func() []choice { return overlapChoices },
	}
}

// dict makes the argument of a template of names and values.
func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, errors.New("dict needs names and values")
	}
	m := make(map[string]any, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, errors.New("dict needs texts as names")
		}
		m[name] = pairs[i+1]
	}
	return m, nil
}

// date is the day of a moment, in UTC.
func date(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// moment is a time for people, in UTC.
func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// machine is a time for programs.
func machine(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// ago describes how long ago a time was.
func ago(t, now time.Time) string {
	d := now.Sub(t)
	switch {
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return count(int(d/time.Minute), "minute") + " ago"
	case d < 48*time.Hour:
		return count(int(d/time.Hour), "hour") + " ago"
	}
	return count(int(d/(24*time.Hour)), "day") + " ago"
}

// count writes a number of things.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	if strings.HasSuffix(thing, "s") {
		return fmt.Sprintf("%d %s", n, thing)
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// stateText is a state in words.
func stateText(state string) string {
	switch state {
	case "not-yet-valid":
		return "Not valid yet"
	case "expires-soon":
		return "Expires soon"
	case "":
		return "Unknown"
	}
	return strings.ToUpper(state[:1]) + state[1:]
}

// stateClass is a state's color.
func stateClass(state string) string {
	switch state {
	case "active":
		return "good"
	case "expires-soon", "deactivated", "not-yet-valid":
		return "warn"
	case "revoked", "canary":
		return "bad"
	}
	return "off"
}

// days is a lifetime in days, as manifests write it.
var days = regexp.MustCompile(`^\d+d$`)

// lifetime writes a lifetime for people.
func lifetime(text string) string {
	if n, err := strconv.Atoi(strings.TrimSuffix(text, "d")); err == nil && days.MatchString(text) {
		return count(n, "day")
	}
	return text
}

// sentence begins a text with a capital letter.
func sentence(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[size:]
}

// ended reports whether a token's state is final.
func ended(state string) bool { return state == "revoked" || state == "expired" }

// left says how many days a token has.
func left(t admin.Token) string {
	switch {
	case t.Revoked != nil:
		return "Revoked"
	case t.DaysLeft == nil:
		return "No end"
	case t.State == "expired" || *t.DaysLeft <= 0:
		return "Ended"
	}
	return count(*t.DaysLeft, "day") + " left"
}

// limits are a token's limits in one line.
func limits(t admin.Token) string {
	const most = 3
	switch {
	case len(t.Limits) == 0:
		return "Everything that its user may do"
	case len(t.Limits) > most:
		return strings.Join(t.Limits[:most], ", ") + fmt.Sprintf(" and %d more", len(t.Limits)-most)
	}
	return strings.Join(t.Limits, ", ")
}

// languages are the names of languages for people.
var languages = map[string]string{
	"curl": "curl", "javascript": "JavaScript", "jquery": "jQuery", "python": "Python", "java": "Java", "go": "Go", "csharp": "C#",
	"powershell": "PowerShell", "php": "PHP",
}

func language(name string) string {
	if text, known := languages[name]; known {
		return text
	}
	return name
}

func schemeText(name string) string {
	switch name {
	case "basic":
		return "Basic (user and token)"
	case "bearer":
		return "Bearer (token alone)"
	}
	return name
}

// tryMethods are the methods of requests to try.
var tryMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

// overlapChoices are for how long a value that is replaced may run on.
var overlapChoices = []choice{{"", "Not at all"}, {"1h", "1 hour"}, {"1d", "1 day"}, {"7d", "7 days"}}
