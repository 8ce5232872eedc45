package dir

import (
	"path/filepath"
	"slices"
	"strings"
)

// Distinct leaves out directories that occur earlier, under any name, with the same restrictions.
func Distinct(roots []string) []string {
	var list []string
	for _, root := range roots {
		path := parsePath(root)
		if !slices.ContainsFunc(list, func(other string) bool {
			before := parsePath(other)
			return realPath(before) == realPath(path) && strings.TrimPrefix(other, before) == strings.TrimPrefix(root, path)
		}) {
			list = append(list, root)
		}
	}
	return list
}

// Within reports whether a path is a directory or below it, whatever links lead there.
func Within(dir, path string) bool {
	rel, err := filepath.Rel(realPath(dir), realPath(path))
	return err == nil && filepath.IsLocal(rel)
}

// realPath resolves a path as far as it exists.
func realPath(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		return real
	}
	if parent := filepath.Dir(abs); parent != abs {
		return filepath.Join(realPath(parent), filepath.Base(abs))
	}
	return abs
}
