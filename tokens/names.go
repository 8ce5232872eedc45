package tokens

import (
	"context"
	"fmt"
	"strings"

	"github.com/patgate/patgate/manifest"
)

// maxDerived is the maximum length of a derived name, without its number.
const maxDerived = 40

// FreeName derives the name of a new token from its display name, which may be any text: its letters
// and digits, and a number where that name is taken. Somebody else may take the name before it is
// used: then Create refuses it, or the store reports a conflict.
func (s *Service) FreeName(ctx context.Context, displayName string) (string, error) {
	set, err := s.Documents.Documents(ctx)
	if err != nil {
		return "", err
	}
	base := plainName(displayName)
	for n := 1; n <= len(set.Tokens)+2; n++ { // one more than there can be taken, and one for a name that no file may have
		name := base
		if n > 1 {
			name = fmt.Sprintf("%s-%d", base, n)
		}
		if set.Find(manifest.KindAPIToken, name) != nil {
			continue
		}
		if _, err = s.Documents.FileFor(name); err == nil {
			return name, nil
		}
	}
	return "", err
}

// plainName writes a text as names are: letters and digits of ASCII in lower case, and a dash for
// anything between them.
func plainName(text string) string {
	var b strings.Builder
	dash := false
	for _, r := range strings.ToLower(text) {
		if !('a' <= r && r <= 'z' || '0' <= r && r <= '9') {
			dash = b.Len() > 0
			continue
		}
		if dash {
			b.WriteByte('-')
			dash = false
		}
		b.WriteRune(r)
		if b.Len() >= maxDerived {
			break
		}
	}
	if b.Len() == 0 {
		return "token"
	}
	return b.String()
}
