package policy

import (
	"encoding/binary"
	"hash/maphash"
	"math"
	"slices"
	"strings"
	"sync/atomic"
)

// Tokens of a cluster's objects often have rules of their own, and a compiled rule takes kilobytes. A row keeps such rules
// as a text of some hundred bytes where they have no more than names, methods and paths; the first check of the token
// compiles them again, and a cache of a fixed size keeps them. They compiled when they were loaded. Should one fail to
// all the same, it is left out: own rules only allow.

// packOwn returns the text of rules of a token's own; false: they have something that it has no room for.
func packOwn(t *Token) (text string, ok bool) {
	own := ownOf(t.Grant.Policies)
	if own == nil || t.Source.Origin != OriginObjects || own.Observe || len(own.Deny) > 0 || own.Source != t.Source || own.Fingerprint != (Fingerprint{}) {
		return "", false
	}
	b := binary.AppendUvarint(nil, uint64(len(own.Allow)))
	for _, r := range own.Allow {
		if !r.simple() || r.Source.File != t.Source.File || r.Source.Origin != t.Source.Origin {
			return "", false
		}
		b = appendText(binary.AppendUvarint(b, uint64(r.Source.Line)), r.Name)
		b = binary.AppendUvarint(b, uint64(len(r.Methods)))
		for _, m := range r.Methods {
			b = appendText(b, m)
		}
		path := "" // none
		if r.Path != nil {
			path = "=" + r.Path.text
		}
		b = appendText(b, path)
	}
	if len(b) > math.MaxUint16 {
		return "", false
	}
	return string(b), true
}

// Compact keeps the rules of a token's own as a text, where a row would: compiled, those of many tokens are much memory.
func (t *Token) Compact() {
	if text, ok := packOwn(t); ok {
		t.own, t.Grant.Policies = text, named(t.Grant.Policies)
	}
}

// ownOf returns the rules of a token's own among what it is granted, or nil.
func ownOf(policies []*Policy) *Policy {
	if n := len(policies); n > 0 && policies[n-1].Name == "" {
		return policies[n-1]
	}
	return nil
}

// simple reports whether a rule has nothing but a name, methods and a path.
func (r *Rule) simple() bool {
	return r.Policy == "" && len(r.Clients)+len(r.Query)+len(r.JSON)+len(r.ContentTypes) == 0 && r.MCP == nil
}

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// ownReader reads what packOwn wrote.
type ownReader struct {
	rest string
	bad  bool
}

func (r *ownReader) number() int {
	n, size := uint64(0), 0
	for shift := 0; size < len(r.rest) && shift < 63; shift += 7 {
		c := r.rest[size]
		n |= uint64(c&0x7f) << shift
		if size++; c < 0x80 {
			r.rest = r.rest[size:]
			return int(n)
		}
	}
	r.bad = true
	return 0
}

func (r *ownReader) text() string {
	n := r.number()
	if r.bad = r.bad || n > len(r.rest); r.bad {
		return ""
	}
	text := r.rest[:n]
	r.rest = r.rest[n:]
	return text
}

// unpackOwn compiles the rules of a text.
func unpackOwn(text string, source Source) *Policy {
	p, in := &Policy{Source: source}, ownReader{rest: text}
	for range in.number() {
		r := &Rule{Source: Source{File: source.File, Line: in.number(), Origin: source.Origin}, Name: in.text()}
		for n := in.number(); n > 0 && !in.bad; n-- {
			r.Methods = append(r.Methods, in.text())
		}
		if path := in.text(); path != "" {
			var err error
			if r.Path, err = SharedPattern(path[1:]); err != nil {
				continue
			}
		}
		if in.bad {
			return &Policy{Source: source}
		}
		p.Allow = append(p.Allow, r)
	}
	return p
}

// ownCache keeps the rules of the tokens that were checked last. Readers never wait, and write nothing where they find them.
type ownCache struct {
	buckets [ownBuckets][ownWays]atomic.Pointer[ownEntry]
	victim  atomic.Uint32
}

const (
	ownBuckets = 1 << 10
	ownWays    = 4
)

// ownEntry holds the grants of one token: policies by name, and its own rules at the end.
type ownEntry struct {
	source   Source
	text     string
	named    []*Policy
	policies []*Policy
}

func (e *ownEntry) is(source *Source, text string, named []*Policy) bool {
	return e.text == text && e.source == *source && slices.Equal(e.named, named)
}

// ownRules is the cache of the process.
var ownRules ownCache

// granted returns the policies of a token: the named ones, and the rules of a text.
func (c *ownCache) granted(source *Source, text string, named []*Policy) []*Policy {
	bucket := &c.buckets[maphash.String(seed, source.File)%ownBuckets]
	for i := range bucket {
		if e := bucket[i].Load(); e != nil && e.is(source, text, named) {
			return e.policies
		}
	}
	e := &ownEntry{source: *source, text: strings.Clone(text), named: named}
	e.source.File = strings.Clone(source.File) // not a part of a chunk's names
	e.policies = append(slices.Clip(named), unpackOwn(e.text, e.source))
	bucket[c.victim.Add(1)%ownWays].Store(e)
	return e.policies
}
