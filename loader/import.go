package loader

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/patgate/patgate/loader/manifest"
)

// Import writes the manifests of tokens from elsewhere into a directory, one file each,
// all of them or none. They are checked together with the manifests that are there: it
// returns a *RefusedError for whatever `patgate check` would refuse, and for names that are
// taken. A dry run writes nothing.
func Import(tokens []manifest.NewToken, into string, manifests []string, dryRun bool) (paths []string, err error) {
	target := &NewToken{Into: into, Manifests: manifests}
	roots := target.roots()
	tree := readTree(roots, MaxBytes)
	docs := decodeTree(roots, tree)
	texts := make([][]byte, len(tokens))
	for i := range tokens {
		t := NewToken{NewToken: tokens[i], Into: into}
		path := filepath.Join(into, t.Name+".yaml")
		if !isManifest(path) {
			return nil, &RefusedError{[]string{fmt.Sprintf("%s would not be read as a manifest, expected another name", filepath.Base(path))}}
		}
		if err := t.isFree(docs, path); err != nil {
			return nil, err
		}
		if texts[i], err = t.YAML(); err != nil {
			return nil, err
		}
		tree.files = append(tree.files, file{name: path, data: texts[i]})
		paths = append(paths, path)
	}
	if problems := withoutEmptiness(decodeTree(roots, tree).problems, roots); len(problems) > 0 {
		return nil, refused(problems)
	}
	if dryRun {
		return paths, nil
	}
	return paths, writeAll(into, paths, texts)
}

// writeAll writes files that are not there yet; where one fails, those before it go again.
func writeAll(dir string, paths []string, texts [][]byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for i, path := range paths {
		if err := writeNew(path, texts[i]); err != nil {
			for _, written := range paths[:i] {
				err = errors.Join(err, os.Remove(written))
			}
			return err
		}
	}
	return nil
}
