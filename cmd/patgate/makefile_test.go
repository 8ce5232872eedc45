package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestMakefileRunsTestsThatExist looks for each test that the Makefile names, or names the beginning of: `go test -run` with a
// name that no test has passes.
func TestMakefileRunsTestsThatExist(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	var tests strings.Builder
	err = filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && d.Name() != ".."):
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		tests.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`\bTest[A-Z]\w*`).FindAllString(string(makefile), -1)
	for _, name := range named {
		if !strings.Contains(tests.String(), "\nfunc "+name) {
			t.Errorf("the Makefile runs %s, which is no test", name)
		}
	}
	if len(named) < 5 {
		t.Errorf("the Makefile names %q", named)
	}
}
