package token

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"strings"
)

// digestPrefix names the hash in a manifest: `sha256:` and 64 hexadecimal digits.
const digestPrefix = "sha256:"

// Digest is the SHA-256 of a token's bytes: what manifests and the index hold
// instead of the value. A plain hash is enough for values of at least 128 random
// bits, which minted ones have. The zero Digest belongs to no value.
type Digest [sha256.Size]byte

// Sum returns the digest of a secret's bytes.
func Sum(s Secret) Digest { return sha256.Sum256([]byte(s.value)) }

// ErrDigest describes the form of a digest in a manifest.
var ErrDigest = errors.New("expected sha256: and 64 lower-case hexadecimal digits")

// ParseDigest reads the form that String writes. It returns ErrDigest for any
// other text, upper-case digits included: one digest has one spelling.
func ParseDigest(text string) (Digest, error) {
	var d Digest
	digits, ok := strings.CutPrefix(text, digestPrefix)
	if !ok || len(digits) != hex.EncodedLen(len(d)) || strings.ToLower(digits) != digits {
		return Digest{}, ErrDigest
	}
	if _, err := hex.Decode(d[:], []byte(digits)); err != nil {
		return Digest{}, ErrDigest
	}
	return d, nil
}

// Equal compares in constant time.
func (d Digest) Equal(other Digest) bool {
	return subtle.ConstantTimeCompare(d[:], other[:]) == 1
}

// String returns the digest as manifests write it.
func (d Digest) String() string { return digestPrefix + hex.EncodeToString(d[:]) }
