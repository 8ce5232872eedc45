package tokens

import (
	"fmt"
	"slices"
	"strings"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/ruleset"
)

// UnknownError reports that no token has a name.
type UnknownError struct {
	Name    string
	Names   []string // that there are
	Missing int      // how many documents could not be read: the token may be one of them
}

// Error names the token that was likely meant.
func (e *UnknownError) Error() string {
	text := "no token is called " + e.Name
	if len(e.Names) > 0 {
		text += ", " + diag.Suggest(e.Name, e.Names)
	} else {
		text += ": there are no tokens in the manifests"
	}
	if e.Missing > 0 {
		text += fmt.Sprintf("\n%d of the manifests can't be read, `patgate check` says why: it may be among them", e.Missing)
	}
	return text
}

// Find finds a token by its name, whatever is wrong with other documents. It returns
// an *UnknownError where there is none, and a *RefusedError for a name that two documents have,
// for a document that is no YAML and for documents that can't be read.
func Find(set *ruleset.Set, name string) (*manifest.Document, error) {
	var found []*manifest.Document
	for _, doc := range slices.Concat(set.Tokens, set.Unread()) {
		if doc.Kind == manifest.KindAPIToken && doc.Key() == name {
			found = append(found, doc)
		}
	}
	switch {
	case len(found) > 1:
		var places []string
		for _, doc := range found {
			places = append(places, doc.Place(doc.Metadata.Name.At))
		}
		return nil, Refuse(BadDocument, "name", "%d tokens are called %s, at %s: expected one, rename or change the right one by hand",
			len(found), name, strings.Join(places, " and "))
	case len(found) == 1 && found[0].APIToken == nil:
		return nil, &RefusedError{BadDocument, "", append([]string{fmt.Sprintf("%s: the token %s can't be read: mend it, or change it by hand",
			found[0].Place(found[0].Pos), name)}, diag.Strings(found[0].Problems)...)}
	case len(found) == 1:
		return found[0], nil
	case len(set.ReadProblems()) > 0:
		return nil, &RefusedError{BadDocument, "", diag.Strings(set.ReadProblems())}
	}
	return nil, &UnknownError{Name: name, Names: set.TokenNames(), Missing: len(set.Unread())}
}
