package lint

import (
	"encoding/json"
	"regexp"
	"strings"
)

// bodyOf makes a JSON body that holds values at their nodes, or nil for none.
func bodyOf(nodes []named) []byte {
	if len(nodes) == 0 {
		return nil
	}
	var root any
	for _, n := range nodes {
		root = put(root, nodePath(n.name), scalar(n.value))
	}
	text, err := json.Marshal(root)
	if err != nil {
		return nil
	}
	return text
}

var number = regexp.MustCompile(`^(0|[1-9][0-9]{0,8})$`)

// scalar returns a value as people would write it: numbers and booleans as themselves.
func scalar(value string) any {
	switch {
	case value == "true" || value == "false" || value == "null" || number.MatchString(value):
		return json.RawMessage(value)
	}
	return value
}

// put sets a value at a path. A star is the one element of a list.
func put(in any, path []string, value any) any {
	if len(path) == 0 {
		return value
	}
	if path[0] == "*" {
		list, _ := in.([]any)
		if len(list) == 0 {
			list = []any{nil}
		}
		list[0] = put(list[0], path[1:], value)
		return list
	}
	object, _ := in.(map[string]any)
	if object == nil {
		object = map[string]any{}
	}
	object[path[0]] = put(object[path[0]], path[1:], value)
	return object
}

// nodePath reads the place of a node, which the decoder has accepted. If it misreads one,
// such as an escaped star, the evaluation refuses the example.
func nodePath(text string) []string {
	if rest, pointer := strings.CutPrefix(text, "/"); pointer {
		path := strings.Split(rest, "/")
		for i := range path {
			path[i] = strings.ReplaceAll(strings.ReplaceAll(path[i], "~1", "/"), "~0", "~")
		}
		return path
	}
	var path []string
	name := ""
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text):
			i++
			name += text[i : i+1]
		case text[i] == '.':
			path, name = append(path, name), ""
		default:
			name += text[i : i+1]
		}
	}
	return append(path, name)
}
