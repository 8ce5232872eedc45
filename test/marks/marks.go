// Package marks finds the lines of the code that tests change: each ends with a comment such as
//
//	return dots == 1 || dots == 2 // mutant: dot-segments-pass
//
// `mutant` is a line that test/mutants replaces by a wrong one, to see that a test fails. `panic` is a line before
// which the tests of ./test plant a panic, to see that it becomes a refusal.
package marks

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Kinds of marks.
const (
	Mutant = "mutant"
	Panic  = "panic"
)

// Mark is a marked line.
type Mark struct {
	File string // relative to the root, with slashes
	Line int    // the first is 0
}

var comment = regexp.MustCompile(`// ((?:(?:mutant|panic): [a-z0-9-]+(?:, )?)+)$`)

// Find returns the marks of a kind below the root of the module, by their names. A name that appears twice is an error.
func Find(root, kind string) (map[string]Mark, error) {
	found := map[string]Mark{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(root, path)
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (rel == "test" || strings.HasPrefix(entry.Name(), ".") && rel != "."):
			return fs.SkipDir
		case !entry.IsDir() && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go"):
			return find(path, filepath.ToSlash(rel), kind, found)
		}
		return nil
	})
	return found, err
}

// find adds the marks of one file.
func find(path, file, kind string, found map[string]Mark) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for i, line := range strings.Split(string(text), "\n") {
		m := comment.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		for _, mark := range strings.Split(m[1], ", ") {
			name, ours := strings.CutPrefix(mark, kind+": ")
			if other, taken := found[name]; ours && taken {
				return fmt.Errorf("%s:%d: the mark %q is at %s:%d too, expected a name of its own", file, i+1, mark, other.File, other.Line+1)
			}
			if ours {
				found[name] = Mark{file, i}
			}
		}
	}
	return nil
}

// Compare returns what is wrong where a table uses other marks than the code has.
func Compare(found map[string]Mark, used []string) (problems []string) {
	known := map[string]bool{}
	for _, name := range used {
		known[name] = true
		if _, there := found[name]; !there {
			problems = append(problems, fmt.Sprintf("no line has the mark %q, which the table names", name))
		}
	}
	for name, m := range found {
		if !known[name] {
			problems = append(problems, fmt.Sprintf("%s:%d: the table does not name the mark %q", m.File, m.Line+1, name))
		}
	}
	return problems
}
