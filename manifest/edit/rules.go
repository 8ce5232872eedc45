package edit

import (
	"encoding/json"
	"strings"
)

// Rules returns the rules that a token has of its own, as they are written: those of `allow` in a form
// in which only what they say differs, and the lines of `limitTo`.
func Rules(file string, data []byte, name string) (map[string]bool, error) {
	e, err := openToken(file, data, name)
	if err != nil {
		return nil, err
	}
	rules := map[string]bool{}
	if has(e.spec, "allow") {
		for _, n := range find(e.spec, "allow").Content {
			var rule any
			if err := n.Decode(&rule); err != nil {
				return nil, err
			}
			text, err := json.Marshal(rule)
			if err != nil {
				return nil, err
			}
			rules[string(text)] = true
		}
	}
	if has(e.spec, "limitTo") {
		for line := range strings.Lines(find(e.spec, "limitTo").Value) {
			if line = strings.TrimSpace(line); line != "" {
				rules[line] = true
			}
		}
	}
	return rules, nil
}
