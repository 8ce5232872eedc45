package ruleset

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
)

// Object is a manifest that comes and goes by itself, as a cluster keeps it.
type Object struct {
	Kind, Namespace, Name string
	UID                   string
	Created               time.Time
	Generation            int64
	Spec                  []byte           // of the manifest: JSON, or YAML on one line
	Values                []manifest.Value // of a token with a secret: what a controller made
}

// ID names an object as problems, events and rows do: APIToken/team-a/ci.
func (o *Object) ID() string { return o.Kind + "/" + o.key() }

// manifest is the object as a document.
func (o *Object) manifest() []byte {
	return fmt.Appendf(nil, "apiVersion: %s\nkind: %s\nmetadata: {name: %q}\nspec: %s\n", manifest.APIVersion, o.Kind, o.Name, o.Spec)
}

// same reports whether two versions of an object mean the same: its status or metadata may differ.
func (o *Object) same(other *Object) bool {
	return o.UID == other.UID && o.Created.Equal(other.Created) && bytes.Equal(o.Spec, other.Spec) && slices.Equal(o.Values, other.Values)
}

// key is the name of its row.
func (o *Object) key() string {
	if o.Namespace == "" {
		return o.Name
	}
	return o.Namespace + "/" + o.Name
}

// older orders objects by when they were created, and by their uids.
func (o *Object) older(other *Object) int {
	return cmp.Or(o.Created.Compare(other.Created), cmp.Compare(o.UID, other.UID))
}

// Objects is a set of documents of which each is accepted or not by itself: a fault of one concerns it, and what
// depends on it, alone. A token with a fault is not accepted. A gate, group or policy with a fault keeps its last
// good version; without one, what depends on it is not accepted. The zero value is not ready: make one with NewObjects.
// It is used by one goroutine.
type Objects struct {
	Limit int  // how many tokens a step decides about; 0: all that changed
	Track bool // remember what was decided, for Decisions

	decoder *manifest.Decoder
	decoded int                          // documents, by this decoder
	labels  map[string]map[string]string // of namespaces

	shared  map[string]*sharedObject // gates, groups and policies, by their IDs
	tokens  map[string]*tokenObject  // by their IDs
	claims  claims
	problem map[*tokenObject]string        // why tokens are not accepted
	next    map[*tokenObject]*policy.Token // within a step: their rows, or their marks as not accepted
	changed map[*tokenObject]bool          // since the last step
	again   []*tokenObject                 // to be decided about once more within the step
	deleted []string                       // keys of tokens that went since then
	stale   bool                           // the rest changed since then

	base    *Set // the accepted rest
	maker   *compiler
	rows    policy.Rows        // of the rest, that run
	broken  map[string]bool    // namespaces with a group that is not accepted
	members map[memberOf]bool  // users of such groups
	sum     [sha256.Size]byte  // of all objects
	faults  map[string][]Fault // the step's news, by object
	decided []Decision         // since the last call of Decisions
}

// Fault says why an object is not accepted; it is empty once the object is accepted.
type Fault struct {
	Object  string // its ID
	Problem string // empty: it is accepted again, or gone
	Kept    bool   // its last good version runs
}

// sharedObject is a gate, group or policy.
type sharedObject struct {
	Object
	now, good *manifest.Document // as it is, and as it ran last; nil: none
	used      *manifest.Document // that of both that runs; nil: none
	fault     Fault
}

// NewObjects returns a set without objects.
func NewObjects() *Objects {
	return &Objects{
		decoder: newDecoder(), shared: map[string]*sharedObject{}, tokens: map[string]*tokenObject{},
		problem: map[*tokenObject]string{}, next: map[*tokenObject]*policy.Token{}, changed: map[*tokenObject]bool{}, stale: true,
	}
}

// Pending reports whether a step has left tokens to the next one.
func (o *Objects) Pending() bool { return len(o.changed)+len(o.again) > 0 }

// Len returns how many objects there are.
func (o *Objects) Len() int { return len(o.shared) + len(o.tokens) }

// NotAccepted counts the objects that are not accepted as they are, by kind.
func (o *Objects) NotAccepted() map[string]int {
	counts := map[string]int{}
	for _, k := range manifest.ObjectKinds {
		counts[k.Kind] = 0
	}
	for _, r := range o.shared {
		if r.fault.Problem != "" {
			counts[r.Kind]++
		}
	}
	counts[manifest.KindAPIToken] += len(o.problem)
	return counts
}

// SetLabels sets the labels of the cluster's namespaces.
func (o *Objects) SetLabels(labels map[string]map[string]string) { o.labels, o.stale = labels, true }

// Set adds an object, or puts it in the place of its last version.
func (o *Objects) Set(object Object) {
	o.addSum(&object)
	if object.Kind == manifest.KindAPIToken {
		o.setToken(object)
		return
	}
	r := o.shared[object.ID()]
	if r == nil {
		r = &sharedObject{}
		o.shared[object.ID()] = r
	} else {
		if r.Object.same(&object) {
			o.addSum(&object)
			r.Object = object
			return
		}
		o.addSum(&r.Object)
		if r.UID != object.UID {
			r.good = nil // another object of the same name
		}
	}
	r.Object, r.now, o.stale = object, nil, true
}

// Recheck decides again about what other origins may concern, and about rows that are not what runs: call it after
// the index has changed in another way than by a step.
func (o *Objects) Recheck(running *policy.Snapshot) {
	o.stale = true
	o.rows.Gates = slices.DeleteFunc(o.rows.Gates, func(g *policy.Gate) bool { return running.Gate(g.Name) != g })
	o.rows.Groups = slices.DeleteFunc(o.rows.Groups, func(g *policy.Group) bool { return running.Group(g.Name) != g })
	o.rows.Policies = slices.DeleteFunc(o.rows.Policies, func(p *policy.Policy) bool { return running.Policy(p.Name) != p })
	there := map[string]bool{}
	for t := range running.Tokens {
		if t.Source.Origin != policy.OriginObjects {
			continue
		}
		if there[t.Name] = true; o.tokens[tokenPrefix+t.Name] == nil {
			o.deleted = append(o.deleted, t.Name)
		}
	}
	for _, t := range o.tokens {
		if o.problem[t] != "" || !there[t.key()] {
			o.changed[t] = true
		}
	}
}

// Delete takes an object away.
func (o *Objects) Delete(id string) {
	if r := o.shared[id]; r != nil {
		o.addSum(&r.Object)
		o.noteChange(r.fault, Fault{Object: id})
		delete(o.shared, id)
		o.stale = true
	}
	if t := o.tokens[id]; t != nil {
		object := t.object()
		o.addSum(&object)
		o.noteChange(Fault{id, o.problem[t], false}, Fault{Object: id})
		o.unclaim(t)
		o.deleted = append(o.deleted, t.key())
		delete(o.tokens, id)
		delete(o.problem, t)
		delete(o.changed, t)
	}
}

// IDs lists the objects of a kind.
func (o *Objects) IDs(kind string) (ids []string) {
	if kind == manifest.KindAPIToken {
		for id := range o.tokens {
			ids = append(ids, id)
		}
		return ids
	}
	for id, r := range o.shared {
		if r.Kind == kind {
			ids = append(ids, id)
		}
	}
	return ids
}

// addSum adds an object to the sum of all, or takes it out. The sum does not depend on their order.
func (o *Objects) addSum(object *Object) {
	h := sha256.New()
	h.Write([]byte(object.ID() + "\n" + object.UID + "\n"))
	h.Write(object.Spec)
	writeValues(h, object.Values)
	for i, b := range h.Sum(nil) {
		o.sum[i] ^= b
	}
}

// noteChange notes that a fault came or went.
func (o *Objects) noteChange(before, after Fault) {
	if before.Problem == after.Problem && before.Kept == after.Kept {
		return
	}
	if o.faults == nil {
		o.faults = map[string][]Fault{}
	}
	o.faults[after.Object] = []Fault{after}
}

// Faults returns what became of objects since the last call, by their IDs.
func (o *Objects) Faults() (list []Fault) {
	for _, f := range o.faults {
		list = append(list, f...)
	}
	o.faults = nil
	slices.SortFunc(list, func(a, b Fault) int { return cmp.Compare(a.Object, b.Object) })
	return list
}

// Step decides about what changed, and returns the changes of the rows that run. Apply them before the next step.
// It returns false if nothing changed. Where a step takes long it calls pause now and then, which may set and delete
// tokens: the step takes them in.
func (o *Objects) Step(index *policy.Index, pause func()) (policy.Changes, bool) {
	c := policy.Changes{Origin: policy.OriginObjects}
	changes := o.stale || len(o.changed) > 0 || len(o.again) > 0 || len(o.deleted) > 0
	if o.stale {
		o.stepShared(&c, index.Snapshot())
	}
	decided := o.decideAll(index.Snapshot(), pause)
	running := index.Snapshot() // pause may have revoked tokens
	names := o.deleted
	o.deleted = nil
	for t := range decided {
		names = append(names, t.key())
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		next := o.next[o.tokens[tokenPrefix+name]]
		was := running.Outline(name)
		if next != nil && running.Same(next) {
			continue
		}
		if was != nil && was.Source.Origin == policy.OriginObjects {
			c.Old.Tokens = append(c.Old.Tokens, was)
		}
		if next != nil {
			c.New.Tokens = append(c.New.Tokens, next)
		}
	}
	clear(o.next)
	c.New.SHA256 = o.sum
	return c, changes
}

// decideAll decides about the tokens that changed, and about those with the same digests.
func (o *Objects) decideAll(running *policy.Snapshot, pause func()) map[*tokenObject]bool {
	decided := map[*tokenObject]bool{}
	for n := 1; len(o.changed)+len(o.again) > 0 && (o.Limit == 0 || n <= o.Limit); n++ {
		for _, t := range o.again {
			o.changed[t] = true
		}
		o.again = nil
		for t := range o.changed {
			delete(o.changed, t)
			if o.tokens[t.id] == t {
				o.decide(t, running)
				decided[t] = true
			}
			break
		}
		if n%64 == 0 {
			pause()
		}
	}
	return decided
}
