package ruleset

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// setToken adds a token, or a version of one.
func (o *Objects) setToken(object Object) {
	id := object.ID()
	t := o.tokens[id]
	if t == nil {
		t = &tokenObject{id: id}
		o.tokens[id] = t
	} else {
		was := t.object()
		o.addSum(&was)
		if was.same(&object) {
			t.set(&object, o.Track)
			return
		}
	}
	t.set(&object, o.Track)
	o.changed[t] = true
}

// decide compiles a token, or finds out why it is not accepted.
func (o *Objects) decide(t *tokenObject, running *policy.Snapshot) {
	object := t.object()
	doc := o.decode(&object)
	problems := doc.Problems
	o.claim(t, doc)
	if len(problems) == 0 {
		problems = o.problemsOf(t, doc, running)
	}
	var row *policy.Token
	if waits := doc.APIToken != nil && doc.APIToken.Secret != nil && len(object.Values) == 0; len(problems) == 0 && !waits {
		var fault *diag.Problem
		if row, fault = o.compile(doc, running); fault != nil {
			problems = []diag.Problem{*fault}
		}
	}
	before := Fault{Object: t.id, Problem: o.problem[t]}
	o.noteChange(before, Fault{Object: t.id, Problem: describe(problems)})
	if delete(o.problem, t); len(problems) > 0 {
		o.problem[t] = describe(problems)
		row = o.notAccepted(t, doc, running)
	}
	o.next[t] = row
	o.track(&object, o.problem[t], false)
}

// compile makes the row of a token. A panic is a fault of this token alone.
func (o *Objects) compile(doc *manifest.Document, running *policy.Snapshot) (row *policy.Token, problem *diag.Problem) {
	defer func() {
		if p := recover(); p != nil {
			f := fault("compiled", p)
			row, problem = nil, &f
		}
	}()
	o.maker.old = running
	row = o.maker.token(doc)
	row.Compact()
	return row, nil
}

// problemsOf checks a decoded token beside the accepted rest and the other tokens.
func (o *Objects) problemsOf(t *tokenObject, doc *manifest.Document, running *policy.Snapshot) []diag.Problem {
	s := *o.base
	s.Problems, s.more = nil, 0
	s.checkToken(doc)
	s.checkRangesAtGates(doc)
	spec, in := doc.APIToken, doc.Metadata.Namespace
	switch {
	case o.members[memberOf{in, spec.User}]:
		s.problem(doc, spec.At, "spec.user", "%s is in a UserGroup that is not accepted, so that its limits are not known", spec.User)
	case o.broken[string(in)] && (spec.AnyUser || len(spec.ActAs) > 0):
		s.problem(doc, spec.At, "spec", "a UserGroup of the namespace is not accepted, so that the limits of the token's users are not known")
	}
	if row := running.Outline(t.key()); isOfFile(row) {
		s.problem(doc, doc.Pos, "metadata.name", "the name is that of a manifest at %s", row.Source)
	}
	for _, digest := range t.digests {
		if older := o.claims.owners[digest]; older != t {
			s.problem(doc, doc.Pos, "spec.digest", "the digest is that of %s, which is older, expected a value of its own", older.id)
		}
		if row := running.OutlineOf(&digest); isOfFile(row) {
			s.problem(doc, doc.Pos, "spec.digest", "the digest is that of %s already", row.Name)
		}
	}
	if twice := slices.Clone(t.digests); len(slices.Compact(slices.SortedFunc(slices.Values(twice), compareDigests))) < len(t.digests) {
		s.problem(doc, doc.Pos, "spec.previous", "a digest appears twice, expected each value once")
	}
	return s.Problems
}

// isOfFile reports whether a running token comes from something else than an object.
func isOfFile(row *policy.Token) bool { return row != nil && row.Source.Origin != policy.OriginObjects }

func compareDigests(a, b token.Digest) int { return slices.Compare(a[:], b[:]) }

// checkRangesAtGates reports a token with ranges of addresses that count at a gate which does not say where client
// addresses come from.
func (s *Set) checkRangesAtGates(doc *manifest.Document) {
	place := map[bool]string{}
	for _, actAs := range []bool{false, true} {
		place[actAs] = s.rangeInToken(doc, actAs, s.groupsByUser())
	}
	if place[true] == "" {
		return
	}
	for _, g := range s.gatesOf(doc) {
		if g.Gate.ClientIP == nil && place[g.Gate.ActAs != nil] != "" {
			s.problem(doc, doc.APIToken.At, "spec", "ranges of client addresses count for the token, but its gate %s has no clientIP, expected one that has", g.Key())
			return
		}
	}
}

// notAccepted returns the row by which the values of a token are known and refused; nil if no value is its own.
func (o *Objects) notAccepted(t *tokenObject, doc *manifest.Document, running *policy.Snapshot) *policy.Token {
	if isOfFile(running.Outline(t.key())) {
		return nil
	}
	row := &policy.Token{
		Name: t.key(), Namespace: t.namespace(), NotAccepted: true, Source: policy.Source{File: t.id, Line: 1, Origin: policy.OriginObjects},
	}
	if doc.APIToken != nil {
		row.User = string(doc.APIToken.User)
	}
	own := 0
	for _, digest := range t.digests {
		switch {
		case o.claims.owners[digest] != t, isOfFile(running.OutlineOf(&digest)):
		case own == 0:
			row.Digest = digest
			own++
		default:
			row.Previous = append(row.Previous, policy.PreviousValue{Digest: digest})
		}
	}
	if own == 0 {
		return nil
	}
	row.Fingerprint = sha256.Sum256(fmt.Appendf(nil, "not accepted\n%x\n%x", doc.Fingerprint, row.Digest))
	return row
}

// claim registers the digests of a token. Where one is that of another token too, it belongs to the older one, and the
// others are decided about again.
func (o *Objects) claim(t *tokenObject, doc *manifest.Document) {
	var digests []token.Digest
	if doc.APIToken != nil {
		for _, d := range append([]manifest.Digest{doc.APIToken.Digest}, previousDigests(doc.APIToken)...) {
			if d.Sum != (token.Digest{}) {
				digests = append(digests, d.Sum)
			}
		}
	}
	if slices.Equal(t.digests, digests) {
		return
	}
	o.unclaim(t)
	t.digests = digests
	for _, d := range digests {
		list := o.claims.of(d)
		if slices.Contains(list, t) {
			continue
		}
		at, _ := slices.BinarySearchFunc(list, t, (*tokenObject).older)
		list = slices.Insert(list, at, t)
		o.claims.set(d, list)
		o.redecide(list, t)
	}
}

// unclaim gives up the digests of a token.
func (o *Objects) unclaim(t *tokenObject) {
	for _, d := range t.digests {
		list := slices.DeleteFunc(o.claims.of(d), func(other *tokenObject) bool { return other == t })
		o.claims.set(d, list)
		o.redecide(list, t)
	}
	t.digests = nil
}

// redecide lets tokens with the same digest be decided about again.
func (o *Objects) redecide(list []*tokenObject, but *tokenObject) {
	for _, other := range list {
		if other != but {
			o.again = append(o.again, other)
		}
	}
}

// findAffected lets the tokens be decided about again for which a change of the rest may matter.
func (o *Objects) findAffected(set *Set, next *policy.Rows, running *policy.Snapshot) {
	if o.base == nil {
		for _, t := range o.tokens {
			o.changed[t] = true
		}
		return
	}
	a := newAffected(o, set, next)
	for _, t := range o.tokens {
		if row := running.Outline(t.key()); o.problem[t] != "" || row == nil || isOfFile(row) || a.concerns(row) {
			o.changed[t] = true
		}
	}
}

// affected are the rows whose change matters to the tokens that name them.
type affected struct {
	policies map[string]bool
	users    map[memberOf]bool
	gates    map[string]bool
	every    map[string]bool // namespaces of such gates
	broken   map[string]bool // namespaces with a group that is not accepted
}

func newAffected(o *Objects, set *Set, next *policy.Rows) *affected {
	a := &affected{map[string]bool{}, map[memberOf]bool{}, map[string]bool{}, map[string]bool{}, o.broken}
	gone, come := difference(o.rows.Policies, next.Policies)
	for _, p := range append(gone, come...) {
		a.policies[p.Name] = true
	}
	left, joined := difference(o.rows.Groups, next.Groups)
	for _, g := range append(left, joined...) {
		for _, user := range g.Members {
			a.users[memberOf{manifest.Namespace(g.Namespace), manifest.User(user)}] = true
		}
	}
	for member := range o.members {
		a.users[member] = true
	}
	before := map[string]string{}
	for _, g := range o.base.Gates {
		before[g.Key()] = gateTerms(g)
	}
	mark := func(key string, namespace manifest.Namespace) { a.gates[key], a.every[string(namespace)] = true, true }
	for _, g := range set.Gates {
		if terms, known := before[g.Key()]; !known || terms != gateTerms(g) {
			mark(g.Key(), g.Metadata.Namespace)
		}
		delete(before, g.Key())
	}
	for key := range before {
		mark(key, o.base.names[manifest.KindGate+"/"+key].Metadata.Namespace)
	}
	return a
}

// gateTerms is what tokens are checked by of a gate that they name.
func gateTerms(g *manifest.Document) string {
	return fmt.Sprint(gateSchemes(g.Gate), g.Gate.ClientIP != nil, g.Gate.ActAs != nil)
}

// concerns reports whether an accepted token names one of the rows.
func (a *affected) concerns(t *policy.Token) bool {
	if a.users[memberOf{manifest.Namespace(t.Namespace), manifest.User(t.User)}] {
		return true
	}
	if a.broken[t.Namespace] && (t.AnyUser || len(t.ActAs) > 0) || t.AnyUser && len(a.users) > 0 {
		return true
	}
	if len(t.Gates) == 0 && a.every[t.Namespace] || slices.ContainsFunc(t.Gates, func(gate string) bool { return a.gates[gate] }) {
		return true
	}
	return slices.ContainsFunc(t.Grant.Policies, func(p *policy.Policy) bool { return a.policies[p.Name] })
}

// Endings returns what a version of a token ends of the running one, before the version is decided about: it
// revokes or suspends it, or the token is gone (its ID is).
func (o *Objects) Endings(object *Object, gone string, running *policy.Snapshot) []policy.Ending {
	if object != nil {
		return Endings([]*manifest.Document{o.decode(object)})
	}
	row := running.Outline(strings.TrimPrefix(gone, tokenPrefix))
	if row == nil {
		return nil
	}
	return []policy.Ending{{Token: row.Name, Origin: policy.OriginObjects, Digest: row.Digest, Revoked: true}}
}
