package policy

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Some APIs ignore case in paths (upstream.routing: caseInsensitive). At their gates,
// guarded prefixes and the paths of deny rules match without regard to case.

// matchFold is Match without regard to case. A pattern that can't be matched so matches
// everything: only deny rules ask.
func (p *Pattern) matchFold(text string) bool {
	if p == nil || p.full == nil {
		return false
	}
	folded := p.folded.Load()
	if folded == nil {
		folded = foldPattern(p.text)
		p.folded.Store(folded) // two at once store equal ones
	}
	return folded.MatchString(text)
}

// matchesAny is the pattern of what can't be compiled.
var matchesAny = regexp.MustCompile(``)

// foldPattern compiles a pattern to one that matches a text if the pattern matches the
// text in some other case: also where the pattern has a negated class, or says that case
// counts. What the API does is not for a pattern to say.
func foldPattern(text string) *regexp.Regexp {
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return matchesAny
	}
	foldExpression(parsed)
	folded, err := regexp.Compile(`\A(?:` + parsed.String() + `)\z`)
	if err != nil {
		return matchesAny
	}
	return folded
}

func foldExpression(re *syntax.Regexp) {
	switch re.Op {
	case syntax.OpLiteral:
		re.Flags |= syntax.FoldCase
	case syntax.OpCharClass:
		re.Rune = foldClass(re.Rune)
	}
	for _, sub := range re.Sub {
		foldExpression(sub)
	}
}

// foldingRunes are the runes that have another case, in their order.
var foldingRunes = sync.OnceValue(func() (list []rune) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if unicode.SimpleFold(r) != r {
			list = append(list, r)
		}
	}
	return list
})

// foldClass adds the other cases of the runes in a class, which is sorted.
func foldClass(ranges []rune) []rune {
	folded := slices.Clip(ranges)
	for i := 0; i+1 < len(ranges); i += 2 {
		first, _ := slices.BinarySearch(foldingRunes(), ranges[i])
		for _, r := range foldingRunes()[first:] {
			if r > ranges[i+1] {
				break
			}
			for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
				if !inClass(ranges, other) {
					folded = append(folded, other, other)
				}
			}
		}
	}
	return folded
}

func inClass(ranges []rune, r rune) bool {
	at, found := slices.BinarySearch(ranges, r)
	return found || at%2 == 1
}

// cutPrefix removes a guarded prefix from a path, by whole segments.
func cutPrefix(path, prefix string, ignoreCase bool) (rest string, ok bool) {
	if ignoreCase {
		rest, ok = cutPrefixFold(path, prefix)
	} else {
		rest, ok = strings.CutPrefix(path, prefix)
	}
	return rest, ok && (rest == "" || rest[0] == '/') // mutant: prefix-begins-alike
}

// cutPrefixFold is strings.CutPrefix without regard to case.
func cutPrefixFold(path, prefix string) (rest string, ok bool) {
	end := 0
	for range prefix {
		if end == len(path) {
			return path, false
		}
		_, n := utf8.DecodeRuneInString(path[end:])
		end += n
	}
	return path[end:], strings.EqualFold(path[:end], prefix)
}

// FoldPath returns a text that is the same for paths that differ in case alone.
func FoldPath(path string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			least = min(least, other)
		}
		return least
	}, path)
}
