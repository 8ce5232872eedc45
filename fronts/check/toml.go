package check

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"gopkg.in/yaml.v3"
)

// tomlRoot reads TOML as the tree that YAML makes. Each value's place is that of its key.
func tomlRoot(text string) (*yaml.Node, error) {
	var content map[string]any
	if err := toml.Unmarshal([]byte(text), &content); err != nil {
		var where *toml.DecodeError
		if errors.As(err, &where) {
			line, column := where.Position()
			return nil, fmt.Errorf(":%d:%d: %w", line, column, err)
		}
		return nil, fmt.Errorf(": %w", err)
	}
	return tomlNode(content, strings.Split(text, "\n"), 1), nil
}

// tomlNode turns a value into a node. from is the line of what holds it.
func tomlNode(value any, lines []string, from int) *yaml.Node {
	switch v := value.(type) {
	case map[string]any:
		n := &yaml.Node{Kind: yaml.MappingNode, Line: from, Column: 1}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			line := lineOfKey(key, lines, from)
			n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key, Line: line, Column: 1}, tomlNode(v[key], lines, line))
		}
		return n
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode, Line: from, Column: 1}
		for _, item := range v {
			n.Content = append(n.Content, tomlNode(item, lines, from))
		}
		return n
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Value: fmt.Sprint(value), Line: from, Column: 1}
}

// lineOfKey finds the line of a key: in its table, where that has it.
func lineOfKey(key string, lines []string, from int) int {
	pattern := regexp.MustCompile(`(^|[\s.\["'])` + regexp.QuoteMeta(key) + `["']?(\]|\s*=|\.)`)
	for i := from - 1; i < len(lines); i++ {
		if pattern.MatchString(lines[i]) {
			return i + 1
		}
	}
	return from
}
