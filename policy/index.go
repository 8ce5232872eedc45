package policy

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/patgate/patgate/token"
)

// Index holds the gates, groups, policies and tokens of the running revision as rows
// of one MemDB; of the tokens, a row is a chunk. What finds a request's gate and token is
// derived from the rows in the same transaction. Writers take turns; readers take snapshots
// and never wait. Make one with NewIndex.
type Index struct {
	writer  sync.Mutex
	db      *memdb.MemDB
	current atomic.Pointer[Snapshot]
}

// Rows are the result of a load: a complete revision.
type Rows struct {
	Gates    []*Gate
	Groups   []*Group
	Policies []*Policy
	Tokens   []*Token
	Packed   *Packed  // more tokens, of a large load
	Members  *Members // of Groups, where they are known; nil: they are worked out
	SHA256   [32]byte // of the files that they come from
}

// Change counts what a load did to the rows of each kind together.
type Change struct {
	Revision                uint64
	Added, Changed, Removed int
	Names                   *ChangedNames // nil where nothing changed
}

// ChangedNames are the kinds and names of rows that a load added, changed or removed, such
// as APIToken/ci-bot: the first of each.
type ChangedNames struct{ Added, Changed, Removed []string }

// maxChangedNames bounds each list of ChangedNames.
const maxChangedNames = 20

func (c *Change) names() *ChangedNames {
	if c.Names == nil {
		c.Names = &ChangedNames{}
	}
	return c.Names
}

// note adds a name to a list that is not full.
func note(list *[]string, table, name string) {
	if len(*list) < maxChangedNames {
		*list = append(*list, kindOf[table]+"/"+name)
	}
}

// kindOf is the kind of manifest that a table's rows come from.
var kindOf = map[string]string{tableGates: "Gate", tableGroups: "UserGroup", tablePolicies: "TokenPolicy", tableTokens: "APIToken"}

// NewIndex returns an index without manifests, which is not ready.
func NewIndex() *Index {
	db, err := memdb.NewMemDB(schema)
	if err != nil {
		panic(fmt.Sprintf("the schema of the index: %v", err)) // a constant; a test makes one
	}
	x := &Index{db: db}
	x.current.Store(&Snapshot{txn: db.Txn(false), revision: noRevision})
	return x
}

// Snapshot returns the running revision. It stays as it is, whatever is written later.
func (x *Index) Snapshot() *Snapshot { return x.current.Load() }

// OriginObjects is the origin of rows that come from objects of a cluster. They stay where all rows of every other origin
// are replaced, and give way to a row of another origin with the same name or digest.
const OriginObjects = "kubernetes"

// Changes are the rows that go and come with what changed of one origin. Rows that are among both
// stay in place.
type Changes struct {
	Origin string // of all of these rows; empty: New are the rows of every origin but OriginObjects
	All    bool   // New are all rows of the origin: Old are those that run, and need not be set
	Old    Rows
	New    Rows // its SHA256 is of all files
	Refer  bool // tokens that refer to old policies refer to the new ones of their names, users are in the new groups, and all else of tokens that are not among Old stays
}

// Replace makes rows the whole of the running revision. Gates, groups and policies that are the same
// pointers as in the revision before, and tokens that are the same (see Snapshot.Same), are left in place.
func (x *Index) Replace(rows Rows, now time.Time) (Change, error) {
	return x.Apply(Changes{All: true, New: rows}, now)
}

// Apply puts rows in the place of others of the running revision, in one transaction, at the cost of
// those that differ. It returns an error, and changes nothing, where one of the old rows is not
// what runs, or a new one has another origin, or the name of a row that stays.
func (x *Index) Apply(c Changes, now time.Time) (Change, error) {
	x.writer.Lock()
	defer x.writer.Unlock()
	running := x.Snapshot()
	txn := x.db.Txn(true)
	defer txn.Abort() // after Commit it does nothing
	next := *running.Revision()
	next.Number++
	next.Loaded = now
	next.setSum(c.Origin, c.New.SHA256)
	change := Change{Revision: next.Number}
	gates, groups := len(c.Old.Gates)+len(c.New.Gates) > 0, len(c.Old.Groups)+len(c.New.Groups) > 0
	err := firstError(
		apply(txn, tableGates, &c, &c.Old.Gates, c.New.Gates, gateOf, &change),
		apply(txn, tableGroups, &c, &c.Old.Groups, c.New.Groups, groupOf, &change),
		apply(txn, tablePolicies, &c, &c.Old.Policies, c.New.Policies, policyOf, &change),
	)
	var tokens tallies
	if err == nil {
		next.tokens, err = running.revision.tokens.apply(&c, &tokens)
	}
	if err == nil && c.Refer {
		next.members = running.revision.members.exchange(c.Old.Groups, c.New.Groups)
		next.tokens = next.tokens.refer(c.referring(next.members), &tokens.changed)
	}
	change.tokens(&tokens)
	if err == nil {
		err = exchangeChunks(txn, running.revision.tokens, next.tokens)
	}
	if err != nil {
		return Change{}, err
	}
	if c.All || gates {
		next.gates = newGateTable(rowsIn[Gate](txn, tableGates))
	}
	if c.All || groups && !c.Refer {
		next.members = c.New.membership(rowsIn[Group](txn, tableGroups))
	}
	next.gone = running.remember(&c, &next)
	return change, x.commit(txn, &next)
}

// setSum takes in the sum of a source.
func (r *Revision) setSum(origin string, sum [32]byte) {
	if origin == OriginObjects {
		r.Objects = sum
	} else {
		r.Files = sum
	}
	switch none := [32]byte{}; {
	case r.Objects == none:
		r.SHA256 = r.Files
	case r.Files == none:
		r.SHA256 = r.Objects
	default:
		r.SHA256 = sha256.Sum256(append(r.Files[:], r.Objects[:]...))
	}
}

// naming returns the name of a row, and its origin.
type naming[T any] func(*T) (name string, from Source)

func gateOf(g *Gate) (string, Source)     { return g.Name, g.Source }
func groupOf(g *Group) (string, Source)   { return g.Name, g.Source }
func policyOf(p *Policy) (string, Source) { return p.Name, p.Source }

// rowsIn returns the rows of a table, by name.
func rowsIn[T any](txn *memdb.Txn, table string) (rows []*T) {
	all, err := txn.Get(table, indexID)
	if err != nil {
		return nil
	}
	for raw := all.Next(); raw != nil; raw = all.Next() {
		rows = append(rows, raw.(*T))
	}
	return rows
}

// apply makes the changes of one table.
func apply[T any](txn *memdb.Txn, table string, c *Changes, old *[]*T, rows []*T, of naming[T], change *Change) error {
	stays := map[string]Source{} // rows of other origins, where New are all rows of one
	if c.All {
		*old = nil
		names := map[string]bool{}
		for _, row := range rows {
			name, _ := of(row)
			names[name] = true
		}
		for _, row := range rowsIn[T](txn, table) {
			if name, from := of(row); c.keeps(from.Origin) && !(from.Origin == OriginObjects && names[name]) {
				stays[name] = from
			} else {
				*old = append(*old, row)
			}
		}
	} else if err := fit(txn, table, *old, rows, of); err != nil {
		return err
	}
	for _, row := range rows {
		name, from := of(row)
		if c.Origin != "" && from.Origin != c.Origin {
			return wrongOrigin(table, name, from, c.Origin)
		}
		if there, taken := stays[name]; taken {
			return nameTaken(table, name, there)
		}
	}
	return exchangeRows(txn, table, *old, rows, func(row *T) string { name, _ := of(row); return name }, change)
}

// keeps reports whether rows of an origin stay when all rows of the changes' origin are replaced.
func (c *Changes) keeps(origin string) bool {
	if c.Origin == "" {
		return origin == OriginObjects
	}
	return origin != c.Origin
}

func nameTaken(table, name string, at Source) error {
	return fmt.Errorf("the name of the %s %s is taken at %s", kindOf[table], name, at)
}

func wrongOrigin(table, name string, from Source, origin string) error {
	return fmt.Errorf("%s %s comes from %q and not from %q", kindOf[table], name, from.Origin, origin)
}

func notRunning(table, name string) error {
	return fmt.Errorf("the %s %s is not what runs", kindOf[table], name)
}

// fit checks that old rows run, and that no new one has the name of a row that stays.
func fit[T any](txn *memdb.Txn, table string, old, rows []*T, of naming[T]) error {
	going := make(map[*T]bool, len(old))
	running := func(row *T) (*T, string) {
		name, _ := of(row)
		raw, err := txn.First(table, indexID, name)
		if err != nil || raw == nil {
			return nil, name
		}
		return raw.(*T), name
	}
	for _, row := range old {
		if there, name := running(row); there != row {
			return notRunning(table, name)
		}
		going[row] = true
	}
	for _, row := range rows {
		if there, name := running(row); there != nil && there != row && !going[there] {
			_, from := of(there)
			return nameTaken(table, name, from)
		}
	}
	return nil
}

// Ending is a value that a document of a rejected load ends: one of the token of its name.
type Ending struct {
	Token              string
	Origin             string // of the document: it ends no token of another origin; empty: of any
	Digest             token.Digest
	Revoked, Suspended bool
}

// RevokeEarly takes `revoked` and `suspended` out of a load that was rejected: rows that have the
// name and the digest of an ending are refused from then on, in one transaction on the last
// good revision. A digest alone is not enough: it is public, and everyone may write it into a
// document of their own. It returns the tokens' names; none means that nothing changed.
func (x *Index) RevokeEarly(endings []Ending) (names []string, revision uint64, err error) {
	x.writer.Lock()
	defer x.writer.Unlock()
	old := x.Snapshot().Revision()
	txn := x.db.Txn(true)
	defer txn.Abort()
	edit := old.tokens.edit()
	for i := range endings {
		if edit.end(&endings[i]) {
			names = append(names, endings[i].Token)
		}
	}
	if len(names) == 0 {
		return nil, old.Number, nil
	}
	next := *old
	next.Number++
	next.tokens = edit.table()
	if err := exchangeChunks(txn, old.tokens, next.tokens); err != nil {
		return nil, old.Number, err
	}
	slices.Sort(names)
	return slices.Compact(names), next.Number, x.commit(txn, &next)
}

// EndedBy returns the token as an ending leaves it, or nil where the ending is about another one, or
// changes nothing.
func (t *Token) EndedBy(e *Ending) *Token {
	if t.Name != e.Token || e.Origin != "" && t.Source.Origin != e.Origin || !t.holds(&e.Digest) {
		return nil
	}
	revokes, suspends := e.Revoked && !t.Revoked, e.Suspended && !t.Suspended && !t.Revoked
	if !revokes && !suspends {
		return nil
	}
	row := *t
	row.Revoked, row.Suspended = t.Revoked || e.Revoked, t.Suspended || e.Suspended
	// Another one, so that the next good load replaces the row, and the same each time.
	row.Fingerprint = sha256.Sum256(fmt.Appendf(nil, "%x %t %t", t.Fingerprint, row.Revoked, row.Suspended))
	return &row
}

// holds reports whether a digest is that of one of the token's values.
func (t *Token) holds(digest *token.Digest) bool {
	return t.Digest == *digest || slices.ContainsFunc(t.Previous, func(p PreviousValue) bool { return p.Digest == *digest })
}

// commit writes the revision's row and lets readers see the transaction.
func (x *Index) commit(txn *memdb.Txn, r *Revision) error {
	if err := txn.Insert(tableRevision, r); err != nil {
		return err
	}
	txn.Commit()
	x.current.Store(newSnapshot(x.db.Txn(false)))
	return nil
}

// exchangeRows puts rows into a table in place of old ones; those that are among both stay
// as they are. What goes or changes is deleted before anything is inserted: a digest may
// move from one token to another.
func exchangeRows[T any](txn *memdb.Txn, table string, old, rows []*T, name func(*T) string, c *Change) error {
	next := make(map[string]*T, len(rows))
	for _, row := range rows {
		next[name(row)] = row
	}
	var gone []*T
	changed := map[string]bool{}
	for _, row := range old {
		switch next[name(row)] {
		case row:
			delete(next, name(row)) // nothing to do
		case nil:
			c.Removed++
			note(&c.names().Removed, table, name(row))
			gone = append(gone, row)
		default:
			changed[name(row)] = true
			note(&c.names().Changed, table, name(row))
			gone = append(gone, row)
		}
	}
	c.Added += len(next) - len(changed)
	c.Changed += len(changed)
	for _, row := range gone {
		if err := txn.Delete(table, row); err != nil {
			return err
		}
	}
	for _, row := range rows {
		if next[name(row)] != row {
			continue
		}
		if !changed[name(row)] {
			note(&c.names().Added, table, name(row))
		}
		if err := txn.Insert(table, row); err != nil {
			return err
		}
	}
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
