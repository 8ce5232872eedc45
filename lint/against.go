package lint

import (
	"fmt"
	"time"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
	"github.com/patgate/patgate/token"
)

// Revival is a token's value that was dead for good and is not any more.
type Revival struct {
	diag.Problem
	Token string // its name now
	Was   string // the place in the older manifests: FILE:LINE:COLUMN
}

// value is what manifests say of one value of a token.
type value struct {
	doc             *manifest.Document
	steps           []any // to it
	revoked, canary bool
	previous        bool
	written, end    time.Time // by the manifest alone, and by the caps of groups too; zero: never
}

// Revivals compares manifests with older ones, by the digests of values, whatever the
// tokens are called: what was revoked, a honeytoken or past its end must stay so. What
// was suspended may come back. Where either has problems, what decodes is compared, and
// no caps are known.
func Revivals(older, newer *ruleset.Set, now time.Time) []Revival {
	was := map[token.Digest]value{}
	eachValue(older, func(digest token.Digest, v value) {
		if other, twice := was[digest]; !twice || v.deader(other) {
			was[digest] = v
		}
	})
	var list []Revival
	eachValue(newer, func(digest token.Digest, is value) {
		old, known := was[digest]
		if !known {
			return
		}
		if field, message := revival(old, is, now); message != "" {
			name, was := is.doc.Metadata.Name.Text, old.place(older)
			list = append(list, Revival{Token: name, Was: was, Problem: diag.Problem{
				File: is.doc.File, Pos: placeIn(newer, is.doc, field), Field: manifest.FieldPath(field...), Message: fmt.Sprintf(message, name, was),
			}})
		}
	})
	return list
}

// place returns where the older manifests say what ended the value.
func (v value) place(in *ruleset.Set) string {
	return v.doc.Place(placeIn(in, v.doc, v.deadAt()))
}

func (v value) deadAt() []any {
	switch {
	case v.revoked:
		return spec("revoked")
	case v.canary:
		return spec("canary")
	case v.previous:
		return v.steps
	}
	return spec("expires")
}

func placeIn(in *ruleset.Set, d *manifest.Document, steps []any) diag.Pos {
	for name, data := range in.Files {
		if name == d.File {
			return manifest.NewOutline(data).Place(d.Pos, steps...)
		}
	}
	return d.Pos
}

// revival says what came back, and where, or nothing: a format for the token's name and
// the place where the older manifests have its end.
func revival(old, is value, now time.Time) (field []any, message string) {
	const stays = "expected a new value, as what has ended stays so"
	at := is.steps
	switch {
	case old.revoked && !is.revoked:
		return at, "the token %s was revoked at %s and is not any more, expected `revoked` to stay"
	case old.canary && !is.canary && !is.revoked:
		return at, "the token %s was a canary at %s and is not any more, expected `canary: true` to stay"
	case is.revoked, is.canary, !ended(old.end, now):
		return nil, ""
	}
	if !is.previous {
		at = spec("expires")
	}
	if !ended(is.end, now) {
		return at, fmt.Sprintf("the token %%s ended on %s at %%s and comes back to life: its end is now %s, %s", rfc3339(old.end), rfc3339(is.end), stays)
	}
	if ended(old.written, now) && (is.written.IsZero() || is.written.After(old.written)) {
		return at, fmt.Sprintf("the token %%s ended on %s at %%s and its end is moved to %s, %s", rfc3339(old.written), rfc3339(is.written), stays)
	}
	return nil, ""
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
	return v.revoked && !other.revoked || v.canary && !other.canary || !v.end.IsZero() && other.end.IsZero()
}

// eachValue calls do for the present value of each token and those that it replaced.
func eachValue(in *ruleset.Set, do func(token.Digest, value)) {
	rows := map[string]*policy.Token{}
	for _, t := range in.Rows.Tokens {
		rows[t.Name] = t
	}
	for _, d := range in.Tokens {
		var longest time.Duration
		if row := rows[d.Metadata.Name.Text]; row != nil {
			longest, _ = policy.Cap(row.Groups)
		}
		valuesOf(d, longest, do)
	}
}

func valuesOf(d *manifest.Document, longest time.Duration, do func(token.Digest, value)) {
	t := d.APIToken
	whole := value{
		doc: d, steps: spec("digest"), revoked: t.Ends.Revoked || !t.Revoked.IsZero(), canary: t.Canary,
	}
	one := func(digest token.Digest, v value, issued, written time.Time) {
		if digest == (token.Digest{}) {
			return
		}
		v.written, v.end = written, written
		if longest > 0 && longest != policy.Forever && !issued.IsZero() {
			v.end = earlier(written, issued.Add(longest))
		}
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
