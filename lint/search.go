package lint

import (
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"

	"github.com/patgate/patgate/policy"
)

// The search for a text that several patterns match at once, and that is a path where
// a path is required. It exists to prove that a rule never matches (never-matches and its like); a
// library that decides whether the intersection of regular expressions is empty would replace it. It walks the product of the patterns' programs and of an automaton of
// all texts there are, breadth first, so that what it finds is short; where it comes to
// an end without finding one, there is none. Word boundaries and the ends of lines are
// taken to hold anywhere: more may be found than matches, never less.

// maxPrograms is the maximum number of patterns in a search.
const maxPrograms = 4

// maxStates bounds a search. One that needs more has no result.
const maxStates = 100_000

// found is the result of a search.
type found int

const (
	unknown found = iota // given up
	none                 // proven
	some
)

// forbids reports whether no path that rules see has a rune: policy.NewTarget refuses it,
// or no gate opens it. Where one opens an escape, its `%` may be anywhere.
func (t *texts) forbids(r rune) bool {
	switch r {
	case '%':
		return t.open&^policy.Semicolon == 0
	case ';':
		return t.open&policy.Semicolon == 0
	}
	return r < 0x20 || r == 0x7f || strings.ContainsRune(`\#?`, r)
}

// texts is an automaton of the texts there are: all, or the paths below a prefix.
type texts struct {
	paths  bool
	open   policy.Encoded // what gates open
	prefix []rune         // without a trailing slash
	marked []rune         // the runes it distinguishes, besides those it forbids
}

func anyText() *texts { return &texts{} }

func pathsBelow(prefix string, open policy.Encoded) *texts {
	t := &texts{paths: true, open: open, prefix: []rune(prefix), marked: []rune("/.")}
	for _, r := range t.prefix {
		if !slices.Contains(t.marked, r) {
			t.marked = append(t.marked, r)
		}
	}
	return t
}

// segment is the position in a path.
type segment uint8

const (
	atStart segment = iota
	atSlash
	within
	oneDot
	twoDots
)

type textState struct {
	segment segment
	prefix  int // how much of it was read
}

// step reads one rune; ok is false where no path goes on that way.
func (t *texts) step(s textState, r rune) (next textState, ok bool) {
	if !t.paths {
		return s, true
	}
	if t.forbids(r) {
		return s, false
	}
	switch {
	case s.prefix < len(t.prefix):
		if t.prefix[s.prefix] != r {
			return s, false
		}
		s.prefix++
	case s.prefix == len(t.prefix):
		if r != '/' {
			return s, false
		}
		s.prefix++
	}
	switch {
	case s.segment == atStart && r != '/', s.segment != within && s.segment != atStart && r == '/':
		return s, false // no slash at the start; an empty or a dot segment
	case r == '/':
		s.segment = atSlash
	case s.segment == atSlash && r == '.':
		s.segment = oneDot
	case s.segment == oneDot && r == '.':
		s.segment = twoDots
	default:
		s.segment = within
	}
	return s, true
}

func (t *texts) accepts(s textState) bool {
	return !t.paths || s.prefix >= len(t.prefix) && (s.segment == atSlash || s.segment == within)
}

// position is the state of one program: at an instruction that reads a rune, or at its
// match. After `$` nothing may follow.
type position struct {
	pc    uint32
	ended bool
}

type searchState struct {
	at   [maxPrograms]position
	text textState
}

type visit struct {
	state  searchState
	parent int
	read   rune
}

type searcher struct {
	texts *texts
	progs []*syntax.Prog
	queue []visit
	seen  map[searchState]bool
}

// search finds a text of t that all of the patterns match in full.
func search(t *texts, patterns ...string) (string, found) {
	s := &searcher{texts: t, seen: map[searchState]bool{}}
	for _, p := range patterns {
		re, err := syntax.Parse(p, syntax.Perl)
		if err != nil || len(s.progs) == maxPrograms {
			return "", unknown
		}
		prog, err := syntax.Compile(re.Simplify())
		if err != nil {
			return "", unknown
		}
		s.progs = append(s.progs, prog)
	}
	var start [maxPrograms][]position
	for i, prog := range s.progs {
		start[i] = closure(prog, uint32(prog.Start), true)
	}
	s.push(start, textState{}, -1, 0)
	for i := 0; i < len(s.queue); i++ {
		if len(s.queue) > maxStates {
			return "", unknown
		}
		if s.accepted(s.queue[i].state) {
			return s.spell(i), some
		}
		s.expand(i)
	}
	return "", none
}

// push queues every combination of the programs' positions.
func (s *searcher) push(each [maxPrograms][]position, t textState, parent int, read rune) {
	states := []searchState{{text: t}}
	for i := range s.progs {
		var longer []searchState
		for _, state := range states {
			for _, p := range each[i] {
				state.at[i] = p
				longer = append(longer, state)
			}
		}
		states = longer
	}
	for _, state := range states {
		if !s.seen[state] {
			s.seen[state] = true
			s.queue = append(s.queue, visit{state, parent, read})
		}
	}
}

func (s *searcher) accepted(state searchState) bool {
	for i, prog := range s.progs {
		if prog.Inst[state.at[i].pc].Op != syntax.InstMatch {
			return false
		}
	}
	return s.texts.accepts(state.text)
}

// expand queues what follows a state, for one rune of each kind that makes a difference.
func (s *searcher) expand(i int) {
	state := s.queue[i].state
	ranges := []rune{0, unicode.MaxRune}
	for j, prog := range s.progs {
		inst := &prog.Inst[state.at[j].pc]
		if state.at[j].ended || inst.Op == syntax.InstMatch {
			return
		}
		ranges = intersect(ranges, runesOf(inst))
	}
	for _, r := range s.choices(ranges) {
		next, ok := s.texts.step(state.text, r)
		if !ok {
			continue
		}
		var each [maxPrograms][]position
		for j, prog := range s.progs {
			each[j] = closure(prog, prog.Inst[state.at[j].pc].Out, false)
		}
		s.push(each, next, i, r)
	}
}

// pleasant are the runes that examples prefer.
const pleasant = "a1A0bBxX2-_ "

// choices returns one rune of those that the texts don't distinguish, and each that
// they do.
func (s *searcher) choices(ranges []rune) []rune {
	var list []rune
	other := func(r rune) bool {
		return !slices.Contains(s.texts.marked, r) && !(s.texts.paths && s.texts.forbids(r)) && !(0xd800 <= r && r < 0xe000)
	}
	for _, r := range pleasant {
		if other(r) && inRanges(ranges, r) {
			list = append(list, r)
			break
		}
	}
	for i := 0; i+1 < len(ranges) && len(list) == 0; i += 2 {
		for r := ranges[i]; r <= ranges[i+1]; r++ {
			if other(r) {
				list = append(list, r)
				break
			}
		}
	}
	for _, r := range s.texts.marked {
		if inRanges(ranges, r) {
			list = append(list, r)
		}
	}
	return list
}

func (s *searcher) spell(i int) string {
	var runes []rune
	for ; s.queue[i].parent >= 0; i = s.queue[i].parent {
		runes = append(runes, s.queue[i].read)
	}
	slices.Reverse(runes)
	return string(runes)
}

// closure returns the positions that a program reaches without reading.
func closure(prog *syntax.Prog, pc uint32, start bool) []position {
	var list []position
	seen := map[position]bool{}
	stack := []position{{pc: pc}}
	for len(stack) > 0 {
		p := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[p] {
			continue
		}
		seen[p] = true
		inst := &prog.Inst[p.pc]
		switch inst.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			stack = append(stack, position{inst.Arg, p.ended}, position{inst.Out, p.ended})
		case syntax.InstCapture, syntax.InstNop:
			stack = append(stack, position{inst.Out, p.ended})
		case syntax.InstEmptyWidth:
			op := syntax.EmptyOp(inst.Arg)
			if op&syntax.EmptyBeginText == 0 || start {
				stack = append(stack, position{inst.Out, p.ended || op&syntax.EmptyEndText != 0})
			}
		case syntax.InstFail:
		default:
			list = append(list, p)
		}
	}
	return list
}

// runesOf returns what an instruction reads, as pairs of first and last.
func runesOf(inst *syntax.Inst) []rune {
	switch inst.Op {
	case syntax.InstRuneAny:
		return []rune{0, unicode.MaxRune}
	case syntax.InstRuneAnyNotNL:
		return []rune{0, '\n' - 1, '\n' + 1, unicode.MaxRune}
	}
	if len(inst.Rune) != 1 {
		return inst.Rune
	}
	r := inst.Rune[0]
	list := []rune{r}
	if syntax.Flags(inst.Arg)&syntax.FoldCase != 0 {
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			list = append(list, f)
		}
		slices.Sort(list)
	}
	var pairs []rune
	for _, r := range list {
		pairs = append(pairs, r, r)
	}
	return pairs
}

// intersect returns what is in both of two sorted lists of ranges.
func intersect(a, b []rune) []rune {
	var list []rune
	for i, j := 0, 0; i+1 < len(a) && j+1 < len(b); {
		if lo, hi := max(a[i], b[j]), min(a[i+1], b[j+1]); lo <= hi {
			list = append(list, lo, hi)
		}
		if a[i+1] < b[j+1] {
			i += 2
		} else {
			j += 2
		}
	}
	return list
}

func inRanges(ranges []rune, r rune) bool {
	for i := 0; i+1 < len(ranges); i += 2 {
		if ranges[i] <= r && r <= ranges[i+1] {
			return true
		}
	}
	return false
}
