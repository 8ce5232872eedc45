package controller

import (
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/patgate/patgate/loader/kube"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/ruleset"
	"github.com/patgate/patgate/token"
)

// object is the controller's knowledge of an object.
type object struct {
	id, kind, namespace, name, uid string
	generation                     int64
	version                        string // resourceVersion
	since                          uint64 // the resourceVersion at which its spec, or one of its values, changed last
	held                           uint64 // what since was when it was found to be in force
	seen                           time.Time
	changed                        time.Time // when it was; zero: before this process has followed the objects
	user                           string
	secret                         *manifest.TokenSecret // of a token whose value is made here
	expires                        time.Time
	revoked                        bool
	suspended                      bool
	status                         status

	decided bool   // about this generation
	problem string // why it is not accepted; empty: it is
	kept    bool   // a version before it stays in force

	pending *minted // a value that is in its status, and not in its Secret yet
}

// minted is a value on its way into a Secret. It is kept nowhere else.
type minted struct {
	value  token.Secret
	digest token.Digest
	first  bool // the token had none before
}

// key is the name of the object's row.
func (o *object) key() string { return o.namespace + "/" + o.name }

// ready reports whether the status says that this generation is in force.
func (o *object) ready() bool {
	c := o.status.condition(ready)
	return c != nil && c.Status == "True" && c.ObservedGeneration == o.generation
}

// observe takes in a version of an object.
func (c *Controller) observe(seen kube.Observed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.objects[seen.ID]
	if seen.Object == nil {
		delete(c.objects, seen.ID)
		delete(c.waiting, seen.ID)
		c.countSecrets(was, nil)
		return
	}
	now := c.parse(seen.ID, seen.Object)
	select {
	case <-c.source.Up():
		now.changed = now.seen
	default: // it is one of those that are listed
	}
	switch {
	case was == nil || was.uid != now.uid:
	case number(now.version) < number(was.version):
		return // this process has written a later version itself
	default:
		now.pending, now.seen = was.pending, was.seen
		if was.generation == now.generation {
			now.decided, now.problem, now.kept, now.held = was.decided, was.problem, was.kept, was.held
			if sameValues(was.status.Values, now.status.Values) {
				now.since, now.seen, now.changed = was.since, was.seen, was.changed
			}
		}
	}
	c.countSecrets(was, now)
	c.objects[seen.ID] = now
	if now.decided {
		c.examine(seen.ID)
	}
}

func (c *Controller) countSecrets(was, now *object) {
	if was != nil && was.secret != nil {
		c.secrets--
	}
	if now != nil && now.secret != nil {
		c.secrets++
	}
}

// parse reads what the controller needs of an object.
func (c *Controller) parse(id string, u *unstructured.Unstructured) *object {
	o := &object{
		id: id, kind: shared(u.GetKind()), namespace: shared(u.GetNamespace()), name: u.GetName(), uid: string(u.GetUID()),
		generation: u.GetGeneration(), version: u.GetResourceVersion(), seen: c.o.Now(),
	}
	o.since = number(o.version)
	o.held = o.since
	o.status = statusOf(u)
	if o.kind != manifest.KindAPIToken {
		return o
	}
	text := func(fields ...string) string {
		s, _, _ := unstructured.NestedString(u.Object, append([]string{"spec"}, fields...)...)
		return s
	}
	o.user = text("user")
	o.expires, _ = manifest.ParseTime(text("expires"))
	o.revoked = text("revoked") != ""
	o.suspended, _, _ = unstructured.NestedBool(u.Object, "spec", "suspended")
	if name := text("secret", "name"); name != "" {
		o.secret = &manifest.TokenSecret{Name: manifest.Name{Text: name}}
		every, _ := manifest.ParseLifetime(text("secret", "rotateEvery"))
		overlap, _ := manifest.ParseLifetime(text("secret", "overlap"))
		o.secret.RotateEvery, o.secret.Overlap = manifest.Lifetime(every), manifest.Lifetime(overlap)
	}
	return o
}

// number reads a resourceVersion. Those of one resource can be compared (Kubernetes 1.35, KEP-5504).
func number(version string) uint64 {
	n, _ := strconv.ParseUint(version, 10, 64)
	return n
}

// decided takes in what the ruleset decided.
func (c *Controller) decided(list []ruleset.Decision) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range list {
		o := c.objects[d.Object]
		if o == nil || o.uid != d.UID || o.generation != d.Generation {
			continue
		}
		if !o.decided || o.problem != d.Problem || o.kept != d.Kept || o.kind == manifest.KindAPIToken {
			o.decided, o.problem, o.kept = true, d.Problem, d.Kept
			c.examine(d.Object)
		}
	}
}

// find returns a copy of what is known of an object.
func (c *Controller) find(id string) (object, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o := c.objects[id]; o != nil && o.decided {
		return *o, true
	}
	return object{}, false
}

// edit changes what is known of an object, if it still is the same one.
func (c *Controller) edit(o *object, change func(*object)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.objects[o.id]; known != nil && known.uid == o.uid {
		change(known)
	}
}
