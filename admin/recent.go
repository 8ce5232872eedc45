package admin

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// The bounds on what is remembered of decisions.
const (
	maxCalls      = 100      // of a token
	maxCallsBytes = 64 << 20 // of all tokens
	maxCallText   = 200      // of each text of a call
)

// Recent remembers, in memory, the last decisions about each token. Many decisions
// may be seen at once; none waits for another. The zero value is empty.
type Recent struct {
	tokens   sync.Map // *seenToken by name
	bytes    atomic.Int64
	sweeping sync.Mutex
}

// seenToken holds the recent calls of one token.
type seenToken struct {
	next  atomic.Uint64
	calls atomic.Pointer[ring]
}

// ring holds the last decisions about a token.
type ring [maxCalls]atomic.Pointer[Call]

// ringBytes is about what an empty ring takes.
const ringBytes = 8*maxCalls + 128

// size is about how much a call takes.
func (c *Call) size() int64 {
	return int64(200 + len(c.ID) + len(c.Method) + len(c.Path) + len(c.Rule) + len(c.Client))
}

// Seen remembers a decision about a token, and its event. It keeps neither, nor the message that their texts are of.
func (r *Recent) Seen(d *policy.Decision, e *audit.Event) {
	if d.Token == nil {
		return
	}
	known, ok := r.tokens.Load(d.Token.Name)
	if !ok {
		known, _ = r.tokens.LoadOrStore(strings.Clone(d.Token.Name), &seenToken{})
	}
	t := known.(*seenToken)
	call := &Call{
		Time: e.Time, ID: e.ID, Decision: d.Effect.String(), Reason: d.Reason.String(), Status: d.Status(), Gate: e.Gate,
		Method: shortened(e.Method), Path: shortened(masked(e)), Rule: e.Rule, Detail: e.Detail,
	}
	if d.Shadowed {
		call.Reason = d.Shadow.String()
	}
	if call.Detail == "" {
		call.Detail = e.Unmatched
	}
	if e.Client.IsValid() {
		call.Client = e.Client.String()
	}
	r.add(t, call)
}

// masked is the path without the value that the caller presented, and without any that was minted.
func masked(e *audit.Event) string {
	path := e.Path
	if len(e.Secret.Reveal()) >= minMasked {
		path = token.MaskValue(path, e.Secret)
	}
	return token.Mask(path)
}

// minMasked is the length from which a presented value is looked for: shorter ones would mask
// ordinary texts.
const minMasked = 8

// shortened copies a text, so that the message that it is a part of is not kept.
func shortened(text string) string {
	if len(text) > maxCallText {
		return text[:maxCallText] + "…"
	}
	return strings.Clone(text)
}

func (r *Recent) add(t *seenToken, call *Call) {
	calls := t.calls.Load()
	if calls == nil {
		if calls = new(ring); t.calls.CompareAndSwap(nil, calls) {
			r.bytes.Add(ringBytes)
		} else if calls = t.calls.Load(); calls == nil {
			return // it is swept just now
		}
	}
	grown := call.size()
	if old := calls[t.next.Add(1)%maxCalls].Swap(call); old != nil {
		grown -= old.size()
	}
	if r.bytes.Add(grown) > maxCallsBytes && r.sweeping.TryLock() {
		r.sweep()
		r.sweeping.Unlock()
	}
}

// sweep forgets the calls of the tokens that were not called for longest, until half of the room is
// free.
func (r *Recent) sweep() {
	type idle struct {
		token *seenToken
		since time.Time
	}
	var list []idle
	r.tokens.Range(func(_, v any) bool {
		t := v.(*seenToken)
		if calls := t.calls.Load(); calls != nil {
			since := time.Time{}
			if last := calls[t.next.Load()%maxCalls].Load(); last != nil {
				since = last.Time
			}
			list = append(list, idle{t, since})
		}
		return true
	})
	slices.SortFunc(list, func(a, b idle) int { return a.since.Compare(b.since) })
	for _, i := range list {
		if r.bytes.Load() <= maxCallsBytes/2 {
			return
		}
		if calls := i.token.calls.Swap(nil); calls != nil {
			freed := int64(ringBytes)
			for n := range calls {
				if c := calls[n].Load(); c != nil {
					freed += c.size()
				}
			}
			r.bytes.Add(-freed)
		}
	}
}

// Calls returns the last decisions about a token, the latest first.
func (r *Recent) Calls(token string) []Call {
	known, ok := r.tokens.Load(token)
	if !ok {
		return nil
	}
	var list []Call
	if calls := known.(*seenToken).calls.Load(); calls != nil {
		for i := range calls {
			if c := calls[i].Load(); c != nil {
				list = append(list, *c)
			}
		}
	}
	slices.SortStableFunc(list, func(a, b Call) int { return b.Time.Compare(a.Time) })
	return list
}
