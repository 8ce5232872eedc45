package policy

import (
	"encoding/binary"
	"fmt"

	"github.com/hashicorp/go-memdb"
)

// The tables of the index and their indexes.
const (
	tableGates    = "gates"
	tableGroups   = "groups"
	tablePolicies = "policies"
	tableTokens   = "tokens"
	tableRevision = "revision" // one row

	indexID = "id" // by name; of chunks by number
)

func gateName(g *Gate) string     { return g.Name }
func groupName(g *Group) string   { return g.Name }
func policyName(p *Policy) string { return p.Name }

var schema = &memdb.DBSchema{Tables: map[string]*memdb.TableSchema{
	tableGates:    table(tableGates, byName[Gate]{gateName}),
	tableGroups:   table(tableGroups, byName[Group]{groupName}),
	tablePolicies: table(tablePolicies, byName[Policy]{policyName}),
	tableTokens:   table(tableTokens, byNumber{}),
	tableRevision: table(tableRevision, single{}),
}}

func table(name string, id memdb.Indexer) *memdb.TableSchema {
	return &memdb.TableSchema{Name: name, Indexes: map[string]*memdb.IndexSchema{
		indexID: {Name: indexID, Unique: true, Indexer: id},
	}}
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

// byNumber indexes a chunk of tokens.
type byNumber struct{}

func (byNumber) FromObject(raw any) (bool, []byte, error) {
	c, ok := raw.(*chunk)
	if !ok {
		return false, nil, fmt.Errorf("a row of type %T", raw)
	}
	return true, binary.BigEndian.AppendUint32(nil, c.number), nil
}

func (byNumber) FromArgs(args ...any) ([]byte, error) {
	if len(args) == 1 {
		if number, ok := args[0].(uint32); ok {
			return binary.BigEndian.AppendUint32(nil, number), nil
		}
	}
	return nil, fmt.Errorf("want one number, got %d arguments", len(args))
}

// single is the index of a table with one row.
type single struct{}

func (single) FromObject(any) (bool, []byte, error) { return true, []byte{0}, nil }
func (single) FromArgs(...any) ([]byte, error)      { return []byte{0}, nil }
