package policy

import (
	"maps"
	"slices"
	"strings"

	"github.com/patgate/patgate/token"
)

// Loss is something that a gate guarded which goes, and that another gate would guard by
// a weaker word: one for more hosts, or for a shorter path.
type Loss struct {
	Gate         *Gate
	Host, Prefix string
	Falls        *Gate // to this one
}

// Losses compares the loaded gates with the next ones. A host and path prefix that a removed gate
// guarded, or kept from all gates, must be guarded by no gate, or by one that is new or has new
// hosts or paths. A file that was deleted by mistake must not hand its requests to a weaker gate.
func (s *Snapshot) Losses(next []*Gate) []Loss {
	table := newGateTable(next)
	var losses []Loss
	for _, g := range s.Gates() {
		if table.byName[g.Name] == nil {
			for _, host := range g.Hosts {
				losses = append(losses, s.lossesAt(g, host, &table)...)
			}
		}
	}
	return losses
}

// lossesAt compares both tables at one host of a gate that is gone. Where a path leads
// changes at prefixes alone.
func (s *Snapshot) lossesAt(g *Gate, host string, next *gateTable) []Loss {
	sample, old := sampleHost(host), &s.revision.gates
	var own, others []Loss
	seen := map[string]bool{}
	for _, guard := range append(slices.Clip(old.guards(sample)), next.guards(sample)...) {
		at := guard.prefix + "/"
		before, after := old.find(sample, at), next.find(sample, at)
		if seen[at] || after == nil || after.Invalid || !s.guardsAlike(after) {
			continue
		}
		seen[at] = true
		switch before {
		case g:
			own = append(own, Loss{g, host, guard.prefix, after})
		case nil:
			others = append(others, Loss{g, host, guard.prefix, after})
		}
	}
	if len(own) > 0 {
		return own
	}
	return others
}

// sampleHost returns a host that a pattern matches and no longer one does: below a
// wildcard one that no gate can name, and none for every host.
func sampleHost(pattern string) string {
	if pattern == AnyHost {
		return ""
	}
	if tail, wild := strings.CutPrefix(pattern, "*"); wild {
		return "\x00" + tail
	}
	return pattern
}

// guardsAlike reports whether a gate of this name guards the same already.
func (s *Snapshot) guardsAlike(g *Gate) bool {
	old := s.Gate(g.Name)
	return old != nil && slices.Equal(old.Hosts, g.Hosts) && slices.Equal(old.Prefixes, g.Prefixes)
}

// maxGone is the maximum number of digests of deleted tokens that are remembered.
const maxGone = 1 << 20

// remember returns the digests of tokens that were deleted since the start, if any gate
// forwards unknown credentials: the value of a deleted token is never forwarded as a
// password.
func (s *Snapshot) remember(c *Changes, next *Revision) map[token.Digest]struct{} {
	if !next.gates.forwards() {
		return nil
	}
	gone := maps.Clone(s.revision.gone)
	if gone == nil {
		gone = map[token.Digest]struct{}{}
	}
	old := slices.Values(c.Old.Tokens)
	if c.All {
		old = s.revision.tokens.each
	}
	for t := range old {
		for _, d := range t.digests() {
			gone[d] = struct{}{}
		}
	}
	for d := range gone {
		if _, there := next.tokens.byDigest(&d); there {
			delete(gone, d)
		}
	}
	for d := range gone {
		if len(gone) <= maxGone {
			break
		}
		delete(gone, d)
	}
	return gone
}

// digests lists those of the present and of the previous values.
func (t *Token) digests() []token.Digest {
	list := []token.Digest{t.Digest}
	for i := range t.Previous {
		list = append(list, t.Previous[i].Digest)
	}
	return list
}
