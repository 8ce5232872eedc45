package dir

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/ruleset"
)

// Root is a directory of manifests, and what it may hold. It is written as its path, or as
//
//	PATH,kinds=APIToken|TokenPolicy,names=team-a-*
type Root struct {
	Path  string
	Scope ruleset.Scope
}

// rootKinds are the kinds that a root may be restricted to.
var rootKinds = []string{manifest.KindGate, manifest.KindAPIToken, manifest.KindUserGroup, manifest.KindTokenPolicy}

var (
	restriction = regexp.MustCompile(`,[A-Za-z]+=`)
	namePattern = regexp.MustCompile(`^[a-z0-9*]([a-z0-9*.-]*[a-z0-9*])?$`)
)

// ParseRoot reads a root. A comma that no KEY= follows is part of the path.
func ParseRoot(text string) (Root, error) {
	at := restriction.FindStringIndex(text)
	if at == nil {
		return Root{Path: text}, nil
	}
	r := Root{Path: text[:at[0]]}
	if r.Path == "" {
		return r, errors.New("no directory before the comma, expected DIR,kinds=KIND|KIND,names=PATTERN|PATTERN")
	}
	for _, part := range strings.Split(text[at[0]+1:], ",") {
		if err := r.restrict(part); err != nil {
			return r, err
		}
	}
	return r, nil
}

// restrict adds one restriction to the root.
func (r *Root) restrict(part string) error {
	key, list, _ := strings.Cut(part, "=")
	into := map[string]*[]string{"kinds": &r.Scope.Kinds, "names": &r.Scope.Names}[key]
	if into == nil {
		return fmt.Errorf("%s: %s", part, diag.Suggest(key, []string{"kinds", "names"}))
	}
	if len(*into) > 0 {
		return fmt.Errorf("%s appears twice, expected one list, with | between its entries", key)
	}
	for _, entry := range strings.Split(list, "|") {
		switch {
		case key == "kinds" && !slices.Contains(rootKinds, entry):
			return fmt.Errorf("kinds: no kind is called %q, %s", entry, diag.Suggest(entry, rootKinds))
		case key == "names" && !namePattern.MatchString(entry):
			return fmt.Errorf("names: %q can't match a name, expected lower-case letters, digits, - and ., with * for any text", entry)
		}
		*into = append(*into, entry)
	}
	return nil
}

// parsePath returns the path of a root, also of one that is not well-formed.
func parsePath(text string) string {
	r, _ := ParseRoot(text)
	return r.Path
}

// Paths returns the paths of roots.
func Paths(roots []string) []string {
	paths := make([]string, len(roots))
	for i, root := range roots {
		paths[i] = parsePath(root)
	}
	return paths
}

// Restricted reports whether one of the roots may hold less than everything.
func Restricted(roots []string) bool {
	return slices.ContainsFunc(roots, func(root string) bool {
		r, err := ParseRoot(root)
		return err != nil || r.Scope.Restricts()
	})
}

// Parts divides roots by what keeps a last good state of its own: those without restrictions
// together, and each of the others by itself.
func Parts(roots []string) [][]string {
	var free []string
	var parts [][]string
	for _, root := range roots {
		if Restricted([]string{root}) {
			parts = append(parts, []string{root})
		} else {
			free = append(free, root)
		}
	}
	if len(free) > 0 {
		parts = append([][]string{free}, parts...)
	}
	return parts
}

// originOf names what a part of roots is, as documents record their origin.
func originOf(part []string) string { return strings.Join(Paths(part), ", ") }

// restrictedPaths returns where the restricted roots really are.
func restrictedPaths(roots []string) (paths []string) {
	for _, root := range roots {
		if Restricted([]string{root}) {
			paths = append(paths, realPath(parsePath(root)))
		}
	}
	return paths
}

// overlap returns a problem where a restricted root and another one share files: what is in one
// of them could be taken for the other's. What is below a root without restrictions is left out there.
func overlap(roots []string) []diag.Problem {
	var problems []diag.Problem
	for i, outer := range roots {
		for k, inner := range roots {
			if i != k && shares(outer, inner) {
				problems = append(problems, diag.Problem{File: parsePath(inner), Message: fmt.Sprintf(
					"the directory is within %s, which --manifests names too, expected a directory of its own", parsePath(outer))})
			}
		}
	}
	return problems
}

// shares reports whether an inner root is within an outer one, one of them is restricted, and the
// outer one would read what is in the inner one.
func shares(outer, inner string) bool {
	above, below := Restricted([]string{outer}), Restricted([]string{inner})
	in, out := realPath(parsePath(inner)), realPath(parsePath(outer))
	leftOut := !above && below && in != out
	return (above || below) && !leftOut && isDir(out) && Within(out, in)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// Origins returns the origin of each part of the roots.
func Origins(roots []string) (list []string) {
	for _, part := range Parts(roots) {
		list = append(list, originOf(part))
	}
	return list
}

// Scopes returns what each part of the roots may hold, by its origin.
func Scopes(roots []string) map[string]ruleset.Scope {
	if !Restricted(roots) {
		return nil
	}
	by := map[string]ruleset.Scope{}
	for _, part := range Parts(roots) {
		r, _ := ParseRoot(part[0])
		by[originOf(part)] = r.Scope
	}
	return by
}

// CheckRoots returns what is wrong with roots themselves, whatever is in them.
func CheckRoots(roots []string) []diag.Problem {
	problems := overlap(roots)
	for _, root := range roots {
		if _, err := ParseRoot(root); err != nil {
			problems = append(problems, diag.Problem{File: root, Message: err.Error()})
		}
	}
	return problems
}
