package dir

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/ruleset"
)

// Rendered is what a cluster would get: the files of ConfigMaps, as pods see them.
type Rendered struct {
	Source   string // what it was read from
	Files    []manifest.RenderedFile
	Problems []diag.Problem
}

// SelectRendered takes what patgate would read of ConfigMaps, or of those of these names.
func SelectRendered(source string, all *manifest.Rendered, names []string) *Rendered {
	r := &Rendered{Source: source, Problems: all.Problems}
	wanted := func(full string) bool {
		return len(names) == 0 || slices.Contains(names, full) || slices.Contains(names, path.Base(full))
	}
	for _, name := range names {
		if !slices.ContainsFunc(all.ConfigMaps, func(full string) bool { return full == name || path.Base(full) == name }) {
			r.problem(source, "no ConfigMap is called %s, expected one among %s", name, strings.Join(all.ConfigMaps, ", "))
		}
	}
	if len(all.ConfigMaps) == 0 && len(names) == 0 && len(all.Problems) == 0 {
		r.problem(source, "no ConfigMap, expected what `kubectl kustomize` prints")
	}
	seen := map[string]string{}
	for _, f := range all.Files {
		if !wanted(f.ConfigMap) || !IsManifest(f.Key) || strings.HasPrefix(f.Key, ".") {
			continue
		}
		if other, taken := seen[f.Key]; taken {
			r.problem(f.Name(), "the ConfigMap %s has a file of this name, too, expected names apart: a pod that mounts both has one of them", other)
		}
		seen[f.Key] = f.ConfigMap
		r.Files = append(r.Files, f)
	}
	return r
}

func (r *Rendered) problem(file, format string, args ...any) {
	r.Problems = append(r.Problems, diag.Problem{File: file, Message: fmt.Sprintf(format, args...)})
}

// Load loads what was rendered. Its files are called CONFIGMAP/KEY.
func (r *Rendered) Load() *ruleset.Set {
	in := ruleset.Input{Origin: r.Source, Problems: r.Problems}
	for _, f := range r.Files {
		in.Files = append(in.Files, ruleset.File{Name: f.Name(), Data: f.Data, Sum: sha256.Sum256(f.Data)})
	}
	slices.SortStableFunc(in.Files, func(a, b ruleset.File) int { return strings.Compare(a.Name, b.Name) })
	return ruleset.Load(in, ruleset.Options{AllowEmpty: true})
}

// Compare holds what was rendered to the files of directories: each of the two has what the other
// has, byte for byte, under the same names. So nothing gets to a cluster but what the directories may
// hold, and nothing of them is left out.
func (r *Rendered) Compare(set *ruleset.Set) []diag.Problem {
	files := map[string][]ruleset.File{} // by their last names
	for name, data := range set.Files {
		base := filepath.Base(name)
		files[base] = append(files[base], ruleset.File{Name: name, Data: data})
	}
	before := len(r.Problems)
	found := map[string]bool{}
	for i := range r.Files {
		f := &r.Files[i]
		same := slices.IndexFunc(files[f.Key], func(c ruleset.File) bool { return bytes.Equal(c.Data, f.Data) })
		switch {
		case len(files[f.Key]) == 0:
			r.problem(f.Name(), "no manifest of the directories is called %s, expected nothing but what they hold: literals and files under other names can't be reviewed as manifests", f.Key)
		case same < 0:
			r.problem(f.Name(), "it is another text than %s, expected that file as it is", files[f.Key][0].Name)
			for _, c := range files[f.Key] {
				found[c.Name] = true
			}
		default:
			found[files[f.Key][same].Name] = true
		}
	}
	for name := range set.Files {
		if !found[name] {
			r.problem(name, "it is in no ConfigMap, expected it to get to the cluster: list it in kustomization.yaml")
		}
	}
	return r.Problems[before:]
}
