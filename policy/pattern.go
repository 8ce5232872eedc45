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
	MaxInstructions = 1_000   // of the compiled program
	MaxLevel        = 10_000  // instructions of all patterns that one level may check for one request
	MaxRules        = 64      // in one list
	MaxKeys         = 8       // of the query of a rule, and of its json
	MaxRanges       = 256     // in one list
	MaxUser         = 255     // bytes of a user's name
)

// Pattern is a regular expression (RE2) that matches a text in full. The zero
// value matches nothing.
type Pattern struct {
	text    string
	prefix  string // what every match begins with; a cheap first look
	literal bool   // the prefix is the only match
	size    int    // instructions of the compiled program
	full    *regexp.Regexp
	folded  atomic.Pointer[regexp.Regexp] // full without regard to case; nil until it is needed
}

// CompilePattern compiles a pattern: alone first, so that `/a)|(?:.*` can't escape
// from the group that anchors it, then as `\A(?:…)\z`. It returns an error for a bad
// regular expression and for one beyond the limits.
func CompilePattern(text string) (*Pattern, error) {
	if len(text) > MaxPattern {
		return nil, fmt.Errorf("a pattern of %d bytes, expected at most %d", len(text), MaxPattern)
	}
	parsed, err := syntax.Parse(text, syntax.Perl) // mutant: pattern-in-a-group
	if err != nil {
		return nil, patternError(err)
	}
	if size := roughSize(parsed); size > 10*MaxInstructions { // not worth the memory to count them
		return nil, fmt.Errorf("a pattern of about %d instructions, expected at most %d: use smaller repeat counts", size, MaxInstructions)
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, patternError(err)
	}
	if len(prog.Inst) > MaxInstructions {
		return nil, fmt.Errorf("a pattern of %d instructions, expected at most %d: use smaller repeat counts",
			len(prog.Inst), MaxInstructions)
	}
	full, err := regexp.Compile(`\A(?:` + text + `)\z`) // mutant: pattern-anchor-dropped
	if err != nil {
		return nil, patternError(err)
	}
	p := &Pattern{text: text, full: full, size: len(prog.Inst)}
	p.prefix, p.literal = literalPrefix(parsed)
	return p, nil
}

// roughSize returns about how many instructions a parsed pattern has, without making them.
func roughSize(re *syntax.Regexp) int {
	size := 1
	if re.Op == syntax.OpLiteral {
		size = len(re.Rune)
	}
	for _, sub := range re.Sub {
		size += roughSize(sub)
	}
	if re.Op == syntax.OpRepeat {
		size *= max(re.Min, re.Max, 1)
	}
	return min(size, 1<<30)
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

// steps returns what Match may cost.
func (p *Pattern) steps(text string) int {
	if p.literal || !strings.HasPrefix(text, p.prefix) {
		return 0
	}
	return p.size * len(text)
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

// Instructions returns how many instructions the compiled pattern has, which is what a look
// at each byte of a text may cost.
func (p *Pattern) Instructions() int {
	if p == nil {
		return 0
	}
	return p.size
}

// Instructions returns those of all patterns of a rule.
func (r *Rule) Instructions() int {
	n := r.Path.Instructions()
	for i := range r.Query {
		n += r.Query[i].Pattern.Instructions()
	}
	for i := range r.JSON {
		n += r.JSON[i].Pattern.Instructions()
	}
	r.MCP.Each(func(_ string, p *Pattern) { n += p.Instructions() })
	return n
}

// String returns the pattern as it was written.
func (p *Pattern) String() string { return p.text }
