// Command mutants plants one flaw at a time into the code that decides, and requires a test
// to catch it: it tests the tests. `make mutants` runs it, outside the ordinary run. It
// works on a copy of the tree.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/patgate/patgate/test/marks"
)

func main() {
	only := flag.String("run", "", "a `pattern` of the flaws to plant (default: all)")
	flag.Parse()
	pattern, err := regexp.Compile(*only)
	if err == nil {
		err = run(pattern)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(only *regexp.Regexp) error {
	dir, err := os.MkdirTemp("", "patgate-mutants")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.CopyFS(dir, os.DirFS(".")); err != nil {
		return err
	}
	lines, err := marks.Find(dir, marks.Mutant)
	if err != nil {
		return err
	}
	survivors, tried := 0, 0
	for _, f := range flaws {
		if !only.MatchString(f.mark + " " + f.what) {
			continue
		}
		tried++
		killer, err := f.plant(dir, lines[f.mark])
		if killer == "" || err != nil {
			survivors++
			killer = fmt.Sprint("NO TEST ", err)
		}
		fmt.Printf("%-62s %-28s killed by %s\n", f.what, lines[f.mark].File, killer)
	}
	fmt.Printf("%d flaws, %d survived\n", tried, survivors)
	if survivors > 0 || tried == 0 {
		return fmt.Errorf("%d flaws were caught by no test", survivors)
	}
	return nil
}

// plant plants a flaw, runs the tests of its package and then the others, and restores the file. It returns the first test
// that failed, or nothing, and an error where the flaw does not build.
func (f *flaw) plant(dir string, at marks.Mark) (killer string, err error) {
	path := filepath.Join(dir, at.File)
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("no line has the mark %q", f.mark)
	}
	lines := strings.Split(string(text), "\n")
	lines[at.Line] = f.line
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		return "", err
	}
	defer func() {
		if mended := os.WriteFile(path, text, 0o644); err == nil {
			err = mended
		}
	}()
	for _, packages := range [][]string{{"./" + filepath.ToSlash(filepath.Dir(at.File))}, {"./policy", "./extauthz", "./token", "./loader/...", "./ruleset", "./manifest/...", "./explain", "./audit", "./server"}, {"./test"}} {
		if killer, err = tests(dir, packages); killer != "" || err != nil {
			return killer, err
		}
	}
	return "", nil
}

// tests runs the tests of packages and returns the first that failed, or nothing.
func tests(dir string, packages []string) (killer string, err error) {
	out, err := goTool(dir, append([]string{"test", "-short", "-failfast"}, packages...)...)
	if err == nil {
		return "", nil
	}
	if bytes.Contains(out, []byte("[build failed]")) {
		return "", fmt.Errorf("it does not build: %s", out)
	}
	if m := failed.FindSubmatch(out); m != nil {
		return string(m[1]), nil
	}
	if bytes.Contains(out, []byte("panic:")) {
		return "a panic", nil
	}
	return "", fmt.Errorf("the tests did not run: %s", out)
}

var failed = regexp.MustCompile(`(?m)^--- FAIL: (\S+)`)

func goTool(dir string, args ...string) ([]byte, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	return cmd.CombinedOutput()
}
