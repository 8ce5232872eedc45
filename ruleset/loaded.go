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

// Loaded indexes the active revision of an origin by source file. A step from it decodes the
// documents that differ, as long as these are tokens, or policies and groups: a revocation among a million tokens is in
// effect as soon as among ten. Where other documents differ, which any token may refer to, or where
// something is wrong, which may concern any document, a step takes in all files. From a nil Loaded,
// which knows nothing, every step does.
type Loaded struct {
	known    map[string][sha256.Size]byte // what each file holds
	tokens   map[string]bool              // files that have nothing but tokens
	bounds   map[string]bool              // files that have policies or groups, and nothing else
	rest     *Set                         // the other documents
	compiler *compiler
}

// newLoaded indexes an active set. It returns nil where two files have one name.
func newLoaded(s *Set) *Loaded {
	if s.input.ambiguous() {
		return nil
	}
	l := &Loaded{known: make(map[string][sha256.Size]byte, len(s.input.Files)), tokens: make(map[string]bool, len(s.input.Files)), bounds: map[string]bool{}}
	for _, f := range s.input.Files {
		l.known[f.Name] = f.Sum
		l.tokens[f.Name] = true
	}
	l.rest = newSet()
	l.rest.Gates, l.rest.Groups, l.rest.Policies, l.rest.users, l.rest.kinds = s.Gates, s.Groups, s.Policies, s.groupsByUser(), s.kinds
	for name, doc := range s.names {
		if doc.Kind != manifest.KindAPIToken {
			l.rest.names[name] = doc
			delete(l.tokens, doc.File)
			l.bounds[doc.File] = true
		}
	}
	for _, doc := range s.names {
		if doc.Kind != manifest.KindTokenPolicy && doc.Kind != manifest.KindUserGroup {
			delete(l.bounds, doc.File)
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
	stream  *stream         // of a large load; else nil
	gone    bool            // a file that was left for later has changed since

	before map[string]*manifest.Document // policies and groups of files that differ or are gone, by kind and name
	rows   policy.Rows                   // of a step of those
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
	s.Gates, s.Groups, s.Policies, s.users = l.rest.Gates, l.rest.Groups, l.rest.Policies, l.rest.users
	s.names, s.kinds = maps.Clone(l.rest.names), maps.Clone(l.rest.kinds)
	s.differences()
	bounds := s.boundsAlone()
	if bounds {
		s.leave()
	}
	if (bounds || s.tokensAlone()) && s.hold() {
		s.addAll(s.decode(s.options.Workers, s.changed))
	}
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

// tokensAlone reports whether only files of tokens differ, as far as is known before any file
// is decoded.
func (s *Step) tokensAlone() bool {
	if len(s.input.Problems) > 0 || s.input.ambiguous() {
		return false
	}
	for name := range s.leaving {
		if !s.from.tokens[name] { // mutant: policy-file-leaves
			return false
		}
	}
	return true
}

// Check checks the step, and works out its Changes. It returns false if the step is not good: with
// its Problems, if it is Whole; otherwise a Whole step may still be good.
func (s *Step) Check() (good bool) {
	switch {
	case s.Whole:
	case s.gone:
		return false
	case s.before != nil:
		return s.checkBounds()
	default:
		return s.checkTokens()
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

// checkTokens checks a step in which nothing but tokens may differ.
func (s *Step) checkTokens() bool {
	if !s.tokensAlone() || !s.clean() { // mutant: wrong-tokens-taken
		return false
	}
	if s.check(); len(s.Problems) > 0 || s.taken() {
		return false
	}
	s.Changes = policy.Changes{Origin: s.changedOrigin(), New: policy.Rows{SHA256: s.input.Digest}}
	s.options.Running.TokensIn(func(file, _ string) bool { return s.leaving[file] }, func(row *policy.Token) bool {
		s.Changes.Old.Tokens = append(s.Changes.Old.Tokens, row)
		return true
	})
	slices.SortFunc(s.Changes.Old.Tokens, func(a, b *policy.Token) int { return strings.Compare(a.Name, b.Name) })
	return s.compileTokens()
}

// clean reports whether nothing but tokens was decoded in addition to what is loaded, and nothing is
// wrong with them.
func (s *Step) clean() bool {
	rest := s.from.rest
	return !s.broken && len(s.Problems) == 0 && len(s.unread) == 0 &&
		len(s.Gates)+len(s.Groups)+len(s.Policies) == len(rest.Gates)+len(rest.Groups)+len(rest.Policies)
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

// compileTokens makes the rows of tokens, and lists them by file. It reports false after a panic.
func (s *Step) compileTokens() (done bool) {
	defer func() { done = recover() == nil }()
	compiler := *s.from.compiler
	compiler.old = s.options.Running
	for _, doc := range s.Tokens {
		s.Changes.New.Tokens = append(s.Changes.New.Tokens, compiler.token(doc))
	}
	return true
}

// Losses returns what the changes would open because a document is gone.
func (s *Step) Losses(now time.Time) []diag.Problem {
	if !s.Whole {
		return nil // gates and groups stay, as far as their names go
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
		delete(l.tokens, name)
		delete(l.bounds, name)
	}
	for _, f := range s.changed {
		l.known[f.Name], l.tokens[f.Name] = f.Sum, true
	}
	if s.Changes.Refer {
		l.accept(s)
	}
	return l
}
