package edit

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/token"
)

// Forever is until when the deletion of a value that never ends is remembered.
var Forever = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// Delete returns a file's text without the document of the named token. It returns nothing where
// no other document is left.
func Delete(file string, data []byte, name string) ([]byte, error) {
	var found *manifest.Part
	left := false
	parts := manifest.Parts(file, data)
	for i := range parts {
		doc := parts[i].Decode()
		switch {
		case doc.Kind != manifest.KindAPIToken || doc.Metadata.Name.Text != name:
			left = left || !parts[i].IsBlank()
		case found != nil:
			return nil, fmt.Errorf("%s: two tokens are called %s", file, name)
		default:
			found = &parts[i]
		}
	}
	switch {
	case found == nil:
		return nil, fmt.Errorf("%s: no token is called %s", file, name)
	case !left:
		return nil, nil
	}
	return slices.Concat(data[:found.Offset], data[found.Offset+len(found.Text):]), nil
}

// AddTombstones returns the text of a file of tombstones with some more. What is there stays; a digest
// that exists already must be kept at least as long as requested.
func AddTombstones(file string, data []byte, until map[token.Digest]time.Time) ([]byte, error) {
	there := manifest.Tombstones{}
	if problems := there.Add(file, data); len(problems) > 0 {
		return nil, fmt.Errorf("%s", problems[0])
	}
	var lines []string
	for digest, end := range until {
		stone, known := there[digest]
		switch {
		case known && stone.Until.Before(end):
			return nil, fmt.Errorf("%s: the tombstone of %s ends on %s, expected %s: change it by hand", stone.Place(), digest, writtenTime(stone.Until), writtenTime(end))
		case !known:
			lines = append(lines, digest.String()+": "+writtenTime(end)+"\n")
		}
	}
	slices.Sort(lines)
	after := slices.Clone(data)
	if len(after) > 0 && !bytes.HasSuffix(after, []byte("\n")) {
		after = append(after, '\n')
	}
	if len(bytes.TrimSpace(after)) == 0 {
		after = append(after, "# Revoked tokens whose manifests were deleted, and until when that is remembered.\n"...)
	}
	after = append(after, strings.Join(lines, "")...)
	if problems := (manifest.Tombstones{}).Add(file, after); len(problems) > 0 {
		return nil, fmt.Errorf("%s: no line can be added: write `%s` by hand", file, strings.TrimSpace(strings.Join(lines, "")))
	}
	return after, nil
}
