package ruleset

import (
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
)

// newDecoder returns a decoder of objects.
func newDecoder() *manifest.Decoder { return &manifest.Decoder{Objects: true} }

// writeValues writes values as fingerprints and sums take them in: nothing where there are none.
func writeValues(w io.Writer, values []manifest.Value) {
	for i := range values {
		v := &values[i]
		_, _ = fmt.Fprintf(w, "\n%x %d %d", v.Digest, v.Issued.UnixNano(), v.Until.UnixNano())
	}
}

// withValues returns the fingerprint of a token and its values.
func withValues(of policy.Fingerprint, values []manifest.Value) (sum policy.Fingerprint) {
	h := sha256.New()
	h.Write(of[:])
	writeValues(h, values)
	h.Sum(sum[:0])
	return sum
}

// Decision is the decision about a version of an object.
type Decision struct {
	Object     string // its ID
	UID        string
	Generation int64
	Problem    string // why it is not accepted; empty: it is
	Kept       bool   // its last good version runs
}

// track remembers a decision.
func (o *Objects) track(object *Object, problem string, kept bool) {
	if o.Track {
		o.decided = append(o.decided, Decision{object.ID(), object.UID, object.Generation, problem, kept})
	}
}

// Decisions returns what was decided since the last call, in that order. An object that has not changed may be among them.
func (o *Objects) Decisions() []Decision {
	list := o.decided
	o.decided = nil
	return list
}
