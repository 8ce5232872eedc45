package policy

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/patgate/patgate/token"
)

// Index holds the gates, groups, policies and tokens of the running revision as rows
// of one MemDB. Writers take turns; readers take snapshots and never wait. Make one
// with NewIndex.
type Index struct {
	writer  sync.Mutex
	db      *memdb.MemDB
	current atomic.Pointer[Snapshot]
}

// Rows are what a load compiled: the whole of a revision.
type Rows struct {
	Gates    []*Gate
	Groups   []*Group
	Policies []*Policy
	Tokens   []*Token
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
	x.current.Store(&Snapshot{txn: db.Txn(false), revision: &Revision{}})
	return x
}

// Snapshot returns the running revision. It stays as it is, whatever is written later.
func (x *Index) Snapshot() *Snapshot { return x.current.Load() }

// Replace makes rows the running revision, in one transaction. Rows that are the same
// pointers as in the revision before are left in place.
func (x *Index) Replace(rows Rows, now time.Time) (Change, error) {
	x.writer.Lock()
	defer x.writer.Unlock()
	txn := x.db.Txn(true)
	defer txn.Abort() // after Commit it does nothing
	c := Change{Revision: x.Snapshot().Revision().Number + 1}
	err := firstError(
		replaceTable(txn, tableGates, rows.Gates, gateName, &c),
		replaceTable(txn, tableGroups, rows.Groups, groupName, &c),
		replaceTable(txn, tablePolicies, rows.Policies, policyName, &c),
		replaceTable(txn, tableTokens, rows.Tokens, tokenName, &c),
	)
	if err != nil {
		return Change{}, err
	}
	return c, x.commit(txn, &Revision{
		Number: c.Revision, SHA256: rows.SHA256, Loaded: now,
		gates: newGateTable(rows.Gates), members: membership(rows.Groups), gone: x.Snapshot().remember(rows),
	})
}

// Exchange puts tokens in the place of others of the running revision, in one transaction.
// Gates, groups and policies stay, and so do tokens that are among both. It is what Replace
// does with all rows of which no others differ, at the cost of those that do. It returns an
// error, and changes nothing, where one of the old tokens is not of the running revision.
func (x *Index) Exchange(old, tokens []*Token, sha256 [32]byte, now time.Time) (Change, error) {
	x.writer.Lock()
	defer x.writer.Unlock()
	running := x.Snapshot()
	for _, t := range old {
		if running.TokenByName(t.Name) != t {
			return Change{}, fmt.Errorf("the token %s is not what runs", t.Name)
		}
	}
	txn := x.db.Txn(true)
	defer txn.Abort()
	next := *running.Revision()
	next.Number++
	next.SHA256, next.Loaded, next.gone = sha256, now, running.rememberExchange(old, tokens)
	c := Change{Revision: next.Number}
	if err := exchangeRows(txn, tableTokens, old, tokens, tokenName, &c); err != nil {
		return Change{}, err
	}
	return c, x.commit(txn, &next)
}

// Ending is what a document of a rejected load ends: a value of the token of its name.
type Ending struct {
	Token              string
	Digest             token.Digest
	Revoked, Suspended bool
}

// Narrow takes `revoked` and `suspended` out of a load that was rejected: rows that have the
// name and the digest of an ending are refused from then on, in one transaction on the last
// good revision. A digest alone says nothing: it is public, and anybody may write it into a
// document of their own. It returns the tokens' names; none means that nothing changed.
func (x *Index) Narrow(endings []Ending) (names []string, revision uint64, err error) {
	x.writer.Lock()
	defer x.writer.Unlock()
	old := x.Snapshot().Revision()
	txn := x.db.Txn(true)
	defer txn.Abort()
	for i := range endings {
		narrowed, err := narrowRow(txn, &endings[i])
		if err != nil {
			return nil, old.Number, err
		}
		if narrowed {
			names = append(names, endings[i].Token)
		}
	}
	if len(names) == 0 {
		return nil, old.Number, nil
	}
	next := *old
	next.Number++
	slices.Sort(names)
	return slices.Compact(names), next.Number, x.commit(txn, &next)
}

// narrowRow ends one token, unless it has ended by the same word.
func narrowRow(txn *memdb.Txn, e *Ending) (narrowed bool, err error) {
	raw, err := txn.First(tableTokens, indexDigest, &e.Digest)
	if err != nil || raw == nil {
		return false, err
	}
	row := *raw.(*Token)
	if row.Name != e.Token {
		return false, nil
	}
	revokes, suspends := e.Revoked && !row.Revoked, e.Suspended && !row.Suspended && !row.Revoked
	if !revokes && !suspends {
		return false, nil
	}
	row.Revoked, row.Suspended = row.Revoked || e.Revoked, row.Suspended || e.Suspended
	row.Fingerprint = Fingerprint{} // so that the next good load replaces it
	return true, txn.Insert(tableTokens, &row)
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

// replaceTable makes rows the whole of a table.
func replaceTable[T any](txn *memdb.Txn, table string, rows []*T, name func(*T) string, c *Change) error {
	all, err := txn.Get(table, indexID)
	if err != nil {
		return err
	}
	var old []*T
	for raw := all.Next(); raw != nil; raw = all.Next() {
		old = append(old, raw.(*T))
	}
	return exchangeRows(txn, table, old, rows, name, c)
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

// membership lists each user's groups, by name.
func membership(groups []*Group) map[string][]*Group {
	members := map[string][]*Group{}
	for _, g := range groups {
		for _, user := range g.Members {
			if !slices.Contains(members[user], g) {
				members[user] = append(members[user], g)
			}
		}
	}
	for _, of := range members {
		SortGroups(of)
	}
	return members
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
