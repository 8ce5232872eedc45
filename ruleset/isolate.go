package ruleset

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// isolation decides about each token of the files separately, as Objects does for a cluster: an invalid token is not accepted,
// and the others run. Files have no creation time, so of two tokens with the same name or value the running one stays, or
// else the first one.
type isolation struct {
	*Set     // the other documents, which are without a problem
	running  *policy.Snapshot
	problems map[*manifest.Document][]diag.Problem
	owners   map[token.Digest]*manifest.Document
}

// isolate makes the rows of a set in which only tokens are invalid. If other documents are, it changes nothing.
func (s *Set) isolate() {
	if s.Faulted || len(s.input.Tests) > 0 || len(s.ReadProblems())+len(s.unread) > 0 {
		return
	}
	rest := s.sharedOnly()
	if rest == nil {
		return
	}
	x := &isolation{rest, s.options.Running, map[*manifest.Document][]diag.Problem{}, map[token.Digest]*manifest.Document{}}
	for _, doc := range s.Tokens {
		x.problems[doc] = x.alone(doc)
	}
	x.decideNames(s.Tokens)
	x.decideDigests(s.Tokens)
	if !x.compileGood(s) {
		return
	}
	var problems []diag.Problem
	for _, doc := range s.Tokens {
		problems = append(problems, x.problems[doc]...)
	}
	s.Isolated, s.Problems, s.more = manifest.FoldProblems(problems, 0), nil, 0
	s.groupsByUser() // the set is read-only from here on
}

// sharedOnly returns the shared documents as a set, or nil if they have problems.
func (s *Set) sharedOnly() *Set {
	rest := newSet()
	rest.input, rest.options, rest.decoder = s.input, s.options, s.decoder
	for _, docs := range s.files {
		docs = slices.DeleteFunc(slices.Clone(docs), func(doc *manifest.Document) bool { return doc.APIToken != nil })
		rest.files = append(rest.files, docs)
		for _, doc := range docs {
			rest.broken = rest.broken || doc.Broken()
			rest.add(doc)
		}
	}
	if rest.broken {
		return nil
	}
	rest.checkComplete()
	rest.checkScopes()
	rest.checkShared()
	rest.checkGatesOwnRanges()
	if len(rest.Problems)+rest.more > 0 {
		return nil
	}
	return rest
}

// alone returns the problems of a token with the shared documents, without regard to other tokens.
func (x *isolation) alone(doc *manifest.Document) []diag.Problem {
	s := *x.Set
	s.Problems, s.more = slices.Clip(slices.Clone(doc.Problems)), 0
	s.checkScope(doc)
	s.checkToken(doc)
	s.checkRangesAtGates(doc)
	return s.Problems
}

func (x *isolation) good(doc *manifest.Document) bool { return len(x.problems[doc]) == 0 }

// decideNames decides which of several valid tokens keeps a name.
func (x *isolation) decideNames(tokens []*manifest.Document) {
	first := map[string]*manifest.Document{}
	runs := func(doc *manifest.Document) bool {
		row := x.running.Outline(doc.Key())
		return row != nil && !row.NotAccepted && row.Fingerprint == doc.Fingerprint
	}
	twice := func(doc, owner *manifest.Document) {
		x.problems[doc] = append(x.problems[doc], doc.Problem(doc.Metadata.Name.At, "metadata.name", "%s %s appears twice, the other is at %s, expected a name of its own",
			doc.Kind, doc.Key(), owner.Place(owner.Metadata.Name.At)))
	}
	for _, doc := range tokens {
		other := first[doc.Key()]
		switch {
		case !x.good(doc):
		case other == nil:
			first[doc.Key()] = doc
		case runs(doc) && !runs(other):
			first[doc.Key()] = doc
			twice(other, doc)
		default:
			twice(doc, other)
		}
	}
}

// decideDigests decides which token keeps a value: a valid one, if there is one.
func (x *isolation) decideDigests(tokens []*manifest.Document) {
	runs := func(doc *manifest.Document, digest token.Digest) bool {
		row := x.running.OutlineOf(&digest)
		return row != nil && !row.NotAccepted && row.Name == doc.Key()
	}
	var good, bad []*manifest.Document
	for _, doc := range tokens {
		if x.good(doc) {
			good = append(good, doc)
		} else {
			bad = append(bad, doc)
		}
	}
	for _, doc := range good {
		x.eachDigest(doc, func(_ string, digest manifest.Digest) {
			if owner := x.owners[digest.Sum]; owner == nil || runs(doc, digest.Sum) && !runs(owner, digest.Sum) {
				x.owners[digest.Sum] = doc
			}
		})
	}
	for _, doc := range good {
		seen := map[token.Digest]bool{}
		x.eachDigest(doc, func(field string, digest manifest.Digest) {
			if owner := x.owners[digest.Sum]; owner != doc || seen[digest.Sum] {
				x.problems[doc] = append(x.problems[doc], doc.Problem(digest.At, field, "the digest is that of %s at %s already, expected a value of its own",
					owner.Key(), owner.Place(owner.APIToken.Digest.At)))
			}
			seen[digest.Sum] = true
		})
	}
	for _, doc := range bad {
		x.eachDigest(doc, func(_ string, digest manifest.Digest) {
			if x.owners[digest.Sum] == nil {
				x.owners[digest.Sum] = doc
			}
		})
	}
}

// compileGood makes the rows of the shared documents and the valid tokens, and marks for those that are not accepted. An
// ending in a token that is not accepted applies to the accepted token of the same name and value.
func (x *isolation) compileGood(s *Set) bool {
	var bad []*manifest.Document
	names := map[string]bool{}
	for _, doc := range s.Tokens {
		if !x.good(doc) {
			bad = append(bad, doc)
			continue
		}
		x.Tokens, names[doc.Key()] = append(x.Tokens, doc), true
	}
	if x.compile(s.options.Running); len(x.Set.Problems) > 0 {
		s.Problems, s.Faulted = append(s.Problems, x.Set.Problems...), true
		return false
	}
	s.Rows = x.Rows
	endings := map[string][]policy.Ending{}
	for _, e := range Endings(bad) {
		endings[e.Token] = append(endings[e.Token], e)
	}
	for i, row := range s.Rows.Tokens {
		for _, e := range endings[row.Name] {
			if ended := s.Rows.Tokens[i].EndedBy(&e); ended != nil {
				s.Rows.Tokens[i] = ended
			}
		}
	}
	for _, doc := range bad {
		if row := x.mark(doc); row != nil && !names[row.Name] {
			s.Rows.Tokens, names[row.Name] = append(s.Rows.Tokens, row), true
		}
	}
	return true
}

// mark returns the row that makes patgate recognize and refuse the values of a token; nil if other tokens have them all.
func (x *isolation) mark(doc *manifest.Document) *policy.Token {
	if doc.Metadata.Name.Text == "" {
		return nil
	}
	row := &policy.Token{
		Name: doc.Key(), Namespace: string(doc.Metadata.Namespace), NotAccepted: true, Source: doc.At(doc.Pos), User: string(doc.APIToken.User),
	}
	seen := map[token.Digest]bool{}
	x.eachDigest(doc, func(_ string, digest manifest.Digest) {
		switch {
		case x.owners[digest.Sum] != doc || seen[digest.Sum]:
		case len(seen) == 0:
			row.Digest = digest.Sum
		default:
			row.Previous = append(row.Previous, policy.PreviousValue{Digest: digest.Sum})
		}
		if x.owners[digest.Sum] == doc {
			seen[digest.Sum] = true
		}
	})
	if len(seen) == 0 {
		return nil
	}
	row.Fingerprint = sha256.Sum256(fmt.Appendf(nil, "not accepted\n%x\n%x", doc.Fingerprint, row.Digest))
	return row
}
