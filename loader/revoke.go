package loader

import (
	"time"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/manifest/edit"
)

// Revoke prepares the revocation of a token, which Token found: `revoked` in its file.
// It works while other manifests are broken. It returns a *RefusedError for a file that
// can't be changed.
func (m *Manifests) Revoke(doc *manifest.Document, now time.Time) (*Change, error) {
	f := m.file(doc.File)
	if doc.APIToken.Canary {
		return nil, refuse("%s: the token %s is a canary, which is always refused: delete its manifest to end it", doc.Place(doc.Pos), doc.Metadata.Name.Text)
	}
	after, err := edit.Revoke(f.Name, f.Data, doc.Metadata.Name.Text, now.UTC().Truncate(time.Second))
	if err != nil {
		return nil, &RefusedError{[]string{err.Error()}}
	}
	return m.change(f, after)
}
