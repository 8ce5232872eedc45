package edit

import (
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// adapt returns splices that give a node another value and keep the text of what stays, with its comments: the items of a
// list and the keys of a map that both have. It returns an error where nothing would stay.
func (e *tokenEditor) adapt(n *yaml.Node, value any) ([]splice, error) {
	if isValue(n, value) {
		return nil, nil
	}
	switch v := value.(type) {
	case map[string]any:
		return e.adaptMap(n, v)
	case []any:
		return e.adaptList(n, v)
	}
	return e.adaptScalar(n, value)
}

// isValue reports whether a node says a value.
func isValue(n *yaml.Node, value any) bool {
	var is any
	return n.Decode(&is) == nil && reflect.DeepEqual(is, value)
}

// adaptScalar writes a value in the place of a scalar. The quotes of a text stay where they can.
func (e *tokenEditor) adaptScalar(n *yaml.Node, value any) ([]splice, error) {
	if n.Kind != yaml.ScalarNode || n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return nil, errPlace("it is no plain value")
	}
	if text := scalarText(value); text != "" && !strings.ContainsAny(text, "'\"\\\n") {
		if start, end, err := e.scalar(n); err == nil {
			return []splice{{start, end - start, text}}, nil
		}
	}
	start, err := e.start(n)
	if err != nil {
		return nil, err
	}
	text := flowText(value, n.Style&yaml.DoubleQuotedStyle != 0)
	end, err := e.end(n)
	if text == "" || strings.Contains(text, "\n") {
		return nil, errPlace("it is not written on one line")
	}
	return []splice{{start, end - start, text}}, err
}

// adaptMap changes the keys of a map that differ, and takes out those that are gone.
func (e *tokenEditor) adaptMap(n *yaml.Node, value map[string]any) (splices []splice, err error) {
	if n.Kind != yaml.MappingNode {
		return nil, errPlace("it is no map")
	}
	for key := range value {
		if !has(n, key) {
			return nil, errPlace("it has no key " + key)
		}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i].Value
		change := func() ([]splice, error) { return e.remove(n, key) }
		if v, stays := value[key]; stays {
			change = func() ([]splice, error) { return e.adapt(n.Content[i+1], v) }
		}
		more, err := change()
		if err != nil {
			return nil, err
		}
		splices = append(splices, more...)
	}
	return splices, nil
}

// adaptList takes out the items of a list that are gone, and adds the new ones after those that stay. A list of the same
// length is changed item by item.
func (e *tokenEditor) adaptList(n *yaml.Node, list []any) ([]splice, error) {
	if n.Kind != yaml.SequenceNode {
		return nil, errPlace("it is no list")
	}
	var gone []bool
	kept := 0
	for _, item := range n.Content {
		stays := kept < len(list) && isValue(item, list[kept])
		gone = append(gone, !stays)
		if stays {
			kept++
		}
	}
	if added := list[kept:]; kept > 0 && (len(added) == 0 || !slices.Contains(gone, true)) {
		return e.changeItems(n, gone, added)
	}
	if len(n.Content) != len(list) {
		return nil, errPlace("its items are others")
	}
	var splices []splice
	for i, item := range n.Content {
		more, err := e.adapt(item, list[i])
		if err != nil {
			return nil, err
		}
		splices = append(splices, more...)
	}
	return splices, nil
}

// changeItems takes items out of a list, and adds others at its end.
func (e *tokenEditor) changeItems(n *yaml.Node, gone []bool, added []any) (splices []splice, err error) {
	remove, add := e.removeLines, e.addLines
	if n.Style&yaml.FlowStyle != 0 {
		remove, add = e.removeFlow, e.addFlow
	}
	for i := 0; i < len(gone); i++ {
		if !gone[i] {
			continue
		}
		last := i
		for last+1 < len(gone) && gone[last+1] {
			last++
		}
		more, err := remove(n, i, last)
		if err != nil {
			return nil, err
		}
		splices, i = append(splices, more...), last
	}
	if len(added) > 0 {
		s, err := add(n, added)
		if err != nil {
			return nil, err
		}
		splices = append(splices, s)
	}
	return splices, nil
}

// removeFlow takes items out of a list in brackets, of which others stay.
func (e *tokenEditor) removeFlow(n *yaml.Node, first, last int) ([]splice, error) {
	if last+1 < len(n.Content) {
		start, err := e.start(n.Content[first])
		if err != nil {
			return nil, err
		}
		next, err := e.start(n.Content[last+1])
		return []splice{{start, next - start, ""}}, err
	}
	start, err := e.end(n.Content[first-1])
	if err != nil {
		return nil, err
	}
	end, err := e.end(n.Content[last])
	return []splice{{start, end - start, ""}}, err
}

// addFlow adds items at the end of a list in brackets.
func (e *tokenEditor) addFlow(n *yaml.Node, added []any) (splice, error) {
	last := n.Content[len(n.Content)-1]
	end, err := e.end(last)
	text := ""
	for _, v := range added {
		text += ", " + flowText(v, last.Style&yaml.DoubleQuotedStyle != 0)
	}
	return splice{end, 0, text}, err
}

// removeLines takes the lines of items out. Comments between them stay.
func (e *tokenEditor) removeLines(n *yaml.Node, first, last int) (splices []splice, err error) {
	for _, item := range n.Content[first : last+1] {
		start, end, _, err := e.itemLines(item)
		if err != nil {
			return nil, err
		}
		splices = append(splices, splice{start, end - start, ""})
	}
	return splices, nil
}

// addLines adds items below a list.
func (e *tokenEditor) addLines(n *yaml.Node, added []any) (splice, error) {
	start, end, indent, err := e.itemLines(n.Content[len(n.Content)-1])
	if err != nil {
		return splice{}, err
	}
	if breakOf(e.text[start:end]) == "" {
		return splice{}, errPlace("its last line does not end")
	}
	_, items, _ := strings.Cut(blockLines("x", added, "", e.lineBreak()), e.lineBreak())
	var out strings.Builder
	for line := range strings.Lines(items) {
		out.WriteString(indent + strings.TrimPrefix(line, "  "))
	}
	return splice{end, 0, out.String()}, nil
}
