package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// DefaultLifetime is how long a new token lives where nobody says otherwise.
const DefaultLifetime = 90 * 24 * time.Hour

// NewToken asks for a token. Its Digest, Issued and Expires are filled in.
type NewToken struct {
	edit.NewToken
	Lifetime  time.Duration // 0: the shorter of DefaultLifetime and the user's cap; policy.Forever: no end
	Into      string        // the directory that gets its manifest
	Manifests []string      // directories with the groups and policies; none: Into
	Now       time.Time
	Warnings  []string // filled in by Create: what its user should know
	Bearer    bool     // filled in by Create: no gate takes it with Basic
}

// RefusedError says why a token was not created or changed. Each line is a reason.
type RefusedError struct{ Reasons []string }

// Error returns the reasons, one a line.
func (e *RefusedError) Error() string { return strings.Join(e.Reasons, "\n") }

// Create mints a value, checks the manifest of its token together with all others, and
// writes it into a file of its own. It returns the value, which is kept nowhere, and
// the file. It returns a *RefusedError for a name that is taken, a lifetime beyond the
// user's cap, and for whatever `patgate check` refuses.
func (t *NewToken) Create() (secret token.Secret, path string, err error) {
	path = filepath.Join(t.Into, t.Name+".yaml")
	if !isManifest(path) {
		return secret, "", &RefusedError{[]string{fmt.Sprintf("%s would not be read as a manifest, expected another name", filepath.Base(path))}}
	}
	for _, dir := range t.Manifests {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return secret, "", &RefusedError{[]string{fmt.Sprintf("--manifests %s: no such directory, expected one with the groups and policies", dir)}}
		}
	}
	roots := t.roots()
	tree := readTree(roots, MaxBytes)
	docs := decodeTree(roots, tree)
	if err := t.isFree(docs, path); err != nil {
		return secret, "", err
	}
	if err := t.setTimes(docs); err != nil {
		return secret, "", err
	}
	secret = token.Mint()
	t.Digest = token.Sum(secret)
	t.Warnings = docs.warnings(t.User)
	text, err := t.YAML()
	if err != nil {
		return token.Secret{}, "", &RefusedError{[]string{err.Error()}}
	}
	tree.files = append(tree.files, file{name: path, data: text})
	after := decodeTree(roots, tree)
	if problems := withoutEmptiness(after.problems, roots); len(problems) > 0 {
		return token.Secret{}, "", refused(problems)
	}
	t.Bearer = bearerAlone(compile(after, policy.NewIndex().Snapshot()), t.Name, t.Now)
	if err := os.MkdirAll(t.Into, 0o755); err != nil {
		return token.Secret{}, "", err
	}
	if err := writeNew(path, text); err != nil {
		return token.Secret{}, "", err
	}
	return secret, path, nil
}

// bearerAlone reports whether a token can't be presented with Basic at any gate.
func bearerAlone(rows policy.Rows, name string, now time.Time) bool {
	i := slices.IndexFunc(rows.Tokens, func(t *policy.Token) bool { return t.Name == name })
	if i < 0 || !rows.Tokens[i].Takes(policy.Basic) {
		return i >= 0
	}
	takesBasic := func(g *policy.Gate) bool { return rows.Tokens[i].For(g) && g.Accepted(now).Has(policy.Basic) }
	return len(rows.Gates) > 0 && !slices.ContainsFunc(rows.Gates, takesBasic)
}

// roots returns every directory to read once, Into among them.
func (t *NewToken) roots() []string {
	into := filepath.Clean(t.Into)
	roots := []string{into}
	if _, err := os.Stat(into); errors.Is(err, fs.ErrNotExist) && len(t.Manifests) > 0 {
		roots = nil // it is made for this token
	}
	for _, root := range t.Manifests {
		switch {
		case within(root, into):
			roots = slices.DeleteFunc(roots, func(r string) bool { return r == into })
		case within(into, root):
			continue
		}
		roots = append(roots, root)
	}
	return roots
}

// within reports whether a path is a directory or below it, whatever links lead there.
func within(dir, path string) bool {
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

func refused(problems []diag.Problem) error {
	return &RefusedError{append([]string{"The manifest would be refused:"}, diag.Strings(problems)...)}
}

// withoutEmptiness leaves out what is wrong with a directory as a whole: it may well
// get its first manifest now.
func withoutEmptiness(problems []diag.Problem, roots []string) []diag.Problem {
	return slices.DeleteFunc(slices.Clone(problems), func(p diag.Problem) bool {
		return p.Pos.Line == 0 && (slices.Contains(roots, p.File) || p.File == strings.Join(roots, ", "))
	})
}

// isFree wants a name that no token has.
func (t *NewToken) isFree(docs *documents, path string) error {
	if other := docs.names[manifest.KindAPIToken+"/"+t.Name]; other != nil {
		return &RefusedError{[]string{fmt.Sprintf("the name %s is taken, by the token at %s: expected another one", t.Name, other.Place(other.Metadata.Name.At))}}
	}
	if _, err := os.Lstat(path); err == nil {
		return &RefusedError{[]string{fmt.Sprintf("the file %s is there already: expected another name", path)}}
	}
	return nil
}

// setTimes sets when the token begins and ends, within the longest lifetime that the
// user's groups give.
func (t *NewToken) setTimes(docs *documents) error {
	longest, group := docs.longestLifetime(t.User)
	asked := t.Lifetime
	if asked == 0 {
		asked = DefaultLifetime
		if longest > 0 {
			asked = min(asked, longest)
		}
	}
	if longest > 0 && asked > longest {
		return beyondCap(asked, longest, group, t.User)
	}
	t.Issued = t.Now.UTC().Truncate(time.Second)
	if asked != policy.Forever {
		t.Expires = t.Issued.Add(asked)
	}
	return nil
}

func beyondCap(asked, longest time.Duration, group *manifest.Document, user string) error {
	return &RefusedError{[]string{fmt.Sprintf("a lifetime of %s is beyond the cap: group %s gives %s at most %s (%s)",
		LifetimeText(asked), group.Metadata.Name.Text, user, LifetimeText(longest), group.Place(group.Pos))}}
}

// warnings tells of a user whom no gate admits: their token would be deactivated.
func (d *documents) warnings(user string) []string {
	if len(d.gates) == 0 {
		return []string{"there is no Gate in the manifests yet, without which every request is refused: `patgate check --help` shows one"}
	}
	if user == "" {
		return nil
	}
	var wanted []string
	for _, g := range d.gates {
		if len(g.Gate.Groups) == 0 {
			return nil
		}
		for _, ref := range g.Gate.Groups {
			group := d.names[manifest.KindUserGroup+"/"+ref.Text]
			if group == nil || group.UserGroup == nil || slices.Contains(group.UserGroup.Members, manifest.User(user)) {
				return nil
			}
			wanted = append(wanted, ref.Text)
		}
	}
	slices.Sort(wanted)
	return []string{fmt.Sprintf("%s is in none of the groups whose members may use tokens (%s): the token is refused until they are",
		user, strings.Join(slices.Compact(wanted), ", "))}
}

// longestLifetime returns the user's cap, and the group that gives it.
func (d *documents) longestLifetime(user string) (longest time.Duration, group *manifest.Document) {
	for _, g := range d.groups {
		spec := g.UserGroup
		if spec.Tokens == nil || !slices.Contains(spec.Members, manifest.User(user)) {
			continue
		}
		if l := time.Duration(spec.Tokens.MaxLifetime); l > longest {
			longest, group = l, g
		}
	}
	return longest, group
}

// LifetimeText writes a lifetime as people do.
func LifetimeText(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == policy.Forever:
		return "forever"
	case d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	}
	return d.String()
}

// writeNew writes a file that is not there yet, whole or not at all.
func writeNew(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".patgate-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	// A link, unlike a rename, never replaces a file that came to be meanwhile. Where the
	// file system knows no links, a rename has to do.
	if err := os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
		return err
	} else if err != nil {
		if err := os.Rename(f.Name(), path); err != nil {
			return err
		}
	}
	return syncDir(path)
}

// syncDir makes what was renamed to a path last.
func syncDir(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
