package manifest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/policy"
)

// Lines are rules in the one-line form, one a line:
//
//	[methods]REGEX[QueryParam::NAME==REGEX][JsonData::NODE==REGEX][Mcp::LIST==REGEX]
type Lines []Rule

func (Lines) expects() string { return "rules in the one-line form, one a line" }

func (v *Lines) decode(s *scope, n *yaml.Node, field string) {
	if n.Kind == yaml.SequenceNode {
		s.problem(n, field, "a list, expected text with one rule a line: write `limitTo: |`, and the rules below without `- `")
		return
	}
	text, ok := s.text(n, field)
	if !ok || !s.wholeLines(n, field) {
		return
	}
	places := s.linePlaces(n)
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.Trim(line, " \t\r")
		if trimmed == "" {
			continue
		}
		if len(*v) == policy.MaxRules {
			s.problem(n, field, "%d rules, expected at most %d in a list: use a TokenPolicy, or patterns that match more", countRules(text), policy.MaxRules)
			return
		}
		at := places(i)
		if comment := commentIn(trimmed); comment >= 0 {
			at.Column += comment
			s.problemAt(at, fmt.Sprintf("%s[%d]", field, len(*v)), "a comment is part of the rule here, so that the rule matches nothing: write it above the key")
			*v = append(*v, Rule{At: at})
			continue
		}
		rule, lineErr := s.decoder.ParseLine(trimmed)
		if lineErr != nil {
			at.Column += lineErr.Offset
			s.problemAt(at, fmt.Sprintf("%s[%d]", field, len(*v)), "%s", lineErr.Message)
		}
		rule.At = at
		*v = append(*v, rule)
	}
	if len(*v) == 0 {
		s.problem(n, field, "no line with a rule, expected at least one or no key at all")
	}
}

// countRules returns how many lines of a text hold rules.
func countRules(text string) (n int) {
	for line := range strings.SplitSeq(text, "\n") {
		if strings.Trim(line, " \t\r") != "" {
			n++
		}
	}
	return n
}

// linePlaces returns a function that gives the place of line i of a text. In a literal block each
// line has its own place; in other styles only the whole has one.
func (s *scope) linePlaces(n *yaml.Node) func(i int) Pos {
	at := s.pos(n)
	if n.Style&yaml.LiteralStyle == 0 {
		return func(int) Pos { return at }
	}
	raw := strings.Split(string(s.chunk.text), "\n")
	return func(i int) Pos {
		p := Pos{Line: at.Line + 1 + i, Column: 1}
		if k := n.Line + i; k < len(raw) {
			p.Column += len(raw[k]) - len(strings.TrimLeft(raw[k], " \t"))
		}
		return p
	}
}

// LineError reports an error in a rule in the one-line form.
type LineError struct {
	Offset  int // in bytes from the line's beginning
	Message string
}

// Error returns the message.
func (e *LineError) Error() string { return e.Message }

// groupStart matches the beginning of a condition on a parameter or node.
var groupStart = regexp.MustCompile(`\[(\w+)::`)

// ParseLine reads one rule in the one-line form, without blanks around it. A line
// means the same as a rule: its regular expression is matched against the path alone.
func (dec *Decoder) ParseLine(line string) (Rule, *LineError) {
	var r Rule
	rest, offset := line, 0
	if strings.HasPrefix(line, "[") {
		end := strings.IndexByte(line, ']')
		if end < 0 {
			return r, &LineError{0, "a list of methods without its `]`, expected one such as [get,post]"}
		}
		methods, ok := splitMethods(line[1:end])
		if !ok {
			return r, &LineError{0, "a leading `[` opens the list of methods, expected letters and commas such as [get,post]; " +
				"write a character class there as (?:[…])"}
		}
		r.Methods, rest, offset = methods, line[end+1:], end+1
	}
	groups := groupStart.FindAllStringSubmatchIndex(rest, -1)
	path := rest
	if len(groups) > 0 {
		path = rest[:groups[0][0]]
	}
	if e := dec.linePath(&r, path); e != nil {
		e.Offset += offset
		return r, e
	}
	for i, g := range groups {
		end := len(rest)
		if i+1 < len(groups) {
			end = groups[i+1][0]
		}
		if e := dec.lineGroup(&r, rest[g[2]:g[3]], rest[g[1]:end]); e != nil {
			e.Offset = offset + g[0]
			return r, e
		}
	}
	return r, r.countKeys()
}

// countKeys reports too many names in a line. A name that is given twice is one.
func (r *Rule) countKeys() *LineError {
	parameters, nodes := map[string]bool{}, map[string]bool{}
	for _, p := range r.Query {
		parameters[p.Name] = true
	}
	for _, n := range r.JSON {
		nodes[n.Text] = true
	}
	depth := 0
	for c := r.MCP; c != nil; c = c.Also {
		if depth++; depth > policy.MaxKeys {
			return &LineError{0, fmt.Sprintf("a list of [Mcp:: given %d times, expected at most %d", depth, policy.MaxKeys)}
		}
	}
	for what, names := range map[string]map[string]bool{"parameters": parameters, "nodes": nodes} {
		if len(names) > policy.MaxKeys {
			return &LineError{0, fmt.Sprintf("%d %s, expected at most %d in a rule", len(names), what, policy.MaxKeys)}
		}
	}
	return nil
}

func splitMethods(list string) (methods []Method, ok bool) {
	for name := range strings.SplitSeq(list, ",") {
		for i := range len(name) {
			if c := name[i] | 0x20; c < 'a' || c > 'z' {
				return nil, false
			}
		}
		if name == "" {
			return nil, false
		}
		methods = append(methods, Method(strings.ToUpper(name)))
	}
	return methods, true
}

// linePath compiles the path's pattern, and refuses what people write who mean more
// than the path by it.
func (dec *Decoder) linePath(r *Rule, path string) *LineError {
	if path == "" {
		return &LineError{0, "no pattern for the path, expected one such as .*/rest/api/2/issue/JRA.*"}
	}
	p, err := dec.pattern(path)
	switch e := beyondPath(path); {
	case e != nil && (err == nil || placeholder.MatchString(path)): // `{JIRA_URL}` is no regular expression either
		return e
	case err != nil:
		return &LineError{0, err.Error()}
	}
	r.Path = Pattern{Pattern: p}
	return nil
}

// groupWords are the words that begin a group.
var groupWords = []string{"QueryParam", "JsonData", "Mcp"}

// lineGroup reads the content of `[Word::NAME==REGEX]` up to the next group.
func (dec *Decoder) lineGroup(r *Rule, word, text string) *LineError {
	if !slices.Contains(groupWords, word) {
		return &LineError{0, fmt.Sprintf("unknown group [%s::, %s (write [[] for the character [)", word, diag.Suggest(word, groupWords))}
	}
	end := strings.LastIndexByte(text, ']')
	if end < 0 {
		return &LineError{0, fmt.Sprintf("[%s:: without its `]`, expected [%s::NAME==REGEX]", word, word)}
	}
	if strings.TrimSpace(text[end+1:]) != "" {
		return &LineError{0, fmt.Sprintf("text after [%s::…], expected another group or the line's end", word)}
	}
	name, pattern, ok := strings.Cut(text[:end], "==")
	if !ok || name == "" || pattern == "" {
		return &LineError{0, fmt.Sprintf("[%s::%s], expected [%s::NAME==REGEX]", word, text[:end], word)}
	}
	p, err := dec.pattern(pattern)
	if err != nil {
		return &LineError{0, err.Error()}
	}
	switch word {
	case "QueryParam":
		r.Query = append(r.Query, policy.NewParameter(name, p))
		return nil
	case "Mcp":
		return r.addMCP(name, p)
	}
	node, err := policy.NewNode(name, p)
	if err != nil {
		return &LineError{0, err.Error()}
	}
	r.JSON = append(r.JSON, node)
	return nil
}

// addMCP adds a pattern to a list of the condition on MCP. A list that is given twice must
// match both, as every name of a line.
func (r *Rule) addMCP(list string, p *policy.Pattern) *LineError {
	var keys []string
	for at := &r.MCP; ; at = &(*at).Also {
		if *at == nil {
			*at = &MCP{}
		}
		for _, l := range (*at).lists() {
			keys = append(keys, l.key)
			if l.key == list && len(*l.patterns) == 0 {
				*l.patterns = []Pattern{{Pattern: p}}
				return nil
			}
		}
		if !slices.Contains(keys, list) {
			return &LineError{0, fmt.Sprintf("no list of [Mcp:: is called %s, %s", list, diag.Suggest(list, keys))}
		}
	}
}
