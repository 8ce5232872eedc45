package lint

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
	"github.com/patgate/patgate/token"
)

// Revival is a token's value that lives longer than under older manifests.
type Revival struct {
	diag.Problem
	Token string // its name
	Was   string // the place in the older manifests: FILE:LINE:COLUMN
}

// State is a set of manifests with its tombstones of deleted tokens.
type State struct {
	*ruleset.Set
	Tombstones manifest.Tombstones
}

// value describes one value of a token in the manifests.
type value struct {
	policy.Value
	doc      *manifest.Document
	steps    []any // to it
	canary   bool
	anyUser  bool
	previous bool
}

// comparison compares manifests with older ones.
type comparison struct {
	older, newer State
	was, is      map[token.Digest]value
	raised       []policy.RaisedCap
	now          time.Time
	list         []Revival
}

// Revivals compares manifests with older ones, by the digests of values, whatever the tokens are
// called: a `revoked` or a canary stays, neither `issued` nor an end moves later, also by the cap of a
// group, and what was revoked and is deleted before its end leaves a tombstone. A suspended
// token may become active. If either has problems, the documents that decode are compared, without caps.
func Revivals(older, newer State, now time.Time) []Revival {
	c := comparison{
		older: older, newer: newer, now: now, was: values(older.Set), is: values(newer.Set),
		raised: policy.RaisedCaps(older.Rows.Groups, newer.Rows.Groups),
	}
	for _, digest := range sorted(c.is) {
		c.alive(digest)
	}
	for _, digest := range sorted(c.was) {
		c.deleted(digest)
	}
	for _, digest := range sorted(older.Tombstones) {
		c.forgotten(digest)
	}
	slices.SortStableFunc(c.list, func(a, b Revival) int { return diag.Compare(a.Problem, b.Problem) })
	return c.list
}

func sorted[V any](m map[token.Digest]V) []token.Digest {
	list := make([]token.Digest, 0, len(m))
	for d := range m {
		list = append(list, d)
	}
	slices.SortFunc(list, func(a, b token.Digest) int { return strings.Compare(a.String(), b.String()) })
	return list
}

// alive checks a value that the new manifests have.
func (c *comparison) alive(digest token.Digest) {
	is := c.is[digest]
	if stone, deleted := c.stone(digest); deleted && !is.Revoked && !is.canary && !ended(stone.Until, c.now) {
		c.add(c.newer.Set, is, is.steps, stone.Place(), "a value of the token %s was revoked and deleted, says the tombstone at %s, expected a new value")
		return
	}
	old, known := c.was[digest]
	if !known {
		return
	}
	if field, message := c.revival(old, is); message != "" {
		c.add(c.newer.Set, is, field, old.place(c.older.Set), message)
	}
}

// stone returns the tombstone of a digest in either manifests.
func (c *comparison) stone(digest token.Digest) (manifest.Tombstone, bool) {
	if stone, deleted := c.newer.Tombstones[digest]; deleted {
		return stone, true
	}
	stone, deleted := c.older.Tombstones[digest]
	return stone, deleted
}

// add makes a revival. The message is a format for the token's name and the older place.
func (c *comparison) add(in *ruleset.Set, v value, field []any, was, message string) {
	name := v.doc.Key()
	c.list = append(c.list, Revival{Token: name, Was: was, Problem: diag.Problem{
		File: v.doc.File, Pos: placeIn(in, v.doc, field), Field: manifest.FieldPath(field...), Message: fmt.Sprintf(message, name, was),
	}})
}

// revival describes the revival and its place, or is empty: a format for the token's name
// and the place where the older manifests have its end.
func (c *comparison) revival(old, is value) (field []any, message string) {
	switch {
	case is.Revoked || is.canary:
		return nil, ""
	case old.canary:
		return is.steps, "the token %s was a canary at %s and is not any more, expected `canary: true` to stay"
	}
	switch how := old.Revival(is.Value); {
	case how == policy.RevokedRemoved:
		return is.steps, "the token %s was revoked at %s and is not any more, expected `revoked` to stay"
	case how == policy.IssuedMoved:
		return is.field("issued"), "the token %s was " + fmt.Sprintf("issued on %s", rfc3339(old.Issued)) + " at %s and `issued` is moved to " +
			rfc3339(is.Issued) + ", expected it to stay: `patgate token rotate` makes a new value"
	case how == policy.EndMoved:
		return is.endField(), endMoved(old.Value, is.Value, c.now)
	}
	if old.anyUser && is.anyUser {
		for _, raised := range c.raised {
			was, is := old.Cap(raised.Was), is.Cap(raised.Is)
			if was.Revival(is) == policy.EndMoved {
				return spec("anyUser"), endMoved(was, is, c.now)
			}
		}
	}
	return nil, ""
}

// endMoved describes which end was moved later.
func endMoved(old, is policy.Value, now time.Time) string {
	was, end := old.Capped, is.Capped
	if !was.IsZero() && was.Equal(end) || is.Dormant {
		was, end = old.Written, is.Written // a cap ends it all the same, or will
	}
	switch {
	case !ended(was, now):
		return "the token %s ends on " + rfc3339(was) + " at %s and its end is now " + rfc3339(end) + ", expected it to stay, or a new value: `patgate token rotate`"
	case !ended(end, now):
		return "the token %s ended on " + rfc3339(was) + " at %s and comes back to life: its end is now " + rfc3339(end) + ", expected a new value: an end is final"
	}
	return "the token %s ended on " + rfc3339(was) + " at %s and its end is moved to " + rfc3339(end) + ", expected a new value: an end is final"
}

// deleted checks a value that only the older manifests have.
func (c *comparison) deleted(digest token.Digest) {
	old := c.was[digest]
	if _, there := c.is[digest]; there || !old.Revoked || ended(old.Capped, c.now) {
		return
	}
	until := forever
	if !old.Capped.IsZero() {
		until = rfc3339(old.Capped)
	}
	switch stone, known := c.newer.Tombstones[digest]; {
	case !known:
		c.add(c.older.Set, old, spec("revoked"), old.place(c.older.Set), "the token %s was revoked at %s and is deleted before its end, expected its manifest to stay, "+
			"or "+fmt.Sprintf("`%s: %s` in tombstones.yaml: `patgate token revoke --delete` writes it", digest, until))
	case ended(stone.Until, c.now), !old.Capped.IsZero() && stone.Until.Before(old.Capped):
		c.add(c.older.Set, old, spec("revoked"), old.place(c.older.Set), "the token %s was revoked at %s and is deleted before its end, "+
			fmt.Sprintf("and the tombstone at %s ends before, expected %s", stone.Place(), until))
	}
}

// forever is until when a value that never ends is remembered.
const forever = "9999-12-31T23:59:59Z"

// forgotten checks a tombstone of the older manifests.
func (c *comparison) forgotten(digest token.Digest) {
	old := c.older.Tombstones[digest]
	is, there := c.is[digest]
	stone, stays := c.newer.Tombstones[digest]
	if ended(old.Until, c.now) || there && (is.Revoked || is.canary) || stays && !stone.Until.Before(old.Until) {
		return
	}
	if there && !stays {
		return // alive has reported it
	}
	c.list = append(c.list, Revival{Was: old.Place(), Problem: diag.Problem{
		File: old.File, Pos: old.At, Field: digest.String(), Message: "the tombstone is gone or ends earlier, expected it to stay until " + rfc3339(old.Until),
	}})
}

// place returns where the older manifests end the value.
func (v value) place(in *ruleset.Set) string {
	return v.doc.Place(placeIn(in, v.doc, v.deadAt()))
}

func (v value) deadAt() []any {
	switch {
	case v.Revoked:
		return spec("revoked")
	case v.canary:
		return spec("canary")
	}
	return v.endField()
}

// endField returns where the value's end is written.
func (v value) endField() []any {
	if v.previous {
		return v.steps
	}
	return spec("expires")
}

// field returns where a field of the value is written.
func (v value) field(name string) []any {
	if v.previous {
		return append(v.steps[:len(v.steps)-1:len(v.steps)-1], name)
	}
	return spec(name)
}

func placeIn(in *ruleset.Set, d *manifest.Document, steps []any) diag.Pos {
	for name, data := range in.Files {
		if name == d.File {
			return manifest.NewOutline(data).Place(d.Pos, steps...)
		}
	}
	return d.Pos
}

func ended(end, now time.Time) bool { return !end.IsZero() && !now.Before(end) }

func rfc3339(end time.Time) string {
	if end.IsZero() {
		return "never"
	}
	return end.UTC().Format(time.RFC3339)
}

// deader reports whether a value is dead where another entry of it was not: broken
// manifests may hold one twice.
func (v value) deader(other value) bool {
	return v.Revoked && !other.Revoked || v.canary && !other.canary || !v.Capped.IsZero() && other.Capped.IsZero()
}

// values returns the present value of each token and those that it replaced.
func values(in *ruleset.Set) map[token.Digest]value {
	index := policy.NewIndex()
	rows := map[string]*policy.Token{}
	if _, err := index.Replace(in.Rows, time.Time{}); err == nil { // broken manifests have no rows
		for _, t := range in.Rows.Tokens {
			rows[t.Name] = t
		}
	}
	all := map[token.Digest]value{}
	for _, d := range in.Tokens {
		valuesOf(d, func(digest token.Digest, v value) {
			if row := rows[d.Key()]; row != nil {
				v.Value = index.Snapshot().Value(row, digest)
			}
			if other, twice := all[digest]; !twice || v.deader(other) {
				all[digest] = v
			}
		})
	}
	return all
}

func valuesOf(d *manifest.Document, do func(token.Digest, value)) {
	t := d.APIToken
	whole := value{doc: d, steps: spec("digest"), canary: t.Canary, anyUser: t.AnyUser}
	whole.Revoked = t.Ends.Revoked || !t.Revoked.IsZero()
	one := func(digest token.Digest, v value, issued, written time.Time) {
		if digest == (token.Digest{}) {
			return
		}
		v.Issued, v.Written, v.Capped = issued, written, written
		do(digest, v)
	}
	one(t.Digest.Sum, whole, t.Issued.Time, t.Expires.Time)
	for i, p := range t.Previous {
		v := whole
		v.steps, v.previous = spec("previous", i, "until"), true
		one(p.Digest.Sum, v, p.Issued.Time, earlier(t.Expires.Time, p.Until.Time))
	}
}

// earlier returns the earlier of two ends, of which a zero one never comes.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
