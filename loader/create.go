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
	"github.com/patgate/patgate/loader/dir"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
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
	if !dir.IsManifest(path) {
		return secret, "", &RefusedError{[]string{fmt.Sprintf("%s would not be read as a manifest, expected another name", filepath.Base(path))}}
	}
	for _, dir := range t.Manifests {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return secret, "", &RefusedError{[]string{fmt.Sprintf("--manifests %s: no such directory, expected one with the groups and policies", dir)}}
		}
	}
	roots := t.roots()
	set := dir.LoadEmpty(roots)
	if err := t.isFree(set, path); err != nil {
		return secret, "", err
	}
	if err := t.setTimes(set); err != nil {
		return secret, "", err
	}
	secret = token.Mint()
	t.Digest = token.Sum(secret)
	t.Warnings = warnings(set, t.User)
	text, err := t.YAML()
	if err != nil {
		return token.Secret{}, "", &RefusedError{[]string{err.Error()}}
	}
	after := set.With(ruleset.File{Name: path, Data: text})
	if problems := after.Problems; len(problems) > 0 {
		return token.Secret{}, "", refused(problems)
	}
	t.Bearer = bearerAlone(after.Rows, t.Name, t.Now)
	if err := os.MkdirAll(t.Into, 0o755); err != nil {
		return token.Secret{}, "", err
	}
	if err := dir.WriteNew(path, text); err != nil {
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
		case dir.Within(root, into):
			roots = slices.DeleteFunc(roots, func(r string) bool { return r == into })
		case dir.Within(into, root):
			continue
		}
		roots = append(roots, root)
	}
	return roots
}

func refused(problems []diag.Problem) error {
	return &RefusedError{append([]string{"The manifest would be refused:"}, diag.Strings(problems)...)}
}

// isFree wants a name that no token has.
func (t *NewToken) isFree(set *ruleset.Set, path string) error {
	if other := set.Find(manifest.KindAPIToken, t.Name); other != nil {
		return &RefusedError{[]string{fmt.Sprintf("the name %s is taken, by the token at %s: expected another one", t.Name, other.Place(other.Metadata.Name.At))}}
	}
	if _, err := os.Lstat(path); err == nil {
		return &RefusedError{[]string{fmt.Sprintf("the file %s is there already: expected another name", path)}}
	}
	return nil
}

// setTimes sets when the token begins and ends, within the longest lifetime that the
// user's groups give.
func (t *NewToken) setTimes(set *ruleset.Set) error {
	longest, group := set.LongestLifetime(t.User)
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
func warnings(set *ruleset.Set, user string) []string {
	if len(set.Gates) == 0 {
		return []string{"there is no Gate in the manifests yet, without which every request is refused: `patgate check --help` shows one"}
	}
	if user == "" {
		return nil
	}
	var wanted []string
	for _, g := range set.Gates {
		if len(g.Gate.Groups) == 0 {
			return nil
		}
		for _, ref := range g.Gate.Groups {
			group := set.Find(manifest.KindUserGroup, ref.Text)
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
