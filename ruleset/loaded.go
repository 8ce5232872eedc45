package ruleset

import (
	"crypto/sha256"
	"maps"
	"slices"
	"strings"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
)

// Loaded indexes a running revision by the files that it comes from. With it, a load in which only
// some files of tokens differ costs what those files cost, however many others there are: a
// revocation among a million tokens is in force as soon as among ten.
//
// It only ever says yes. Whatever else differs, and whatever is wrong, is loaded as a whole.
type Loaded struct {
	known    map[string][sha256.Size]byte // what each file holds
	tokens   map[string][]*policy.Token   // of each file that has nothing but tokens
	rest     *Set                         // the other documents
	compiler *compiler
}

// NewLoaded remembers a set that runs. It returns nil, which knows nothing, where two files have
// one name.
func NewLoaded(s *Set) *Loaded {
	if s.input.ambiguous() {
		return nil
	}
	l := &Loaded{known: make(map[string][sha256.Size]byte, len(s.input.Files)), tokens: make(map[string][]*policy.Token, len(s.input.Files))}
	for _, f := range s.input.Files {
		l.known[f.Name] = f.Sum
		l.tokens[f.Name] = nil
	}
	for i, doc := range s.Tokens { // a row each, in the same order
		l.tokens[doc.File] = append(l.tokens[doc.File], s.Rows.Tokens[i])
	}
	l.rest = newSet()
	l.rest.Gates, l.rest.Groups, l.rest.Policies, l.rest.users, l.rest.kinds = s.Gates, s.Groups, s.Policies, s.groupsByUser(), s.kinds
	for name, doc := range s.names {
		if doc.Kind != manifest.KindAPIToken {
			l.rest.names[name] = doc
			delete(l.tokens, doc.File)
		}
	}
	l.compiler = newCompiler(s.Rows.Policies, s.Rows.Groups)
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
// may have one of its own beside them.
func (in *Input) ambiguous() bool {
	for i := range in.Files[:max(0, len(in.Files)-1)] {
		if in.Files[i].Name == in.Files[i+1].Name { // they are sorted
			return true
		}
	}
	return false
}

// Change is what of the tokens changes where only files of tokens differ.
type Change struct {
	Old, New []*policy.Token

	files   []File // new ones, and those that differ
	leaving map[string]bool
	byFile  map[string][]*policy.Token // of New
}

// Change compares what a source read with what runs. It returns no change where anything differs
// but files of tokens, and where anything is wrong with one: then the input must be loaded as a
// whole. Where that is certain to be rejected, it also returns the tokens that it decoded, of
// which some may be revoked.
func (l *Loaded) Change(in Input, workers int, running *policy.Snapshot) (c *Change, broken []*manifest.Document) {
	if l == nil || len(in.Problems) > 0 || in.ambiguous() {
		return nil, nil
	}
	c = l.differences(in.Files)
	for name := range c.leaving {
		rows, alone := l.tokens[name]
		if !alone {
			return nil, nil
		}
		c.Old = append(c.Old, rows...)
	}
	slices.SortFunc(c.Old, func(a, b *policy.Token) int { return strings.Compare(a.Name, b.Name) })
	set := l.decode(workers, c.files)
	if set.broken {
		return nil, set.Tokens
	}
	if !set.clean(l) || taken(set, running, c.leaving) || !l.compile(c, set, running) {
		return nil, nil
	}
	return c, nil
}

// Accept remembers a change that runs now.
func (l *Loaded) Accept(c *Change) {
	for name := range c.leaving {
		delete(l.known, name)
		delete(l.tokens, name)
	}
	for _, f := range c.files {
		l.known[f.Name], l.tokens[f.Name] = f.Sum, c.byFile[f.Name]
	}
}

// compile makes the rows of tokens, and lists them by file. After a panic it reports false: the
// input is then loaded as a whole, which reports what is wrong.
func (l *Loaded) compile(c *Change, set *Set, running *policy.Snapshot) (done bool) {
	defer func() { done = recover() == nil }()
	compiler := *l.compiler
	compiler.old = running
	c.New = make([]*policy.Token, len(set.Tokens))
	c.byFile = map[string][]*policy.Token{}
	for i, doc := range set.Tokens {
		c.New[i] = compiler.token(doc)
		c.byFile[doc.File] = append(c.byFile[doc.File], c.New[i])
	}
	return true
}

// differences returns the files that are new or differ from those that are loaded, and which of
// those that are loaded differ or are gone.
func (l *Loaded) differences(files []File) *Change {
	c := &Change{leaving: map[string]bool{}}
	there := make(map[string]bool, len(files))
	for _, f := range files {
		there[f.Name] = true
		sum, stood := l.known[f.Name]
		if stood && sum == f.Sum {
			continue
		}
		if stood {
			c.leaving[f.Name] = true
		}
		c.files = append(c.files, f)
	}
	for name := range l.known {
		if !there[name] {
			c.leaving[name] = true
		}
	}
	return c
}

// decode decodes files and checks them beside the documents that are loaded, where nothing is wrong
// so far.
func (l *Loaded) decode(workers int, files []File) *Set {
	s := newSet()
	s.Gates, s.Groups, s.Policies, s.users = l.rest.Gates, l.rest.Groups, l.rest.Policies, l.rest.users
	s.names, s.kinds = maps.Clone(l.rest.names), maps.Clone(l.rest.kinds)
	if s.addAll(s.decode(workers, files)); s.clean(l) {
		s.check()
	}
	return s
}

// clean reports whether nothing but tokens was decoded beside what is loaded, and nothing is
// wrong with them.
func (s *Set) clean(l *Loaded) bool {
	return !s.broken && len(s.Problems) == 0 && len(s.unread) == 0 &&
		len(s.Gates)+len(s.Groups)+len(s.Policies) == len(l.rest.Gates)+len(l.rest.Groups)+len(l.rest.Policies)
}

// taken reports whether a token's name or digest is that of one in a file that stays.
func taken(s *Set, running *policy.Snapshot, leaving map[string]bool) bool {
	stays := func(t *policy.Token) bool { return t != nil && !leaving[t.Source.File] }
	for _, doc := range s.Tokens {
		if stays(running.TokenByName(doc.Metadata.Name.Text)) || stays(running.Token(&doc.APIToken.Digest.Sum)) {
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
