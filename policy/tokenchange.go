package policy

import (
	"slices"

	"github.com/hashicorp/go-memdb"

	"github.com/patgate/patgate/token"
)

// Packed are the tokens of a load in the form in which an index holds them, so that a large load needs no other.
// Make one with NewPacked.
type Packed struct{ edit *tokenEdit }

// NewPacked returns one that is good for some tokens, and takes any number.
func NewPacked(tokens int) *Packed { return &Packed{newTable(tokens)} }

// Add adds a token. It returns an error where its name or a digest of it is that of one before.
func (p *Packed) Add(t *Token) error { return p.edit.add(t) }

// ByName returns the token of a name, or nil.
func (p *Packed) ByName(name string) *Token {
	if n, found := p.edit.next.byName(name); found {
		return p.edit.next.token(n)
	}
	return nil
}

// ByDigest returns the token with a value of this digest, or nil.
func (p *Packed) ByDigest(d token.Digest) *Token {
	if n, found := p.edit.next.byDigest(&d); found {
		return p.edit.next.token(n)
	}
	return nil
}

// Len returns how many tokens there are.
func (p *Packed) Len() int { return p.edit.next.count }

// All calls yield with each token until it returns false.
func (r *Rows) All(yield func(*Token) bool) {
	for _, t := range r.Tokens {
		if !yield(t) {
			return
		}
	}
	if r.Packed == nil {
		return
	}
	for number := range r.Packed.edit.next.all {
		if !yield(r.Packed.edit.next.token(number)) {
			return
		}
	}
}

// apply returns the table after changes. It is the same one where nothing changes.
func (t *tokenTable) apply(c *Changes, counts *tallies) (next *tokenTable, err error) {
	if c.All {
		return t.replace(c, counts)
	}
	return t.exchange(c.Old.Tokens, c.New.Tokens, c.Origin, counts)
}

// replace makes tokens all of an origin, or of all origins.
func (t *tokenTable) replace(c *Changes, counts *tallies) (*tokenTable, error) {
	edit := newTable(len(c.New.Tokens) + t.count/8)
	if c.New.Packed != nil {
		edit = c.New.Packed.edit
	}
	for _, row := range c.New.Tokens {
		if err := edit.add(row); err != nil {
			return nil, err
		}
	}
	if err := edit.keep(t, c); err != nil {
		return nil, err
	}
	next := edit.table()
	next.grown = 0
	if !t.differences(next, counts) {
		return t, nil
	}
	return next, nil
}

// keep adds the tokens of other origins than that of the changes, which all of the tokens must be of that are there already.
func (e *tokenEdit) keep(running *tokenTable, c *Changes) error {
	for n := range e.next.all {
		if from := e.next.source(n); c.Origin != "" && from.Origin != c.Origin {
			return wrongOrigin(tableTokens, e.next.nameOf(n), from, c.Origin)
		}
	}
	for n := range running.all {
		from := running.source(n)
		if !c.keeps(from.Origin) {
			continue
		}
		if _, taken := e.next.byName(running.nameOf(n)); taken {
			if from.Origin == OriginObjects {
				continue
			}
			return nameTaken(tableTokens, running.nameOf(n), from)
		}
		t := running.outline(n)
		if from.Origin == OriginObjects && e.next.holdsAny(t) {
			continue
		}
		if err := e.add(t); err != nil {
			return err
		}
	}
	return nil
}

// holdsAny reports whether a value of a token is one of another token of the table.
func (t *tokenTable) holdsAny(other *Token) bool {
	return slices.ContainsFunc(other.digests(), func(d token.Digest) bool {
		_, taken := t.digests.find(hashDigest(&d), func(n uint32) bool {
			c, r := t.at(n)
			return c.holds(r, &d)
		})
		return taken
	})
}

// differences counts what the next table adds, changes and removes, and reports whether that is anything.
func (t *tokenTable) differences(next *tokenTable, c *tallies) bool {
	for n := range next.all {
		name := next.nameOf(n)
		switch was, there := t.byName(name); {
		case !there:
			c.added.note(name)
		case !t.same(was, next.outline(n)):
			c.changed.note(name)
		}
	}
	if t.count+c.added.count > next.count {
		for n := range t.all {
			if _, stays := next.byName(t.nameOf(n)); !stays {
				c.removed.note(t.nameOf(n))
			}
		}
	}
	return c.added.count+c.changed.count+c.removed.count > 0
}

// tallies count what becomes of tokens.
type tallies struct{ added, changed, removed tally }

// tally counts tokens, and keeps the first of their names.
type tally struct {
	count int
	names []string // sorted
}

func (t *tally) note(name string) {
	t.count++
	if len(t.names) == maxChangedNames && name >= t.names[maxChangedNames-1] {
		return
	}
	at, _ := slices.BinarySearch(t.names, name)
	t.names = slices.Insert(t.names, at, name)
	t.names = t.names[:min(len(t.names), maxChangedNames)]
}

// tokens adds what became of tokens.
func (c *Change) tokens(t *tallies) {
	c.Added, c.Changed, c.Removed = c.Added+t.added.count, c.Changed+t.changed.count, c.Removed+t.removed.count
	for _, name := range t.added.names {
		note(&c.names().Added, tableTokens, name)
	}
	for _, name := range t.changed.names {
		note(&c.names().Changed, tableTokens, name)
	}
	for _, name := range t.removed.names {
		note(&c.names().Removed, tableTokens, name)
	}
}

// exchange puts tokens in the place of others. What goes or changes makes room before anything comes: a digest may
// move from one token to another.
func (t *tokenTable) exchange(old, rows []*Token, origin string, counts *tallies) (*tokenTable, error) {
	going := make(map[string]uint32, len(old))
	for _, row := range old {
		number, found := t.byName(row.Name)
		if !found || !t.same(number, row) {
			return nil, notRunning(tableTokens, row.Name)
		}
		going[row.Name] = number
	}
	var come []*Token
	changed := map[string]bool{}
	for _, row := range rows {
		if origin != "" && row.Source.Origin != origin {
			return nil, wrongOrigin(tableTokens, row.Name, row.Source, origin)
		}
		number, there := t.byName(row.Name)
		_, goes := going[row.Name]
		switch {
		case there && t.same(number, row):
			delete(going, row.Name) // nothing to do
			continue
		case there && !goes:
			return nil, nameTaken(tableTokens, row.Name, t.source(number))
		}
		changed[row.Name] = there
		come = append(come, row)
	}
	if len(going)+len(come) == 0 {
		return t, nil
	}
	edit := t.edit()
	for name, number := range going {
		if changed[name] {
			counts.changed.note(name)
			edit.removeDigests(number)
		} else {
			counts.removed.note(name)
			edit.remove(number)
		}
	}
	for _, row := range come {
		if !changed[row.Name] {
			counts.added.note(row.Name)
		}
	}
	return edit.come(come, going, changed)
}

// come puts tokens in: in the place of those of their names, where they are changed ones.
func (e *tokenEdit) come(rows []*Token, going map[string]uint32, changed map[string]bool) (*tokenTable, error) {
	for _, row := range rows {
		var err error
		if changed[row.Name] {
			number := going[row.Name]
			e.set(number, row)
			err = e.addDigests(number, row)
		} else {
			err = e.add(row)
		}
		if err != nil {
			return nil, err
		}
	}
	next := e.table()
	if next.mostlyGarbage() {
		return next.anew()
	}
	return next, nil
}

// end ends one token, unless it has ended by the same word.
func (e *tokenEdit) end(ending *Ending) bool {
	number, found := e.next.byDigest(&ending.Digest)
	if !found {
		return false
	}
	ended := e.next.outline(number).EndedBy(ending)
	if ended == nil {
		return false
	}
	e.set(number, ended)
	return true
}

// exchangeChunks puts the chunks of the next table in the place of those that differ.
func exchangeChunks(txn *memdb.Txn, old, next *tokenTable) error {
	for i, c := range old.chunks {
		if i >= len(next.chunks) {
			if err := txn.Delete(tableTokens, c); err != nil {
				return err
			}
		}
	}
	for i, c := range next.chunks {
		if i < len(old.chunks) && old.chunks[i] == c {
			continue
		}
		if err := txn.Insert(tableTokens, c); err != nil {
			return err
		}
	}
	return nil
}
