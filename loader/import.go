package loader

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/loader/dir"
	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/ruleset"
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
	set := dir.LoadEmpty(roots)
	done := make([]ImportedToken, len(tokens))
	for i := range tokens {
		var err error
		if done[i], err = prepare(&NewToken{NewToken: tokens[i], Into: into}, set); err == nil {
			continue
		}
		var no *RefusedError
		if !o.SkipRefused || !errors.As(err, &no) {
			return nil, err
		}
		done[i].Refused = no.Error()
	}
	if err := leaveOut(done, set, o.SkipRefused); err != nil {
		return nil, err
	}
	if o.DryRun {
		return done, nil
	}
	return done, writeAll(into, done)
}

// prepare makes the manifest of a token whose name is free.
func prepare(t *NewToken, set *ruleset.Set) (done ImportedToken, err error) {
	path := filepath.Join(t.Into, t.Name+".yaml")
	if !dir.IsManifest(path) {
		return done, &RefusedError{[]string{fmt.Sprintf("%s would not be read as a manifest, expected another name", filepath.Base(path))}}
	}
	if err := t.isFree(set, path); err != nil {
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
func leaveOut(done []ImportedToken, there *ruleset.Set, skip bool) error {
	for {
		var files []ruleset.File
		for _, d := range done {
			if d.Refused == "" {
				files = append(files, ruleset.File{Name: d.Path, Data: d.text})
			}
		}
		problems := there.With(files...).Problems
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
func writeAll(into string, done []ImportedToken) error {
	if !slices.ContainsFunc(done, func(d ImportedToken) bool { return d.Refused == "" }) {
		return nil
	}
	if err := os.MkdirAll(into, 0o755); err != nil {
		return err
	}
	for i, d := range done {
		if d.Refused != "" {
			continue
		}
		if err := dir.WriteNew(d.Path, d.text); err != nil {
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
