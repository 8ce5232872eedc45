package loader

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest/edit"
)

// ImportOptions say how Import goes about it. The zero value writes all tokens or none.
type ImportOptions struct {
	DryRun      bool // write nothing
	SkipRefused bool // leave out the tokens whose manifests would be refused, and write the others
}

// ImportedToken is what became of one token.
type ImportedToken struct {
	Path    string // of its manifest; empty where it was left out
	Refused string // why it was left out

	text []byte
}

// Import writes the manifests of tokens from elsewhere into a directory, one file each. They
// are checked together with the manifests that are there: it returns a *RefusedError for
// whatever `patgate check` would refuse, and for names that are taken, unless the options
// leave such tokens out. What it returns is in the order of the tokens.
func Import(tokens []edit.NewToken, into string, manifests []string, o ImportOptions) ([]ImportedToken, error) {
	target := &NewToken{Into: into, Manifests: manifests}
	roots := target.roots()
	tree := readTree(roots, MaxBytes)
	docs := decodeTree(roots, tree)
	done := make([]ImportedToken, len(tokens))
	for i := range tokens {
		var err error
		if done[i], err = prepare(&NewToken{NewToken: tokens[i], Into: into}, docs); err == nil {
			continue
		}
		var no *RefusedError
		if !o.SkipRefused || !errors.As(err, &no) {
			return nil, err
		}
		done[i].Refused = no.Error()
	}
	if err := leaveOut(done, roots, tree, o.SkipRefused); err != nil {
		return nil, err
	}
	if o.DryRun {
		return done, nil
	}
	return done, writeAll(into, done)
}

// prepare makes the manifest of a token whose name is free.
func prepare(t *NewToken, docs *documents) (done ImportedToken, err error) {
	path := filepath.Join(t.Into, t.Name+".yaml")
	if !isManifest(path) {
		return done, &RefusedError{[]string{fmt.Sprintf("%s would not be read as a manifest, expected another name", filepath.Base(path))}}
	}
	if err := t.isFree(docs, path); err != nil {
		return done, err
	}
	text, err := t.YAML()
	if err != nil {
		return done, err
	}
	return ImportedToken{Path: path, text: text}, nil
}

// leaveOut checks the manifests together with those that are there. Where they may be, those
// with problems are left out, until the others have none: one may be refused for another's sake.
func leaveOut(done []ImportedToken, roots []string, there *tree, skip bool) error {
	for {
		all := *there
		for _, d := range done {
			if d.Refused == "" {
				all.files = append(all.files[:len(all.files):len(all.files)], file{name: d.Path, data: d.text})
			}
		}
		problems := withoutEmptiness(decodeTree(roots, &all).problems, roots)
		if len(problems) == 0 {
			return nil
		}
		if left := skip && refuseByFile(done, problems); !left {
			return refused(problems)
		}
	}
}

// refuseByFile leaves out the tokens whose files have problems, and reports whether there
// are any.
func refuseByFile(done []ImportedToken, problems []diag.Problem) (left bool) {
	why := map[string]string{}
	for _, p := range problems {
		if why[p.File] == "" {
			why[p.File] = fmt.Sprintf("%s: %s", p.Field, p.Message)
		}
	}
	for i := range done {
		if reason := why[done[i].Path]; done[i].Refused == "" && reason != "" {
			done[i], left = ImportedToken{Refused: reason}, true
		}
	}
	return left
}

// writeAll writes files that are not there yet; where one fails, those before it go again.
func writeAll(dir string, done []ImportedToken) error {
	if !slices.ContainsFunc(done, func(d ImportedToken) bool { return d.Refused == "" }) {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for i, d := range done {
		if d.Refused != "" {
			continue
		}
		if err := writeNew(d.Path, d.text); err != nil {
			for _, written := range done[:i] {
				if written.Refused == "" {
					err = errors.Join(err, os.Remove(written.Path))
				}
			}
			return err
		}
	}
	return nil
}
