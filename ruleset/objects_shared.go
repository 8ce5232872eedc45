package ruleset

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
)

// stepShared decides about gates, groups and policies, and which tokens that concerns.
func (o *Objects) stepShared(c *policy.Changes, running *policy.Snapshot) {
	o.stale = false
	ordered := o.decodeShared()
	set := o.chooseShared(ordered, running)
	maker := newCompiler(nil, nil)
	maker.old, maker.labels = running, o.labels
	next := maker.sharedRows(set)
	for _, r := range ordered {
		if r.Kind == manifest.KindGate && r.used == nil {
			next.Gates = append(next.Gates, running.SameGate(invalidGate(r)))
		}
	}
	next.Gates = append(next.Gates, gatesKeptClosed(running, next.Gates)...)
	o.findRefusedUsers(ordered)
	o.findAffected(set, &next, running)
	c.Old.Gates, c.New.Gates = difference(o.rows.Gates, next.Gates)
	c.Old.Groups, c.New.Groups = difference(o.rows.Groups, next.Groups)
	c.Old.Policies, c.New.Policies = difference(o.rows.Policies, next.Policies)
	o.base, o.maker, o.rows = set, maker, next
	for _, r := range ordered {
		if r.used != nil {
			r.good = r.used
		}
		o.track(&r.Object, r.fault.Problem, r.fault.Kept)
	}
}

// decodeShared decodes what changed, and returns all in the order in which one gives way to another: what runs as it
// is comes first, then the older ones.
func (o *Objects) decodeShared() []*sharedObject {
	ordered := slices.Collect(maps.Values(o.shared))
	for _, r := range ordered {
		if r.now == nil {
			r.now = o.decode(&r.Object)
		}
		if r.good != nil && r.good.Fingerprint == r.now.Fingerprint {
			r.now = r.good
		}
	}
	slices.SortFunc(ordered, func(a, b *sharedObject) int {
		if x, y := a.now == a.good, b.now == b.good; x != y {
			return map[bool]int{true: -1, false: 1}[x]
		}
		return a.older(&b.Object)
	})
	return ordered
}

// decode decodes the one document of an object.
func (o *Objects) decode(object *Object) *manifest.Document {
	if o.decoded++; o.decoded%maxDecoded == 0 {
		o.decoder = newDecoder() // it remembers every pattern that it has seen
	}
	docs := o.decoder.Read(object.ID(), object.manifest())
	if len(docs) != 1 {
		docs = []*manifest.Document{{File: object.ID(), Problems: []diag.Problem{{File: object.ID(), Message: "no manifest"}}}}
	}
	doc := docs[0]
	doc.Origin, doc.Metadata.Namespace = policy.OriginObjects, manifest.Namespace(object.Namespace)
	o.decoder.Explain(docs)
	if doc.APIToken != nil && doc.APIToken.Secret != nil {
		doc.APIToken.SetValues(object.Values)
		doc.Fingerprint = withValues(doc.Fingerprint, object.Values)
	}
	return doc
}

// maxDecoded is the maximum number of documents that one decoder decodes.
const maxDecoded = 1_000

// chooseShared finds for each object the version that can run beside the others: as it is, or its last good one.
func (o *Objects) chooseShared(ordered []*sharedObject, running *policy.Snapshot) *Set {
	before := map[*sharedObject]Fault{}
	defer func() {
		for r, fault := range before {
			o.noteChange(fault, r.fault)
		}
	}()
	for _, r := range ordered {
		before[r] = r.fault
		r.used, r.fault = r.now, Fault{Object: r.ID()}
		if r.now.Broken() {
			r.fallBack(r.now.Problems)
		}
	}
	for {
		set := sharedSet(ordered)
		set.checkShared()
		set.checkGatesOwnRanges()
		set.checkBeside(running)
		if len(set.Problems) == 0 && set.more == 0 {
			return set
		}
		o.fallBackOnConflict(set)
	}
}

// sharedSet returns the chosen versions as one set.
func sharedSet(ordered []*sharedObject) *Set {
	set := newSet()
	set.options = Options{AllowEmpty: true}.withDefaults()
	for _, r := range ordered {
		if r.used != nil {
			set.add(r.used)
		}
	}
	return set
}

// fallBackOnConflict lets each document with a problem fall back. One that runs as it is gives way only if no document that it
// names has changed: the change is at fault, then.
func (o *Objects) fallBackOnConflict(set *Set) {
	by := map[string][]diag.Problem{}
	for _, p := range set.Problems {
		by[p.File] = append(by[p.File], p)
	}
	for id, problems := range by {
		r := o.shared[id]
		if r.used != r.good || !o.fallBackNamed(r, problems) {
			r.fallBack(problems)
		}
	}
}

// fallBackNamed lets the changed documents that one names fall back, if they can.
func (o *Objects) fallBackNamed(r *sharedObject, problems []diag.Problem) (fell bool) {
	named := func(kind string, refs []manifest.Ref) {
		for _, ref := range refs {
			other := o.shared[kind+"/"+r.used.Resolve(ref)]
			if other != nil && other.used == other.now && other.now != other.good && other.good != nil {
				other.fallBack([]diag.Problem{{Message: r.ID() + " names it, and would not be accepted: " + describe(problems)}})
				fell = true
			}
		}
	}
	switch {
	case r.used.Gate != nil:
		named(manifest.KindUserGroup, r.used.Gate.Groups)
		named(manifest.KindTokenPolicy, r.used.Gate.Policies)
	case r.used.UserGroup != nil:
		named(manifest.KindTokenPolicy, r.used.UserGroup.Policies)
	}
	return fell
}

// fallBack goes on to the last good version, or to none.
func (r *sharedObject) fallBack(problems []diag.Problem) {
	if r.fault.Problem == "" || r.used == r.good {
		r.fault.Problem = describe(problems)
	}
	if r.used == r.now && r.good != nil && r.good != r.now {
		r.used, r.fault.Kept = r.good, true
		return
	}
	r.used, r.fault.Kept = nil, false
}

// maxDescribed is the maximum number of problems of an object that are described.
const maxDescribed = 5

// describe writes problems without their places: an object has fields, and no lines.
func describe(problems []diag.Problem) string {
	var texts []string
	for _, p := range problems[:min(len(problems), maxDescribed)] {
		text := p.Message
		if p.Field != "" {
			text = p.Field + ": " + text
		}
		texts = append(texts, text)
	}
	if more := len(problems) - maxDescribed; more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(texts, "; ")
}

// checkGatesOwnRanges reports gates that do not say where client addresses come from, and have ranges themselves or
// in their policies. Those of tokens are the tokens' fault.
func (s *Set) checkGatesOwnRanges() {
	for _, g := range s.Gates {
		if g.Gate.ClientIP != nil {
			continue
		}
		if place := s.ownRangeAt(g); place != "" {
			s.problem(g, g.Gate.At, "spec.clientIP", "missing, expected where client addresses come from, as ranges of them count at this gate")
		}
	}
}

// checkBeside reports documents with the name of a row of another origin, and gates that guard what a gate of another
// origin does: files come first.
func (s *Set) checkBeside(running *policy.Snapshot) {
	taken := func(doc *manifest.Document, from policy.Source) {
		if from.Origin != policy.OriginObjects {
			s.problem(doc, doc.Pos, "metadata.name", "the name is that of a manifest at %s", from)
		}
	}
	for _, doc := range s.Policies {
		if row := running.Policy(doc.Key()); row != nil {
			taken(doc, row.Source)
		}
	}
	for _, doc := range s.Groups {
		if row := running.Group(doc.Key()); row != nil {
			taken(doc, row.Source)
		}
	}
	guarded := map[string]*policy.Gate{}
	for _, g := range running.Gates() {
		if g.Source.Origin == policy.OriginObjects {
			continue
		}
		for _, host := range g.Hosts {
			for _, prefix := range g.Prefixes {
				guarded[host+" "+policy.FoldPath(prefix)] = g
			}
		}
	}
	for _, doc := range s.Gates {
		if row := running.Gate(doc.Key()); row != nil {
			taken(doc, row.Source)
		}
		for _, host := range gateHosts(doc.Gate) {
			for _, prefix := range gatePrefixes(doc.Gate) {
				if g := guarded[host+" "+policy.FoldPath(prefix)]; g != nil {
					s.problem(doc, doc.Gate.At, "spec", "the gate conflicts with %s (%s): both guard host %s and path %s/, expected one gate for each", g.Name, g.Source, host, prefix)
				}
			}
		}
	}
}

// invalidGate is the row of a gate that is not accepted: requests to its hosts and paths are refused.
func invalidGate(r *sharedObject) *policy.Gate {
	row := &policy.Gate{Name: r.key(), Namespace: r.Namespace, Source: policy.Source{File: r.ID(), Line: 1, Origin: policy.OriginObjects}}
	for _, doc := range []*manifest.Document{r.now, r.good} {
		if doc == nil || doc.Gate == nil || doc.Bad("spec.hosts", "spec.paths") {
			continue
		}
		row.Hosts = append(row.Hosts, gateHosts(doc.Gate)...)
		row.Prefixes = append(row.Prefixes, gatePrefixes(doc.Gate)...)
		row.IgnoreCase = row.IgnoreCase || ignoresCase(doc.Gate)
	}
	return denyAll(row)
}

// denyAll completes the row of a gate at which every request is refused.
func denyAll(row *policy.Gate) *policy.Gate {
	slices.Sort(row.Hosts)
	slices.Sort(row.Prefixes)
	row.Hosts, row.Prefixes = slices.Compact(row.Hosts), slices.Compact(row.Prefixes)
	up := (&manifest.Gate{}).UpstreamOrDefault()
	row.Invalid, row.Schemes = true, policy.Schemes(0).With(policy.Basic)
	row.Upstream = policy.NewUpstream(string(up.UserHeader), string(up.GroupsHeader), string(up.TokenHeader), "", false)
	row.Fingerprint = sha256.Sum256(fmt.Appendf(nil, "not accepted\n%q\n%q\n%t", row.Hosts, row.Prefixes, row.IgnoreCase))
	return row
}

// gatesKeptClosed returns rows for the gates that went and whose requests a weaker gate would take over: they are refused
// until a gate names that host and path itself.
func gatesKeptClosed(running *policy.Snapshot, next []*policy.Gate) (rows []*policy.Gate) {
	seen := map[string]bool{}
	all := slices.Clip(next)
	for _, g := range running.Gates() {
		if g.Source.Origin != policy.OriginObjects {
			all = append(all, g)
		}
	}
	for _, loss := range running.Losses(all) {
		g := loss.Gate
		if seen[g.Name] || g.Source.Origin != policy.OriginObjects {
			continue
		}
		seen[g.Name] = true
		if g.Invalid {
			rows = append(rows, g)
			continue
		}
		rows = append(rows, denyAll(&policy.Gate{
			Name: g.Name, Namespace: g.Namespace, Source: g.Source, Hosts: slices.Clone(g.Hosts), Prefixes: slices.Clone(g.Prefixes), IgnoreCase: g.IgnoreCase,
		}))
	}
	return rows
}

// findRefusedUsers lists the users whose tokens are refused because a group of theirs is not accepted.
func (o *Objects) findRefusedUsers(ordered []*sharedObject) {
	o.broken, o.members = map[string]bool{}, map[memberOf]bool{}
	for _, r := range ordered {
		if r.Kind != manifest.KindUserGroup || r.used != nil {
			continue
		}
		o.broken[r.Namespace] = true
		for _, doc := range []*manifest.Document{r.now, r.good} {
			if doc == nil || doc.UserGroup == nil {
				continue
			}
			for _, user := range doc.UserGroup.Members {
				o.members[memberOf{manifest.Namespace(r.Namespace), user}] = true
			}
		}
	}
}

// sharedRows compiles gates, groups and policies.
func (c *compiler) sharedRows(set *Set) policy.Rows {
	rows := c.shared(set)
	c.members = policy.NewMembers(rows.Groups)
	return rows
}

// shared does what sharedRows does, and lists no members.
func (c *compiler) shared(set *Set) (rows policy.Rows) {
	for _, d := range set.Policies {
		row := c.policy(d)
		c.policies[row.Name] = row
		rows.Policies = append(rows.Policies, row)
	}
	for _, d := range set.Groups {
		rows.Groups = append(rows.Groups, c.group(d))
	}
	c.addGroups(rows.Groups)
	for _, d := range set.Gates {
		rows.Gates = append(rows.Gates, c.gate(d))
	}
	return rows
}

// difference returns the rows that go and those that come.
func difference[T any](before, after []*T) (gone, come []*T) {
	there := make(map[*T]bool, len(after))
	for _, row := range after {
		there[row] = true
	}
	was := make(map[*T]bool, len(before))
	for _, row := range before {
		if was[row] = true; !there[row] {
			gone = append(gone, row)
		}
	}
	for _, row := range after {
		if !was[row] {
			come = append(come, row)
		}
	}
	return gone, come
}
