package policy

import (
	"cmp"
	"hash/maphash"
	"slices"
	"sync"

	"github.com/patgate/patgate/token"
)

// tokenTable finds the tokens of one revision. It is derived from the chunks of that revision, and immutable.
type tokenTable struct {
	shared
	chunks  []*chunk // by number; nil: none
	free    []uint32 // rows within chunks that are free
	count   int
	digests hashes // of present and previous values
	names   hashes
	grown   int // entries of shared that were added by edits

	sorting sync.Once
	sorted  []uint32 // by name, once that was needed
}

// seed makes the hashes of digests unlike those of any other process: an author of manifests could choose digests
// that share one.
var seed = maphash.MakeSeed()

func hashDigest(d *token.Digest) uint64 { return maphash.Bytes(seed, d[:]) }
func hashName(name string) uint64       { return maphash.String(seed, name) }

func (t *tokenTable) at(number uint32) (*chunk, *packed) {
	c := t.chunks[number>>chunkBits]
	return c, &c.rows[number%perChunk]
}

// byDigest returns the number of the token with a value of this digest.
func (t *tokenTable) byDigest(d *token.Digest) (number uint32, found bool) {
	return t.digests.find(hashDigest(d), func(n uint32) bool {
		c, r := t.at(n)
		return c.holds(r, d)
	})
}

// byName returns the number of the token with this name.
func (t *tokenTable) byName(name string) (number uint32, found bool) {
	return t.names.find(hashName(name), func(n uint32) bool {
		c, r := t.at(n)
		return c.name(r) == name
	})
}

func (t *tokenTable) token(number uint32) *Token {
	c, r := t.at(number)
	return t.unpack(c, r)
}

func (t *tokenTable) outline(number uint32) *Token {
	c, r := t.at(number)
	return t.shared.outline(c, r)
}

// all calls yield with the number of each token until it returns false.
func (t *tokenTable) all(yield func(number uint32) bool) {
	for _, c := range t.chunks {
		if c == nil {
			continue
		}
		for i := range c.rows {
			if !c.rows[i].free() && !yield(c.number<<chunkBits|uint32(i)) {
				return
			}
		}
	}
}

// inOrder returns the numbers of the tokens by their names.
func (t *tokenTable) inOrder() []uint32 {
	t.sorting.Do(func() {
		list := slices.AppendSeq(make([]uint32, 0, t.count), t.all)
		slices.SortFunc(list, func(a, b uint32) int { return cmp.Compare(t.nameOf(a), t.nameOf(b)) })
		t.sorted = list
	})
	return t.sorted
}

func (t *tokenTable) nameOf(number uint32) string {
	c, r := t.at(number)
	return c.name(r)
}

// source returns where a token comes from.
func (t *tokenTable) source(number uint32) Source {
	c, r := t.at(number)
	return t.shared.source(c, r)
}

// same reports whether a token is what a row holds, as far as its manifest says, and refers to the same groups and policies.
func (t *tokenTable) same(number uint32, other *Token) bool {
	c, r := t.at(number)
	if r.fingerprint != other.Fingerprint || r.flags&flagNotAccepted != 0 != other.NotAccepted || !slices.Equal(t.users[r.user].groups, other.Groups) {
		return false
	}
	policies := t.grants[r.grant]
	if x := c.extra(r); x != nil && x.policies != nil {
		policies = x.policies
	}
	if !slices.Equal(named(policies), named(other.Grant.Policies)) {
		return false
	}
	return r.fingerprint != Fingerprint{} || t.unpack(c, r).equal(other)
}

// named leaves out a token's own rules, which have no name and are part of its fingerprint.
func named(policies []*Policy) []*Policy {
	if ownOf(policies) != nil {
		return policies[:len(policies)-1]
	}
	return policies
}

// equal compares tokens without fingerprints, field by field.
func (t *Token) equal(o *Token) bool {
	return t.Name == o.Name && t.Namespace == o.Namespace && t.Source == o.Source && t.User == o.User && t.Digest == o.Digest && flagsOf(t) == flagsOf(o) &&
		t.Issued.Equal(o.Issued) && t.Expires.Equal(o.Expires) && t.Schemes == o.Schemes &&
		slices.Equal(t.Logins, o.Logins) && slices.Equal(t.Previous, o.Previous) && slices.Equal(t.Gates, o.Gates) &&
		slices.Equal(t.Clients.Allow, o.Clients.Allow) && slices.Equal(t.Clients.Deny, o.Clients.Deny) &&
		slices.Equal(t.Grant.Policies, o.Grant.Policies) && slices.Equal(t.ActAs, o.ActAs)
}

// each calls yield with the outline of each token until it returns false.
func (t *tokenTable) each(yield func(*Token) bool) {
	for number := range t.all {
		if !yield(t.outline(number)) {
			return
		}
	}
}
