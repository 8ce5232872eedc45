package policy

import (
	"bytes"
	"strings"
	"unicode"
)

// fewKeys is up to how many members a look at every pair beats a map.
const fewKeys = 12

// A sameness is a rule by which two keys count as one.
type sameness bool

const (
	sameBytes sameness = false
	sameFold  sameness = true // but for case, in all of Unicode
)

// foldState remembers whether an object has a key twice but for case.
type foldState uint8

const (
	foldUnknown foldState = iota
	foldNever
	foldTwice
)

// repeatsFolded is repeatsKey but for case, looked at once an object.
func (d *document) repeatsFolded(i int) bool {
	v := &d.values[i]
	if v.folds == foldUnknown {
		v.folds = foldNever
		if d.repeatsKey(i, sameFold) {
			v.folds = foldTwice
		}
	}
	return v.folds == foldTwice
}

// repeatsKey reports whether the object at i holds a key twice.
func (d *document) repeatsKey(i int, same sameness) bool {
	members := 0
	for j := i + 1; j < int(d.values[i].next); j = int(d.values[j].next) {
		members++
	}
	if members < 2 {
		return false
	}
	if members > fewKeys {
		return d.repeatsKeyMap(i, members, same)
	}
	end := int(d.values[i].next)
	for j := i + 1; j < end; j = int(d.values[j].next) {
		for k := int(d.values[j].next); k < end; k = int(d.values[k].next) {
			if d.equalKeys(&d.values[j], &d.values[k], same) {
				return true
			}
		}
	}
	return false
}

func (d *document) equalKeys(a, b *jsonValue, same sameness) bool {
	plain := !a.keyEscaped && !b.keyEscaped
	switch {
	case plain && same == sameBytes:
		return bytes.Equal(d.text[a.keyStart:a.keyEnd], d.text[b.keyStart:b.keyEnd])
	case plain:
		return bytes.EqualFold(d.text[a.keyStart:a.keyEnd], d.text[b.keyStart:b.keyEnd])
	case same == sameBytes:
		return d.key(a) == d.key(b)
	}
	return strings.EqualFold(d.key(a), d.key(b))
}

func (d *document) repeatsKeyMap(i, members int, same sameness) bool {
	seen := make(map[string]struct{}, members)
	for j := i + 1; j < int(d.values[i].next); j = int(d.values[j].next) {
		key := d.key(&d.values[j])
		if same == sameFold {
			key = strings.Map(foldRune, key)
		}
		if _, twice := seen[key]; twice {
			return true
		}
		seen[key] = struct{}{}
	}
	return false
}

// foldRune returns one rune for all that differ only in case, as strings.EqualFold
// sees it: the smallest of them.
func foldRune(r rune) rune {
	smallest := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		smallest = min(smallest, f)
	}
	return smallest
}
