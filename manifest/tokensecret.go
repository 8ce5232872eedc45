package manifest

import (
	"cmp"
	"time"

	"github.com/patgate/patgate/token"
)

// The defaults of a TokenSecret.
const (
	DefaultRotateEvery = 30 * 24 * time.Hour
	DefaultOverlap     = 24 * time.Hour
)

// Every returns after how long a value is replaced.
func (s *TokenSecret) Every() time.Duration {
	return cmp.Or(time.Duration(s.RotateEvery), DefaultRotateEvery)
}

// Overlaps returns for how long a value that was replaced stays good: at most half of the time until the next one,
// unless the manifest says otherwise.
func (s *TokenSecret) Overlaps() time.Duration {
	return cmp.Or(time.Duration(s.Overlap), min(DefaultOverlap, s.Every()/2))
}

// Value is a value that a controller made for a token, as the token's status lists it: the newest comes last.
type Value struct {
	Digest token.Digest
	Issued time.Time
	Until  time.Time // zero: nothing has replaced it yet
}

// beyondAll is the end of a value that is about to be replaced: its token's end comes first.
var beyondAll = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

// SetValues gives a token with a secret the values that a controller made.
func (t *APIToken) SetValues(values []Value) {
	t.Digest, t.Issued, t.Previous = Digest{}, Time{}, nil
	for i := range values {
		v := &values[i]
		if i == len(values)-1 {
			t.Digest, t.Issued = Digest{v.Digest, t.At}, Time{v.Issued}
			return
		}
		until := v.Until
		if until.IsZero() {
			until = beyondAll
		}
		t.Previous = append(t.Previous, Previous{Digest{v.Digest, t.At}, Time{v.Issued}, Time{until}})
	}
}
