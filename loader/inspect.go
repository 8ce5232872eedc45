package loader

import (
	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
)

// Inspection is what one reading of directories found: what Check returns, and the
// documents with their places. The zero value found nothing.
type Inspection struct {
	Rows     policy.Rows // none where there are problems
	Problems []diag.Problem

	// The documents, in the order of their files: all that decode, also where there
	// are problems, and broken ones as far as they do.
	Gates, Tokens, Groups, Policies []*manifest.Document

	files []file // by name
}

// Inspect reads directories once, as Check does, and keeps the documents.
func Inspect(roots []string) *Inspection {
	roots = distinct(roots)
	t := readTree(roots, MaxBytes)
	docs := decodeTree(roots, t)
	i := &Inspection{
		Problems: docs.problems, Gates: docs.gates, Tokens: docs.tokens, Groups: docs.groups, Policies: docs.policies,
		files: t.files,
	}
	if len(docs.problems) == 0 {
		i.Rows = compile(docs, policy.NewIndex().Snapshot())
		i.Rows.SHA256 = t.digest
	}
	return i
}

// Files calls yield with each file that was read and what it held, by name, until it
// returns false.
func (i *Inspection) Files(yield func(name string, data []byte) bool) {
	for _, f := range i.files {
		if !yield(f.name, f.data) {
			return
		}
	}
}
