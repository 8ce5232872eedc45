package diag

import (
	"regexp"
	"strings"
)

// The colors, as terminals know them (ECMA-48, SGR).
const (
	red     = "\x1b[31m"
	green   = "\x1b[32m"
	yellow  = "\x1b[33m"
	magenta = "\x1b[35m"
	cyan    = "\x1b[36m"
	dim     = "\x1b[2m"
	bold    = "\x1b[1m"
	plain   = "\x1b[0m"
)

// marks are texts in the output of commands, and the color of each: the first group of the pattern is
// colored. The first that matches a line counts.
var marks = []struct {
	pattern *regexp.Regexp
	color   string
}{
	{regexp.MustCompile(`^(the event records .*)$`), bold + yellow},
	{regexp.MustCompile(`^(allow \S+)`), bold + green},
	{regexp.MustCompile(`^(deny \S+)`), bold + red},
	{regexp.MustCompile(`^\d\d:\d\d:\d\d (allow) `), green},
	{regexp.MustCompile(`^\d\d:\d\d:\d\d (DENY \d+)`), bold + red},
	{regexp.MustCompile(`^\d\d:\d\d:\d\d (policy\.rejected) `), yellow},
	{regexp.MustCompile(`^(?:\d\d:\d\d:\d\d )?(ALERT.*)$`), bold + magenta},
	{regexp.MustCompile(`^  (ok)  `), green},
	{regexp.MustCompile(`^  (NO  .*)$`), red},
	{regexp.MustCompile(`^(  --  .*)$`), dim},
	{regexp.MustCompile(`^(note: )`), cyan},
	{regexp.MustCompile(`^(ok)(?:  |: )`), green},
	{regexp.MustCompile(`^(FAIL)  `), bold + red},
	{regexp.MustCompile(`^(Warning): `), yellow},
	{regexp.MustCompile(`^\S+:\d+:\d+: (warning [a-z0-9-]+): `), yellow},
	{regexp.MustCompile(`^\S+:\d+:\d+: (error [a-z0-9-]+): `), red},
	{regexp.MustCompile(`^(\S+:\d+:\d+): `), bold},
	{regexp.MustCompile(`^([ \d]\d\. [A-Z].*)$`), bold},
	{regexp.MustCompile(`^    (2\d\d [A-Z].*? )\| `), green},
	{regexp.MustCompile(`^    (4\d\d [A-Z].*? )\| `), red},
	{regexp.MustCompile(`^    (DIFFERS): `), bold + red},
	{regexp.MustCompile(`^(NAME  .*)$`), bold},
	{regexp.MustCompile(`  (active)  `), green},
	{regexp.MustCompile(`  (expires-soon|not-yet-valid|suspended|deactivated)  `), yellow},
	{regexp.MustCompile(`  (revoked|expired)  `), red},
	{regexp.MustCompile(`  (canary)  `), magenta},
}

// Color adds colors to a line that a command prints for people; see Writer.Highlight. JSON stays as it is.
func Color(line string) string {
	if strings.HasPrefix(line, "{") || strings.HasPrefix(line, "[") {
		return line
	}
	for _, m := range marks {
		if at := m.pattern.FindStringSubmatchIndex(line); at != nil {
			return line[:at[2]] + m.color + line[at[2]:at[3]] + plain + line[at[3]:]
		}
	}
	return line
}
