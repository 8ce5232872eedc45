package controller

import (
	"context"
	"errors"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// A value takes one way: its digest goes into the token's status, each server takes it in, and only then it goes into the
// Secret. So a value that is in the Secret is good everywhere. The value before stays good until then, and for the overlap
// after. A controller that dies on the way takes the new value with it; the next one makes another in its place.

// plan describes the next changes of a token's values.
type plan struct {
	values  []value
	minted  *minted // the newest of values, made just now
	reason  string  // why the token is not ready, for its condition; empty: no reason of its Secret
	message string
	after   time.Duration // after which to look again
	waits   bool          // for the gates to take a value in
}

// The pauses between two looks at a token's Secret.
const (
	pendingPause = 250 * time.Millisecond // the gates' moves are reported before
	secretPause  = 5 * time.Second
	refusedPause = 15 * time.Second

	secretsPerSecond = 20 // are looked at on the long run
)

// shortest is the shortest time between two values of a token.
const shortest = time.Second

// planValues decides what becomes of a token's values, and writes its Secret once a new value is good everywhere.
func (c *Controller) planValues(ctx context.Context, o *object) (plan, error) {
	p := plan{values: o.status.Values}
	now := c.o.Now()
	if o.problem != "" || o.revoked || o.suspended || !o.expires.IsZero() && !now.Before(o.expires) {
		return p, nil // it gets no values
	}
	if newest := last(p.values); newest != nil && o.pending != nil {
		if newest.sum() == o.pending.digest {
			return c.handOut(ctx, o, p)
		}
		c.edit(o, func(known *object) { known.pending = nil }) // another controller has made one
	}
	found, err := c.lookUp(ctx, o)
	if err != nil {
		return p, err
	}
	switch found.state {
	case foreign:
		p.reason, p.message = "SecretExists", "spec.secret.name: the Secret "+o.secret.Name.Text+" exists and was not made for this token, expected the name of one that does not"
	case forbidden:
		p.reason, p.message = "SecretForbidden", "the controller may not read and write Secrets of the namespace, expected it to have the right"
	}
	if p.reason != "" {
		p.after = refusedPause
		return p, nil
	}
	c.follow(o, &p, found, now)
	return p, nil
}

// follow plans by what a Secret holds.
func (c *Controller) follow(o *object, p *plan, found secretState, now time.Time) {
	newest := last(p.values)
	holds := slices.IndexFunc(p.values, func(v value) bool { return found.state == intact && v.sum() == found.digest })
	p.dropEnded(now)
	every, overlap := c.rotation(o)
	switch {
	case newest == nil:
		p.mint(now, nil)
		p.minted.first = true
	case holds < 0: // the Secret is gone, or was edited
		if wait := newest.Issued.Add(shortest).Sub(now); wait > 0 {
			p.after = wait
			return
		}
		p.mint(now, nil)
	case newest.sum() != found.digest: // the newest value went into no Secret
		p.mint(now, p.values[:len(p.values)-1])
	default:
		p.endEarlier(now.Add(overlap))
		p.after = c.secretPause()
		if every > 0 {
			due := newest.Issued.Add(every).Sub(now)
			if due <= 0 {
				p.mint(now, p.values)
				return
			}
			p.after = min(p.after, due)
		}
		return
	}
	if len(p.values) == 1 {
		p.reason, p.message = "ValuePending", "a new value is on its way to all replicas, and then into the Secret"
	}
}

// dropEnded takes out the values that have ended. The newest one stays in any case.
func (p *plan) dropEnded(now time.Time) {
	var kept []value
	for i, v := range p.values {
		if i == len(p.values)-1 || v.Until == nil || now.Before(*v.Until) {
			kept = append(kept, v)
		}
	}
	p.values = kept
}

// endEarlier sets the end of all values but the newest, where they have none.
func (p *plan) endEarlier(until time.Time) {
	until = until.UTC().Truncate(time.Millisecond)
	for i := range p.values[:len(p.values)-1] {
		if v := &p.values[i]; v.Until == nil {
			v.Until = &until
		}
	}
}

// mint makes a new value beside others.
func (p *plan) mint(now time.Time, beside []value) {
	secret := token.Mint()
	p.minted = &minted{value: secret, digest: token.Sum(secret)}
	p.values = append(slices.Clone(beside), value{Digest: p.minted.digest.String(), Issued: now.UTC().Truncate(time.Millisecond)})
}

// handOut writes a new value into the Secret, once it is good everywhere.
func (c *Controller) handOut(ctx context.Context, o *object, p plan) (plan, error) {
	row := c.index.Snapshot().TokenByName(o.key())
	here := row != nil && !row.NotAccepted && row.Digest == o.pending.digest
	if force := c.gates.inForce(o.kind, o.namespace, o.since); !here || !force.all() {
		p.waits = true
		p.after = min(max(c.o.Now().Sub(last(p.values).Issued)/4, pendingPause), secretPause)
		if len(p.values) == 1 {
			p.reason, p.message = "ValuePending", "the new value is not in the Secret yet: "+force.String()
		}
		return p, nil
	}
	switch err := c.writeSecret(ctx, o, row); {
	case errors.Is(err, errAgain): // the Secret is not what it was
		c.edit(o, func(known *object) { known.pending = nil })
		return p, err
	case apierrors.ReasonForError(err) != metav1.StatusReasonUnknown: // the API server refuses it, such as for a quota
		p.reason, p.message, p.after = "SecretFailed", "the Secret can't be written: "+masked(err), refusedPause
		return p, nil
	case err != nil:
		return p, err // the value waits
	}
	m := o.pending
	c.edit(o, func(known *object) { known.pending, known.held = nil, o.since })
	c.handedOut(ctx, o, m)
	_, overlap := c.rotation(o)
	p.values = slices.Clone(p.values)
	p.endEarlier(c.o.Now().Add(overlap))
	p.after = shortest
	return p, nil
}

// handedOut says that a value is in its Secret.
func (c *Controller) handedOut(ctx context.Context, o *object, m *minted) {
	kind, text := audit.TokenRotated, "the Secret "+o.secret.Name.Text+" has a new value"
	if m.first {
		kind, text = audit.TokenCreated, "the Secret "+o.secret.Name.Text+" has the value"
	}
	_ = c.o.Audit.Record(context.WithoutCancel(ctx), &audit.Event{
		Time: c.o.Now(), Kind: kind, Severity: audit.Info, Token: o.key(), User: o.user, By: Manager, Via: "controller",
		Revision: c.index.Snapshot().Revision().Number,
	})
	c.o.Logger.Info(text, "token", o.key())
	if !m.first {
		c.events.say(ctx, o, false, "Rotated", text)
	}
}

// rotation returns after how long a token's value is replaced (0: never), and for how long it stays good then. The groups
// of its user may shorten both.
func (c *Controller) rotation(o *object) (every, overlap time.Duration) {
	every, overlap = o.secret.Every(), o.secret.Overlaps()
	if row := c.index.Snapshot().TokenByName(o.key()); row != nil {
		if longest, _ := policy.Cap(row.Groups); longest > 0 && longest != policy.Forever {
			if early := max(longest-overlap, longest/2); early < every {
				every, overlap = early, min(overlap, early/2)
			}
		}
	}
	if every == policy.Forever {
		return 0, overlap
	}
	return max(every, shortest), overlap
}

// secretPause is the pause between two looks at a Secret: longer where there are many.
func (c *Controller) secretPause() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(secretPause, time.Duration(c.secrets)*time.Second/secretsPerSecond)
}

func last(values []value) *value {
	if len(values) == 0 {
		return nil
	}
	return &values[len(values)-1]
}
