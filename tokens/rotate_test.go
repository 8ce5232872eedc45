package tokens_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
	"github.com/patgate/patgate/tokens"
	"github.com/patgate/patgate/tokens/storetest"
)

var rotateAt = time.Date(2026, 6, 1, 12, 0, 0, 500, time.UTC)

func tokenNamed(name, more string) string {
	d := token.Sum(token.NewSecret("the value of " + name))
	return "apiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata: {name: " + name + "}\nspec:\n  user: alice\n  digest: " + d.String() +
		"\n  issued: 2026-05-01T00:00:00Z\n  unrestricted: true\n" + more
}

func group(name, spec string) string {
	return "apiVersion: patgate.dev/v1alpha1\nkind: UserGroup\nmetadata: {name: " + name + "}\nspec: {" + spec + "}\n"
}

// serviceOf is a service over a store, at a moment, whose events are collected.
func serviceOf(store *storetest.Map, events *[]tokens.Event) *tokens.Service {
	return &tokens.Service{Store: store, Documents: store, Now: func() time.Time { return rotateAt }, Events: func(e tokens.Event) {
		if events != nil {
			*events = append(*events, e)
		}
	}}
}

func rowsOf(t *testing.T, store *storetest.Map) policy.Rows {
	t.Helper()
	set, err := store.Documents(t.Context())
	if err != nil || len(set.Problems) > 0 {
		t.Fatal(err, set.Problems)
	}
	return set.Rows
}

// TestRotateTimes holds when the new value and those before it end.
func TestRotateTimes(t *testing.T) {
	const day = 24 * time.Hour
	old := func(name, until string) string {
		return "  - {digest: \"" + token.Sum(token.NewSecret(name)).String() + "\", issued: 2026-04-01T00:00:00Z, until: " + until + "}\n"
	}
	for name, c := range map[string]struct {
		more    string // of the token, issued on the 1st of May
		cap     string // of alice; empty: none
		r       tokens.RotateRequest
		expires string // of the manifest, then of the value
		end     string
		until   string // of the value before; empty: it has ended
		left    int    // previous values after
		refused string
	}{
		"the same life": {more: "  expires: 2026-06-30T00:00:00Z\n", r: tokens.RotateRequest{Overlap: day},
			expires: "2026-07-31T12:00:00Z", end: "2026-07-31T12:00:00Z", until: "2026-06-02T12:00:00Z", left: 1},
		"no end": {r: tokens.RotateRequest{Overlap: day}, until: "2026-06-02T12:00:00Z", left: 1},
		"no end but the cap": {cap: "60d", r: tokens.RotateRequest{Overlap: 90 * day},
			end: "2026-07-31T12:00:00Z", until: "2026-06-30T00:00:00Z", left: 1},
		"an old end before the overlap's": {more: "  expires: 2026-06-02T00:00:00Z\n", r: tokens.RotateRequest{Overlap: 7 * day, Lifetime: day},
			expires: "2026-06-02T12:00:00Z", end: "2026-06-02T12:00:00Z", until: "2026-06-02T00:00:00Z", left: 1},
		"a cap that came later": {more: "  expires: 2027-05-01T00:00:00Z\n", cap: "40d", r: tokens.RotateRequest{Overlap: 60 * day},
			expires: "2026-07-11T12:00:00Z", end: "2026-07-11T12:00:00Z", until: "2026-06-10T00:00:00Z", left: 1},
		"beyond the cap":    {cap: "40d", r: tokens.RotateRequest{Lifetime: 41 * day}, refused: "a lifetime of 41d is beyond the cap: group all gives alice at most 40d"},
		"expired by a cap":  {cap: "31d", r: tokens.RotateRequest{}, refused: "the token ci expired at 2026-06-01T00:00:00Z"},
		"an end where none": {r: tokens.RotateRequest{Lifetime: 2 * day}, expires: "2026-06-03T12:00:00Z", end: "2026-06-03T12:00:00Z"},
		"those that ended go": {more: "  previous:\n" + old("a", "2026-06-01T12:00:00Z") + old("b", "2026-06-01T12:00:01Z"), r: tokens.RotateRequest{Overlap: time.Hour},
			until: "2026-06-01T13:00:00Z", left: 2},
		"three at most": {more: "  previous:\n" + old("a", "2026-06-09T00:00:00Z") + old("b", "2026-06-08T00:00:00Z") + old("c", "2026-06-07T00:00:00Z"),
			r: tokens.RotateRequest{Overlap: time.Hour}, refused: "has 3 replaced values that still run, until 2026-06-07T00:00:00Z, 2026-06-08T00:00:00Z, 2026-06-09T00:00:00Z"},
		"three and no overlap": {more: "  previous:\n" + old("a", "2026-06-09T00:00:00Z") + old("b", "2026-06-08T00:00:00Z") + old("c", "2026-06-07T00:00:00Z"),
			r: tokens.RotateRequest{}, left: 0}, // it leaked, and it is unknown which
		"suspended and expired": {more: "  suspended: true\n  expires: 2026-06-01T00:00:00Z\n", refused: "expired at 2026-06-01T00:00:00Z"},
	} {
		store := new(storetest.Map)
		store.Put("gate.yaml", storetest.Gate)
		store.Put("ci.yaml", tokenNamed("ci", c.more))
		if c.cap != "" {
			store.Put("all.yaml", group("all", "members: [alice], tokens: {maxLifetime: "+c.cap+"}"))
		}
		c.r.Name = "ci"
		made, err := serviceOf(store, nil).Rotate(t.Context(), c.r)
		if c.refused != "" {
			var refused *tokens.RefusedError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		rows := rowsOf(t, store)
		row := rows.Tokens[0]
		before := token.Sum(token.NewSecret("the value of ci"))
		for what, p := range map[string]struct {
			got  time.Time
			want string
		}{
			"issued": {row.Issued, "2026-06-01T12:00:00Z"}, "expires": {row.Expires, c.expires}, "the end": {row.End(), c.end},
			"the told end": {made.End, c.end}, "the told until": {made.Until, c.until},
		} {
			if p.want == "" != p.got.IsZero() || p.want != "" && p.got.Format(time.RFC3339Nano) != p.want {
				t.Errorf("%s: %s %v, want %s", name, what, p.got, p.want)
			}
		}
		if row.Digest != token.Sum(made.Secret) || len(row.Previous) != c.left {
			t.Errorf("%s: %d previous values, want %d", name, len(row.Previous), c.left)
		}
		if end := row.EndOf(before); c.until != "" && end.Format(time.RFC3339) != c.until || c.until == "" && end.After(rotateAt) {
			t.Errorf("%s: the old value ends at %v, want %s", name, end, c.until)
		}
	}
}
