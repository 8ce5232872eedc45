package loader

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// documents are the manifests of a load by kind, in the order of their files, and
// what was wrong with them.
type documents struct {
	gates, tokens, groups, policies []*manifest.Document
	unread                          []*manifest.Document          // whose specs could not be read
	names                           map[string]*manifest.Document // by kind and name, broken ones too
	kinds                           map[string]bool               // that there are, broken ones too
	hints                           map[string]string
	users                           map[manifest.User][]*manifest.Document // their groups, once they were asked for
	problems                        []diag.Problem
	more                            int // problems that are counted alone
	compared                        int // names, for hints

	decoder manifest.Decoder
	read    []*manifest.Document // all, in the order of their files
	broken  bool                 // one of them is
}

// decodeTree decodes every file of a reading and checks each reference between them, on
// all processors.
func decodeTree(roots []string, t *tree) *documents {
	d := readDocuments(runtime.GOMAXPROCS(0), t)
	d.judge(roots, t)
	return d
}

// readDocuments decodes every file of a reading, and looks for no more problems than that
// shows: what its documents end can be known before why others are broken.
func readDocuments(processors int, t *tree) *documents {
	d := &documents{names: map[string]*manifest.Document{}, kinds: map[string]bool{}, hints: map[string]string{}}
	d.decode(processors, t.files)
	return d
}

// judge finds every problem, those of the reading included.
func (d *documents) judge(roots []string, t *tree) {
	d.explain()
	d.problems = append(d.problems, t.problems...)
	if len(t.problems) == 0 && !d.kinds[manifest.KindGate] && !d.kinds[""] { // "": who knows what it was to be
		d.problems = append(d.problems, diag.Problem{
			File: strings.Join(roots, ", "), Message: "no Gate in the manifests, expected at least one: without it every request is refused (`patgate check --help` shows one)",
		})
	}
	d.check()
	d.problems = manifest.FoldProblems(d.problems, d.more)
}

// decode decodes files, many at a time, and adds their documents in the order of the files.
func (d *documents) decode(processors int, files []file) {
	var next atomic.Int64
	decoded := make([][]*manifest.Document, len(files))
	var workers sync.WaitGroup
	for range min(processors, len(files)) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(files); i = int(next.Add(1)) - 1 {
				decoded[i] = d.decoder.Read(files[i].name, files[i].data)
			}
		})
	}
	workers.Wait()
	for _, docs := range decoded {
		for _, doc := range docs {
			d.add(doc)
		}
	}
}

// explain finds out why documents are broken.
func (d *documents) explain() {
	if !d.broken {
		return
	}
	for _, doc := range d.read {
		for _, p := range d.decoder.Explain([]*manifest.Document{doc}) {
			d.keep(p)
		}
	}
}

// maxKept is how many problems are kept to choose from those that are reported.
const maxKept = 20 * manifest.MaxReported

// keep adds a problem, or counts it where there are too many.
func (d *documents) keep(p diag.Problem) {
	if len(d.problems) >= maxKept {
		d.more++
		return
	}
	d.problems = append(d.problems, p)
}

func (d *documents) problem(doc *manifest.Document, at diag.Pos, field, format string, args ...any) {
	if len(d.problems) >= maxKept {
		d.more++
		return
	}
	d.problems = append(d.problems, doc.Problem(at, field, format, args...))
}

// add files a document under its kind. A name is used once per kind.
func (d *documents) add(doc *manifest.Document) {
	d.read = append(d.read, doc)
	d.broken = d.broken || doc.Broken()
	d.kinds[doc.Kind] = true
	if name := doc.Metadata.Name; name.Text != "" {
		key := doc.Kind + "/" + name.Text
		if other, taken := d.names[key]; taken {
			d.problem(doc, name.At, "metadata.name", "%s %s stands twice, first at %s, expected a name of its own",
				doc.Kind, name.Text, other.Place(other.Metadata.Name.At))
		} else {
			d.names[key] = doc
		}
	}
	// Broken documents are checked too, as far as they were decoded: every problem
	// is reported at once.
	switch {
	case doc.Gate != nil:
		d.gates = append(d.gates, doc)
	case doc.APIToken != nil:
		d.tokens = append(d.tokens, doc)
	case doc.UserGroup != nil:
		d.groups = append(d.groups, doc)
	case doc.TokenPolicy != nil:
		d.policies = append(d.policies, doc)
	default:
		d.unread = append(d.unread, doc)
	}
}

// endings returns what documents revoke and suspend: it takes force even where the load is
// rejected, and where the document itself is what is wrong.
func endings(docs []*manifest.Document) (list []policy.Ending) {
	for _, doc := range docs {
		spec := doc.APIToken
		if spec == nil || doc.Metadata.Name.Text == "" || !spec.Ends.Revoked && !spec.Ends.Suspended {
			continue
		}
		for _, digest := range append([]manifest.Digest{spec.Digest}, previousDigests(spec)...) {
			if digest.Sum != (token.Digest{}) {
				list = append(list, policy.Ending{
					Token: doc.Metadata.Name.Text, Digest: digest.Sum, Revoked: spec.Ends.Revoked, Suspended: spec.Ends.Suspended,
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

// check asks what manifests must hold together. A panic is a problem: what was decoded is
// rejected, and may still narrow.
func (d *documents) check() {
	defer func() {
		if p := recover(); p != nil {
			d.problems = append(d.problems, diag.Problem{
				File: "the manifests", Message: token.Mask(fmt.Sprintf("can't be checked, a fault of patgate: %v", p)),
			})
		}
	}()
	for _, doc := range d.gates {
		d.refs(doc, "spec.groups", doc.Gate.Groups, manifest.KindUserGroup)
		d.refs(doc, "spec.policies", doc.Gate.Policies, manifest.KindTokenPolicy)
	}
	for _, doc := range d.groups {
		d.refs(doc, "spec.policies", doc.UserGroup.Policies, manifest.KindTokenPolicy)
	}
	for _, doc := range d.tokens {
		d.refs(doc, "spec.gates", doc.APIToken.Gates, manifest.KindGate)
		d.refs(doc, "spec.policies", doc.APIToken.Policies, manifest.KindTokenPolicy)
		d.grants(doc)
		d.schemes(doc)
	}
	d.digests()
	d.ties()
	d.clientRanges()
}

// refs wants each name to be that of a manifest.
func (d *documents) refs(doc *manifest.Document, field string, refs []manifest.Ref, kind string) {
	for i, ref := range refs {
		if ref.Text == "" || d.names[kind+"/"+ref.Text] != nil {
			continue
		}
		d.problem(doc, ref.At, fmt.Sprintf("%s[%d]", field, i), "no %s is called %s, %s", kind, ref.Text, d.hint(kind, ref.Text))
	}
}

// hint says which name was likely meant by one that there is not. It is worked out once
// a name: one missing policy may be named by every token.
func (d *documents) hint(kind, wrong string) string {
	if text, ok := d.hints[kind+"/"+wrong]; ok {
		return text
	}
	var known []string
	for key := range d.names {
		if name, ok := strings.CutPrefix(key, kind+"/"); ok {
			known = append(known, name)
		}
	}
	slices.Sort(known)
	text := "expected a manifest of that name"
	if len(known) > 0 && len(d.hints) < maxHints && d.compared+len(known) <= maxCompared {
		d.compared += len(known)
		text = diag.Suggest(wrong, known)
	}
	d.hints[kind+"/"+wrong] = text
	return text
}

// maxHints bounds how many names are compared with all others, and maxCompared with how
// many in all.
const (
	maxHints    = 100
	maxCompared = 100_000
)

// grants wants a token's policies to grant something, or nothing beside `unrestricted`.
func (d *documents) grants(doc *manifest.Document) {
	spec := doc.APIToken
	if spec.Canary || len(spec.Policies) == 0 {
		return
	}
	allow := len(spec.Allow)+len(spec.LimitTo) > 0
	for i, ref := range spec.Policies {
		named := d.names[manifest.KindTokenPolicy+"/"+ref.Text]
		if named == nil || named.Broken() || named.TokenPolicy == nil {
			return // reported elsewhere, and unknown what it grants
		}
		if len(named.TokenPolicy.Allow) == 0 {
			continue
		}
		allow = true
		if spec.Unrestricted {
			d.problem(doc, ref.At, fmt.Sprintf("spec.policies[%d]", i),
				"%s has allow rules (%s) beside `unrestricted: true`, expected policies that only deny", ref.Text, named.Place(named.Pos))
		}
	}
	if !allow && !spec.Unrestricted && !doc.Broken() {
		d.problem(doc, spec.Policies[0].At, "spec.policies",
			"the policies only deny, so that the token may do nothing, expected allow rules or `unrestricted: true`")
	}
}

// schemes wants a token to have a gate that takes it in one of its ways.
func (d *documents) schemes(doc *manifest.Document) {
	spec := doc.APIToken
	if spec.Canary || doc.Bad("spec.schemes", "spec.anyUser", "spec.gates") {
		return
	}
	own := manifest.Schemes(spec.Schemes)
	if spec.AnyUser {
		own = policy.Schemes(0).With(policy.Basic)
	}
	var gates []string
	for _, g := range d.gatesOf(spec) {
		if g.Bad("spec.schemes") || own == 0 || own&gateSchemes(g.Gate) != 0 {
			return
		}
		gates = append(gates, g.Metadata.Name.Text)
	}
	if len(gates) > 0 {
		at := spec.At
		if len(spec.Schemes) > 0 {
			at = spec.Schemes[0].At
		}
		d.problem(doc, at, "spec.schemes", "none of its gates (%s) takes the token as %s, expected a scheme in common",
			strings.Join(gates, ", "), own)
	}
}

// gatesOf returns the gates that a token is for.
func (d *documents) gatesOf(spec *manifest.APIToken) []*manifest.Document {
	if len(spec.Gates) == 0 {
		return d.gates
	}
	var gates []*manifest.Document
	for _, ref := range spec.Gates {
		if g := d.names[manifest.KindGate+"/"+ref.Text]; g != nil && g.Gate != nil {
			gates = append(gates, g)
		}
	}
	return gates
}

// digests wants each value to belong to one token.
func (d *documents) digests() {
	type use struct {
		doc   *manifest.Document
		at    diag.Pos
		field string
	}
	seen := make(map[token.Digest]use, len(d.tokens))
	claim := func(doc *manifest.Document, field string, digest manifest.Digest) {
		if digest.Sum == (token.Digest{}) {
			return
		}
		if other, taken := seen[digest.Sum]; taken {
			d.problem(doc, digest.At, field, "the digest is that of %s at %s already, expected a value of its own",
				other.doc.Metadata.Name.Text, other.doc.Place(other.at))
			return
		}
		seen[digest.Sum] = use{doc, digest.At, field}
	}
	for _, doc := range d.tokens {
		claim(doc, "spec.digest", doc.APIToken.Digest)
		for i, p := range doc.APIToken.Previous {
			claim(doc, fmt.Sprintf("spec.previous[%d].digest", i), p.Digest)
		}
	}
}

// ignoresCase reports whether a gate's API ignores case in paths.
func ignoresCase(g *manifest.Gate) bool {
	return g.Upstream != nil && g.Upstream.Routing.CaseInsensitive
}

// ties reports gates that guard the same host and path prefix. Case counts, unless one
// of them has an API that ignores it.
func (d *documents) ties() {
	type guard struct {
		doc    *manifest.Document
		prefix string
	}
	seen := map[string][]guard{} // by host and folded prefix
	tie := func(guards []guard, doc *manifest.Document, prefix string) *manifest.Document {
		for i := len(guards) - 1; i >= 0; i-- {
			other := guards[i]
			folds := ignoresCase(doc.Gate) || ignoresCase(other.doc.Gate)
			if other.doc != doc && (other.prefix == prefix || folds) {
				return other.doc
			}
		}
		return nil
	}
	for _, doc := range d.gates {
		if doc.Bad("spec.hosts", "spec.paths") {
			continue
		}
		for _, host := range gateHosts(doc.Gate) {
			for i, prefix := range gatePrefixes(doc.Gate) {
				key := host + " " + policy.FoldPath(prefix)
				other := tie(seen[key], doc, prefix)
				seen[key] = append(seen[key], guard{doc, prefix})
				if other == nil || doc.Metadata.Name.Text != "" && other.Metadata.Name.Text == doc.Metadata.Name.Text {
					continue // the second of a name is reported as that
				}
				at, field := doc.Gate.At, "spec"
				if i < len(doc.Gate.Paths) {
					at, field = doc.Gate.Paths[i].At, fmt.Sprintf("spec.paths[%d]", i)
				}
				d.problem(doc, at, field, "the gate ties with the one at %s: both guard host %s and path %s/, expected one gate for each",
					other.Place(other.Pos), host, prefix)
			}
		}
	}
}
