package policy

import (
	"fmt"

	"github.com/hashicorp/go-memdb"

	"github.com/patgate/patgate/token"
)

// The tables of the index and their indexes.
const (
	tableGates    = "gates"
	tableGroups   = "groups"
	tablePolicies = "policies"
	tableTokens   = "tokens"
	tableRevision = "revision" // one row

	indexID     = "id" // by name
	indexDigest = "digest"
)

func gateName(g *Gate) string     { return g.Name }
func groupName(g *Group) string   { return g.Name }
func policyName(p *Policy) string { return p.Name }
func tokenName(t *Token) string   { return t.Name }

var schema = &memdb.DBSchema{Tables: map[string]*memdb.TableSchema{
	tableGates:    table(tableGates, byName[Gate]{gateName}),
	tableGroups:   table(tableGroups, byName[Group]{groupName}),
	tablePolicies: table(tablePolicies, byName[Policy]{policyName}),
	tableTokens: table(tableTokens, byName[Token]{tokenName}, &memdb.IndexSchema{
		Name: indexDigest, Unique: true, Indexer: byDigest{},
	}),
	tableRevision: table(tableRevision, single{}),
}}

func table(name string, id memdb.Indexer, more ...*memdb.IndexSchema) *memdb.TableSchema {
	t := &memdb.TableSchema{Name: name, Indexes: map[string]*memdb.IndexSchema{
		indexID: {Name: indexID, Unique: true, Indexer: id},
	}}
	for _, index := range more {
		t.Indexes[index.Name] = index
	}
	return t
}

// byName indexes a row by its name, without reflection.
type byName[T any] struct{ name func(*T) string }

func (x byName[T]) FromObject(raw any) (bool, []byte, error) {
	t, ok := raw.(*T)
	if !ok {
		return false, nil, fmt.Errorf("a row of type %T", raw)
	}
	return true, nameKey(x.name(t)), nil
}

func (byName[T]) FromArgs(args ...any) ([]byte, error) {
	if len(args) == 1 {
		if name, ok := args[0].(string); ok {
			return nameKey(name), nil
		}
	}
	return nil, fmt.Errorf("want one name, got %d arguments", len(args))
}

// nameKey ends a name with NUL, so that no key is a prefix of another.
func nameKey(name string) []byte { return append([]byte(name), 0) }

// byDigest indexes a token by the digests of its present and its previous values.
type byDigest struct{}

func (byDigest) FromObject(raw any) (bool, [][]byte, error) {
	t, ok := raw.(*Token)
	if !ok {
		return false, nil, fmt.Errorf("a row of type %T", raw)
	}
	keys := make([][]byte, 0, 1+len(t.Previous))
	keys = append(keys, t.Digest[:])
	for i := range t.Previous {
		keys = append(keys, t.Previous[i].Digest[:])
	}
	return true, keys, nil
}

// FromArgs takes a *token.Digest: the key is the digest itself, without a copy.
func (byDigest) FromArgs(args ...any) ([]byte, error) {
	if len(args) == 1 {
		if d, ok := args[0].(*token.Digest); ok {
			return d[:], nil
		}
	}
	return nil, fmt.Errorf("want one *token.Digest, got %d arguments", len(args))
}

// single is the index of a table with one row.
type single struct{}

func (single) FromObject(any) (bool, []byte, error) { return true, []byte{0}, nil }
func (single) FromArgs(...any) ([]byte, error)      { return []byte{0}, nil }
