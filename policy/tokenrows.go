package policy

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/patgate/patgate/token"
)

// Tokens are kept in packed rows, which hold no pointers, so that a million of them are little memory and
// no work for the garbage collector. A row of the table in go-memdb is a chunk of them. A chunk is immutable:
// a change of one token copies its chunk.

// packed is one token. Numbers lead to what many tokens have in common; Token puts a row together.
type packed struct {
	digest          token.Digest
	fingerprint     Fingerprint
	issued, expires int64  // in seconds since 1970
	name            uint32 // the offset of its name in the chunk's names; the text of its own rules comes after it
	user            uint32
	file            uint32
	line            uint32
	grant           uint32 // a list of policies
	gates           uint32 // a list of gates
	extra           uint16 // one of the chunk's extras, plus one; 0: none
	nameLength      uint16
	ownLength       uint16
	schemes         Schemes
	flags           flags
}

// flags are the yes and no of a token.
type flags uint8

const (
	flagAnyUser flags = 1 << iota
	flagRevoked
	flagSuspended
	flagCanary
	flagUnrestricted
	flagNotAccepted
	flagPresent // the row is not free
	flagObject  // it comes from the object of its name: kindPrefix precedes its name
)

// extra holds the fields that few tokens have.
type extra struct {
	previous []PreviousValue
	policies []*Policy // in place of those of the row's list, where rules of the token's own are among them
	rare     *rare     // nil: nothing of it
}

// rare holds the fields that hardly any token has.
type rare struct {
	logins          []string
	clients         Ranges
	actAs           []*Pattern
	issued, expires time.Time // where they are not in whole seconds
}

func (x *rare) isZero() bool {
	return len(x.logins)+len(x.actAs) == 0 && x.clients.Empty() && x.issued.IsZero() && x.expires.IsZero()
}

// perChunk is the maximum number of rows in a chunk.
const (
	chunkBits = 10
	perChunk  = 1 << chunkBits
)

// chunk is one row of the tokens' table.
type chunk struct {
	number uint32
	rows   []packed
	names  string
	extras []extra

	firstFile, lastFile uint32 // of all rows
}

func (r *packed) free() bool { return r.flags&flagPresent == 0 }

// kindPrefix precedes the name in the file of an object.
const kindPrefix = "APIToken/"

func (c *chunk) name(r *packed) string { return c.names[r.name : r.name+uint32(r.nameLength)] }

// own returns the text of the rules of a token's own.
func (c *chunk) own(r *packed) string {
	from := r.name + uint32(r.nameLength)
	return c.names[from : from+uint32(r.ownLength)]
}

// texts returns what the names hold of a row, and where its name is in it.
func (c *chunk) texts(r *packed) (text string, name uint32) {
	if r.flags&flagObject != 0 {
		name = uint32(len(kindPrefix))
	}
	return c.names[r.name-name : r.name+uint32(r.nameLength)+uint32(r.ownLength)], name
}

func (c *chunk) extra(r *packed) *extra {
	if r.extra == 0 {
		return nil
	}
	return &c.extras[r.extra-1]
}

// previous returns the values that a rotation replaced.
func (c *chunk) previous(r *packed) []PreviousValue {
	if x := c.extra(r); x != nil {
		return x.previous
	}
	return nil
}

// holds reports whether a digest is that of one of a row's values. It takes as long whatever differs.
func (c *chunk) holds(r *packed, d *token.Digest) bool {
	found := r.digest.Equal(*d)
	if r.extra != 0 {
		for i := range c.previous(r) {
			found = c.previous(r)[i].Digest.Equal(*d) || found
		}
	}
	return found
}

// copied returns a chunk that can be changed, without names and extras of rows that are gone.
func (c *chunk) copied() *chunk {
	next := &chunk{number: c.number, rows: slices.Clone(c.rows)}
	var names strings.Builder
	names.Grow(len(c.names))
	for i := range next.rows {
		r := &next.rows[i]
		if r.free() {
			continue
		}
		text, name := c.texts(r)
		r.name = uint32(names.Len()) + name
		names.WriteString(text)
		if r.extra != 0 {
			next.extras = append(next.extras, c.extras[r.extra-1])
			r.extra = uint16(len(next.extras))
		}
	}
	next.names = names.String()
	return next
}

// seal notes which files the rows come from.
func (c *chunk) seal() {
	c.firstFile, c.lastFile = math.MaxUint32, 0
	for i := range c.rows {
		if r := &c.rows[i]; !r.free() {
			c.firstFile, c.lastFile = min(c.firstFile, r.file), max(c.lastFile, r.file)
		}
	}
}

// user is a token's user, in its namespace, and their groups there.
type user struct {
	namespace, name string
	groups          []*Group
}

// fileOf is where tokens come from.
type fileOf struct{ name, origin string }

// shared is what tokens have in common, by number. It only grows: those of an older revision stay as they are.
// Number 0 of the lists is the empty one.
type shared struct {
	users  []user
	files  []fileOf
	grants [][]*Policy
	gates  [][]string
}

// source returns where a row comes from.
func (s *shared) source(c *chunk, r *packed) Source {
	f := &s.files[r.file]
	source := Source{File: f.name, Line: int(r.line), Origin: f.origin}
	if r.flags&flagObject != 0 {
		source.File = c.names[r.name-uint32(len(kindPrefix)) : r.name+uint32(r.nameLength)]
	}
	return source
}

// unpack puts a token together from its row.
func (s *shared) unpack(c *chunk, r *packed) *Token {
	t := s.outline(c, r)
	if t.own != "" {
		t.Grant.Policies, t.own = ownRules.granted(&t.Source, t.own, t.Grant.Policies), ""
	}
	return t
}

// outline is unpack without the rules of a token's own where the row has them as a text.
func (s *shared) outline(c *chunk, r *packed) *Token {
	u := &s.users[r.user]
	t := &Token{
		Name: c.name(r), Source: s.source(c, r), Fingerprint: r.fingerprint, own: c.own(r),
		Namespace: u.namespace, User: u.name, Groups: u.groups, Digest: r.digest, Issued: unix(r.issued), Expires: unix(r.expires), Schemes: r.schemes,
		AnyUser: r.flags&flagAnyUser != 0, Revoked: r.flags&flagRevoked != 0, Suspended: r.flags&flagSuspended != 0, Canary: r.flags&flagCanary != 0,
		NotAccepted: r.flags&flagNotAccepted != 0, Gates: s.gates[r.gates], Grant: Grant{Unrestricted: r.flags&flagUnrestricted != 0, Policies: s.grants[r.grant]},
	}
	if x := c.extra(r); x != nil {
		t.Previous = x.previous
		if x.policies != nil {
			t.Grant.Policies = x.policies
		}
		if x.rare != nil {
			x.rare.unpack(t)
		}
	}
	return t
}

func (x *rare) unpack(t *Token) {
	t.Logins, t.Clients, t.ActAs = x.logins, x.clients, x.actAs
	if !x.issued.IsZero() {
		t.Issued = x.issued
	}
	if !x.expires.IsZero() {
		t.Expires = x.expires
	}
}

// unix returns the time of a second, the zero time for that of the zero time.
func unix(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }

// extraOf returns what a row has no room for, or nil. own is the text of its own rules.
func extraOf(t *Token, own string) *extra {
	x := extra{previous: t.Previous}
	seldom := rare{logins: t.Logins, clients: t.Clients, actAs: t.ActAs}
	if own == "" && ownOf(t.Grant.Policies) != nil {
		x.policies = t.Grant.Policies
	}
	if t.Issued != unix(t.Issued.Unix()) {
		seldom.issued = t.Issued
	}
	if t.Expires != unix(t.Expires.Unix()) {
		seldom.expires = t.Expires
	}
	if !seldom.isZero() {
		x.rare = &seldom
	}
	if len(x.previous)+len(x.policies) == 0 && x.rare == nil {
		return nil
	}
	return &x
}

func flagsOf(t *Token) flags {
	f := flagPresent
	for _, one := range []struct {
		set  bool
		flag flags
	}{{t.AnyUser, flagAnyUser}, {t.Revoked, flagRevoked}, {t.Suspended, flagSuspended}, {t.Canary, flagCanary}, {t.Grant.Unrestricted, flagUnrestricted}, {t.NotAccepted, flagNotAccepted}} {
		if one.set {
			f |= one.flag
		}
	}
	return f
}
