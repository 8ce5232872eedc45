package ruleset

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// A large load does not hold what it reads. Files that have nothing but tokens come without their Data. They are
// decoded a few at a time, once everything else is known: each token is checked, compiled and packed, and its
// document is forgotten. What the checks find is what those of a Set find.

// Content returns what the file holds. It reports false where a file that was left for later is no longer what
// its digest says.
func (f *File) Content() (data []byte, ok bool) {
	if f.Data == nil && f.Read != nil {
		return f.Read()
	}
	return f.Data, true
}

// Length is the size of what the file holds.
func (f *File) Length() int64 {
	if f.Data == nil && f.Read != nil {
		return f.Size
	}
	return int64(len(f.Data))
}

// LooksLikeTokens reports whether a file seems to have nothing but APITokens, so that a large load may leave it for
// later.
func LooksLikeTokens(data []byte) bool {
	kind, tokens := []byte("\nkind: "), []byte(manifest.KindAPIToken+"\n")
	found := false
	for {
		_, rest, more := bytes.Cut(data, kind)
		if !more {
			return found
		}
		if !bytes.HasPrefix(rest, tokens) {
			return false
		}
		data, found = rest, true
	}
}

// stream is what a Step does with files that are left for later.
type stream struct {
	*Step
	later    []int // their places in input.Files
	compiler *compiler
	packed   *policy.Packed
	good     bool // everything is, so far, so that tokens can be compiled
	tokens   int  // how many were checked
	ranged   bool // a policy has ranges of addresses
	stale    atomic.Bool
	odd      bool // one of the files has something else than tokens after all
	endings  []policy.Ending
	last     decodedFile
	repeats  int // how many were decoded again
}

// bytesPerToken is about how long a token's document is.
const bytesPerToken = 300

// newStream reads an input of which some files are left for later.
func newStream(in Input, o Options) *Step {
	s := &Step{Set: newSet(), Whole: true}
	s.input, s.options = in, o.withDefaults()
	x := &stream{Step: s}
	s.stream = x
	var now []File
	var places []int
	size := int64(0)
	for i, f := range in.Files {
		if f.Data == nil && f.Read != nil {
			x.later, size = append(x.later, i), size+f.Size
			continue
		}
		now, places = append(now, f), append(places, i)
	}
	all := make([][]*manifest.Document, len(in.Files))
	for i, docs := range s.decode(s.options.Workers, now) {
		all[places[i]] = docs
	}
	s.addAll(all)
	x.packed = policy.NewPacked(int(size / bytesPerToken))
	x.guarded(x.run)
	if x.odd && !s.Stale() {
		return readAll(in, o)
	}
	return s
}

// readAll reads an input at once: a file that was left for later has something else than tokens after all.
func readAll(in Input, o Options) *Step {
	in.Files = slices.Clone(in.Files)
	for i := range in.Files {
		f, ok := &in.Files[i], false
		if f.Data, ok = f.Content(); !ok {
			return &Step{Set: newSet(), Whole: true, outdated: true}
		}
	}
	return &Step{Set: Read(in, o), Whole: true}
}

// guarded makes a problem of a panic, as Set.check does.
func (x *stream) guarded(do func()) {
	defer func() {
		if p := recover(); p != nil {
			x.Problems, x.Faulted = append(x.Problems, fault("checked", p)), true
		}
	}()
	do()
}

// run checks and compiles what is known, and then each file.
func (x *stream) run() {
	x.ranges = map[bool]*tokenRanges{false: newTokenRanges(), true: newTokenRanges()}
	x.ranged = slices.ContainsFunc(x.Policies, func(p *manifest.Document) bool {
		return rangeInRules(p, p.TokenPolicy.Allow, p.TokenPolicy.Deny) != ""
	})
	for _, doc := range x.Tokens {
		x.noteRanges(doc)
	}
	x.partial = true
	x.check()
	if x.good = !x.broken && len(x.Problems)+len(x.ReadProblems())+len(x.unread) == 0; x.good {
		x.compiler, x.Rows = compileShared(x.Set, x.options.Running)
		x.compiler.scratch = new(policy.Token) // packed is a copy
	}
	for _, doc := range x.Tokens {
		_ = x.pack(doc) // check has reported names and values that appear twice
	}
	x.each(func(place int, docs []*manifest.Document) {
		for _, doc := range docs {
			doc.Origin = cmp.Or(x.input.Files[place].Origin, x.input.Origin)
			x.document(place, doc)
		}
	})
	x.checkClientIP()
}

// each decodes the files and calls do with each, in their order. No more than a few are held at a time.
func (x *stream) each(do func(place int, docs []*manifest.Document)) {
	if x.options.Workers == 1 {
		for _, place := range x.later {
			do(place, x.read(place))
		}
		return
	}
	const ahead = 32
	turns, next := make(chan struct{}, ahead), atomic.Int64{}
	results := make([]chan []*manifest.Document, len(x.later))
	for i := range results {
		results[i] = make(chan []*manifest.Document, 1)
	}
	for range x.options.Workers {
		go func() {
			for {
				turns <- struct{}{}
				i := int(next.Add(1)) - 1
				if i >= len(x.later) {
					<-turns
					return
				}
				results[i] <- x.read(x.later[i])
			}
		}()
	}
	for i, place := range x.later {
		docs := <-results[i]
		results[i] = nil
		do(place, docs)
		<-turns
	}
}

// read decodes one file.
func (x *stream) read(place int) []*manifest.Document {
	f := &x.input.Files[place]
	if x.stale.Load() {
		return nil
	}
	data, ok := f.Content()
	if !ok {
		x.stale.Store(true)
		return nil
	}
	return x.decoder.Read(f.Name, data)
}

// document takes in one document.
func (x *stream) document(place int, doc *manifest.Document) {
	x.kinds[doc.Kind] = true
	x.tokens++
	x.odd = x.odd || doc.Gate != nil || doc.UserGroup != nil || doc.TokenPolicy != nil
	if doc.Broken() {
		x.broken = true
		x.files[place] = append(x.files[place], doc)
	}
	if doc.APIToken == nil {
		x.unread = append(x.unread, doc)
		if doc.Kind == manifest.KindAPIToken && doc.Key() != "" {
			if err := x.packed.Add(bare(doc, doc.Key())); err != nil {
				x.explainTaken(doc, err)
			}
		}
		return
	}
	x.checkToken(doc)
	x.noteRanges(doc)
	if x.options.Running.Ready() {
		x.endings = append(x.endings, Endings([]*manifest.Document{doc})...)
	}
	if err := x.pack(doc); err != nil {
		x.explainTaken(doc, err)
	}
}

func (x *stream) noteRanges(doc *manifest.Document) {
	if spec := doc.APIToken; !x.ranged && spec.Clients == nil && rangeInRules(doc, spec.Allow) == "" {
		return
	}
	for actAs, r := range x.ranges {
		r.note(x.tokens, doc, x.rangeInToken(doc, actAs, x.groupsByUser()))
	}
}

// pack adds a token to those that come. Where something is wrong elsewhere, nothing will run, but its name and its
// values are taken all the same.
func (x *stream) pack(doc *manifest.Document) error {
	if x.good = x.good && !x.broken && len(x.Problems) == 0; x.good {
		return x.packed.Add(x.compiler.token(doc))
	}
	return x.packed.Add(bare(doc, doc.Key()))
}

// bare returns a row of a name and of a token's values alone.
func bare(doc *manifest.Document, name string) *policy.Token {
	row := &policy.Token{Name: name, Source: doc.At(doc.Pos)}
	if doc.APIToken == nil {
		return row
	}
	row.Digest = doc.APIToken.Digest.Sum
	for _, digest := range previousDigests(doc.APIToken) {
		row.Previous = append(row.Previous, policy.PreviousValue{Digest: digest.Sum})
	}
	return row
}

// explainTaken reports the name and the values of a token that one before it has.
func (x *stream) explainTaken(doc *manifest.Document, err error) {
	found := len(x.Problems) + x.more
	if other := x.again(x.packed.ByName(doc.Key())); other != nil && other.Place(other.Pos) != doc.Place(doc.Pos) {
		if doc.Key() != "" {
			x.nameTwice(doc, other)
		}
		_ = x.packed.Add(bare(doc, fmt.Sprintf("%s\n%d", doc.Key(), x.tokens))) // its values are taken, too
	}
	x.eachDigest(doc, func(field string, digest manifest.Digest) {
		other := x.again(x.packed.ByDigest(digest.Sum))
		if other == nil || other.Place(other.Pos) == doc.Place(doc.Pos) {
			return
		}
		x.eachDigest(other, func(_ string, theirs manifest.Digest) {
			if theirs.Sum == digest.Sum {
				x.digestTwice(doc, field, digest, other, theirs.At)
			}
		})
	})
	switch {
	case len(x.Problems)+x.more > found:
	case len(x.Problems) > 0:
		x.more++
	default:
		x.problem(doc, doc.Pos, "", "%s", err)
	}
}

// maxAgain is how many files are decoded again to find the places of names and values that appear twice.
const maxAgain = 100

// decodedFile is a file that was decoded again.
type decodedFile struct {
	name string
	docs map[int]*manifest.Document // by their lines
}

// again decodes the document of a token once more: all that is left of it is its row.
func (x *stream) again(row *policy.Token) *manifest.Document {
	if row == nil {
		return nil
	}
	if x.last.name != row.Source.File {
		i := slices.IndexFunc(x.input.Files, func(f File) bool { return f.Name == row.Source.File })
		if x.repeats++; i < 0 || x.repeats > maxAgain {
			return nil
		}
		x.last = decodedFile{row.Source.File, map[int]*manifest.Document{}}
		data, _ := x.input.Files[i].Content()
		for _, doc := range x.decoder.Read(row.Source.File, data) {
			x.last.docs[doc.Pos.Line] = doc
		}
	}
	return x.last.docs[row.Source.Line]
}

// finish completes the problems, or the changes. It reports whether there is no problem.
func (x *stream) finish() bool {
	s := x.Step
	s.explain()
	s.checkComplete()
	if s.Problems = manifest.FoldProblems(s.Problems, s.more); len(s.Problems) > 0 {
		s.Rows = policy.Rows{}
		return false
	}
	s.Rows.Packed, s.Rows.SHA256 = x.packed, s.input.Digest
	s.Changes = policy.Changes{Origin: s.changedOrigin(), All: true, New: s.Rows}
	return true
}

// Stale reports whether a file that was left for later has changed since, so that the step means nothing.
func (s *Step) Stale() bool { return s.stream != nil && s.stream.stale.Load() || s.outdated }

// Endings returns what the documents revoke and suspend.
func (s *Step) Endings() []policy.Ending {
	list := Endings(s.Tokens)
	if s.stream != nil {
		list = append(list, s.stream.endings...)
	}
	return list
}

// deferred reports whether some files were left for later.
func (in *Input) deferred() bool {
	for i := range in.Files {
		if in.Files[i].Data == nil && in.Files[i].Read != nil {
			return true
		}
	}
	return false
}

// eachDigest calls do with each value of a token.
func (s *Set) eachDigest(doc *manifest.Document, do func(field string, digest manifest.Digest)) {
	if doc.APIToken == nil {
		return
	}
	for i, digest := range append([]manifest.Digest{doc.APIToken.Digest}, previousDigests(doc.APIToken)...) {
		field := "spec.digest"
		if i > 0 {
			field = fmt.Sprintf("spec.previous[%d].digest", i-1)
		}
		if digest.Sum != (token.Digest{}) {
			do(field, digest)
		}
	}
}
