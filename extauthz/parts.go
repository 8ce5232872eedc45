package extauthz

import (
	"maps"
	"sync/atomic"

	"github.com/patgate/patgate/policy"
)

// Parts of answers that depend on the gate alone are encoded once, when the gate is used
// first.

// removals are the encoded headers to take off an allowed request, as Upstream.Remove lists
// them.
type removals [policy.IdentityCount][2]message

// encodedRemovals holds the removals of the gates in use. Readers share a map that does not
// change; who finds a gate missing publishes another.
var encodedRemovals atomic.Pointer[map[*policy.Upstream]*removals]

// maxEncoded bounds the gates that are kept, most of which are of revisions that are gone.
const maxEncoded = 4096

// removed appends the headers to take off an allowed request.
func (m message) removed(up *policy.Upstream, identity policy.Identity, authorization bool) message {
	list := encodedRemovals.Load()
	var r *removals
	if list != nil {
		r = (*list)[up]
	}
	if r == nil {
		r = encodeRemovals(up)
		publish(up, r)
	}
	consumed := 0
	if authorization {
		consumed = 1
	}
	return append(m, r[identity][consumed]...)
}

func encodeRemovals(up *policy.Upstream) *removals {
	var r removals
	for identity := range r {
		for consumed := range r[identity] {
			for _, name := range up.Remove(policy.Identity(identity), consumed == 1) { // mutant: forged-identities-stay
				r[identity][consumed] = r[identity][consumed].name(okRemove, name)
			}
		}
	}
	return &r
}

// publish adds the removals of a gate for other checks to see. Two at a time may do so: one
// of them is done again later.
func publish(up *policy.Upstream, r *removals) {
	old := encodedRemovals.Load()
	list := map[*policy.Upstream]*removals{}
	if old != nil && len(*old) < maxEncoded {
		list = maps.Clone(*old)
	}
	list[up] = r
	encodedRemovals.CompareAndSwap(old, &list)
}
