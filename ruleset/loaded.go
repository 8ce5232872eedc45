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

// Loaded indexes the active revision of an origin by source file. A step from it decodes the files that differ: a
// revocation among a million tokens is in effect as soon as among ten. Documents of tokens are not kept, their rows are
// enough. Where these can't decide how a change concerns a token, or where something is wrong, which may concern any
// document, a step takes in all files. From a nil Loaded, which knows nothing, every step does.
type Loaded struct {
	known    map[string][sha256.Size]byte // what each file holds
	rest     *Set                         // all documents but tokens
	compiler *compiler                    // of tokens that name those
}

// newLoaded indexes an active set. It returns nil where two files have one name.
func newLoaded(s *Set) *Loaded {
	if s.input.ambiguous() {
		return nil
	}
	l := &Loaded{known: make(map[string][sha256.Size]byte, len(s.input.Files))}
	for _, f := range s.input.Files {
		l.known[f.Name] = f.Sum
	}
	l.rest = newSet()
	l.rest.Gates, l.rest.Groups, l.rest.Policies, l.rest.users, l.rest.kinds = s.Gates, s.Groups, s.Policies, s.groupsByUser(), s.kinds
	for name, doc := range s.names {
		if doc.Kind != manifest.KindAPIToken {
			l.rest.names[name] = doc
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

// ambiguous reports whether two files have one name: a directory that shows a mount's files
// may also have one of its own.
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
	Changes policy.Changes // of a step that Check found good
	Whole   bool           // all files were taken in

	from    *Loaded
	changed []File          // new ones, and those that differ
	leaving map[string]bool // files that differ, or are gone
	decoded bool            // the changed ones are
	stream  *stream         // of a large load; else nil
	gone    bool            // a file that was left for later has changed since

	before map[string]*manifest.Document // what the leaving files held, but for tokens, by kind and name
	rows   policy.Rows                   // of all documents but tokens, where these differ
}

// Step decodes what differs from what is loaded, or everything.
func (l *Loaded) Step(in Input, o Options) *Step {
	if l == nil && in.deferred() {
		return newStream(in, o)
	}
	if l == nil {
		return &Step{Set: Read(in, o), Whole: true}
	}
	s := &Step{Set: newSet(), from: l, leaving: map[string]bool{}}
	s.input, s.options = in, o.withDefaults()
	s.users, s.names, s.kinds = l.rest.users, maps.Clone(l.rest.names), maps.Clone(l.rest.kinds)
	s.differences()
	if len(in.Problems) > 0 || in.ambiguous() || s.large() || !s.hold() {
		return s
	}
	s.leave()
	s.addAll(s.decode(s.options.Workers, s.changed))
	s.decoded = true
	return s
}

// differences finds the files that are new or differ from those that are loaded, and which of
// those that are loaded differ or are gone.
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
		return // as nearly always; where two files have one name, all are taken in
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

// maxHeld is how much of what was left for later is decoded at once.
const maxHeld = 32 << 20

// large reports whether so much differs that a load of everything, which holds little of it at a time, needs less memory.
func (s *Step) large() bool {
	size := int64(0)
	for i := range s.changed {
		if s.changed[i].Data == nil {
			size += s.changed[i].Length()
		}
	}
	return size > maxHeld
}

// hold reads those of the changed files that were left for later.
func (s *Step) hold() bool {
	for i := range s.changed {
		f, ok := &s.changed[i], false
		if f.Data, ok = f.Content(); !ok {
			s.gone = true
			return false
		}
	}
	return true
}

// Check checks the step, and works out its Changes. It returns false if the step is not good: with
// its Problems, if it is Whole; otherwise a Whole step may still be good.
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

// End lets endings take force on the tokens that come, before the step's changes run. A row that
// runs as they leave it stays in place.
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

// checkChanged checks what was decoded together with what stays.
func (s *Step) checkChanged() bool {
	if !s.decoded || s.broken || len(s.Problems)+len(s.unread) > 0 || len(s.Gates) == 0 { // mutant: broken-change-taken
		return false
	}
	rest := s.restDiffers()
	if rest && !s.restAlike() { // mutant: rest-alike-always
		return false
	}
	if s.check(); len(s.Problems) > 0 || s.taken() { // mutant: wrong-change-taken
		return false
	}
	s.Changes = policy.Changes{Origin: s.changedOrigin(), New: policy.Rows{SHA256: s.input.Digest}}
	s.options.Running.TokensIn(func(file, _ string) bool { return s.leaving[file] }, func(row *policy.Token) bool {
		s.Changes.Old.Tokens = append(s.Changes.Old.Tokens, row)
		return true
	})
	slices.SortFunc(s.Changes.Old.Tokens, func(a, b *policy.Token) int { return strings.Compare(a.Name, b.Name) })
	return s.compileChanged(rest)
}

// taken reports whether a token's name or digest is that of one in a file that stays.
func (s *Step) taken() bool {
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

// compileChanged makes the rows of what was decoded. It reports false where what stays may not go together with them, or
// after a panic.
func (s *Step) compileChanged(rest bool) (done bool) {
	defer func() {
		if recover() != nil {
			done = false
		}
	}()
	compiler := *s.from.compiler
	compiler.old = s.options.Running
	if rest {
		c := s.compileRest()
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

// Losses returns what the changes would open because a document is gone.
func (s *Step) Losses(now time.Time) []diag.Problem {
	if !s.Whole {
		return nil // Check takes no step that has any
	}
	return Losses(s.options.Running, &s.Rows, now)
}

// Accept returns what is loaded once the changes run.
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
