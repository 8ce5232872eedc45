package suggest

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

// need is some kinds of requests for which one rule is proposed.
type need struct {
	methods []string
	kind
	note string // an identifier that is kept as a text
}

// needsOf puts the kinds of one present rule together: paths that differ in one segment, then methods.
func needsOf(kinds map[kindKey]*kind) []need {
	var list []need
	for _, key := range sortedKeys(kinds) {
		list = append(list, need{methods: []string{key.method}, kind: *kinds[key]})
	}
	longest := 0
	for i := range list {
		longest = max(longest, len(list[i].segments))
	}
	for at := range longest {
		list = combine(list, at)
	}
	return byMethods(list)
}

func sortedKeys(kinds map[kindKey]*kind) []kindKey {
	keys := make([]kindKey, 0, len(kinds))
	for key := range kinds {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b kindKey) int {
		return cmp.Or(cmp.Compare(a.gate, b.gate), cmp.Compare(a.policy, b.policy), cmp.Compare(a.rule, b.rule), cmp.Compare(a.shape, b.shape), cmp.Compare(a.method, b.method))
	})
	return keys
}

// combine puts needs together that differ in one segment alone, where it is a text: it is one that varies.
func combine(list []need, at int) []need {
	var out []need
	places := map[string]int{}
	for _, n := range list {
		if at >= len(n.segments) || n.segments[at].form != nil && n.segments[at].form != nameForm || n.segments[at].first == "" {
			out = append(out, n)
			continue
		}
		key := n.key(at)
		known, ok := places[key]
		if !ok {
			places[key] = len(out)
			out = append(out, n)
			continue
		}
		to := &out[known]
		to.segments[at].form = nameForm
		to.merge(&n.kind)
	}
	return out
}

// key is what a need must have in common with another to be put together in one segment.
func (n *need) key(but int) string {
	var b strings.Builder
	b.WriteString(strings.Join(n.methods, ","))
	for i := range n.segments {
		b.WriteByte('/')
		s := &n.segments[i]
		switch {
		case i == but:
			b.WriteString("\x00")
		case s.form == nil || s.form == nameForm:
			if s.more {
				b.WriteString(nameForm.mark)
			} else {
				b.WriteString(strings.Join(s.set, "\x00"))
			}
		default:
			b.WriteString(s.form.mark)
		}
	}
	return b.String()
}

// byMethods puts needs with equal patterns together.
func byMethods(list []need) []need {
	var out []need
	places := map[string]int{}
	for _, n := range list {
		key := n.path() + "\n" + queryKey(n.query())
		if known, ok := places[key]; ok {
			to := &out[known]
			to.methods = append(to.methods, n.methods...)
			to.count += n.count
			to.override = to.override || n.override
			continue
		}
		places[key] = len(out)
		out = append(out, n)
	}
	for i := range out {
		slices.Sort(out[i].methods)
		out[i].methods = slices.Compact(out[i].methods)
	}
	return out
}

func queryKey(list []Condition) string {
	var b strings.Builder
	for _, c := range list {
		b.WriteString(c.Name + "==" + c.Pattern + "\n")
	}
	return b.String()
}

// path is the pattern of the paths.
func (n *need) path() string {
	parts := make([]string, len(n.segments))
	for i := range n.segments {
		pattern, note := n.segments[i].pattern(n.count)
		if parts[i] = pattern; note != "" {
			n.note = note
		}
	}
	return strings.Join(parts, "/")
}

var digits = regexp.MustCompile(`^[0-9]+$`)

// query are the conditions on parameters that every call met, of those with enough calls to judge by.
func (n *need) query() []Condition {
	if n.noQuery || n.count < constantAfter || alike(n.params) {
		return nil
	}
	var list []Condition
	for name, p := range n.params {
		switch {
		case p.calls != n.count || name == "":
		case !p.more && len(p.set) <= fewValues:
			list = append(list, Condition{name, alternatives(p.set)})
		case !slices.ContainsFunc(p.set, func(v string) bool { return !digits.MatchString(v) }) && !p.more:
			list = append(list, Condition{name, `\d+`})
		}
	}
	slices.SortFunc(list, func(a, b Condition) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

var letters = regexp.MustCompile(`[^a-z0-9]`)

// alike reports whether two parameters have look-alike names: a condition on one could not be decided.
func alike(params map[string]*param) bool {
	seen := map[string]bool{}
	for name := range params {
		folded := letters.ReplaceAllString(strings.ToLower(name), "")
		cut, _, _ := strings.Cut(strings.TrimLeft(name, "[]\x00"), "[")
		cut = letters.ReplaceAllString(strings.ToLower(cut), "")
		if seen[folded] || cut != folded {
			return true
		}
		seen[folded] = true
	}
	return false
}
