package lint

import (
	"regexp/syntax"
	"slices"
	"unicode"
)

// traits are the properties that follow from the form of a pattern. The zero value has none.
type traits struct {
	anyPath  bool   // it matches practically every path
	anyValue bool   // it matches practically every text of one line
	leading  bool   // it begins with any text
	crosses  bool   // any text is allowed between the parts that must be there
	dot      string // a dot between words that was likely meant as itself, with both
}

func traitsOf(pattern string) traits {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return traits{}
	}
	var t traits
	t.anyPath, t.anyValue = everything(re, true), everything(re, false)
	if !t.anyPath {
		t.walk(re, false, false)
	}
	t.dot = dotBetweenWords(re)
	return t
}

// everything reports whether a pattern matches practically all that there is: `.*`,
// `.+`, of paths `/.*`, in groups and anchors, or as one of several ways.
func everything(re *syntax.Regexp, path bool) bool {
	switch re.Op {
	case syntax.OpCapture:
		return everything(re.Sub[0], path)
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			if everything(sub, path) {
				return true
			}
		}
		return false
	case syntax.OpConcat:
	default:
		return isAllText(re)
	}
	any, first := false, true
	for _, part := range re.Sub {
		switch {
		case part.Op == syntax.OpBeginText, part.Op == syntax.OpEndText, part.Op == syntax.OpEmptyMatch:
			continue
		case everything(part, false):
			any = true
		case path && first && part.Op == syntax.OpLiteral && string(part.Rune) == "/":
		case part.Op == syntax.OpQuest, part.Op == syntax.OpStar: // may be nothing
		default:
			return false
		}
		first = false
	}
	return any
}

// isAllText reports whether an expression matches any text, except perhaps the empty one.
func isAllText(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpStar, syntax.OpPlus:
		return isAny(re.Sub[0])
	case syntax.OpRepeat:
		return isAny(re.Sub[0]) && re.Min <= 1 && re.Max < 0
	}
	return false
}

func isAny(re *syntax.Regexp) bool {
	for re.Op == syntax.OpCapture {
		re = re.Sub[0]
	}
	return re.Op == syntax.OpAnyChar || re.Op == syntax.OpAnyCharNotNL ||
		re.Op == syntax.OpCharClass && slices.Equal(re.Rune, []rune{0, '\n' - 1, '\n' + 1, unicode.MaxRune})
}

// isAnyText reports whether an expression matches any text of several characters.
func isAnyText(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpStar, syntax.OpPlus:
		return isAny(re.Sub[0])
	case syntax.OpRepeat:
		return isAny(re.Sub[0]) && (re.Max < 0 || re.Max > 1)
	}
	return false
}

// walk finds where any text is allowed, and what must come before and after it.
func (t *traits) walk(re *syntax.Regexp, before, after bool) {
	if isAnyText(re) {
		t.leading = t.leading || !before
		t.crosses = t.crosses || before && after
		return
	}
	switch re.Op {
	case syntax.OpConcat:
		for i, sub := range re.Sub {
			b, a := before, after
			for _, other := range re.Sub[:i] {
				b = b || mustRead(other) || isAnyText(other)
			}
			for _, other := range re.Sub[i+1:] {
				a = a || mustRead(other)
			}
			t.walk(sub, b, a)
		}
	case syntax.OpCapture, syntax.OpAlternate, syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		for _, sub := range re.Sub {
			t.walk(sub, before, after)
		}
	}
}

// mustRead reports whether all that an expression matches has a character that is not
// just any.
func mustRead(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpLiteral, syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return true
	case syntax.OpCapture, syntax.OpPlus:
		return !isAnyText(re) && mustRead(re.Sub[0])
	case syntax.OpRepeat:
		return !isAnyText(re) && re.Min > 0 && mustRead(re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			if mustRead(sub) {
				return true
			}
		}
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			if !mustRead(sub) {
				return false
			}
		}
		return true
	}
	return false
}

// dotBetweenWords finds a single dot between two literal characters of words, as in
// `rest/extender/1.0`, and returns it with both.
func dotBetweenWords(re *syntax.Regexp) string {
	parts := flat(re)
	for i := 1; i+1 < len(parts); i++ {
		if parts[i].Op != syntax.OpAnyChar && parts[i].Op != syntax.OpAnyCharNotNL {
			continue
		}
		before, after := edge(parts[i-1], false), edge(parts[i+1], true)
		if before != "" && after != "" {
			return before + "." + after
		}
	}
	for _, sub := range re.Sub {
		if found := dotBetweenWords(sub); found != "" {
			return found
		}
	}
	return ""
}

// flat returns the parts of a concatenation; the parser nests them.
func flat(re *syntax.Regexp) []*syntax.Regexp {
	if re.Op != syntax.OpConcat {
		return []*syntax.Regexp{re}
	}
	var parts []*syntax.Regexp
	for _, sub := range re.Sub {
		parts = append(parts, flat(sub)...)
	}
	return parts
}

// edge returns the word at one end of an expression, where it is literal: of several
// ways the first, and all must have one. The parser makes a class of `(?:1|2)`.
func edge(re *syntax.Regexp, first bool) string {
	switch re.Op {
	case syntax.OpLiteral:
		runes := re.Rune
		n := 0
		for n < len(runes) {
			r := runes[n]
			if !first {
				r = runes[len(runes)-1-n]
			}
			if !isWord(r) {
				break
			}
			n++
		}
		if first {
			return string(runes[:n])
		}
		return string(runes[len(runes)-n:])
	case syntax.OpCapture:
		return edge(re.Sub[0], first)
	case syntax.OpConcat:
		if first {
			return edge(re.Sub[0], first)
		}
		return edge(re.Sub[len(re.Sub)-1], first)
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			if edge(sub, first) == "" {
				return ""
			}
		}
		return edge(re.Sub[0], first)
	case syntax.OpCharClass:
		for i := 0; i+1 < len(re.Rune); i += 2 {
			if re.Rune[i+1]-re.Rune[i] > 2 || !isWord(re.Rune[i]) || len(re.Rune) > 6 {
				return ""
			}
		}
		return string(re.Rune[:1])
	}
	return ""
}

func isWord(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }
