package policy

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/patgate/patgate/token"
)

// tokenEdit makes the next table out of one, which stays as it is: it copies each chunk that it changes, once.
type tokenEdit struct {
	next    *tokenTable
	owned   []bool           // chunks that are copies
	writing *strings.Builder // the names of the last chunk, which is being filled

	users  map[string]uint32 // entries that this edit added to next.shared, by what leads to them
	files  map[fileOf]uint32
	grants map[*Policy][]uint32
	gates  map[string]uint32
}

// edit returns a copy that can be changed.
func (t *tokenTable) edit() *tokenEdit {
	next := &tokenTable{
		shared: t.shared, chunks: slices.Clone(t.chunks), free: slices.Clone(t.free), count: t.count,
		digests: t.digests.edit(), names: t.names.edit(), grown: t.grown,
	}
	return newEdit(next)
}

// newTable returns the edit of an empty table that is good for some tokens.
func newTable(tokens int) *tokenEdit {
	next := &tokenTable{digests: newHashes(tokens), names: newHashes(tokens)}
	next.grants, next.gates = [][]*Policy{nil}, [][]string{nil}
	return newEdit(next)
}

func newEdit(next *tokenTable) *tokenEdit {
	return &tokenEdit{
		next: next, owned: make([]bool, len(next.chunks)),
		users: map[string]uint32{}, files: map[fileOf]uint32{}, grants: map[*Policy][]uint32{}, gates: map[string]uint32{},
	}
}

// own returns a chunk that can be changed.
func (e *tokenEdit) own(i uint32) *chunk {
	if !e.owned[i] {
		e.next.chunks[i], e.owned[i] = e.next.chunks[i].copied(), true
	}
	return e.next.chunks[i]
}

// slot returns a free row.
func (e *tokenEdit) slot() (number uint32, err error) {
	t := e.next
	if n := len(t.free); n > 0 {
		number, t.free = t.free[n-1], t.free[:n-1]
		e.own(number >> chunkBits) // mutant: free-row-in-place
		return number, nil
	}
	last := len(t.chunks) - 1
	if last < 0 || len(t.chunks[last].rows) == perChunk {
		if last++; last >= math.MaxUint32>>chunkBits {
			return 0, fmt.Errorf("more tokens than can be counted")
		}
		e.finishNames()
		t.chunks = append(t.chunks, &chunk{number: uint32(last), rows: make([]packed, 0, perChunk)})
		e.owned = append(e.owned, true)
		e.writing = new(strings.Builder)
	}
	c := e.own(uint32(last))
	c.rows = append(c.rows, packed{})
	return uint32(last)<<chunkBits | uint32(len(c.rows)-1), nil
}

// add puts a token in. It returns an error where its name or one of its digests is taken.
func (e *tokenEdit) add(t *Token) error {
	if other, taken := e.next.byName(t.Name); taken {
		return nameTaken(tableTokens, t.Name, e.next.source(other))
	}
	number, err := e.slot()
	if err != nil {
		return err
	}
	e.write(number, t, nil)
	e.next.count++
	e.next.names.add(hashName(t.Name), number)
	return e.addDigests(number, t)
}

// addDigests makes the values of a token lead to it. A value of two tokens would be ambiguous.
func (e *tokenEdit) addDigests(number uint32, t *Token) (err error) {
	for _, d := range t.digests() {
		if d == (token.Digest{}) {
			continue // none
		}
		h := hashDigest(&d)
		other, taken := e.next.digests.find(h, func(n uint32) bool {
			c, r := e.next.at(n)
			return c.holds(r, &d)
		})
		switch {
		case !taken:
			e.next.digests.add(h, number)
		case other != number:
			err = cmp.Or(err, fmt.Errorf("the digest of the APIToken %s is that of %s at %s", t.Name, e.next.nameOf(other), e.next.source(other)))
		}
	}
	return err
}

// remove takes a token out.
func (e *tokenEdit) remove(number uint32) {
	e.removeDigests(number)
	c := e.own(number >> chunkBits)
	r := &c.rows[number%perChunk]
	e.next.names.remove(hashName(c.name(r)), number)
	*r = packed{}
	e.next.count--
	e.next.free = append(e.next.free, number)
}

// removeDigests makes the values of a token lead to nothing.
func (e *tokenEdit) removeDigests(number uint32) {
	c, r := e.next.at(number)
	e.next.digests.remove(hashDigest(&r.digest), number)
	for i := range c.previous(r) {
		e.next.digests.remove(hashDigest(&c.previous(r)[i].Digest), number)
	}
}

// set puts a token in the place of one of its name. Its digests are left as they are.
func (e *tokenEdit) set(number uint32, t *Token) {
	c := e.own(number >> chunkBits)
	was := c.rows[number%perChunk]
	e.write(number, t, &was)
}

// write fills a row of a chunk that is owned. was is what the row held, which shares much with it.
func (e *tokenEdit) write(number uint32, t *Token, was *packed) {
	c := e.next.chunks[number>>chunkBits]
	r := packed{
		digest: t.Digest, fingerprint: t.Fingerprint, issued: t.Issued.Unix(), expires: t.Expires.Unix(),
		line: uint32(t.Source.Line), schemes: t.Schemes, flags: flagsOf(t),
		user: e.userOf(t, was), file: e.fileOf(t, was), gates: e.gatesOf(t, was),
	}
	own := t.own
	if own == "" {
		own, _ = packOwn(t)
	}
	if x := extraOf(t, own); x != nil {
		c.extras = append(c.extras, *x)
		r.extra = uint16(len(c.extras))
	}
	if x := c.extra(&r); x == nil || x.policies == nil {
		r.grant = e.grantOf(named(t.Grant.Policies), was)
	}
	e.writeTexts(c, &r, t, own, was)
	c.rows[number%perChunk] = r
}

// writeTexts puts a token's name, and what belongs to it, among those of a chunk.
func (e *tokenEdit) writeTexts(c *chunk, r *packed, t *Token, own string, was *packed) {
	before := ""
	if isObject(t) {
		before = kindPrefix
		r.flags |= flagObject
	}
	r.nameLength, r.ownLength = uint16(len(t.Name)), uint16(len(own))
	if was != nil && was.flags&flagObject == r.flags&flagObject && c.own(was) == own {
		r.name = was.name
		return
	}
	r.name = uint32(len(c.names) + len(before))
	e.appendName(c, before+t.Name+own)
}

// isObject reports whether a token comes from the object of its name.
func isObject(t *Token) bool {
	return t.Source.Origin == OriginObjects && strings.HasPrefix(t.Source.File, kindPrefix) && t.Source.File[len(kindPrefix):] == t.Name
}

// appendName adds a name to those of a chunk: to the last one without a copy each time.
func (e *tokenEdit) appendName(c *chunk, name string) {
	if e.writing == nil || int(c.number) != len(e.next.chunks)-1 {
		c.names += name
		return
	}
	if e.writing.Len() != len(c.names) {
		e.writing.Reset()
		e.writing.WriteString(c.names)
	}
	e.writing.WriteString(name)
	c.names = e.writing.String()
}

// finishNames gives back the room that the names of the last chunk do not need.
func (e *tokenEdit) finishNames() {
	if e.writing != nil {
		last := e.next.chunks[len(e.next.chunks)-1]
		last.names = strings.Clone(last.names)
		if len(last.rows) < perChunk {
			last.rows = append([]packed(nil), last.rows...)
		}
		last.extras = append([]extra(nil), last.extras...)
		e.writing = nil
	}
}

// table returns what became of it. The edit must not be used afterwards.
func (e *tokenEdit) table() *tokenTable {
	e.finishNames()
	e.next.digests.owned, e.next.names.owned = nil, nil
	for i, owned := range e.owned {
		if owned {
			e.next.chunks[i].seal()
		}
	}
	if overfull(&e.next.digests, e.next.count) {
		e.next.rebuildHashes()
	}
	return e.next
}

// overfull reports whether shards hold so many numbers that to copy one takes long.
func overfull(x *hashes, numbers int) bool { return numbers > 8*perShard*len(x.shards) }

// rebuildHashes divides the hashes into as many shards as there should be.
func (t *tokenTable) rebuildHashes() {
	t.digests, t.names = newHashes(t.count), newHashes(t.count)
	for n := range t.all {
		c, r := t.at(n)
		t.names.add(hashName(c.name(r)), n)
		t.digests.add(hashDigest(&r.digest), n)
		for i := range c.previous(r) {
			d := &c.previous(r)[i].Digest
			if other, taken := t.byDigest(d); !taken || other != n {
				t.digests.add(hashDigest(d), n)
			}
		}
	}
}

// mostlyGarbage reports whether edits have left so much behind that the table is to be made anew.
func (t *tokenTable) mostlyGarbage() bool { return t.grown > 4*perChunk+t.count/4 }

// anew returns the table without what edits have left behind.
func (t *tokenTable) anew() (*tokenTable, error) {
	e := newTable(t.count)
	for n := range t.all {
		if err := e.add(t.outline(n)); err != nil {
			return nil, err
		}
	}
	next := e.table()
	next.grown = 0
	return next, nil
}

// The entries of shared are found by what the row held before, and by what this edit added. An entry of an older edit
// is not looked for; there are few, as a table in which edits have added many is made anew.

// userOf finds the entry of a token's user. Tokens of a cluster's objects have entries of their own: they are in groups of
// objects alone, and those of files in groups of files, also where both know the user.
func (e *tokenEdit) userOf(t *Token, was *packed) uint32 {
	ofObjects := t.Source.Origin == OriginObjects
	is := func(n uint32) bool {
		u := &e.next.users[n]
		return u.namespace == t.Namespace && u.name == t.User && slices.Equal(u.groups, t.Groups)
	}
	if was != nil && is(was.user) && (e.next.files[was.file].origin == OriginObjects) == ofObjects { // mutant: users-are-shared
		return was.user
	}
	key := t.User
	if t.Namespace != "" {
		key = t.Namespace + "\n" + t.User
	}
	if ofObjects {
		key += "\n"
	}
	if n, known := e.users[key]; known && is(n) {
		return n
	}
	n := uint32(len(e.next.users))
	e.next.users = append(e.next.users, user{t.Namespace, strings.Clone(t.User), t.Groups})
	e.users[key] = n
	e.next.grown++
	return n
}

func (e *tokenEdit) fileOf(t *Token, was *packed) uint32 {
	f := fileOf{t.Source.File, t.Source.Origin}
	if isObject(t) {
		f.name = ""
	}
	if was != nil && e.next.files[was.file] == f {
		return was.file
	}
	n, known := e.files[f]
	if !known {
		n = uint32(len(e.next.files))
		e.next.files = append(e.next.files, f)
		e.files[f] = n
		e.next.grown++
	}
	return n
}

func (e *tokenEdit) grantOf(list []*Policy, was *packed) uint32 {
	if len(list) == 0 {
		return 0
	}
	is := func(n uint32) bool { return slices.Equal(e.next.grants[n], list) }
	if was != nil && is(was.grant) {
		return was.grant
	}
	if i := slices.IndexFunc(e.grants[list[0]], is); i >= 0 {
		return e.grants[list[0]][i]
	}
	n := uint32(len(e.next.grants))
	e.next.grants = append(e.next.grants, slices.Clone(list))
	e.grants[list[0]] = append(e.grants[list[0]], n)
	e.next.grown++
	return n
}

func (e *tokenEdit) gatesOf(t *Token, was *packed) uint32 {
	if len(t.Gates) == 0 {
		return 0
	}
	if was != nil && slices.Equal(e.next.gates[was.gates], t.Gates) {
		return was.gates
	}
	key := strings.Join(t.Gates, "\n")
	n, known := e.gates[key]
	if !known {
		n = uint32(len(e.next.gates))
		e.next.gates = append(e.next.gates, slices.Clone(t.Gates))
		e.gates[key] = n
		e.next.grown++
	}
	return n
}
