package lint

import (
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
)

// caseOfDeny warns of a deny rule whose path is compared with case at a gate that does not
// say whether its API ignores it: /REST/Admin would pass a rule on /rest/admin.
func (r *ruleLint) caseOfDeny(at []any, text string) {
	if !hasCase(text) {
		return
	}
	for _, g := range r.gates {
		below := func(prefix string) bool { return r.mayMatchBelow(text, prefix) }
		if r.unrouted[g.Name] && slices.ContainsFunc(g.Prefixes, below) {
			r.warn(CaseSensitiveDeny, at, "the path pattern %s is compared with case, and the Gate %s does not say whether its API ignores it", text, g.Name)
			return
		}
	}
}

// caseOfNested warns of a gate whose path is below another's: in another case, the path
// is that of the other gate.
func (l *linter) caseOfNested(d *manifest.Document, row *policy.Gate) {
	if !l.unrouted[row.Name] {
		return
	}
	for i, prefix := range row.Prefixes {
		for _, other := range l.in.Rows.Gates {
			if other == row || !hasCaseLetters(prefix) || !guardsAbove(other, prefix) || !shareHost(row, other) {
				continue
			}
			l.warn(CaseSensitiveDeny, d, spec("paths", i), "the guarded path %s/ is compared with case, and is below what the Gate %s guards: an API that ignores case serves it there too",
				prefix, other.Name)
			return
		}
	}
}

// guardsAbove reports whether a gate guards what a prefix is below.
func guardsAbove(g *policy.Gate, prefix string) bool {
	return slices.ContainsFunc(g.Prefixes, func(above string) bool {
		return above != prefix && strings.HasPrefix(prefix, above+"/")
	})
}

func shareHost(a, b *policy.Gate) bool {
	return slices.ContainsFunc(a.Hosts, func(host string) bool { return slices.Contains(b.Hosts, host) })
}

func hasCaseLetters(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return unicode.SimpleFold(r) != r })
}

// hasCase reports whether a pattern distinguishes texts that differ only in case.
func hasCase(pattern string) bool {
	re, err := syntax.Parse(pattern, syntax.Perl)
	return err == nil && expressionHasCase(re)
}

func expressionHasCase(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpLiteral:
		return re.Flags&syntax.FoldCase == 0 && hasCaseLetters(string(re.Rune))
	case syntax.OpCharClass:
		return slices.ContainsFunc([]rune(letters), func(r rune) bool {
			return inRanges(re.Rune, r) != inRanges(re.Rune, unicode.ToUpper(r))
		})
	}
	return slices.ContainsFunc(re.Sub, expressionHasCase)
}

const letters = "abcdefghijklmnopqrstuvwxyz"
