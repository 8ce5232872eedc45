package ruleset

import (
	"crypto/sha256"
	"encoding/binary"
	"iter"

	"github.com/patgate/patgate/diag"
)

// Digest returns the digest of files, in their order, and of problems with reading them. It is the
// `sha256` of a revision.
func Digest(files iter.Seq[File], problems []diag.Problem) (sum [sha256.Size]byte) {
	all := sha256.New()
	var head []byte
	for f := range files {
		head = binary.AppendUvarint(head[:0], uint64(len(f.Name)))
		head = append(head, f.Name...)
		head = append(head, f.Sum[:]...)
		all.Write(head)
	}
	for _, p := range problems {
		all.Write([]byte(p.String() + "\n"))
	}
	all.Sum(sum[:0])
	return sum
}
