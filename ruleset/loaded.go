package ruleset

import (
	"crypto/sha256"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
)

// Loaded indexes the active revision of an origin by source file. A step from it decodes only the files that differ: a
// revocation among a million tokens takes effect as soon as among ten. Token documents are not kept, because their rows are
// enough. Where the rows can't decide how a change affects a token, or where there is a problem, which may affect any
// document, a step loads all files. Every step from a nil Loaded does.
type Loaded struct {
	known    map[string][sha256.Size]byte // the digest of each file
	shared   *Set                         // the shared documents
	compiler *compiler                    // of tokens that refer to the shared documents
}

// newLoaded indexes an active set. It returns nil if two files have the same name.
func newLoaded(s *Set) *Loaded {
	if s.input.ambiguous() {
		return nil
	}
	l := &Loaded{known: make(map[string][sha256.Size]byte, len(s.input.Files))}
	for _, f := range s.input.Files {
		l.known[f.Name] = f.Sum
	}
	l.shared = newSet()
	l.shared.Gates, l.shared.Groups, l.shared.Policies, l.shared.users, l.shared.kinds = s.Gates, s.Groups, s.Policies, s.groupsByUser(), s.kinds
	for name, doc := range s.names {
		if doc.Kind != manifest.KindAPIToken {
			l.shared.names[name] = doc
		}
	}
	l.compiler = compilerOf(s.Rows.Policies, s.Rows.Groups)
	return l
}

// Known returns the digest of each file. A nil Loaded knows none.
func (l *Loaded) Known() map[string][sha256.Size]byte {
	if l == nil {
		return nil
	}
	return l.known
}

// ambiguous reports whether two files have the same name: a directory that shows a mount's files may also have one of
// its own.
func (in *Input) ambiguous() bool {
	for i := range in.Files[:max(0, len(in.Files)-1)] {
		if in.Files[i].Name == in.Files[i+1].Name { // they are sorted
			return true
		}
	}
	return false
}

// Step is the difference between the active revision and what a source has now. Make one with
// Loaded.Step, Check it, and Accept it once its Changes are applied.
type Step struct {
	*Set                   // the documents that were decoded, and those that they refer to
	Changes policy.Changes // set once Check has returned true
	Whole   bool           // all files were loaded

	from     *Loaded
	changed  []File          // files that are new or differ
	leaving  map[string]bool // files that differ or were removed
	decoded  bool            // whether the changed files are decoded
	stream   *stream         // of a large load; else nil
	outdated bool            // a deferred file has changed since it was listed

	before map[string]*manifest.Document // shared documents of the leaving files, by kind and name
	rows   policy.Rows                   // of the shared documents, if they differ
}

// Step decodes the files that differ from the loaded ones, or all files.
func (l *Loaded) Step(in Input, o Options) *Step {
	if l == nil && in.deferred() {
		return newStream(in, o)
	}
	if l == nil {
		return &Step{Set: Read(in, o), Whole: true}
	}
	s := &Step{Set: newSet(), from: l, leaving: map[string]bool{}}
	s.input, s.options = in, o.withDefaults()
	s.users, s.names, s.kinds = l.shared.users, maps.Clone(l.shared.names), maps.Clone(l.shared.kinds)
	s.differences()
	if len(in.Problems) > 0 || in.ambiguous() || s.large() || !s.readDeferred() {
		return s
	}
	s.leave()
	s.addAll(s.decode(s.options.Workers, s.changed))
	s.decoded = true
	return s
}

// differences finds the files that are new or differ, and the loaded files that differ or were removed.
func (s *Step) differences() {
	stay := 0
	for _, f := range s.input.Files {
		sum, loaded := s.from.known[f.Name]
		if loaded {
			stay++
		}
		if loaded && sum == f.Sum {
			continue
		}
		if loaded {
			s.leaving[f.Name] = true
		}
		s.changed = append(s.changed, f)
	}
	if stay == len(s.from.known) {
		return // no file was removed, as nearly always
	}
	there := make(map[string]bool, len(s.input.Files))
	for _, f := range s.input.Files {
		there[f.Name] = true
	}
	for name := range s.from.known {
		if !there[name] { // mutant: removed-file-stays
			s.leaving[name] = true
		}
	}
}

// maxDeferred is the maximum size of deferred data that an incremental step decodes.
const maxDeferred = 32 << 20

// large reports whether so much differs that a streamed load of all files needs less memory.
func (s *Step) large() bool {
	size := int64(0)
	for i := range s.changed {
		if s.changed[i].Data == nil {
			size += s.changed[i].Length()
		}
	}
	return size > maxDeferred
}

// readDeferred reads the changed files whose data was deferred. It returns false if one has changed since.
func (s *Step) readDeferred() bool {
	for i := range s.changed {
		f, ok := &s.changed[i], false
		if f.Data, ok = f.Content(); !ok {
			s.outdated = true
			return false
		}
	}
	return true
}

// Check checks the step and computes its Changes. It returns false if the step can't be applied. A Whole step then has
// Problems; another one says nothing about whether a Whole step would be valid.
func (s *Step) Check() (good bool) {
	if !s.Whole {
		return s.checkChanged()
	}
	if s.stream != nil {
		return s.stream.finish()
	}
	if s.Set.Check(); len(s.Problems) > 0 {
		return false
	}
	s.Changes = policy.Changes{Origin: s.changedOrigin(), All: true, New: s.Rows}
	return true
}

// changedOrigin is the origin of all rows, or none where they have several.
func (s *Step) changedOrigin() string {
	if len(s.input.Scopes) > 0 {
		return ""
	}
	return s.input.Origin
}

// End applies endings to the step's new tokens before the changes run. It keeps a running row that equals the result.
func (s *Step) End(endings []policy.Ending) {
	if len(endings) == 0 {
		return
	}
	by := map[string][]policy.Ending{}
	for _, e := range endings {
		by[e.Token] = append(by[e.Token], e)
	}
	for i, row := range s.Changes.New.Tokens {
		ended := row
		for _, e := range by[row.Name] {
			if after := ended.EndedBy(&e); after != nil {
				ended = after
			}
		}
		if running := s.options.Running.TokenByName(row.Name); ended != row && running != nil && running.Fingerprint == ended.Fingerprint &&
			slices.Equal(running.Groups, row.Groups) && sameNamed(running.Grant.Policies, namedPolicies(row.Grant.Policies)) {
			ended = running
		}
		s.Changes.New.Tokens[i] = ended
	}
}

// namedPolicies leaves out a token's own rules.
func namedPolicies(grant []*policy.Policy) []*policy.Policy {
	if n := len(grant); n > 0 && grant[n-1].Name == "" {
		return grant[:n-1]
	}
	return grant
}

// checkChanged checks the decoded documents together with the ones that stay.
func (s *Step) checkChanged() bool {
	if !s.decoded || s.broken || len(s.Problems)+len(s.unread) > 0 || len(s.Gates) == 0 { // mutant: broken-change-taken
		return false
	}
	shared := s.sharedDiffers()
	if shared && !s.sharedCompatible() { // mutant: rest-alike-always
		return false
	}
	if s.check(); len(s.Problems) > 0 || s.nameOrValueTaken() { // mutant: wrong-change-taken
		return false
	}
	s.Changes = policy.Changes{Origin: s.changedOrigin(), New: policy.Rows{SHA256: s.input.Digest}}
	s.options.Running.TokensIn(func(file, _ string) bool { return s.leaving[file] }, func(row *policy.Token) bool {
		s.Changes.Old.Tokens = append(s.Changes.Old.Tokens, row)
		return true
	})
	slices.SortFunc(s.Changes.Old.Tokens, func(a, b *policy.Token) int { return strings.Compare(a.Name, b.Name) })
	return s.compileChanged(shared)
}

// nameOrValueTaken reports whether a token in a file that stays has the name or a digest of a decoded token.
func (s *Step) nameOrValueTaken() bool {
	running := s.options.Running
	stays := func(t *policy.Token) bool { return t != nil && !s.leaving[t.Source.File] }
	for _, doc := range s.Tokens {
		if stays(running.TokenByName(doc.Key())) || stays(running.Token(&doc.APIToken.Digest.Sum)) { // mutant: name-or-value-taken
			return true
		}
		for i := range doc.APIToken.Previous {
			if stays(running.Token(&doc.APIToken.Previous[i].Digest.Sum)) {
				return true
			}
		}
	}
	return false
}

// compileChanged makes the rows of the decoded documents. It returns false if the documents that stay may conflict with
// them, or after a panic.
func (s *Step) compileChanged(shared bool) (done bool) {
	defer func() {
		if recover() != nil {
			done = false
		}
	}()
	compiler := *s.from.compiler
	compiler.old = s.options.Running
	if shared {
		c := s.compileShared()
		if c == nil {
			return false
		}
		compiler = *c
	}
	for _, doc := range s.Tokens {
		s.Changes.New.Tokens = append(s.Changes.New.Tokens, compiler.token(doc))
	}
	return true
}

// Losses reports access that the changes would open because a document was removed.
func (s *Step) Losses(now time.Time) []diag.Problem {
	if !s.Whole {
		return nil // Check rejects an incremental step that has any
	}
	return Losses(s.options.Running, &s.Rows, now)
}

// Accept returns the loaded state after the changes were applied.
func (s *Step) Accept() *Loaded {
	if len(s.Isolated) > 0 {
		return nil // any change may concern a token that is not accepted
	}
	if s.Whole {
		return newLoaded(s.Set)
	}
	l := s.from
	for name := range s.leaving {
		delete(l.known, name)
	}
	for _, f := range s.changed {
		l.known[f.Name] = f.Sum
	}
	if s.Changes.Refer {
		l.accept(s)
	}
	return l
}
