package replay

import (
	"regexp"
	"strings"
)

// identifiers are the forms of segments that vary, and what a shape has in their place.
var identifiers = []struct {
	pattern *regexp.Regexp
	shape   string
}{
	{regexp.MustCompile(`^[0-9]+$`), "{number}"},
	{regexp.MustCompile(`^[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`), "{uuid}"},
	{regexp.MustCompile(`^[A-Z][A-Z0-9_]+-[0-9]+$`), "{key}"},
	{regexp.MustCompile(`^(?:[0-9a-f]{12,}|[0-9A-F]{12,})$`), "{hex}"},
}

// maxShape is how many segments of a path its shape has.
const maxShape = 12

// PathShape is a path with identifiers in place of the segments that look like some:
// /rest/api/2/issue/{key}/comment/{number}. A single digit stays, as it is a version.
func PathShape(path string) string {
	segments := strings.Split(path, "/")
	if len(segments) > maxShape {
		segments = append(segments[:maxShape:maxShape], "…")
	}
	for i, s := range segments {
		if len(s) < 2 {
			continue
		}
		for _, id := range identifiers {
			if id.pattern.MatchString(s) {
				segments[i] = id.shape
				break
			}
		}
	}
	return strings.Join(segments, "/")
}
