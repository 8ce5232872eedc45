package edit

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// AddResource returns the text of a kustomization.yaml that lists one more file among its resources;
// nil where it lists none, or lists that one already. All other bytes stay.
func AddResource(data []byte, name string) ([]byte, error) {
	list, err := resources(data)
	if err != nil || list == nil {
		return nil, err
	}
	names := texts(list)
	isFile := func(n string) bool { return strings.HasSuffix(n, ".yaml") || strings.HasSuffix(n, ".yml") }
	if !slices.ContainsFunc(names, isFile) || slices.Contains(names, name) || slices.Contains(names, "./"+name) {
		return nil, nil
	}
	after := insertResource(data, list, name)
	if again, err := resources(after); err != nil || again == nil || !slices.Equal(texts(again), append(names, name)) {
		return nil, fmt.Errorf("can't be edited without changing more, expected `- %s` among its resources: add it by hand", name)
	}
	return after, nil
}

// resources returns the list of resources; nil: there is none.
func resources(data []byte) (*yaml.Node, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		return nil, fmt.Errorf("can't be read: %w", err)
	}
	if len(root.Content) == 0 || root.Content[0].Kind != yaml.MappingNode {
		return nil, nil
	}
	fields := root.Content[0].Content
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i].Value == "resources" && fields[i+1].Kind == yaml.SequenceNode && len(fields[i+1].Content) > 0 {
			return fields[i+1], nil
		}
	}
	return nil, nil
}

func texts(list *yaml.Node) (names []string) {
	for _, n := range list.Content {
		names = append(names, n.Value)
	}
	return names
}

// insertResource adds a name behind the last one, as that is written.
func insertResource(data []byte, list *yaml.Node, name string) []byte {
	last := list.Content[len(list.Content)-1]
	lines := bytes.SplitAfter(data, []byte("\n"))
	line := lines[last.Line-1]
	if list.Style&yaml.FlowStyle != 0 {
		end := last.Column - 1 + len(last.Value)
		if last.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
			end += 2
		}
		lines[last.Line-1] = slices.Concat(line[:min(end, len(line))], []byte(", "+name), line[min(end, len(line)):])
		return bytes.Join(lines, nil)
	}
	text := string(line[:len(line)-len(bytes.TrimLeft(line, " "))]) + "- " + name + "\n"
	if !bytes.HasSuffix(line, []byte("\n")) {
		text = "\n" + text
	}
	lines[last.Line-1] = slices.Concat(line, []byte(text))
	return bytes.Join(lines, nil)
}
