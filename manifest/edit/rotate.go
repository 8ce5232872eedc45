package edit

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/token"
)

// Rotation is the change of a manifest when its token is rotated.
type Rotation struct {
	Digest  token.Digest
	Issued  time.Time
	Expires time.Time // zero: stays as it is
	Add     *Replaced // becomes the first entry of `previous`; nil: none does
	Drop    []int     // the entries of `previous` that go, by their place
}

// Replaced is a value that a rotation replaces.
type Replaced struct {
	Digest        token.Digest
	Issued, Until time.Time
}

// Rotate returns a file's text with a rotation made in the spec of the named token,
// which must be without problems. Only the values of digest, issued and expires and
// the list of previous values change. It returns an error for what can't be edited safely.
func Rotate(file string, data []byte, name string, r Rotation) ([]byte, error) {
	e, err := openToken(file, data, name)
	if err != nil {
		return nil, err
	}
	if e.doc.Broken() {
		return nil, errors.New(e.doc.Problems[0].String())
	}
	splices, added, err := e.rotation(&r)
	if err != nil {
		return nil, fmt.Errorf("%s: the token can't be edited in place: %w", e.doc.Place(e.doc.Pos), err)
	}
	return e.edit(splices, added, func(t *manifest.APIToken) bool { return r.made(e.doc.APIToken, t) })
}

// rotation returns what to change, and what to add.
func (e *tokenEditor) rotation(r *Rotation) (splices []splice, added []entry, err error) {
	values := []entry{{key: "digest", value: r.Digest.String()}, {key: "issued", value: writtenTime(r.Issued)}}
	if !r.Expires.IsZero() {
		values = append(values, entry{key: "expires", value: writtenTime(r.Expires)})
	}
	for _, v := range values {
		if !has(e.spec, v.key) {
			added = append(added, v)
			continue
		}
		start, end, err := e.scalar(find(e.spec, v.key))
		if err != nil {
			return nil, nil, fmt.Errorf("spec.%s: %w", v.key, err)
		}
		splices = append(splices, splice{start, end - start, v.value})
	}
	if !has(e.spec, "previous") {
		if r.Add != nil {
			added = append(added, entry{key: "previous", fields: r.Add.fields()})
		}
		return splices, added, nil
	}
	more, err := e.previous(r, find(e.spec, "previous"))
	if err != nil {
		return nil, nil, fmt.Errorf("spec.previous: %w", err)
	}
	return append(splices, more...), added, nil
}

func (p *Replaced) fields() []entry {
	return []entry{{key: "digest", value: p.Digest.String()}, {key: "issued", value: writtenTime(p.Issued)}, {key: "until", value: writtenTime(p.Until)}}
}

// previous changes the list of previous values.
func (e *tokenEditor) previous(r *Rotation, list *yaml.Node) ([]splice, error) {
	if r.Add == nil && len(r.Drop) == 0 {
		return nil, nil
	}
	if list.Style&yaml.FlowStyle != 0 || len(list.Content) == 0 {
		return e.flowPrevious(r, list)
	}
	if r.Add == nil && len(r.Drop) == len(list.Content) {
		return e.noPrevious(list)
	}
	var splices []splice
	for i, n := range list.Content {
		start, end, indent, err := e.itemLines(n)
		if err != nil {
			return nil, err
		}
		if i == 0 && r.Add != nil {
			splices = append(splices, splice{start, 0, item(r.Add.fields(), indent, e.lineBreak())})
		}
		if slices.Contains(r.Drop, i) {
			splices = append(splices, splice{start, end - start, ""})
		}
	}
	return splices, nil
}

// noPrevious takes the lines of the whole list away.
func (e *tokenEditor) noPrevious(list *yaml.Node) ([]splice, error) {
	for i := 0; i+1 < len(e.spec.Content); i += 2 {
		if e.spec.Content[i+1] != list {
			continue
		}
		at, err := e.start(e.spec.Content[i])
		if err != nil {
			return nil, err
		}
		start, _, first := e.lineOf(at)
		_, end, _, err := e.itemLines(list.Content[len(list.Content)-1])
		if err != nil || !first {
			return nil, errors.Join(err, errPlace("its key does not begin a line"))
		}
		return []splice{{start, end - start, ""}}, nil
	}
	return nil, errPlace("its place was not found")
}

// itemLines returns the lines of an item of a list that is written in lines, and how
// far its dash is indented.
func (e *tokenEditor) itemLines(n *yaml.Node) (start, end int, indent string, err error) {
	at, err := e.start(n)
	if err != nil {
		return 0, 0, "", err
	}
	before := bytes.TrimRight(e.text[:at], " \r\n")
	dash := len(before) - 1
	if dash < 0 || before[dash] != '-' {
		return 0, 0, "", errPlace("an entry does not follow its dash")
	}
	start, _, first := e.lineOf(dash)
	last, err := e.end(n)
	if err != nil {
		return 0, 0, "", err
	}
	if !first || !e.restIsBlank(last) {
		return 0, 0, "", errPlace("an entry has no lines of its own")
	}
	_, end, _ = e.lineOf(last)
	return start, end, string(e.text[start:dash]), nil
}

// flowPrevious changes a list in brackets.
func (e *tokenEditor) flowPrevious(r *Rotation, list *yaml.Node) ([]splice, error) {
	open, err := e.start(list)
	if err != nil || open >= len(e.text) || e.text[open] != '[' {
		return nil, errors.Join(err, errPlace("its bracket was not found"))
	}
	var splices []splice
	if r.Add != nil {
		json := e.spec.Content[0].Style&yaml.DoubleQuotedStyle != 0
		text := flowItem(r.Add.fields(), json)
		if len(r.Drop) < len(list.Content) {
			text += ", "
		}
		splices = append(splices, splice{open + 1, 0, text})
	}
	kept, before := false, 0
	for i, n := range list.Content {
		start, err := e.start(n)
		if err != nil {
			return nil, err
		}
		end, err := e.end(n)
		if err != nil {
			return nil, err
		}
		switch {
		case !slices.Contains(r.Drop, i):
			kept = true
		case kept:
			splices = append(splices, splice{before, end - before, ""})
		case i+1 < len(list.Content):
			next, err := e.start(list.Content[i+1])
			if err != nil {
				return nil, err
			}
			splices = append(splices, splice{start, next - start, ""})
		default:
			splices = append(splices, splice{start, end - start, ""})
		}
		before = end
	}
	return splices, nil
}

// made reports whether the token holds the result of the rotation.
func (r *Rotation) made(before, after *manifest.APIToken) bool {
	expires := r.Expires
	if expires.IsZero() {
		expires = before.Expires.Time
	}
	var want []Replaced
	if r.Add != nil {
		want = append(want, *r.Add)
	}
	for i, p := range before.Previous {
		if !slices.Contains(r.Drop, i) {
			want = append(want, Replaced{p.Digest.Sum, p.Issued.Time, p.Until.Time})
		}
	}
	return after.Digest.Sum == r.Digest && after.Issued.Equal(r.Issued) && after.Expires.Equal(expires) &&
		slices.EqualFunc(want, after.Previous, func(w Replaced, p manifest.Previous) bool {
			return w.Digest == p.Digest.Sum && w.Issued.Equal(p.Issued.Time) && w.Until.Equal(p.Until.Time)
		})
}
