package manifest

import (
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/patgate/patgate/policy"
)

// Encoded is a character that a gate opens in paths.
type Encoded struct{ policy.Encoded }

func (Encoded) expects() string { return "one of " + strings.Join(policy.EncodedTexts(), " ") }

func (v *Encoded) decode(s *scope, n *yaml.Node, field string) {
	text, ok := s.text(n, field)
	if !ok {
		return
	}
	encoded, known := policy.ParseEncoded(text)
	if !known {
		hint := "expected " + v.expects()
		if upper := strings.ToUpper(text); slices.Contains(policy.EncodedTexts(), upper) {
			hint = "expected " + upper
		}
		s.problem(n, field, "%q can't be opened, %s", text, hint)
		return
	}
	v.Encoded = encoded
}

// Routing is whether a gate's API distinguishes paths that differ only in case. Given
// is set where the manifest has the field.
type Routing struct{ Given, CaseInsensitive bool }

func (Routing) expects() string { return "exact or caseInsensitive" }

func (v *Routing) decode(s *scope, n *yaml.Node, field string) {
	if word, ok := s.word(n, field, "exact", "caseInsensitive"); ok {
		*v = Routing{Given: true, CaseInsensitive: word == "caseInsensitive"}
	}
}

// Encoding is the encoding of user names outside ASCII in a header.
type Encoding struct{ Percent bool }

func (Encoding) expects() string { return "utf-8 or percent" }

func (v *Encoding) decode(s *scope, n *yaml.Node, field string) {
	if word, ok := s.word(n, field, "utf-8", "percent"); ok {
		v.Percent = word == "percent"
	}
}
