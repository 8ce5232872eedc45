package ruleset

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/token"
)

var made = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func digestOf(n int) token.Digest { return token.Sum(token.NewSecret(fmt.Sprint("value ", n))) }

// setValues is set for a token with values that a controller made: an end of 0 hours is none.
func (w *world) setValues(key, spec string, hours ...int) {
	w.Helper()
	namespace, name, _ := strings.Cut(key, "/")
	object := Object{Kind: manifest.KindAPIToken, Namespace: namespace, Name: name, UID: key, Created: made, Spec: []byte(spec)}
	for n, end := range hours {
		v := manifest.Value{Digest: digestOf(n), Issued: made.Add(time.Duration(n) * time.Hour)}
		if end > 0 {
			v.Until = made.Add(time.Duration(end) * time.Hour)
		}
		object.Values = append(object.Values, v)
	}
	w.objects.Set(object)
	w.step()
}

// good checks which of the values are good at an hour.
func (w *world) good(hour int, want ...int) {
	w.Helper()
	now, got := made.Add(time.Duration(hour)*time.Hour), []int{}
	for n := range 4 {
		d := digestOf(n)
		row := w.index.Snapshot().Token(&d)
		if row == nil || row.NotAccepted {
			continue
		}
		if end := row.EndOf(d); end.IsZero() || now.Before(end) {
			got = append(got, n)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		w.Errorf("at %d hours, values %v are good, want %v", hour, got, want)
	}
}

const ciSecret = `{user: ci, unrestricted: true, secret: {name: ci-token}}`

// TestValuesOfAController gives a token values by its status, as a controller rotates them.
func TestValuesOfAController(t *testing.T) {
	w := newWorld(t)
	w.set("Gate", "a/g", `{hosts: [g.example.com]}`)
	w.setValues("a/ci", ciSecret)
	w.faults()
	w.good(0)
	w.setValues("a/ci", ciSecret, 0)
	w.good(1000, 0)
	w.setValues("a/ci", ciSecret, 0, 0) // the second one is about to be written
	w.good(1000, 0, 1)
	w.setValues("a/ci", ciSecret, 24, 0)
	w.good(23, 0, 1)
	w.good(24, 1)
	w.setValues("a/ci", `{user: ci, unrestricted: true, secret: {name: ci-token}, revoked: "2026-01-02T00:00:00Z"}`, 24, 0)
	d := digestOf(1)
	if row := w.index.Snapshot().Token(&d); row == nil || !row.Revoked {
		t.Errorf("the revoked token: %v", row)
	}
	w.faults()
}

// TestValuesWithoutASecret checks that a status gives no values to a token that has its own digest.
func TestValuesWithoutASecret(t *testing.T) {
	w := newWorld(t)
	w.set("Gate", "a/g", `{hosts: [g.example.com]}`)
	w.setValues("a/ci", `{user: ci, unrestricted: true, issued: "2026-01-01T00:00:00Z", digest: "`+digestOf(3).String()+`"}`, 0, 0)
	w.good(0, 3)
}

// TestSecretsThatAreNotAccepted checks what the definitions refuse as well.
func TestSecretsThatAreNotAccepted(t *testing.T) {
	for spec, want := range map[string]string{
		`{user: ci, unrestricted: true, secret: {name: ci-token}, digest: "` + digestOf(3).String() + `"}`: "spec.digest: given together with secret",
		`{anyUser: true, unrestricted: true, secret: {name: ci-token}}`:                                    "spec.secret: on a token of any user",
		`{user: ci, unrestricted: true, secret: {name: ci-token, rotateEvery: 12h, overlap: 1d}}`:          "spec.secret.overlap: not shorter than rotateEvery",
		`{user: ci, unrestricted: true, secret: {name: ci-token, overlap: 30d}}`:                           "spec.secret.overlap: not shorter than rotateEvery",
		`{user: ci, unrestricted: true, secret: {rotateEvery: 12h}}`:                                       "spec.secret.name: missing",
		`{user: ci, unrestricted: true, secret: {name: other/ci-token}}`:                                   "spec.secret.name: \"other/ci-token\" is no name",
		`{user: ci, unrestricted: true, secret: {name: ci-token, rotateEvery: often}}`:                     "spec.secret.rotateEvery: \"often\" is no lifetime",
		`{user: ci, unrestricted: true, secret: {name: ci-token}, policies: [none]}`:                       "no TokenPolicy is called",
	} {
		w := newWorld(t)
		w.set("Gate", "a/g", `{hosts: [g.example.com]}`)
		w.setValues("a/ci", spec, 0)
		w.faults("APIToken/a/ci: " + want)
		w.good(0)
	}
}

// TestDecisions checks that each version of an object is decided about once, and that a new status is no new version.
func TestDecisions(t *testing.T) {
	w := newWorld(t)
	w.objects.Track = true
	w.setValues("a/ci", ciSecret)
	w.setValues("a/ci", ciSecret)
	got := w.objects.Decisions()
	if len(got) != 1 || got[0].Object != "APIToken/a/ci" || got[0].Problem != "" {
		t.Errorf("decisions: %+v", got)
	}
	if sum := w.index.Snapshot().Revision().SHA256; sum == ([32]byte{}) {
		t.Error("the sum of the objects is none")
	}
}
