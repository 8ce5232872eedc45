package dir

import (
	"errors"
	"fmt"
	"os"
)

// Check returns what is wrong with directories themselves, whatever is in them: their
// restrictions, and where its last good states are kept.
func Check(roots []string, lastGood string) error {
	roots = Distinct(roots)
	if problems := CheckRoots(roots); len(problems) > 0 {
		return fmt.Errorf("--manifests %s", problems[0].String())
	}
	if lastGood == "" {
		return nil
	}
	for _, path := range Paths(roots) {
		if Within(path, lastGood) {
			return fmt.Errorf("--last-good %s: the directory is within %s, expected one outside of the manifests", lastGood, path)
		}
	}
	f, err := os.CreateTemp(lastGood, ".patgate-*")
	if err != nil {
		return fmt.Errorf("--last-good %s: %w, expected a directory that can be written", lastGood, Reason(err))
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
