package edit_test

import (
	"bytes"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/token"
)

var revokedAt = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

const (
	digestA = "sha256:a225fab98955e121e6b28bd2fcfe197dffc8706e731a58295f31369fbd6a41d8"
	digestB = "sha256:b225fab98955e121e6b28bd2fcfe197dffc8706e731a58295f31369fbd6a41d8"
	digestC = "sha256:c225fab98955e121e6b28bd2fcfe197dffc8706e731a58295f31369fbd6a41d8"
	digestN = "sha256:d225fab98955e121e6b28bd2fcfe197dffc8706e731a58295f31369fbd6a41d8"
)

func digest(text string) token.Digest {
	d, err := token.ParseDigest(text)
	if err != nil {
		panic(err)
	}
	return d
}

// In the texts of these tables, what an edit adds is in ‹›, and what it takes away
// in «».
var added, removed = regexp.MustCompile(`‹([^›]*)›`), regexp.MustCompile(`«([^»]*)»`)

func split(marked string) (before, after string) {
	return added.ReplaceAllString(removed.ReplaceAllString(marked, "$1"), ""), removed.ReplaceAllString(added.ReplaceAllString(marked, "$1"), "")
}

const header = "apiVersion: patgate.dev/v1alpha1\n"

const tokenHead = header + "kind: APIToken\nmetadata: {name: ci}\n"

// revokedLines are files, with what revoking the token ci adds.
var revokedLines = map[string]string{
	"after expires": tokenHead + "spec:\n  user: a\n  digest: " + digestA + "\n  issued: 2026-05-01T00:00:00Z # on Friday\n" +
		"  expires: 2026-07-01T00:00:00Z # ends\n‹  revoked: 2026-06-01T12:00:00Z\n›  unrestricted: true\n",
	"after issued": tokenHead + "spec:\n  digest: " + digestA + "\n  issued: \"2026-05-01T00:00:00Z\"\n‹  revoked: 2026-06-01T12:00:00Z\n›  # who\n  user: a\n  unrestricted: true\n",
	"odd indentation": "# ci\n\napiVersion: patgate.dev/v1alpha1\nkind:   APIToken\nmetadata:\n      name:   'ci'\nspec:\n       unrestricted: true\n       user:   a\n\n" +
		"       issued:   2026-05-01T00:00:00Z   \n‹       revoked: 2026-06-01T12:00:00Z\n›\n       digest: " + digestA + "\n\n\n",
	"a block after it": tokenHead + "spec:\n  user: a\n  digest: " + digestA + "\n  limitTo: |+\n    /a\n\n    # no comment\n\n  issued: 2026-05-01T00:00:00Z\n‹  revoked: 2026-06-01T12:00:00Z\n›",
	"no final newline": tokenHead + "spec:\n  user: a\n  unrestricted: true\n  digest: " + digestA + "\n‹  revoked: 2026-06-01T12:00:00Z\n›  issued: 2026-05-01T00:00:00Z",
	"values on lines of their own": tokenHead + "spec:\n  user:\n    a\n  unrestricted:\n    true\n  digest:\n    " + digestA + "\n  issued:\n    2026-05-01T00:00:00Z\n" +
		"‹  revoked: 2026-06-01T12:00:00Z\n›",
	"within braces":           header + "kind: APIToken\nmetadata: {name: ci}\nspec: {user: a, digest: '" + digestA + "', issued: 2026-05-01T00:00:00Z‹, revoked: 2026-06-01T12:00:00Z›, unrestricted: true}\n",
	"within braces, in lines": header + "kind: APIToken\nmetadata: {name: ci}\nspec: {\n  user: a, # who\n  digest: " + digestA + ",\n  issued: 2026-05-01T00:00:00Z‹, revoked: 2026-06-01T12:00:00Z› # when\n  , unrestricted: true\n}\n",
	"JSON": `{"apiVersion": "patgate.dev/v1alpha1", "kind": "APIToken", "metadata": {"name": "ci"}, "spec": {"user": "a", "digest": "` + digestA +
		`", "issued": "2026-05-01T00:00:00Z"‹, "revoked": "2026-06-01T12:00:00Z"›, "unrestricted": true}}`,
	"a spec with a problem": tokenHead + "spec:\n  usr: a\n  digest: sha256:12\n  issued: yesterday\n‹  revoked: 2026-06-01T12:00:00Z\n›  unrestricted: true\n",
	"among others": "# all\n---\n" + header + "kind: APIToken\nmetadata: {name: other}\nspec:\n  user: a\n  issued: 2026-05-01T00:00:00Z\n--- # ours\n" +
		tokenHead + "spec:\n  user: a\n  unrestricted: true\n  digest: " + digestA + "\n  issued: 2026-05-01T00:00:00Z\n‹  revoked: 2026-06-01T12:00:00Z\n›...\n---\nbroken: [\n---\nname: \xff\n",
	"the end of one of several": tokenHead + "spec: {unrestricted: true, user: ä, issued: 2026-05-01T00:00:00Z‹, revoked: 2026-06-01T12:00:00Z›, digest: " + digestA + "}\n---\n",
}

func TestRevokeAddsOneLine(t *testing.T) {
	for name, marked := range revokedLines {
		for _, form := range []struct {
			name string
			of   func(string) string
		}{
			{"as it is", func(s string) string { return s }},
			{"with CRLF", func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }},
			{"with a byte order mark", func(s string) string { return "\ufeff" + s }},
		} {
			before, after := split(form.of(marked))
			got, err := edit.Revoke("f.yaml", []byte(before), "ci", revokedAt)
			if err != nil {
				t.Errorf("%s, %s: %v", name, form.name, err)
			} else if string(got) != after {
				t.Errorf("%s, %s:\n%q, want\n%q", name, form.name, got, after)
			}
		}
	}
}

func TestRevokeRefusesWhatItCantEdit(t *testing.T) {
	good := tokenHead + "spec:\n  user: a\n  unrestricted: true\n  digest: " + digestA + "\n  issued: 2026-05-01T00:00:00Z\n"
	for name, c := range map[string]struct{ text, want string }{
		"no such token":     {strings.Replace(good, "ci", "other", 1), "f.yaml: no token is called ci: add `revoked: 2026-06-01T12:00:00Z`"},
		"another kind":      {strings.Replace(good, "APIToken", "UserGroup", 1), "no token is called ci"},
		"two of the name":   {good + "---\n" + good, "f.yaml:1:1 and f.yaml:10:1: two tokens are called ci"},
		"no YAML":           {good + "  x: [\n", "f.yaml:1:1: the document is no YAML: add `revoked: 2026-06-01T12:00:00Z` to its spec by hand"},
		"no spec":           {tokenHead, "the document has no spec"},
		"an empty spec":     {tokenHead + "spec: {}\n", "the document has no spec"},
		"a list":            {tokenHead + "spec: [a]\n", "the document has no spec"},
		"revoked: null":     {good + "  revoked:\n", "f.yaml:9:11: spec.revoked is there but is no time: write `revoked: 2026-06-01T12:00:00Z` in its place by hand"},
		"revoked: a word":   {good + "  revoked: yesterday\n", "f.yaml:9:12: spec.revoked is there but is no time"},
		"a canary":          {strings.Replace(strings.Replace(good, "user: a", "canary: true", 1), "  unrestricted: true\n", "", 1), "f.yaml:1:1: the spec can't be edited without changing more of it"},
		"another's aliases": {strings.Replace(good, "a\n", "&a a\n", 1) + "x: *a\n", ""},
	} {
		got, err := edit.Revoke("f.yaml", []byte(c.text), "ci", revokedAt)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, got %q", name, err, got)
		}
	}
}

// What rotating changes in every file of the table.
const (
	newDigest  = "«" + digestA + "»‹" + digestN + "›"
	newIssued  = "«2026-05-01T00:00:00Z»‹2026-06-01T12:00:00Z›"
	newExpires = "«2026-06-11T00:00:00Z»‹2026-07-12T12:00:00Z›"
	newTimes   = "  digest: " + newDigest + "\n  issued: " + newIssued + "\n  expires: " + newExpires + "\n"
	oldItem    = "{digest: " + digestA + ", issued: 2026-05-01T00:00:00Z, until: 2026-06-02T12:00:00Z}"
	runItem    = "{digest: " + digestB + ", issued: 2026-04-01T00:00:00Z, until: 2026-06-09T00:00:00Z}"
	endedItem  = "{digest: " + digestC + ", issued: 2026-03-01T00:00:00Z, until: 2026-03-09T00:00:00Z}"
)

func oldLines(indent string) string {
	return indent + "- digest: " + digestA + "\n" + indent + "  issued: 2026-05-01T00:00:00Z\n" + indent + "  until: 2026-06-02T12:00:00Z\n"
}

// rotations are files, with what rotating the token ci changes: what has ended of its
// previous values goes, and the present one comes first.
var rotations = map[string]string{
	"a first time": tokenHead + "spec:\n  user: a # who\n  digest: " + newDigest + "   # of what\n  issued: " + newIssued + " # when\n  expires: " + newExpires + " # soon\n" +
		"‹  previous:\n" + oldLines("  ") + "›\n  # what it may do\n  unrestricted: true\n",
	"quoted": tokenHead + "spec:\n    user: a\n    digest: \"" + newDigest + "\"\n    issued: '" + newIssued + "'\n    expires: \"" + newExpires + "\"\n" +
		"‹    previous:\n" + oldLines("    ") + "›    unrestricted: true",
	"another time": tokenHead + "spec:\n  user: a\n" + newTimes + "  previous: # the old ones\n  # newest first\n‹" + oldLines("  ") + "›  - " + runItem + " # b\n" +
		"«  - digest: " + digestC + "\n    issued: 2026-03-01T00:00:00Z\n    until: 2026-03-09T00:00:00Z # c\n»  # more\n  unrestricted: true\n",
	"all ended": tokenHead + "spec:\n  previous:\n‹" + oldLines("    ") + "›«    -   digest: " + digestC + "\n        issued: 2026-03-01T00:00:00Z\n        until: 2026-03-09T00:00:00Z\n»" +
		"  user: a\n" + newTimes + "  unrestricted: true\n",
	"a dash of its own": tokenHead + "spec:\n  user: a\n" + newTimes + "  previous:\n‹" + oldLines("  ") + "›  -\n    digest: " + digestB +
		"\n    until: 2026-06-09T00:00:00Z\n    issued: 2026-04-01T00:00:00Z\n  unrestricted: true\n",
	"within braces":                  tokenHead + "spec: {user: a, digest: '" + newDigest + "', issued: " + newIssued + ", unrestricted: true,\n expires: " + newExpires + "‹, previous: [" + oldItem + "]›}\n",
	"a list in brackets":             tokenHead + "spec:\n  user: a\n" + newTimes + "  previous: [‹" + oldItem + ", ›«" + endedItem + ", »" + runItem + "]\n  unrestricted: true\n",
	"the later of those in brackets": tokenHead + "spec:\n  user: a\n" + newTimes + "  previous: [‹" + oldItem + ", ›" + runItem + "«, " + endedItem + "»]\n  unrestricted: true\n",
	"an empty list":                  tokenHead + "spec:\n  user: a\n" + newTimes + "  previous: [‹" + oldItem + "›]\n  unrestricted: true\n",
}

func TestRotateChangesValuesAndThePreviousOnes(t *testing.T) {
	for name, marked := range rotations {
		for _, form := range []string{"\n", "\r\n"} {
			before, after := split(strings.ReplaceAll(marked, "\n", form))
			var dec manifest.Decoder
			docs, problems := dec.Decode("f.yaml", []byte(before))
			if len(problems) > 0 {
				t.Errorf("%s: %v", name, problems)
				continue
			}
			got, err := edit.Rotate("f.yaml", []byte(before), "ci", rotation(docs[0].APIToken))
			if err != nil {
				t.Errorf("%s: %v", name, err)
			} else if string(got) != after {
				t.Errorf("%s:\n%q, want\n%q", name, got, after)
			}
		}
	}
}

// rotation is that of the table.
func rotation(spec *manifest.APIToken) edit.Rotation {
	r := edit.Rotation{
		Digest: digest(digestN), Issued: revokedAt, Expires: spec.Expires.Add(revokedAt.Sub(spec.Issued.Time)),
		Add: &edit.Replaced{Digest: spec.Digest.Sum, Issued: spec.Issued.Time, Until: revokedAt.Add(24 * time.Hour)},
	}
	for i, p := range spec.Previous {
		if !p.Until.After(revokedAt) {
			r.Drop = append(r.Drop, i)
		}
	}
	return r
}

func TestRotateWithoutOverlap(t *testing.T) {
	for name, marked := range map[string]string{
		"lines":    tokenHead + "spec:\n  user: a\n" + newTimes + "«  previous:\n  - " + endedItem + "\n»  unrestricted: true\n",
		"brackets": tokenHead + "spec:\n  user: a\n" + newTimes + "  previous: [«" + endedItem + "»]\n  unrestricted: true\n",
		"none":     tokenHead + "spec:\n  user: a\n" + newTimes + "  unrestricted: true\n",
	} {
		before, after := split(marked)
		var dec manifest.Decoder
		docs, _ := dec.Decode("f.yaml", []byte(before))
		r := rotation(docs[0].APIToken)
		r.Add = nil
		if got, err := edit.Rotate("f.yaml", []byte(before), "ci", r); err != nil || string(got) != after {
			t.Errorf("%s: %v\n%q, want\n%q", name, err, got, after)
		}
	}
}

func TestRotateAddsAnEnd(t *testing.T) {
	before, after := split(tokenHead + "spec:\n  user: a\n  unrestricted: true\n  digest: " + newDigest + "\n  issued: " + newIssued +
		"\n‹  expires: 2026-07-12T12:00:00Z\n  previous:\n" + oldLines("  ") + "›")
	r := edit.Rotation{Digest: digest(digestN), Issued: revokedAt, Expires: revokedAt.Add(41 * 24 * time.Hour),
		Add: &edit.Replaced{Digest: digest(digestA), Issued: revokedAt.Add(-31*24*time.Hour - 12*time.Hour), Until: revokedAt.Add(24 * time.Hour)}}
	if got, err := edit.Rotate("f.yaml", []byte(before), "ci", r); err != nil || string(got) != after {
		t.Errorf("%v\n%q, want\n%q", err, got, after)
	}
}

func TestRotateRefusesWhatItCantEdit(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"a problem": {tokenHead + "spec:\n  usr: a\n", "spec.usr: unknown field"},
		"a folded digest": {tokenHead + "spec:\n  user: a\n  unrestricted: true\n  digest: >-\n    " + digestA + "\n  issued: 2026-05-01T00:00:00Z\n",
			"f.yaml:1:1: the token can't be edited in place: spec.digest: it is no plain value"},
		"an escape": {tokenHead + "spec:\n  user: a\n  unrestricted: true\n  digest: " + digestA + "\n  issued: \"\\x32026-05-01T00:00:00Z\"\n",
			"spec.issued: it is not written on one line as it is read"},
	} {
		got, err := edit.Rotate("f.yaml", []byte(c.text), "ci", edit.Rotation{Digest: digest(digestN), Issued: revokedAt})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, got %q", name, err, got)
		}
	}
}

// FuzzEdit checks that an edit of any file changes only the edited field, or returns an error.
func FuzzEdit(f *testing.F) {
	for _, table := range []map[string]string{revokedLines, rotations} {
		for _, marked := range table {
			before, _ := split(marked)
			f.Add([]byte(before))
			f.Add([]byte("\ufeff" + strings.ReplaceAll(before, "\n", "\r\n")))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var dec manifest.Decoder
		docs, _ := dec.Decode("f.yaml", data)
		for i, doc := range docs {
			if doc.APIToken == nil || doc.Metadata.Name.Text == "" {
				continue
			}
			name := doc.Metadata.Name.Text
			if got, err := edit.Revoke("f.yaml", data, name, revokedAt); err == nil {
				onlyInserts(t, data, got)
				want := *doc.APIToken
				want.Revoked.Time, want.Ends.Revoked = revokedAt, true
				sameButFor(t, docs, got, i, &want)
			}
			r := rotation(doc.APIToken)
			if got, err := edit.Rotate("f.yaml", data, name, r); err == nil {
				want := *doc.APIToken
				want.Digest.Sum, want.Issued.Time = r.Digest, r.Issued
				if !want.Expires.IsZero() || !r.Expires.IsZero() {
					want.Expires.Time = r.Expires
				}
				want.Previous = []manifest.Previous{{Digest: manifest.Digest{Sum: r.Add.Digest}, Issued: manifest.Time{Time: r.Add.Issued}, Until: manifest.Time{Time: r.Add.Until}}}
				for j, p := range doc.APIToken.Previous {
					if !slices.Contains(r.Drop, j) {
						want.Previous = append(want.Previous, p)
					}
				}
				sameButFor(t, docs, got, i, &want)
			}
		}
	})
}

// onlyInserts checks that a text is another one with something inserted at one place.
func onlyInserts(t *testing.T, before, after []byte) {
	t.Helper()
	n := 0
	for n < len(before) && n < len(after) && before[n] == after[n] {
		n++
	}
	if len(after) <= len(before) || !bytes.HasSuffix(after, before[n:]) {
		t.Fatalf("more than an insertion:\n%q\n%q", before, after)
	}
}

// sameButFor checks that the documents of a file are those before, except for one token.
func sameButFor(t *testing.T, before []*manifest.Document, after []byte, i int, want *manifest.APIToken) {
	t.Helper()
	var dec manifest.Decoder
	docs, _ := dec.Decode("f.yaml", after)
	if len(docs) != len(before) {
		t.Fatalf("%d documents, had %d: %q", len(docs), len(before), after)
	}
	for j := range docs {
		had, has := *before[j], *docs[j]
		if i == j {
			had.APIToken = want
		}
		if len(had.Problems) != len(has.Problems) {
			t.Fatalf("%v, had %v", has.Problems, had.Problems)
		}
		for _, d := range []*manifest.Document{&had, &has} {
			d.Problems, d.Fingerprint = nil, [32]byte{}
		}
		a, b := placeless(reflect.ValueOf(had)), placeless(reflect.ValueOf(has))
		if a != b {
			t.Fatalf("%q:\n%s\n%s", after, a, b)
		}
	}
}

// placeless writes a value without the places in it.
func placeless(v reflect.Value) string {
	switch v.Interface().(type) {
	case diag.Pos:
		return ""
	case manifest.Time, token.Digest:
		return fmt.Sprint(v.Interface())
	}
	if s, ok := v.Interface().(fmt.Stringer); ok && v.Kind() == reflect.Pointer && !v.IsNil() {
		return s.String()
	}
	var b strings.Builder
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return "&" + placeless(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			b.WriteString(placeless(v.Index(i)) + ",")
		}
	case reflect.Struct:
		b.WriteString("{")
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				b.WriteString(v.Type().Field(i).Name + ":" + placeless(v.Field(i)) + " ")
			}
		}
		b.WriteString("}")
	default:
		fmt.Fprintf(&b, "%#v", v.Interface())
	}
	return b.String()
}
