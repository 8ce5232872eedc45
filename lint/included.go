package lint

import (
	"cmp"
	"fmt"
	"regexp/syntax"
	"slices"
	"unicode"
)

// Included reports whether each text that a pattern matches is also matched by one of others. It is proven for all
// texts: false also where the proof would take too long. Patterns match in full.
func Included(pattern string, others ...string) bool {
	s := &inclusion{seen: map[string]bool{}}
	for _, p := range append([]string{pattern}, others...) {
		re, err := syntax.Parse(p, syntax.Perl)
		if err != nil {
			return false
		}
		prog, err := syntax.Compile(re.Simplify())
		if err != nil || !s.exact(prog) {
			return false
		}
		s.progs = append(s.progs, prog)
	}
	return s.holds()
}

// Disjoint reports whether no text is matched by both patterns. It is proven, as for Included.
func Disjoint(a, b string) bool {
	_, result := search(anyText(), a, b)
	return result == none
}

// inclusion walks the product of the first program and of what all others can be in after the same text: where the
// first comes to its match and none of the others does, the text is a counterexample.
type inclusion struct {
	progs []*syntax.Prog // the first is that of the pattern
	queue []included
	seen  map[string]bool
}

// included is a state of the search.
type included struct {
	at   position
	rest []otherPosition // sorted
}

// otherPosition is a position of one of the other programs.
type otherPosition struct {
	prog int
	position
}

// exact reports whether a program has no condition whose reading is approximated: see search.
func (s *inclusion) exact(prog *syntax.Prog) bool {
	const approximated = syntax.EmptyWordBoundary | syntax.EmptyNoWordBoundary | syntax.EmptyBeginLine | syntax.EmptyEndLine
	return !slices.ContainsFunc(prog.Inst, func(i syntax.Inst) bool {
		return i.Op == syntax.InstEmptyWidth && syntax.EmptyOp(i.Arg)&approximated != 0
	})
}

func (s *inclusion) holds() bool {
	var rest []otherPosition
	for i, prog := range s.progs[1:] {
		rest = s.closed(rest, i+1, uint32(prog.Start), true)
	}
	for _, p := range closure(s.progs[0], uint32(s.progs[0].Start), true) {
		s.push(p, rest)
	}
	for i := 0; i < len(s.queue); i++ {
		if len(s.queue) > maxStates || !s.expand(s.queue[i]) {
			return false
		}
	}
	return true
}

// closed adds what a program reaches without reading.
func (s *inclusion) closed(list []otherPosition, prog int, pc uint32, start bool) []otherPosition {
	for _, p := range closure(s.progs[prog], pc, start) {
		if one := (otherPosition{prog, p}); !slices.Contains(list, one) {
			list = append(list, one)
		}
	}
	return list
}

func (s *inclusion) push(p position, rest []otherPosition) {
	rest = slices.Clone(rest)
	slices.SortFunc(rest, func(a, b otherPosition) int {
		return cmp.Or(cmp.Compare(a.prog, b.prog), cmp.Compare(a.pc, b.pc), cmp.Compare(bit(a.ended), bit(b.ended)))
	})
	key := fmt.Sprint(p, rest)
	if !s.seen[key] {
		s.seen[key] = true
		s.queue = append(s.queue, included{p, rest})
	}
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// expand queues what follows a state. It returns false at a counterexample.
func (s *inclusion) expand(state included) bool {
	inst := &s.progs[0].Inst[state.at.pc]
	if inst.Op == syntax.InstMatch {
		return slices.ContainsFunc(state.rest, func(o otherPosition) bool { return s.progs[o.prog].Inst[o.pc].Op == syntax.InstMatch })
	}
	if state.at.ended {
		return true // nothing can follow
	}
	for _, r := range s.representatives(runesOf(inst), state.rest) {
		var rest []otherPosition
		for _, o := range state.rest {
			other := &s.progs[o.prog].Inst[o.pc]
			if other.Op != syntax.InstMatch && !o.ended && inRanges(runesOf(other), r) {
				rest = s.closed(rest, o.prog, other.Out, false)
			}
		}
		for _, next := range closure(s.progs[0], inst.Out, false) {
			s.push(next, rest)
		}
	}
	return true
}

// representatives are runes of the ranges, one of each kind that the other programs distinguish.
func (s *inclusion) representatives(ranges []rune, rest []otherPosition) []rune {
	cuts := []rune{0}
	for _, o := range rest {
		if other := &s.progs[o.prog].Inst[o.pc]; other.Op != syntax.InstMatch {
			for i, of := 0, runesOf(other); i+1 < len(of); i += 2 {
				cuts = append(cuts, of[i])
				if of[i+1] < unicode.MaxRune {
					cuts = append(cuts, of[i+1]+1)
				}
			}
		}
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	var list []rune
	for i := 0; i+1 < len(ranges); i += 2 {
		list = append(list, ranges[i])
		for _, cut := range cuts {
			if cut > ranges[i] && cut <= ranges[i+1] {
				list = append(list, cut)
			}
		}
	}
	return list
}
