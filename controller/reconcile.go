package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// errAgain means that something has changed meanwhile: look again soon.
var errAgain = errors.New("changed meanwhile")

// patience is how long a new object may take to be in force before its status says that it is not.
const patience = time.Second

// reconcile makes the status of an object say what is true, and the Secret of a token hold its value. It returns after how
// long to look again.
func (c *Controller) reconcile(ctx context.Context, id string) (after time.Duration, err error) {
	o, known := c.find(id)
	if !known {
		return 0, nil
	}
	p := plan{values: o.status.Values}
	if o.secret != nil {
		if p, err = c.planValues(ctx, &o); err != nil {
			return 0, err
		}
	}
	want := o.status.clone()
	want.Values = p.values
	force := c.describe(&o, &want, &p)
	c.wait(id, p.waits || !force.all(), !o.ready())
	if !force.all() && !o.ready() && o.problem == "" && p.minted == nil && sameValues(want.Values, o.status.Values) && c.o.Now().Sub(o.seen) < patience {
		return patience, nil // most are in force in a moment
	}
	if !want.same(&o.status) {
		if err := c.write(ctx, &o, &want, p.minted); err != nil {
			return 0, err
		}
		c.events.transitions(ctx, &o, &want)
	}
	return p.after, nil
}

// write writes the status of an object that has not changed meanwhile.
func (c *Controller) write(ctx context.Context, o *object, want *status, m *minted) error {
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": manifest.APIVersion, "kind": o.kind,
		"metadata": map[string]any{"name": o.name, "namespace": o.namespace, "resourceVersion": o.version, "uid": o.uid},
		"status":   want.fields(),
	}}
	written, err := c.client.Resource(resourceOf(o.kind)).Namespace(o.namespace).ApplyStatus(ctx, o.name, u, metav1.ApplyOptions{FieldManager: Manager, Force: true})
	switch {
	case apierrors.IsNotFound(err):
		return nil // it is gone, and so is its status
	case apierrors.IsConflict(err):
		return fmt.Errorf("%w: %w", errAgain, err)
	case err != nil:
		return err
	}
	c.edit(o, func(known *object) {
		changed := !sameValues(o.status.Values, want.Values)
		if v := number(written.GetResourceVersion()); v >= number(known.version) && known.generation == o.generation {
			known.version, known.status = written.GetResourceVersion(), statusOf(written)
			if changed {
				known.since = v
			}
			if want.is(ready) && !o.ready() {
				known.held = o.since
			}
		}
		if m != nil {
			known.pending = m
			c.examine(o.id)
		}
	})
	return nil
}

func resourceOf(kind string) schema.GroupVersionResource {
	for _, k := range manifest.ObjectKinds {
		if k.Kind == kind {
			return schema.GroupVersionResource{Group: "patgate.dev", Version: "v1alpha1", Resource: k.Plural}
		}
	}
	return schema.GroupVersionResource{}
}

// describe sets what the status says, but for its values. It returns how far the object is in force.
func (c *Controller) describe(o *object, want *status, p *plan) reach {
	now := c.o.Now()
	set := func(kind string, holds bool, reason, message string) {
		want.set(kind, holds, reason, message, o.generation, now)
	}
	want.ObservedGeneration = o.generation
	switch {
	case o.problem == "":
		set(accepted, true, "Accepted", "it is accepted")
	case o.kept:
		set(accepted, false, "NotAccepted", o.problem+"; its last good version stays in force")
	default:
		set(accepted, false, "NotAccepted", o.problem)
	}
	force := reach{of: 1, on: 1}
	switch {
	case o.problem != "":
		set(ready, false, "NotAccepted", "it is not accepted")
	case p.reason != "":
		set(ready, false, p.reason, p.message)
	case o.ready() && c.gates.stays(o.kind, o.namespace, o.held):
	default:
		if force = c.gates.inForce(o.kind, o.namespace, o.since); force.all() {
			set(ready, true, "InForce", force.String())
		} else {
			set(ready, false, "NotInForce", force.String())
		}
	}
	if o.kind == manifest.KindAPIToken {
		c.describeToken(o, want, set)
	}
	return force
}

// describeToken sets what the status of a token says beyond that of other objects.
func (c *Controller) describeToken(o *object, want *status, set func(kind string, holds bool, reason, message string)) {
	now, snapshot := c.o.Now(), c.index.Snapshot()
	row := snapshot.TokenByName(o.key())
	want.State, want.Ends, want.Rules = "", nil, nil
	soon, message := false, "it does not end within 5 days"
	if row != nil && !row.NotAccepted {
		facts := factsOf(snapshot, row, now)
		want.State, want.Ends = facts.state, facts.ends
		rules := countRules(row)
		want.Rules = &rules
		end := row.End()
		if o.secret != nil {
			end = o.expires // a value that ends is replaced before
		}
		if soon = !end.IsZero() && !row.Revoked && !now.Before(end.Add(-policy.SoonSpan)); soon {
			message = "it ends at " + end.UTC().Format(time.RFC3339)
		}
	}
	set(expiresSoon, soon, map[bool]string{true: "ExpiresSoon", false: "NotSoon"}[soon], message)
	if o.revoked {
		set(revoked, true, "Revoked", "it is revoked, and never works again")
	} else {
		set(revoked, false, "NotRevoked", "it is not revoked")
	}
	want.LastUsed = lastUsed(want.LastUsed, c.gates.lastUsed(o.key()))
}

// facts are the fields of a token's status that change with time.
type facts struct {
	state string
	ends  *time.Time
}

func factsOf(s *policy.Snapshot, row *policy.Token, now time.Time) facts {
	f := facts{state: s.State(row, now).String()}
	if end := row.End(); !end.IsZero() {
		end = end.UTC().Truncate(time.Second)
		f.ends = &end
	}
	return f
}

// usedEvery is the minimum time between two writes of the time of the last use.
const usedEvery = time.Hour

// lastUsed returns what the status says of the last use: it is an hour behind at most.
func lastUsed(written *time.Time, used time.Time) *time.Time {
	if used.IsZero() || written != nil && used.Before(written.Add(usedEvery)) {
		return written
	}
	used = used.UTC().Truncate(time.Second)
	return &used
}

func countRules(row *policy.Token) (n int) {
	for _, p := range row.Grant.Policies {
		n += len(p.Allow) + len(p.Deny)
	}
	return n
}

// sweepEvery is how often objects are looked at for what a clock, a use or a replica changes.
const sweepEvery = 15 * time.Second

// sweep looks at objects whose status the time, a use or a replica has made wrong.
func (c *Controller) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		c.gates.fetchUsage(ctx)
		c.findOutdated()
	}
}

func (c *Controller) findOutdated() {
	now, snapshot := c.o.Now(), c.index.Snapshot()
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, o := range c.objects {
		if !o.decided {
			continue
		}
		if c.waiting[id] {
			c.examine(id) // what it waits for may have another cause now
			continue
		}
		if o.ready() && !c.gates.stays(o.kind, o.namespace, o.held) {
			c.examine(id)
			continue
		}
		row := snapshot.TokenByName(o.key())
		if o.kind != manifest.KindAPIToken || row == nil || row.NotAccepted {
			continue
		}
		f := factsOf(snapshot, row, now)
		if f.state != o.status.State || !sameTime(f.ends, o.status.Ends) || !sameTime(lastUsed(o.status.LastUsed, c.gates.lastUsed(o.key())), o.status.LastUsed) {
			c.examine(id)
		}
	}
}

func sameTime(a, b *time.Time) bool { return a == b || a != nil && b != nil && a.Equal(*b) }

// masked is the text of an error, without what looks like a value.
func masked(err error) string { return token.Mask(fmt.Sprint(err)) }
