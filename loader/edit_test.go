package loader_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	loaderdir "github.com/patgate/patgate/loader/dir"

	"github.com/patgate/patgate/loader"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/test/configmap"
	"github.com/patgate/patgate/token"
)

const gateText = "apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata: {name: g}\nspec: {schemes: [basic, bearer]}\n"

func writeFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
}

var rotateAt = time.Date(2026, 6, 1, 12, 0, 0, 500, time.UTC)

// TestRotateTimes holds when the new value and those before it end.
func TestRotateTimes(t *testing.T) {
	const day = 24 * time.Hour
	old := func(name, until string) string {
		return "  - {digest: \"" + token.Sum(token.NewSecret(name)).String() + "\", issued: 2026-04-01T00:00:00Z, until: " + until + "}\n"
	}
	for name, c := range map[string]struct {
		more    string // of the token, issued on the 1st of May
		cap     string // of alice; empty: none
		r       loader.Rotation
		expires string // of the manifest, then of the value
		end     string
		until   string // of the value before; empty: it has ended
		left    int    // previous values after
		refused string
	}{
		"the same life": {more: "  expires: 2026-06-30T00:00:00Z\n", r: loader.Rotation{Overlap: day},
			expires: "2026-07-31T12:00:00Z", end: "2026-07-31T12:00:00Z", until: "2026-06-02T12:00:00Z", left: 1},
		"no end": {r: loader.Rotation{Overlap: day}, until: "2026-06-02T12:00:00Z", left: 1},
		"no end but the cap": {cap: "60d", r: loader.Rotation{Overlap: 90 * day},
			end: "2026-07-31T12:00:00Z", until: "2026-06-30T00:00:00Z", left: 1},
		"an old end before the overlap's": {more: "  expires: 2026-06-02T00:00:00Z\n", r: loader.Rotation{Overlap: 7 * day, Lifetime: day},
			expires: "2026-06-02T12:00:00Z", end: "2026-06-02T12:00:00Z", until: "2026-06-02T00:00:00Z", left: 1},
		"a cap that came later": {more: "  expires: 2027-05-01T00:00:00Z\n", cap: "40d", r: loader.Rotation{Overlap: 60 * day},
			expires: "2026-07-11T12:00:00Z", end: "2026-07-11T12:00:00Z", until: "2026-06-10T00:00:00Z", left: 1},
		"beyond the cap":    {cap: "40d", r: loader.Rotation{Lifetime: 41 * day}, refused: "a lifetime of 41d is beyond the cap: group all gives alice at most 40d"},
		"expired by a cap":  {cap: "31d", r: loader.Rotation{}, refused: "the token ci expired at 2026-06-01T00:00:00Z"},
		"an end where none": {r: loader.Rotation{Lifetime: 2 * day}, expires: "2026-06-03T12:00:00Z", end: "2026-06-03T12:00:00Z"},
		"those that ended go": {more: "  previous:\n" + old("a", "2026-06-01T12:00:00Z") + old("b", "2026-06-01T12:00:01Z"), r: loader.Rotation{Overlap: time.Hour},
			until: "2026-06-01T13:00:00Z", left: 2},
		"three at most": {more: "  previous:\n" + old("a", "2026-06-09T00:00:00Z") + old("b", "2026-06-08T00:00:00Z") + old("c", "2026-06-07T00:00:00Z"),
			r: loader.Rotation{Overlap: time.Hour}, refused: "has 3 replaced values that still run, until 2026-06-07T00:00:00Z, 2026-06-08T00:00:00Z, 2026-06-09T00:00:00Z"},
		"three and no overlap": {more: "  previous:\n" + old("a", "2026-06-09T00:00:00Z") + old("b", "2026-06-08T00:00:00Z") + old("c", "2026-06-07T00:00:00Z"),
			r: loader.Rotation{}, left: 0}, // it leaked, and nobody knows which
		"suspended and expired": {more: "  suspended: true\n  expires: 2026-06-01T00:00:00Z\n", refused: "expired at 2026-06-01T00:00:00Z"},
	} {
		dir := t.TempDir()
		writeFiles(t, dir, map[string]string{"gate.yaml": gateText, "ci.yaml": tokenNamed("ci", c.more)})
		if c.cap != "" {
			writeFiles(t, dir, map[string]string{"all.yaml": "apiVersion: patgate.dev/v1alpha1\nkind: UserGroup\nmetadata: {name: all}\nspec: {members: [alice], tokens: {maxLifetime: " + c.cap + "}}\n"})
		}
		c.r.Name, c.r.Now = "ci", rotateAt
		secret, change, err := loader.Read([]string{dir}).Rotate(&c.r)
		if c.refused != "" {
			var refused *loader.RefusedError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := change.Write(); err != nil {
			t.Fatal(err)
		}
		set := loaderdir.Load([]string{dir})
		rows, problems := set.Rows, set.Problems
		if len(problems) > 0 {
			t.Errorf("%s: %v", name, problems)
			continue
		}
		row := rows.Tokens[0]
		before := token.Sum(token.NewSecret("the value of ci"))
		for what, p := range map[string]struct {
			got  time.Time
			want string
		}{
			"issued": {row.Issued, "2026-06-01T12:00:00Z"}, "expires": {row.Expires, c.expires}, "the end": {row.End(), c.end},
			"the told end": {c.r.End, c.end}, "the told until": {c.r.Until, c.until},
		} {
			if p.want == "" != p.got.IsZero() || p.want != "" && p.got.Format(time.RFC3339Nano) != p.want {
				t.Errorf("%s: %s %v, want %s", name, what, p.got, p.want)
			}
		}
		if row.Digest != token.Sum(secret) || len(row.Previous) != c.left {
			t.Errorf("%s: %d previous values, want %d", name, len(row.Previous), c.left)
		}
		if end := row.EndOf(before); c.until != "" && end.Format(time.RFC3339) != c.until || c.until == "" && end.After(rotateAt) {
			t.Errorf("%s: the old value ends at %v, want %s", name, end, c.until)
		}
	}
}

// TestRevokedWhileOthersAreBroken runs a server's loader beside it.
func TestRevokedWhileOthersAreBroken(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"gate.yaml": gateText, "ci.yaml": tokenNamed("ci", "")})
	h := newHarness(t, dir)
	if r := h.load(); r == nil || r.Rejected() {
		t.Fatalf("%+v", r)
	}
	writeFiles(t, dir, map[string]string{"broken.yaml": "[\n"})
	m := loader.Read([]string{dir})
	doc, err := m.Token("ci")
	if err != nil {
		t.Fatal(err)
	}
	change, err := m.Revoke(doc, rotateAt)
	if err != nil {
		t.Fatal(err)
	}
	if err := change.Write(); err != nil {
		t.Fatal(err)
	}
	if r := h.load(); r == nil || len(r.Narrowed) != 1 || r.Narrowed[0] != "ci" {
		t.Fatalf("%+v", r)
	}
	snapshot := h.index.Snapshot()
	if state := snapshot.State(snapshot.TokenByName("ci"), rotateAt); state != policy.StateRevoked {
		t.Errorf("the token is %v", state)
	}
	if info, err := os.Stat(filepath.Join(dir, "ci.yaml")); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".patgate-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestChangesOfWhatIsElsewhere wants them refused before anything is asked or minted.
func TestChangesOfWhatIsElsewhere(t *testing.T) {
	dir := t.TempDir()
	mount := configmap.Mount{Dir: dir}
	if err := mount.Write(map[string]string{"gate.yaml": gateText, "ci.yaml": tokenNamed("ci", "")}); err != nil {
		t.Fatal(err)
	}
	m := loader.Read([]string{dir})
	doc, err := m.Token("ci")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Revoke(doc, rotateAt); err == nil || !strings.Contains(err.Error(), "belongs to a ConfigMap") {
		t.Errorf("%v", err)
	}
	if _, _, err := m.Rotate(&loader.Rotation{Name: "ci", Now: rotateAt}); err == nil || !strings.Contains(err.Error(), "belongs to a ConfigMap") {
		t.Errorf("%v", err)
	}
}

// TestNothingIsWrittenOverSomebodyElses wants a change of what was read, and of nothing
// newer.
func TestNothingIsWrittenOverSomebodyElses(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"gate.yaml": gateText, "ci.yaml": tokenNamed("ci", "")})
	m := loader.Read([]string{dir})
	var doc *manifest.Document
	doc, err := m.Token("ci")
	if err != nil {
		t.Fatal(err)
	}
	change, err := m.Revoke(doc, rotateAt)
	if err != nil {
		t.Fatal(err)
	}
	writeFiles(t, dir, map[string]string{"ci.yaml": tokenNamed("ci", "  suspended: true\n")})
	if err := change.Write(); err == nil || !strings.Contains(err.Error(), "changed by somebody else meanwhile") {
		t.Errorf("%v", err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "ci.yaml")); err != nil || string(text) != tokenNamed("ci", "  suspended: true\n") {
		t.Errorf("%v: %s", err, text)
	}
}
