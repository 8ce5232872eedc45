package extauthz

import (
	"crypto/rand"
	"sync"
)

// idLength is the length of a decision's id: 26 characters of 5 bits, as crypto/rand.Text has them.
const idLength = 26

// entropy holds random bytes for some ids: reading those of each id alone costs as much as the rest of making it.
type entropy struct {
	bytes [32 * idLength]byte
	used  int // from the end on
}

var entropies = sync.Pool{New: func() any { return new(entropy) }}

// newID returns the id of a decision.
func newID() string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	e := entropies.Get().(*entropy)
	if e.used < idLength {
		_, _ = rand.Read(e.bytes[:]) // it never fails
		e.used = len(e.bytes)
	}
	e.used -= idLength
	var id [idLength]byte
	for i := range id {
		id[i] = alphabet[e.bytes[e.used+i]%32]
	}
	entropies.Put(e)
	return string(id[:])
}
