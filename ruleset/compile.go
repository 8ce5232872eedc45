package ruleset

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
)

// compiler turns documents into rows. Rows that are what they were in the running
// revision, and refer to rows that are, are taken over as they stand, so that a reload
// writes no more than what changed.
type compiler struct {
	old      *policy.Snapshot
	scratch  *policy.Token // what token returns each time, where its rows are not kept; nil: a new one
	policies map[string]*policy.Policy
	groups   map[string]*policy.Group
	members  *policy.Members              // of the groups; nil: they are those of groups that run, and of those that come
	added    *policy.Members              // of groups in the place of those that run, or beside them; nil: none come
	labels   map[string]map[string]string // of namespaces
}

// compile makes the rows of documents that were checked.
func compile(docs *Set, old *policy.Snapshot) policy.Rows {
	c, rows := compileShared(docs, old)
	for _, d := range docs.Tokens {
		rows.Tokens = append(rows.Tokens, c.token(d))
	}
	return rows
}

// compileShared makes the rows of the shared documents, and the compiler of tokens.
func compileShared(docs *Set, old *policy.Snapshot) (c *compiler, rows policy.Rows) {
	c = newCompiler(nil, nil)
	c.old = old
	rows = c.sharedRows(docs)
	rows.Members = c.members
	return c, rows
}

// newCompiler returns a compiler of what names these rows.
func newCompiler(policies []*policy.Policy, groups []*policy.Group) *compiler {
	c := &compiler{policies: map[string]*policy.Policy{}, groups: map[string]*policy.Group{}}
	for _, row := range policies {
		c.policies[row.Name] = row
	}
	c.addGroups(groups)
	c.members = policy.NewMembers(groups)
	return c
}

// addGroups sorts the groups.
func (c *compiler) addGroups(groups []*policy.Group) {
	policy.SortGroups(groups)
	for _, g := range groups {
		c.groups[g.Name] = g
	}
}

func (c *compiler) policy(d *manifest.Document) *policy.Policy {
	name := d.Key()
	if old := c.old.Policy(name); old != nil && old.Fingerprint == d.Fingerprint {
		return old
	}
	spec := d.TokenPolicy
	return &policy.Policy{
		Name: name, Source: d.At(d.Pos), Fingerprint: d.Fingerprint, Observe: spec.Enforcement.Observe,
		Allow: rules(d, spec.Allow, "allow", name), Deny: rules(d, spec.Deny, "deny", name),
	}
}

// rules compiles a list. A rule without a name is called by its place.
func rules(d *manifest.Document, list []manifest.Rule, key, policyName string) []*policy.Rule {
	var compiled []*policy.Rule
	for i, r := range list {
		row := &policy.Rule{
			Name: r.Name, Policy: policyName, Source: d.At(r.At), Path: r.Path.Pattern,
			Clients: cidrs(r.Clients), Query: r.Query, JSON: r.JSON, MCP: r.MCP.Row(),
		}
		if row.Name == "" {
			row.Name = fmt.Sprintf("%s[%d]", key, i)
		}
		for _, t := range r.Types {
			row.ContentTypes = append(row.ContentTypes, string(t))
		}
		for _, m := range r.Methods {
			row.Methods = append(row.Methods, string(m))
		}
		compiled = append(compiled, row)
	}
	return compiled
}

func cidrs(list []manifest.CIDR) []netip.Prefix {
	var prefixes []netip.Prefix
	for _, c := range list {
		prefixes = append(prefixes, c.Prefix)
	}
	return prefixes
}

func ranges(c *manifest.Clients) policy.Ranges {
	if c == nil {
		return policy.Ranges{}
	}
	return policy.Ranges{Allow: cidrs(c.Allow), Deny: cidrs(c.Deny)}
}

func (c *compiler) group(d *manifest.Document) *policy.Group {
	name, spec := d.Key(), d.UserGroup
	bounds := c.named(d, spec.Policies)
	if old := c.old.Group(name); old != nil && old.Fingerprint == d.Fingerprint && slices.Equal(old.Policies, bounds) {
		return old
	}
	row := &policy.Group{Name: name, Namespace: string(d.Metadata.Namespace), Source: d.At(d.Pos), Fingerprint: d.Fingerprint, Policies: bounds, Admin: spec.Admin}
	for _, user := range spec.Members {
		row.Members = append(row.Members, string(user))
	}
	if spec.Tokens != nil {
		row.Create, row.MaxLifetime = spec.Tokens.Create, time.Duration(spec.Tokens.MaxLifetime)
	}
	return row
}

// named returns the policies of a list of names.
func (c *compiler) named(d *manifest.Document, refs []manifest.Ref) []*policy.Policy {
	var list []*policy.Policy
	for _, ref := range refs {
		list = append(list, c.policies[d.Resolve(ref)])
	}
	return list
}

func (c *compiler) gate(d *manifest.Document) *policy.Gate {
	name, spec := d.Key(), d.Gate
	bounds, from := c.named(d, spec.Policies), c.tokensFrom(spec)
	var groups []*policy.Group
	for _, ref := range spec.Groups {
		groups = append(groups, c.groups[d.Resolve(ref)])
	}
	if old := c.old.Gate(name); old != nil && old.Fingerprint == d.Fingerprint &&
		slices.Equal(old.Policies, bounds) && slices.Equal(old.Groups, groups) && slices.Equal(old.TokensFrom.Namespaces, from.Namespaces) && !old.Invalid {
		return old
	}
	up := spec.UpstreamOrDefault()
	row := &policy.Gate{
		Name: name, Namespace: string(d.Metadata.Namespace), Source: d.At(d.Pos), Fingerprint: d.Fingerprint, TokensFrom: from,
		Hosts: gateHosts(spec), Prefixes: gatePrefixes(spec), Schemes: gateSchemes(spec),
		BearerFirst: len(spec.Schemes) > 0 && spec.Schemes[0].Is == policy.Bearer,
		BasicEnds:   spec.BasicEnds.Time, Challenge: manifest.Schemes(spec.Challenge), Contact: string(spec.Contact),
		ErrorMessages: spec.Problem != nil && spec.Problem.ErrorMessages,
		Groups:        groups, RequireTLS: spec.RequireTLS, Clients: ranges(spec.Clients), Policies: bounds,
		ActAsHeader: string(spec.ActAsHeader()), Observe: spec.Enforcement.Observe,
		FormBodies: spec.FormBodies.FormBodies, MCPValidated: spec.MCP != nil && spec.MCP.ServerValidates,
		Upstream: policy.NewUpstream(string(up.UserHeader), string(up.GroupsHeader), string(up.TokenHeader),
			string(spec.ActAsHeader()), up.Authorization.Keep),
	}
	row.ForwardUnknown, row.ForwardOther = manifest.ForwardedSchemes(spec.ForwardUnknown)
	row.IgnoreCase, row.Upstream.PercentUsers = up.Routing.CaseInsensitive, up.Encoding.Percent
	for _, e := range spec.AllowEncoded {
		row.AllowEncoded |= e.Encoded
	}
	if ip := spec.ClientIP; ip != nil {
		row.ClientIP = policy.ClientIP{
			Source: policy.AddressSource(ip.Source), TrustedHops: int(ip.TrustedHops), Header: string(ip.Header),
		}
	}
	if a := spec.Anonymous; a != nil {
		row.Anonymous = &policy.Grant{Unrestricted: a.Unrestricted, Policies: []*policy.Policy{{
			Source: d.At(d.Pos), Allow: rules(d, a.Allow, "allow", ""), Deny: rules(d, a.Deny, "deny", ""),
		}}}
	}
	return row
}

// tokensFrom says tokens of which namespaces a gate admits.
func (c *compiler) tokensFrom(g *manifest.Gate) policy.TokensFrom {
	if g.TokensFrom == nil {
		return policy.TokensFrom{}
	}
	from := g.TokensFrom.Namespaces
	return policy.TokensFrom{All: from.All, Selected: len(from.Labels) > 0, Namespaces: from.Select(c.labels)}
}

// gateHosts returns a gate's hosts; by default it guards every host.
func gateHosts(g *manifest.Gate) []string {
	var hosts []string
	for _, h := range g.Hosts {
		if !slices.Contains(hosts, string(h)) {
			hosts = append(hosts, string(h))
		}
	}
	if len(hosts) == 0 {
		hosts = []string{policy.AnyHost}
	}
	return hosts
}

// gatePrefixes returns a gate's path prefixes; by default it guards every path.
func gatePrefixes(g *manifest.Gate) []string {
	var prefixes []string
	for _, p := range g.Paths {
		if !slices.Contains(prefixes, p.Path) {
			prefixes = append(prefixes, p.Path)
		}
	}
	if len(prefixes) == 0 {
		prefixes = []string{""}
	}
	return prefixes
}

// gateSchemes returns how tokens may be presented at a gate; by default Basic.
func gateSchemes(g *manifest.Gate) policy.Schemes {
	if len(g.Schemes) == 0 {
		return policy.Schemes(0).With(policy.Basic)
	}
	return manifest.Schemes(g.Schemes)
}

// groupsOf returns a user's groups, by name.
func (c *compiler) groupsOf(namespace, user string) []*policy.Group {
	if c.members != nil {
		return c.members.Of(namespace, user)
	}
	groups := c.old.GroupsIn(namespace, user)
	foreign := func(g *policy.Group) bool { return c.groups[g.Name] != g }
	if slices.ContainsFunc(groups, foreign) {
		groups = slices.DeleteFunc(slices.Clone(groups), foreign)
	}
	if c.added == nil {
		return groups
	}
	if added := c.added.Of(namespace, user); len(added) > 0 { // mutant: joined-group-forgotten
		groups = append(slices.Clip(groups), added...)
		policy.SortGroups(groups)
	}
	return groups
}

func (c *compiler) token(d *manifest.Document) *policy.Token {
	name, spec := d.Key(), d.APIToken // panic: compile
	granted := c.named(d, spec.Policies)
	groups := c.groupsOf(string(d.Metadata.Namespace), string(spec.User))
	if old := c.old.Outline(name); old != nil && old.Fingerprint == d.Fingerprint && !old.NotAccepted &&
		slices.Equal(old.Groups, groups) && sameNamed(old.Grant.Policies, granted) {
		return old
	}
	row := c.scratch
	if row == nil {
		row = new(policy.Token)
	}
	*row = policy.Token{
		Name: name, Namespace: string(d.Metadata.Namespace), Source: d.At(d.Pos), Fingerprint: d.Fingerprint,
		User: string(spec.User), AnyUser: spec.AnyUser, Digest: spec.Digest.Sum,
		Issued: spec.Issued.Time, Expires: spec.Expires.Time,
		Revoked: !spec.Revoked.IsZero(), Suspended: spec.Suspended, Canary: spec.Canary,
		Schemes: manifest.Schemes(spec.Schemes), Clients: ranges(spec.Clients), Groups: groups,
		Grant: policy.Grant{Unrestricted: spec.Unrestricted, Policies: granted},
	}
	for _, login := range spec.Logins {
		row.Logins = append(row.Logins, string(login))
	}
	for _, p := range spec.Previous {
		row.Previous = append(row.Previous, policy.PreviousValue{Digest: p.Digest.Sum, Issued: p.Issued.Time, Until: p.Until.Time})
	}
	for _, ref := range spec.Gates {
		row.Gates = append(row.Gates, d.Resolve(ref))
	}
	for _, p := range spec.ActAs {
		row.ActAs = append(row.ActAs, p.Pattern)
	}
	if own := append(rules(d, spec.Allow, "allow", ""), rules(d, spec.LimitTo, "limitTo", "")...); len(own) > 0 {
		row.Grant.Policies = append(slices.Clip(granted), &policy.Policy{Source: d.At(d.Pos), Allow: own})
	}
	return row
}

// sameNamed reports whether a grant names the same policies; own rules, which have no
// name, are part of the token's fingerprint.
func sameNamed(grant, named []*policy.Policy) bool {
	if n := len(grant); n > 0 && grant[n-1].Name == "" {
		grant = grant[:n-1]
	}
	return slices.Equal(grant, named)
}
