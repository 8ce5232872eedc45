package ruleset

import (
	"fmt"
	"slices"
	"strings"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// maxKept is the maximum number of problems that are kept, of which some are reported.
const maxKept = 20 * manifest.MaxReported

// keep adds a problem, or counts it where there are too many.
func (s *Set) keep(p diag.Problem) {
	if len(s.Problems) >= maxKept {
		s.more++
		return
	}
	s.Problems = append(s.Problems, p)
}

func (s *Set) problem(doc *manifest.Document, at diag.Pos, field, format string, args ...any) {
	if len(s.Problems) >= maxKept {
		s.more++
		return
	}
	s.Problems = append(s.Problems, doc.Problem(at, field, format, args...))
}

// add files a document under its kind. A name is used once per kind.
func (s *Set) add(doc *manifest.Document) {
	s.kinds[doc.Kind] = true
	if name := doc.Metadata.Name; name.Text != "" {
		key := doc.Kind + "/" + doc.Key()
		if other, taken := s.names[key]; taken {
			s.nameTwice(doc, other)
		} else {
			s.names[key] = doc
		}
	}
	// Broken documents are checked too, as far as they were decoded: every problem
	// is reported at once.
	switch {
	case doc.Gate != nil:
		s.Gates = append(s.Gates, doc)
	case doc.APIToken != nil:
		s.Tokens = append(s.Tokens, doc)
	case doc.UserGroup != nil:
		s.Groups = append(s.Groups, doc)
	case doc.TokenPolicy != nil:
		s.Policies = append(s.Policies, doc)
	default:
		s.unread = append(s.unread, doc)
	}
}

// nameTwice reports a document that has the name of another one.
func (s *Set) nameTwice(doc, other *manifest.Document) {
	s.problem(doc, doc.Metadata.Name.At, "metadata.name", "%s %s appears twice, first at %s, expected a name of its own",
		doc.Kind, doc.Key(), other.Place(other.Metadata.Name.At))
}

// Endings returns what documents revoke and suspend: it takes force even where the load is
// rejected, and where the document itself is what is wrong.
func Endings(docs []*manifest.Document) (list []policy.Ending) {
	for _, doc := range docs {
		spec := doc.APIToken
		if spec == nil || doc.Metadata.Name.Text == "" || !spec.Ends.Revoked && !spec.Ends.Suspended {
			continue
		}
		for _, digest := range append([]manifest.Digest{spec.Digest}, previousDigests(spec)...) {
			if digest.Sum != (token.Digest{}) {
				list = append(list, policy.Ending{
					Token: doc.Key(), Origin: doc.Origin, Digest: digest.Sum, Revoked: spec.Ends.Revoked, Suspended: spec.Ends.Suspended,
				})
			}
		}
	}
	return list
}

func previousDigests(spec *manifest.APIToken) []manifest.Digest {
	var list []manifest.Digest
	for _, p := range spec.Previous {
		list = append(list, p.Digest)
	}
	return list
}

// check checks the documents against each other. A panic is a problem: what was decoded is
// rejected, and may still revoke tokens.
func (s *Set) check() {
	defer func() {
		if p := recover(); p != nil {
			s.Problems, s.Faulted = append(s.Problems, fault("checked", p)), true
		}
	}()
	s.checkScopes()
	s.checkShared()
	for _, doc := range s.Tokens {
		s.checkToken(doc)
	}
	s.checkDigests()
	if !s.partial {
		s.checkClientIP()
	}
}

// checkShared checks gates, groups and policies against each other.
func (s *Set) checkShared() {
	for _, doc := range s.Gates {
		s.checkReferences(doc, "spec.groups", doc.Gate.Groups, manifest.KindUserGroup)
		s.checkReferences(doc, "spec.policies", doc.Gate.Policies, manifest.KindTokenPolicy)
	}
	for _, doc := range s.Groups {
		s.checkReferences(doc, "spec.policies", doc.UserGroup.Policies, manifest.KindTokenPolicy)
	}
	s.checkAmbiguousGates()
	s.checkLevels()
}

// checkToken checks a token against gates, groups and policies.
func (s *Set) checkToken(doc *manifest.Document) {
	s.checkReferences(doc, "spec.gates", doc.APIToken.Gates, manifest.KindGate)
	s.checkReferences(doc, "spec.policies", doc.APIToken.Policies, manifest.KindTokenPolicy)
	s.checkNamespace(doc)
	s.checkGrants(doc)
	s.checkSchemes(doc)
	s.checkTokenLevel(doc)
}

// checkReferences reports names that no manifest has.
func (s *Set) checkReferences(doc *manifest.Document, field string, refs []manifest.Ref, kind string) {
	for i, ref := range refs {
		if ref.Text == "" || s.names[kind+"/"+doc.Resolve(ref)] != nil {
			continue
		}
		s.problem(doc, ref.At, fmt.Sprintf("%s[%d]", field, i), "no %s is called %s, %s", kind, doc.Resolve(ref), s.hint(kind, doc.Resolve(ref)))
	}
}

// checkNamespace reports policies of another namespace that a token names: what it may do is its own
// namespace's word.
func (s *Set) checkNamespace(doc *manifest.Document) {
	for i, ref := range doc.APIToken.Policies {
		if doc.IsForeign(ref) {
			s.problem(doc, ref.At, fmt.Sprintf("spec.policies[%d]", i), "%s is a policy of another namespace, expected one of the token's own", ref.Text)
		}
	}
}

// hint suggests the name that was likely meant by an unknown one. It is worked out once
// a name: one missing policy may be named by every token.
func (s *Set) hint(kind, wrong string) string {
	if text, ok := s.hints[kind+"/"+wrong]; ok {
		return text
	}
	text := "expected a manifest of that name"
	if known := s.namesOf(kind); len(known) > 0 && len(s.hints) < maxHints && s.compared+len(known) <= maxCompared {
		s.compared += len(known)
		text = diag.Suggest(wrong, known)
	}
	s.hints[kind+"/"+wrong] = text
	return text
}

// namesOf returns the names of a kind in their order, once there are all.
func (s *Set) namesOf(kind string) []string {
	if known, ok := s.sorted[kind]; ok {
		return known
	}
	var known []string
	for key := range s.names {
		if name, ok := strings.CutPrefix(key, kind+"/"); ok {
			known = append(known, name)
		}
	}
	slices.Sort(known)
	if s.sorted == nil {
		s.sorted = map[string][]string{}
	}
	s.sorted[kind] = known
	return known
}

// maxHints bounds how many names are compared with all others, and maxCompared with how
// many in all.
const (
	maxHints    = 100
	maxCompared = 100_000
)

// checkGrants reports tokens whose policies grant nothing, or that have grants and `unrestricted`.
func (s *Set) checkGrants(doc *manifest.Document) {
	spec := doc.APIToken
	if spec.Canary || len(spec.Policies) == 0 {
		return
	}
	allow := len(spec.Allow)+len(spec.LimitTo) > 0
	for i, ref := range spec.Policies {
		named := s.names[manifest.KindTokenPolicy+"/"+doc.Resolve(ref)]
		if named == nil || named.Broken() || named.TokenPolicy == nil {
			return // reported elsewhere, and unknown what it grants
		}
		if len(named.TokenPolicy.Allow) == 0 {
			continue
		}
		allow = true
		if spec.Unrestricted {
			s.problem(doc, ref.At, fmt.Sprintf("spec.policies[%d]", i),
				"%s has allow rules (%s), but the token has `unrestricted: true`, expected policies that only deny", ref.Text, named.Place(named.Pos))
		}
	}
	if !allow && !spec.Unrestricted && !doc.Broken() {
		s.problem(doc, spec.Policies[0].At, "spec.policies",
			"the policies only deny, so that the token may do nothing, expected allow rules or `unrestricted: true`")
	}
}

// checkSchemes reports tokens that no gate takes in one of their schemes.
func (s *Set) checkSchemes(doc *manifest.Document) {
	spec := doc.APIToken
	if spec.Canary || doc.Bad("spec.schemes", "spec.anyUser", "spec.gates") {
		return
	}
	own := manifest.Schemes(spec.Schemes)
	if spec.AnyUser {
		own = policy.Schemes(0).With(policy.Basic)
	}
	var gates []string
	if len(spec.Gates) == 0 && own&s.schemesOfGates(doc.Metadata.Namespace) != 0 {
		return
	}
	for _, g := range s.gatesOf(doc) {
		if g.Bad("spec.schemes") || own == 0 || own&gateSchemes(g.Gate) != 0 {
			return
		}
		if gates = append(gates, g.Key()); len(gates) > maxNamed {
			gates[maxNamed] = "…"
			break // the others are alike, or schemesOfGates had shown it
		}
	}
	if len(gates) > 0 {
		at := spec.At
		if len(spec.Schemes) > 0 {
			at = spec.Schemes[0].At
		}
		s.problem(doc, at, "spec.schemes", "none of its gates (%s) takes the token as %s, expected a scheme in common",
			strings.Join(gates, ", "), own)
	}
}

// maxNamed is the maximum number of gates in a problem.
const maxNamed = 10

// schemesOfGates returns what any gate of a namespace takes; every scheme where one can't be read.
func (s *Set) schemesOfGates(namespace manifest.Namespace) policy.Schemes {
	if s.schemes == nil {
		s.schemes = map[manifest.Namespace]policy.Schemes{}
		for _, g := range s.Gates {
			in := g.Metadata.Namespace
			s.schemes[in] |= gateSchemes(g.Gate)
			if g.Bad("spec.schemes") {
				s.schemes[in] = ^policy.Schemes(0)
			}
		}
	}
	return s.schemes[namespace]
}

// gatesOf returns the gates that a token is for.
func (s *Set) gatesOf(doc *manifest.Document) []*manifest.Document {
	var gates []*manifest.Document
	if len(doc.APIToken.Gates) == 0 {
		for _, g := range s.Gates {
			if g.Metadata.Namespace == doc.Metadata.Namespace {
				gates = append(gates, g)
			}
		}
		return gates
	}
	for _, ref := range doc.APIToken.Gates {
		if g := s.names[manifest.KindGate+"/"+doc.Resolve(ref)]; g != nil && g.Gate != nil {
			gates = append(gates, g)
		}
	}
	return gates
}

// checkDigests reports values that belong to two tokens.
func (s *Set) checkDigests() {
	type use struct {
		doc *manifest.Document
		at  diag.Pos
	}
	seen := make(map[token.Digest]use, len(s.Tokens))
	for _, doc := range s.Tokens {
		s.eachDigest(doc, func(field string, digest manifest.Digest) {
			if other, taken := seen[digest.Sum]; taken {
				s.digestTwice(doc, field, digest, other.doc, other.at)
				return
			}
			seen[digest.Sum] = use{doc, digest.At}
		})
	}
}

// digestTwice reports a value that another token has, at a place in its document.
func (s *Set) digestTwice(doc *manifest.Document, field string, digest manifest.Digest, other *manifest.Document, at diag.Pos) {
	s.problem(doc, digest.At, field, "the digest is that of %s at %s already, expected a value of its own", other.Key(), other.Place(at))
}

// guard is a path prefix that a gate guards at some host.
type guard struct {
	doc    *manifest.Document
	prefix string
}

// same returns the last gate but doc that guards a prefix. Case counts, unless one of the
// two gates has an API that ignores it.
func same(guards []guard, doc *manifest.Document, prefix string) *manifest.Document {
	for _, other := range slices.Backward(guards) {
		folds := ignoresCase(doc.Gate) || ignoresCase(other.doc.Gate)
		if other.doc != doc && (folds || other.prefix == prefix) {
			return other.doc
		}
	}
	return nil
}

func ignoresCase(g *manifest.Gate) bool {
	return g.Upstream != nil && g.Upstream.Routing.CaseInsensitive
}

// maxPairs bounds the hosts times the paths of all gates.
const maxPairs = 200_000

// checkAmbiguousGates reports gates that match the same host and path prefix.
func (s *Set) checkAmbiguousGates() {
	seen := map[string][]guard{} // by host and folded prefix
	left := maxPairs
	for _, doc := range s.Gates {
		if doc.Bad("spec.hosts", "spec.paths") {
			continue
		}
		if left -= len(doc.Gate.Hosts) * len(doc.Gate.Paths); left < 0 {
			s.problem(doc, doc.Gate.At, "spec", "more than %d pairs of hosts and paths in all gates, expected less: use wildcards, or shorter paths", maxPairs)
			return
		}
		for _, host := range gateHosts(doc.Gate) {
			for i, prefix := range gatePrefixes(doc.Gate) {
				key := host + " " + policy.FoldPath(prefix)
				other := same(seen[key], doc, prefix)
				seen[key] = append(seen[key], guard{doc, prefix})
				if other == nil || doc.Key() != "" && other.Key() == doc.Key() {
					continue // the second of a name is reported as that
				}
				at, field := doc.Gate.At, "spec"
				if i < len(doc.Gate.Paths) {
					at, field = doc.Gate.Paths[i].At, fmt.Sprintf("spec.paths[%d]", i)
				}
				s.problem(doc, at, field, "the gate conflicts with the one at %s: both guard host %s and path %s/, expected one gate for each",
					other.Place(other.Pos), host, prefix)
			}
		}
	}
}
