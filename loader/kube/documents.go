package kube

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
)

// documents keeps the accepted objects as one set of documents, for those who change tokens. What is not accepted is
// not in it: it concerns itself alone. A group of Home that is not accepted and never was keeps everything but
// revocations from being done: the limits of its members are not known. A nil one keeps nothing.
type documents struct {
	mu      sync.Mutex
	now     map[string]*document // as the objects are
	used    map[string]*document // as they were accepted last
	refused map[string]string    // why an object is not accepted, by its ID
	set     *ruleset.Set         // of used; nil: it has changed since
	last    *ruleset.Set         // the set before
}

// document is a version of an object. Its text is written when it is needed.
type document struct {
	object      *ruleset.Object
	annotations []byte
	file        ruleset.File

	decoding sync.Once
	decoded  *manifest.Document // of a token that is shown apart; nil: not yet, or it can't be decoded
}

func newDocuments() *documents {
	return &documents{now: map[string]*document{}, used: map[string]*document{}, refused: map[string]string{}}
}

// put takes in a version of an object. One that differs in its annotations alone is accepted if the one before was.
func (d *documents) put(o *ruleset.Object, annotations []byte) {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	id := o.ID()
	before, next := d.now[id], &document{object: o, annotations: annotations}
	d.now[id] = next
	if before != nil && d.used[id] == before && before.object.UID == o.UID && bytes.Equal(before.object.Spec, o.Spec) {
		d.used[id], d.set = next, nil
	}
}

// delete forgets an object.
func (d *documents) delete(id string) {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.now, id)
	delete(d.used, id)
	delete(d.refused, id)
	d.set = nil
}

// decide takes in what was decided about objects.
func (d *documents) decide(o *ruleset.Objects) {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, decision := range o.Decisions() {
		id := decision.Object
		now, used := d.now[id], d.used[id]
		switch {
		case now == nil:
			continue // it is gone
		case decision.Problem == "":
			delete(d.refused, id)
			d.used[id] = now
		default:
			d.refused[id] = decision.Problem
			if !decision.Kept {
				delete(d.used, id)
			}
		}
		if d.used[id] != used || decision.Problem != "" {
			d.set = nil
		}
	}
}

// isControllers reports whether a controller makes the token's values: it is no manifest that people change here.
func (d *document) isControllers() bool {
	if d.object.Kind != manifest.KindAPIToken || !bytes.Contains(d.object.Spec, []byte(`"secret"`)) {
		return false
	}
	var spec struct{ Secret json.RawMessage }
	return json.Unmarshal(d.object.Spec, &spec) == nil && spec.Secret != nil
}

// text writes the file of a version.
func (d *document) text(id string) (ruleset.File, error) {
	if d.file.Data == nil {
		text, err := textOf(d.object, d.annotations)
		if err != nil {
			return ruleset.File{}, err
		}
		d.file = ruleset.File{Name: id, Data: text, Sum: sha256.Sum256(text)}
	}
	return d.file, nil
}

// textOf writes an object as a file.
func textOf(o *ruleset.Object, annotations []byte) ([]byte, error) {
	e := edit.Object{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name, Annotations: annotations, Spec: o.Spec}
	return e.Text()
}

// current returns the accepted objects. Its problems are those of groups whose limits are not known.
func (d *documents) current() *ruleset.Set {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.set != nil {
		return d.set
	}
	in := ruleset.Input{Origin: policy.OriginObjects, Problems: d.problems()}
	for _, id := range slices.Sorted(maps.Keys(d.used)) {
		if d.used[id].isControllers() {
			continue
		}
		file, err := d.used[id].text(id)
		if err != nil {
			continue // an object without a spec, which is not accepted
		}
		in.Files = append(in.Files, file)
	}
	for range maxIsolated {
		d.set = d.load(in)
		at := map[string]bool{}
		for _, p := range d.set.Problems {
			at[p.File] = isToken(p.File)
		}
		before := len(in.Files)
		in.Files = slices.DeleteFunc(slices.Clone(in.Files), func(f ruleset.File) bool { return at[f.Name] })
		if len(in.Files) == before {
			break
		}
	}
	d.last = d.set
	return d.set
}

// maxIsolated is how often tokens with problems are left out, which the objects' own decision has not found.
const maxIsolated = 5

func (d *documents) load(in ruleset.Input) *ruleset.Set {
	if d.last == nil {
		return ruleset.Load(in, ruleset.Options{AllowEmpty: true})
	}
	return d.last.Reload(in)
}

func isToken(id string) bool { return strings.HasPrefix(id, manifest.KindAPIToken+"/") }

// problems returns those of the groups of Home that are not accepted: their members' limits are not known.
func (d *documents) problems() (list []diag.Problem) {
	for _, id := range slices.Sorted(maps.Keys(d.refused)) {
		_, used := d.used[id]
		if name, ok := strings.CutPrefix(id, manifest.KindUserGroup+"/"); ok && !used && !strings.Contains(name, "/") {
			list = append(list, diag.Problem{File: id, Message: "the UserGroup is not accepted, so that the limits of its members are not known: " + d.refused[id]})
		}
	}
	return list
}

// apart returns the tokens that are not among the accepted documents, by their IDs, and why they are not accepted.
func (d *documents) apart() (list map[string]*document, problems map[string]string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	list, problems = map[string]*document{}, map[string]string{}
	for id, doc := range d.now {
		problem, refused := d.refused[id]
		if isToken(id) && (refused || doc.isControllers()) {
			list[id], problems[id] = doc, problem
		}
	}
	return list, problems
}

// isRefused reports whether an object is not accepted.
func (d *documents) isRefused(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, refused := d.refused[id]
	return refused
}

// isTaken reports whether there is an object of an ID, accepted or not.
func (d *documents) isTaken(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now[id] != nil
}
