package policy

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"sync/atomic"
)

// Limits of a pattern, so that no manifest can make a check expensive.
const (
	MaxPattern      = 1 << 10 // bytes
	MaxInstructions = 10_000  // of the compiled program
	MaxRules        = 64      // in one list
	MaxUser         = 255     // bytes of a user's name
)

// Pattern is a regular expression (RE2) that matches a text in full. The zero
// value matches nothing.
type Pattern struct {
	text    string
	prefix  string // what every match begins with; a cheap first look
	literal bool   // the prefix is the only match
	full    *regexp.Regexp
	folded  atomic.Pointer[regexp.Regexp] // full without regard to case; nil until it is asked
}

// CompilePattern compiles a pattern: alone first, so that `/a)|(?:.*` can't escape
// from the group that anchors it, then as `\A(?:…)\z`. It returns an error for a bad
// regular expression and for one beyond the limits.
func CompilePattern(text string) (*Pattern, error) {
	if len(text) > MaxPattern {
		return nil, fmt.Errorf("a pattern of %d bytes, expected at most %d", len(text), MaxPattern)
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, patternError(err)
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, patternError(err)
	}
	if len(prog.Inst) > MaxInstructions {
		return nil, fmt.Errorf("a pattern of %d instructions, expected at most %d: use smaller repeat counts",
			len(prog.Inst), MaxInstructions)
	}
	full, err := regexp.Compile(`\A(?:` + text + `)\z`)
	if err != nil {
		return nil, patternError(err)
	}
	p := &Pattern{text: text, full: full}
	p.prefix, p.literal = literalPrefix(parsed)
	return p, nil
}

// patternError keeps what is wrong and leaves out Go's wording around it.
func patternError(err error) error {
	var e *syntax.Error
	if errors.As(err, &e) {
		return fmt.Errorf("bad regular expression, %s: `%s`, expected RE2 syntax", e.Code, e.Expr)
	}
	return fmt.Errorf("bad regular expression: %w", err)
}

// literalPrefix returns the literal text that a whole match begins with, and whether
// it is all of it.
func literalPrefix(re *syntax.Regexp) (prefix string, complete bool) {
	parts := []*syntax.Regexp{re}
	if re.Op == syntax.OpConcat {
		parts = re.Sub
	}
	for i, part := range parts {
		switch {
		case part.Op == syntax.OpBeginText && i == 0:
			continue
		case part.Op == syntax.OpLiteral && part.Flags&syntax.FoldCase == 0:
			prefix += string(part.Rune)
		case part.Op == syntax.OpEndText && i == len(parts)-1:
			continue
		default:
			return prefix, false
		}
	}
	return prefix, true
}

// Match reports whether the pattern matches the whole of text.
func (p *Pattern) Match(text string) bool {
	if p == nil || p.full == nil {
		return false
	}
	if p.literal {
		return text == p.prefix
	}
	return strings.HasPrefix(text, p.prefix) && p.full.MatchString(text)
}

// String returns the pattern as it was written.
func (p *Pattern) String() string { return p.text }
