package loader

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
	"github.com/patgate/patgate/token"
)

// MaxPrevious is how many replaced values of a token may still run.
const MaxPrevious = 3

// Rotation asks for a new value of a token. What follows Now is filled in by Rotate.
type Rotation struct {
	Name     string
	Overlap  time.Duration // for how long the value that is replaced stays good; 0: it ends at once
	Lifetime time.Duration // of the new value; 0: that of the one it replaces
	Now      time.Time

	User      string       // the token's; empty: any
	State     policy.State // of the token before
	Issued    time.Time
	Expires   time.Time // by its manifest; zero: never
	End       time.Time // the earlier of Expires and the user's cap; zero: never
	Until     time.Time // when the replaced value ends; zero: it has ended
	Shortened string    // why the new value does not live as long as the old one; may be empty
}

// Rotate mints a new value for a token and prepares the change of its file, which the
// manifests without any problem stand. It returns the value, which is kept nowhere. It
// returns an *UnknownError where there is no such token, and a *RefusedError for
// problems of the manifests, for a token that is not good, for a lifetime beyond the
// user's cap and for whatever `patgate check` refuses.
func (m *Manifests) Rotate(r *Rotation) (secret token.Secret, c *Change, err error) {
	if len(m.Problems) > 0 {
		return secret, nil, &RefusedError{diag.Strings(m.Problems)}
	}
	doc, err := m.Token(r.Name)
	if err != nil {
		return secret, nil, err
	}
	index := policy.NewIndex()
	if _, err := index.Replace(m.Rows, r.Now); err != nil {
		return secret, nil, err
	}
	t := index.Snapshot().TokenByName(r.Name)
	r.User = t.User
	r.State = index.Snapshot().State(t, r.Now)
	if err := rotatable(r, t, doc); err != nil {
		return secret, nil, err
	}
	if err := m.setTimes(r, t); err != nil {
		return secret, nil, err
	}
	secret = token.Mint()
	change := edit.Rotation{Digest: token.Sum(secret), Issued: r.Issued}
	if !r.Expires.Equal(t.Expires) {
		change.Expires = r.Expires
	}
	if err := r.replace(t, doc, &change); err != nil {
		return token.Secret{}, nil, err
	}
	f := m.file(doc.File)
	after, err := edit.Rotate(f.Name, f.Data, r.Name, change)
	if err != nil {
		return token.Secret{}, nil, refuse("%v: write these values on the lines of their keys and rotate again", err)
	}
	if problems := m.With(ruleset.File{Name: f.Name, Data: after}).Problems; len(problems) > 0 {
		return token.Secret{}, nil, refused(problems)
	}
	if c, err = m.change(f, after); err != nil {
		return token.Secret{}, nil, err
	}
	return secret, c, nil
}

// rotatable wants a token that is good, or would be if it were not suspended and its
// user were admitted.
func rotatable(r *Rotation, t *policy.Token, doc *manifest.Document) error {
	place := doc.Place(doc.Pos)
	state := r.State
	if end := t.End(); state == policy.StateSuspended && !end.IsZero() && !r.Now.Before(end) {
		state = policy.StateExpired
	}
	switch state {
	case policy.StateRevoked:
		return refuse("%s: the token %s is revoked, and stays so: create a new one with `patgate token create`", place, t.Name)
	case policy.StateCanary:
		return refuse("%s: the token %s is a canary, which nobody presents: create a new one by hand", place, t.Name)
	case policy.StateExpired:
		return refuse("%s: the token %s expired at %s: create a new one with `patgate token create`", place, t.Name, writtenTime(t.End()))
	case policy.StateNotYetValid:
		return refuse("%s: the token %s begins at %s, expected one that has begun: rotate it then", place, t.Name, writtenTime(t.Issued))
	}
	return nil
}

func writtenTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// setTimes sets when the new value begins and ends: after as long a life as the old
// one had, within the user's cap.
func (m *Manifests) setTimes(r *Rotation, t *policy.Token) error {
	r.Issued = r.Now.UTC().Truncate(time.Second)
	longest, group := m.LongestLifetime(t.User)
	if longest > 0 && longest != policy.Forever {
		r.End = r.Issued.Add(longest)
	}
	life := r.Lifetime
	switch {
	case life > 0 && longest > 0 && life > longest:
		return beyondCap(life, longest, group, t.User)
	case life == 0 && t.Expires.IsZero():
		return nil // the manifest sets no end; the cap counts by itself
	case life == 0:
		life = t.Expires.Sub(t.Issued)
		if longest > 0 && life > longest {
			r.Shortened = fmt.Sprintf("group %s gives %s at most %s", group.Metadata.Name.Text, t.User, LifetimeText(longest))
			life = longest
		}
	}
	r.Expires = r.Issued.Add(life).Truncate(time.Second)
	if !r.Expires.After(r.Issued) {
		return refuse("a lifetime of %s is too short, expected a second at least", life)
	}
	if r.End.IsZero() || r.Expires.Before(r.End) {
		r.End = r.Expires
	}
	return nil
}

// replace lets the present value run on for the overlap, and those before it that still
// run. Its end is never later than it was. Without an overlap all of them end: who asks for
// that takes the token for leaked, and can't know which of its values was.
func (r *Rotation) replace(t *policy.Token, doc *manifest.Document, change *edit.Rotation) error {
	var running []string
	for i, p := range t.Previous {
		if end := t.EndOf(p.Digest); r.Overlap <= 0 || !end.IsZero() && !r.Now.Before(end) {
			change.Drop = append(change.Drop, i)
		} else {
			running = append(running, writtenTime(end))
		}
	}
	until := r.Now.UTC().Add(r.Overlap).Truncate(time.Second)
	if end := t.End(); !end.IsZero() && end.Before(until) {
		until = end.Truncate(time.Second)
	}
	if !until.After(r.Now) || r.Overlap <= 0 {
		return nil
	}
	if len(running) >= MaxPrevious {
		slices.Sort(running)
		return refuse("%s: the token %s has %d replaced values that still run, until %s, expected at most %d with the present one: "+
			"wait for one to end, take one out of `previous`, or let all of them end at once with `--overlap 0`",
			doc.Place(doc.Pos), t.Name, len(running), strings.Join(running, ", "), MaxPrevious)
	}
	r.Until = until
	change.Add = &edit.Replaced{Digest: t.Digest, Issued: t.Issued, Until: until}
	return nil
}
