package loader

import (
	"context"
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/ruleset"
)

// Source is where manifests come from: directories (loader/dir), or anything else that can list its
// documents. A Loader calls the methods from one goroutine at a time.
type Source interface {
	// Origins returns the origins of the source. They never change.
	Origins() []Origin

	// Read returns the complete state of each origin, in the order of Origins. It waits until files that
	// may be half written are complete, and never returns less than there is: a file that can't be read
	// is a Problem of the Update. It returns no updates if no digest differs from have.Seen. It returns
	// an error only if ctx ended, or a *SettleError.
	Read(ctx context.Context, have Have) ([]Update, error)

	// Watch calls changed after something may have changed, from any goroutine, until stop returns.
	// The Loader reads its sources every Options.Poll too.
	Watch(changed func()) (stop func())
}

// Origin is a part of a source that keeps a last good state of its own.
type Origin struct {
	Name  string        // as problems, events and documents name it, such as a directory
	Scope ruleset.Scope // which documents it may hold; the zero value allows all
}

// Update is the state of one origin: all documents that it has now.
type Update struct {
	Origin    string
	Documents []ruleset.File    // by name
	Problems  []diag.Problem    // with reading; if there is one, the origin keeps its last good state
	Digest    [sha256.Size]byte // differs where documents or problems differ; ruleset.Digest makes one
	Partial   bool              // documents that the Loader has were left without Data
}

// Have is what a Loader has already. A Source may use it to do less, or ignore it.
type Have struct {
	Seen      map[string][sha256.Size]byte // the digest of the last update of each origin
	Documents map[string][sha256.Size]byte // documents, by name, that need no Data where they have this digest
	Written   []Written                    // files that this process has just written: they are complete
	Later     bool                         // reading documents may be deferred: see ruleset.File.Read
	Paths     []string                     // of these files, if the last updates are active; else none
	Prepared  bool                         // the function that Prepare returned has run
}

// Preparer is a Source that can do the slow part of a Read in another goroutine.
type Preparer interface {
	Source

	// Prepare returns a function that reads, to be called in another goroutine. The next Read with Have.Prepared
	// uses its result. Before that, the Loader may call Read for files that this process has written.
	Prepare(have Have) (read func())

	// Known reports whether all changes that Watch has reported since the last full read are about files that
	// the Loader has already.
	Known() bool
}

// SettleError is returned by a Preparer's Read with Have.Prepared instead of waiting: files that may be half written must
// stay unchanged for that time. The Loader then prepares again, until Read returns another result.
type SettleError struct{ For time.Duration }

// Error implements error.
func (e *SettleError) Error() string {
	return "files have changed, expected them to rest for " + e.For.String()
}

// Written is a file that this process has written atomically.
type Written struct {
	File string // its base name: a directory may be known by several paths
	Sum  [sha256.Size]byte
}

// read returns the updates of all sources, or none if they hold what the Loader has seen.
func (l *Loader) read(ctx context.Context, have Have) ([]*Update, error) {
	all := make([][]Update, len(l.sources))
	changed := false
	for i, s := range l.sources {
		var err error
		if all[i], err = s.Read(ctx, have); err != nil {
			return nil, err
		}
		changed = changed || all[i] != nil
	}
	if !changed {
		return nil, nil
	}
	have.Seen = nil
	for i, s := range l.sources {
		if all[i] != nil {
			continue
		}
		var err error
		if all[i], err = s.Read(ctx, have); err != nil {
			return nil, err
		}
	}
	return l.unseen(all), nil
}

// unseen returns the updates as one list, or none if the Loader has seen all of them.
func (l *Loader) unseen(all [][]Update) (list []*Update) {
	same := true
	for _, updates := range all {
		for i := range updates {
			u := &updates[i]
			sum, seen := l.seen[u.Origin]
			same = same && seen && sum == u.Digest
			list = append(list, u)
		}
	}
	if same {
		return nil
	}
	return list
}

// input returns updates as the input of a ruleset.
func (l *Loader) input(updates []*Update) ruleset.Input {
	if len(updates) == 1 {
		u := updates[0]
		return ruleset.Input{Origin: u.Origin, Scopes: l.scopes, Files: u.Documents, Problems: u.Problems, Digest: u.Digest}
	}
	in := ruleset.Input{Scopes: l.scopes}
	var origins []string
	for _, u := range updates {
		origins = append(origins, u.Origin)
		in.Problems = append(in.Problems, u.Problems...)
		for _, f := range u.Documents {
			f.Origin = u.Origin
			in.Files = append(in.Files, f)
		}
	}
	in.Origin = strings.Join(origins, ", ")
	slices.SortFunc(in.Files, func(a, b ruleset.File) int { return strings.Compare(a.Name, b.Name) })
	diag.Sort(in.Problems)
	in.Digest = ruleset.Digest(slices.Values(in.Files), in.Problems)
	return in
}

// size is how many bytes the updates hold.
func size(updates []*Update) (n int) {
	for _, u := range updates {
		for i := range u.Documents {
			n += int(u.Documents[i].Length())
		}
	}
	return n
}

// complete copies the Data of unchanged documents from an earlier update.
func (u *Update) complete(before *Update) {
	if !u.Partial {
		return
	}
	u.Documents = slices.Clone(u.Documents) // the source may keep its own
	for i := range u.Documents {
		f := &u.Documents[i]
		if known := before.find(f.Name, f.Sum); f.Data == nil && known != nil {
			f.Data = known.Data
		}
	}
	u.Partial = false
}

// find returns the document of a name and digest, or nil. A nil Update has none.
func (u *Update) find(name string, sum [sha256.Size]byte) *ruleset.File {
	if u == nil {
		return nil
	}
	i, _ := u.search(name)
	for ; i < len(u.Documents) && u.Documents[i].Name == name; i++ {
		if u.Documents[i].Sum == sum {
			return &u.Documents[i]
		}
	}
	return nil
}

func (u *Update) search(name string) (int, bool) {
	return slices.BinarySearchFunc(u.Documents, name, func(f ruleset.File, name string) int { return strings.Compare(f.Name, name) })
}

// owns reports whether the update has a document, or a problem, of a name.
func (u *Update) owns(name string) bool {
	_, found := u.search(name)
	return found || slices.ContainsFunc(u.Problems, func(p diag.Problem) bool { return p.File == name })
}
