package manifest

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// placeholder is the vendor's word for a URL, in braces anywhere or bare at the front.
var placeholder = regexp.MustCompile(`\{[A-Z]*_?URL\}|^[A-Z]+_URL(/|$)`)

// schemeInPattern is `http:` or the slashes of any scheme, with their escapes.
var schemeInPattern = regexp.MustCompile(`(?i)\bhttps?\??\\?:|\\?:(\\?/){2}`)

// beyondPath finds a scheme, a host, a placeholder, a query or a fragment in a
// pattern: none of these is in a path, so that the rule could never match, or would
// match what was not meant.
func beyondPath(path string) *LineError {
	if at := placeholder.FindStringIndex(path); at != nil {
		return &LineError{at[0], fmt.Sprintf("%s is a placeholder for a URL, expected the pattern of the path alone: leave it out, or begin with .*",
			strings.TrimSuffix(path[at[0]:at[1]], "/"))}
	}
	if schemeInPattern.MatchString(path) || strings.HasPrefix(path, "//") || namesHost(path) {
		return &LineError{0, "the pattern names a scheme or host, expected the path alone, which begins with /: a gate's `hosts` names the host"}
	}
	for i := 0; i < len(path); i++ {
		switch {
		case path[i] == '#', strings.HasPrefix(path[i:], `\#`):
			return &LineError{i, "`#` in the pattern, expected the path alone: a fragment never reaches a server"}
		case path[i] == '\\' && i+1 < len(path):
			if i++; path[i] == '?' {
				return &LineError{i - 1, `\? in the pattern, expected the path alone: limit a parameter with [QueryParam::NAME==REGEX]`}
			}
		}
	}
	return nil
}

var (
	// hostAlone matches the part before the first slash of a pattern that begins with a host.
	hostAlone = regexp.MustCompile(`^[\w(|)?:-]*(\\?\.[\w(|)-]+)*(\\?\.[A-Za-z]{2,}|:\d+)$`)
	// hostAfterAny is the same after `.*`, where a path may be too.
	hostAfterAny = regexp.MustCompile(`^\.[*+](?:\\?\.)?([\w-]+(?:\\?\.[\w-]+)*)\\?\.([A-Za-z]{2,})$`)
)

// topLevels are the ends of names that are hosts rather than files, where the pattern
// leaves both open.
var topLevels = []string{"app", "at", "ch", "cloud", "co", "com", "corp", "de", "dev", "edu", "eu", "example", "fr", "gov", "info",
	"internal", "intra", "io", "it", "lan", "local", "net", "nl", "org", "pl", "test", "uk", "us"}

// namesHost reports whether a pattern begins with a host name. One that may begin with
// a slash does so only where it looks like nothing else.
func namesHost(path string) bool {
	head, _, more := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(path, "^"), `\A`), "/")
	if m := hostAfterAny.FindStringSubmatch(head); m != nil {
		return more && slices.Contains(topLevels, strings.ToLower(m[2]))
	}
	re, err := syntax.Parse(path, syntax.Perl)
	if err != nil {
		return false
	}
	if slash, empty := begins(re); slash || empty {
		return false
	}
	return head == "localhost" || hostAlone.MatchString(head)
}

// begins reports whether what an expression matches can begin with a slash, and whether
// it can be empty, so that what follows it begins.
func begins(re *syntax.Regexp) (slash, empty bool) {
	switch re.Op {
	case syntax.OpNoMatch:
		return false, false
	case syntax.OpLiteral:
		return re.Rune[0] == '/', false
	case syntax.OpCharClass:
		for i := 0; i+1 < len(re.Rune); i += 2 {
			if re.Rune[i] <= '/' && '/' <= re.Rune[i+1] {
				return true, false
			}
		}
		return false, false
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return true, false
	case syntax.OpCapture, syntax.OpPlus:
		return begins(re.Sub[0])
	case syntax.OpStar, syntax.OpQuest:
		slash, _ = begins(re.Sub[0])
		return slash, true
	case syntax.OpRepeat:
		slash, empty = begins(re.Sub[0])
		return slash, empty || re.Min == 0
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			s, e := begins(sub)
			if slash = slash || s; !e {
				return slash, false
			}
		}
		return slash, true
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			s, e := begins(sub)
			slash, empty = slash || s, empty || e
		}
		return slash, empty
	}
	return false, true // empty matches and assertions
}
