package edit

import (
	"slices"

	"gopkg.in/yaml.v3"

	"github.com/patgate/patgate/manifest"
)

// Distinct returns the text of a UserGroup's document without repeated members, because a cluster keeps members as a set. It
// returns any other text unchanged.
func Distinct(part manifest.Part) []byte {
	root, err := part.Tree()
	if err != nil {
		return part.Text
	}
	e := &tokenEditor{places: newPlaces(part.Text), part: part, root: root}
	members := find(find(root, "spec"), "members")
	if part.Decode().Kind != manifest.KindUserGroup || members.Kind != yaml.SequenceNode {
		return part.Text
	}
	seen := map[string]bool{}
	var gone []bool
	for _, m := range members.Content {
		gone = append(gone, seen[m.Value])
		seen[m.Value] = true
	}
	if !slices.Contains(gone, true) {
		return part.Text
	}
	splices, err := e.changeItems(members, gone, nil)
	if err != nil {
		return part.Text
	}
	text, err := applySplices(part.Text, splices)
	if err != nil {
		return part.Text
	}
	return text
}
