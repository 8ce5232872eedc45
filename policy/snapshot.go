package policy

import (
	"cmp"
	"slices"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/patgate/patgate/token"
)

// Snapshot is a read-only view of the index at one revision. A request takes one and
// hands it down, so that gates, policies and tokens are of one moment. Any number of
// goroutines may share it.
type Snapshot struct {
	txn      *memdb.Txn // read-only: it has no state of its own to race for
	revision *Revision
}

// Revision is the row that describes what is loaded. The zero value is nothing.
type Revision struct {
	Number  uint64   // 1 is the first load; each change adds one
	SHA256  [32]byte // of all sources: of the files of the last good load, of the objects of a cluster, or of both sums
	Files   [32]byte // of the files alone; zero: there are none
	Objects [32]byte // of the objects alone
	Loaded  time.Time
	gates   gateTable
	tokens  *tokenTable
	members membersByName
	gone    map[token.Digest]struct{} // of tokens that went since the start
}

// noRevision is the one before the first load.
var noRevision = &Revision{tokens: newTable(0).table()}

func newSnapshot(txn *memdb.Txn) *Snapshot {
	s := &Snapshot{txn: txn, revision: noRevision}
	if raw, err := txn.First(tableRevision, indexID); err == nil && raw != nil {
		s.revision = raw.(*Revision)
	}
	return s
}

// Ready reports whether manifests are loaded. A missing snapshot is not ready.
func (s *Snapshot) Ready() bool { return s != nil && s.revision.Number > 0 } // mutant: empty-index-ready

// Revision describes what is loaded.
func (s *Snapshot) Revision() *Revision { return s.revision }

// Token finds a token by the digest of the value presented, its present one or one
// that a rotation replaced. It returns nil where there is none.
func (s *Snapshot) Token(d *token.Digest) *Token {
	number, found := s.revision.tokens.byDigest(d)
	if !found {
		return nil
	}
	return s.revision.tokens.token(number)
}

// holds reports whether a digest is that of a token's value.
func (s *Snapshot) holds(d *token.Digest) bool {
	_, found := s.revision.tokens.byDigest(d)
	return found
}

// Gone reports whether a digest was that of a token which went since the start.
func (s *Snapshot) Gone(d token.Digest) bool {
	_, gone := s.revision.gone[d]
	return gone
}

// GroupsOf returns a user's groups of no namespace, by name.
func (s *Snapshot) GroupsOf(user string) []*Group { return s.GroupsIn("", user) }

// GroupsIn returns a user's groups in a namespace, by name.
func (s *Snapshot) GroupsIn(namespace, user string) []*Group {
	return s.revision.members[namespace][user]
}

// admits reports whether a gate admits a user: one of the groups that it names has the user. Those of the
// namespace are own; those of others are looked up.
func (s *Snapshot) admits(g *Gate, namespace, user string, own []*Group) bool {
	if g.admits(own) {
		return true
	}
	for _, group := range g.Groups {
		if group.Namespace != namespace && slices.Contains(s.GroupsIn(group.Namespace, user), group) {
			return true
		}
	}
	return false
}

// Gate finds a gate by its name, or nil.
func (s *Snapshot) Gate(name string) *Gate { return row[Gate](s, tableGates, name) }

// SameGate returns the running row of a gate if it was made from the same, or else the row given.
func (s *Snapshot) SameGate(row *Gate) *Gate {
	if running := s.Gate(row.Name); running != nil && running.Fingerprint == row.Fingerprint && running.Source == row.Source {
		return running
	}
	return row
}

// GateOf finds the gate of a request, as Evaluate does, or nil.
func (s *Snapshot) GateOf(r *Request) *Gate {
	e := evaluation{snapshot: s, request: r}
	e.findGate()
	return e.decision.Gate
}

// Group finds a group by its name, or nil.
func (s *Snapshot) Group(name string) *Group { return row[Group](s, tableGroups, name) }

// Policy finds a policy by its name, or nil.
func (s *Snapshot) Policy(name string) *Policy { return row[Policy](s, tablePolicies, name) }

// TokenByName finds a token by its name, or nil.
func (s *Snapshot) TokenByName(name string) *Token {
	number, found := s.revision.tokens.byName(name)
	if !found {
		return nil
	}
	return s.revision.tokens.token(number)
}

// Outline is TokenByName without the rules of the token's own, as far as the index would have to compile them. It is
// good for everything but a decision.
func (s *Snapshot) Outline(name string) *Token {
	number, found := s.revision.tokens.byName(name)
	if !found {
		return nil
	}
	return s.revision.tokens.outline(number)
}

// OutlineOf is Outline of the token with a value of a digest.
func (s *Snapshot) OutlineOf(d *token.Digest) *Token {
	number, found := s.revision.tokens.byDigest(d)
	if !found {
		return nil
	}
	return s.revision.tokens.outline(number)
}

// Same reports whether the token of this one's name is what its manifest says, and refers to the same groups and
// policies.
func (s *Snapshot) Same(t *Token) bool {
	number, found := s.revision.tokens.byName(t.Name)
	return found && s.revision.tokens.same(number, t)
}

// Tokens calls yield with the outline of each token, by name, until it returns false.
func (s *Snapshot) Tokens(yield func(*Token) bool) {
	for _, number := range s.revision.tokens.inOrder() {
		if !yield(s.revision.tokens.outline(number)) {
			return
		}
	}
}

// TokensIn calls yield with each token that comes from a file for which in returns true, until it returns false.
func (s *Snapshot) TokensIn(in func(file, origin string) bool, yield func(*Token) bool) {
	t := s.revision.tokens
	wanted := map[uint32]bool{}
	for i, f := range t.files {
		if in(f.name, f.origin) {
			wanted[uint32(i)] = true
		}
	}
	for _, c := range t.chunks {
		if !c.mayHold(wanted) {
			continue
		}
		for i := range c.rows {
			if r := &c.rows[i]; !r.free() && wanted[r.file] && !yield(t.unpack(c, r)) {
				return
			}
		}
	}
}

// mayHold reports whether some of the chunk's rows may come from a file of a set.
func (c *chunk) mayHold(files map[uint32]bool) bool {
	for file := range files {
		if c.firstFile <= file && file <= c.lastFile {
			return true
		}
	}
	return false
}

// Gates returns the gates by name.
func (s *Snapshot) Gates() []*Gate {
	gates := make([]*Gate, 0, len(s.revision.gates.byName))
	for _, g := range s.revision.gates.byName {
		gates = append(gates, g)
	}
	slices.SortFunc(gates, func(a, b *Gate) int { return cmp.Compare(a.Name, b.Name) })
	return gates
}

// SortGroups sorts groups by name, the order in which they are checked.
func SortGroups(groups []*Group) {
	slices.SortFunc(groups, func(a, b *Group) int { return cmp.Compare(a.Name, b.Name) })
}

func row[T any](s *Snapshot, table, name string) *T {
	raw, err := s.txn.First(table, indexID, name)
	if err != nil || raw == nil {
		return nil
	}
	return raw.(*T)
}
