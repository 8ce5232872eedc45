// Package manifest reads and writes patgate's manifests: YAML documents of the kinds Gate, APIToken, UserGroup and
// TokenPolicy. Decoding is strict, and every problem has its place. Besides manifest/edit and the checks of proxies'
// configurations, no package imports YAML.
package manifest

import (
	"fmt"
	"strings"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/policy"
)

// APIVersion is the one version of all kinds.
const APIVersion = apiGroup + "v1alpha1"

const apiGroup = "patgate.dev/"

// The kinds.
const (
	KindGate        = "Gate"
	KindAPIToken    = "APIToken"
	KindUserGroup   = "UserGroup"
	KindTokenPolicy = "TokenPolicy"
	KindPolicyTest  = "PolicyTest" // in files that end in .test.yaml
)

// Pos and Problem are the places and problems of every file that patgate reads.
type (
	Pos     = diag.Pos
	Problem = diag.Problem
)

// Document is one manifest. Exactly one of the specs is set, unless the document is
// broken: then Kind and Metadata.Name are what could be read of them.
type Document struct {
	Origin      string // what the file is read from, as those who read it set it
	File        string
	Pos         Pos // of its first line
	Fingerprint policy.Fingerprint
	Problems    []Problem // of its own
	fault       *fault    // why it is not YAML, until Explain describes it
	undescribed bool      // it has more problems

	Kind     string
	Metadata Metadata

	Gate        *Gate
	APIToken    *APIToken
	UserGroup   *UserGroup
	TokenPolicy *TokenPolicy
	PolicyTest  *PolicyTest // of DecodeTests alone
}

// Broken reports whether the document has problems of its own.
func (d *Document) Broken() bool { return len(d.Problems) > 0 || d.fault != nil }

// Bad reports whether one of these fields, or something in it, has a problem, so that
// what was decoded of it means nothing.
func (d *Document) Bad(fields ...string) bool {
	if d.undescribed {
		return true // it may be among those that are not described
	}
	for _, p := range d.Problems {
		for _, f := range fields {
			if p.Field == "" || p.Field == "spec" || p.Field == f || strings.HasPrefix(p.Field, f+".") || strings.HasPrefix(p.Field, f+"[") {
				return true
			}
		}
	}
	return false
}

// At returns the place of a manifest, or of a rule in it, as decisions name it.
func (d *Document) At(p Pos) policy.Source {
	return policy.Source{File: d.File, Line: p.Line, Origin: d.Origin}
}

// Place returns `FILE:LINE:COLUMN` of something in the document.
func (d *Document) Place(p Pos) string {
	return fmt.Sprintf("%s:%d:%d", d.File, p.Line, p.Column)
}

// Problem makes a problem at a place in the document.
func (d *Document) Problem(p Pos, field, format string, args ...any) Problem {
	return Problem{File: d.File, Pos: p, Field: field, Message: fmt.Sprintf(format, args...)}
}

// Metadata is a manifest's metadata, as Kubernetes has it.
type Metadata struct {
	Name        Name              `yaml:"name,required"`
	Namespace   Namespace         `yaml:"namespace"`
	Labels      map[string]string `yaml:"labels,empty"`
	Annotations map[string]string `yaml:"annotations,empty"`
}

// serverSet are the fields of metadata that a cluster writes. They are ignored.
var serverSet = []string{"uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
	"deletionGracePeriodSeconds", "managedFields", "selfLink", "ownerReferences", "finalizers", "generateName"}

// Gate describes a protected API, and the credentials that it takes.
type Gate struct {
	Hosts          []Host      `yaml:"hosts"`
	Paths          []Prefix    `yaml:"paths"`
	Schemes        []Scheme    `yaml:"schemes"`
	BasicEnds      Time        `yaml:"basicEnds"`
	Groups         []Ref       `yaml:"groups"`
	TokensFrom     *TokensFrom `yaml:"tokensFrom"`
	Anonymous      *Anonymous  `yaml:"anonymous"`
	ForwardUnknown []Forwarded `yaml:"forwardUnknown"`
	RequireTLS     bool        `yaml:"requireTLS"`
	Clients        *Clients    `yaml:"clients"`
	ClientIP       *ClientIP   `yaml:"clientIP"`
	Policies       []Ref       `yaml:"policies,empty"`
	ActAs          *ActAs      `yaml:"actAs"`
	Challenge      []Scheme    `yaml:"challenge"`
	Contact        Contact     `yaml:"contact"`
	Problem        *Problems   `yaml:"problem"`
	AllowEncoded   []Encoded   `yaml:"allowEncoded"`
	FormBodies     FormBodies  `yaml:"formBodies"`
	MCP            *GateMCP    `yaml:"mcp"`
	Upstream       *Upstream   `yaml:"upstream"`
	Enforcement    Enforcement `yaml:"enforcement"`
	At             Pos         `yaml:"-"`
}

// GateMCP describes the MCP server behind a gate.
type GateMCP struct {
	ServerValidates bool `yaml:"serverValidates"`
}

// Anonymous grants rights to callers without a credential.
type Anonymous struct {
	Unrestricted bool   `yaml:"unrestricted"`
	Allow        []Rule `yaml:"allow"`
	Deny         []Rule `yaml:"deny,empty"`
}

// Clients are ranges of client addresses.
type Clients struct {
	Allow []CIDR `yaml:"allow"`
	Deny  []CIDR `yaml:"deny,empty"`
	At    Pos    `yaml:"-"`
}

// ClientIP is the source of the client's address at a gate.
type ClientIP struct {
	Source      AddressSource `yaml:"source"`
	TrustedHops Hops          `yaml:"trustedHops"`
	Header      HeaderName    `yaml:"header"`
}

// ActAs names the header by which a token acts for another user.
type ActAs struct {
	Header HeaderName `yaml:"header,required"`
}

// Problems holds additional fields for the refusals of a gate.
type Problems struct {
	ErrorMessages bool `yaml:"errorMessages"`
}

// Upstream describes the API behind a gate: how it reads paths, and the headers
// that identify the caller.
type Upstream struct {
	Routing       Routing       `yaml:"routing"`
	Encoding      Encoding      `yaml:"encoding"`
	UserHeader    HeaderName    `yaml:"userHeader"`
	GroupsHeader  HeaderName    `yaml:"groupsHeader"`
	TokenHeader   HeaderName    `yaml:"tokenHeader"`
	Authorization Authorization `yaml:"authorization"`
}

// APIToken is one credential: the digest of its value, and what it may do.
type APIToken struct {
	DisplayName  string       `yaml:"displayName"`
	Description  string       `yaml:"description"`
	User         User         `yaml:"user"`
	AnyUser      bool         `yaml:"anyUser"`
	Logins       []User       `yaml:"logins"`
	Digest       Digest       `yaml:"digest,required,unless=secret"`
	Issued       Time         `yaml:"issued,required,unless=secret"`
	Secret       *TokenSecret `yaml:"secret,object"`
	Expires      Time         `yaml:"expires"`
	Schemes      []Scheme     `yaml:"schemes"`
	Gates        []Ref        `yaml:"gates"`
	Clients      *Clients     `yaml:"clients"`
	Policies     []Ref        `yaml:"policies,empty"`
	Allow        []Rule       `yaml:"allow"`
	LimitTo      Lines        `yaml:"limitTo"`
	ActAs        []Pattern    `yaml:"actAs"`
	Unrestricted bool         `yaml:"unrestricted"`
	Revoked      Time         `yaml:"revoked"`
	Suspended    bool         `yaml:"suspended"`
	Canary       bool         `yaml:"canary"`
	Previous     []Previous   `yaml:"previous,empty"`
	At           Pos          `yaml:"-"`
	Ends         Ends         `yaml:"-"`
}

// Ends holds the fields that end a token, even if the rest of the manifest can't be read:
// a person who writes `revoked: yesterday` means to revoke.
type Ends struct{ Revoked, Suspended bool }

// Previous is a value that a rotation replaced.
type Previous struct {
	Digest Digest `yaml:"digest,required"`
	Issued Time   `yaml:"issued,required"`
	Until  Time   `yaml:"until,required"`
}

// TokenSecret is the Kubernetes Secret for which `patgate controller` makes a token's values.
type TokenSecret struct {
	Name        Name     `yaml:"name,required"`
	RotateEvery Lifetime `yaml:"rotateEvery"`
	Overlap     Lifetime `yaml:"overlap"`
}

// UserGroup is a group's members, and their right to have tokens.
type UserGroup struct {
	Members  []User       `yaml:"members,required,empty"`
	Policies []Ref        `yaml:"policies,empty"`
	Admin    bool         `yaml:"admin"`
	Tokens   *GroupTokens `yaml:"tokens"`
}

// GroupTokens holds a group's settings for its members' tokens.
type GroupTokens struct {
	Create      bool     `yaml:"create"`
	MaxLifetime Lifetime `yaml:"maxLifetime"`
	Max         Count    `yaml:"max"`
}

// TokenPolicy is a list of rules that tokens, groups and gates name.
type TokenPolicy struct {
	Enforcement Enforcement `yaml:"enforcement"`
	Allow       []Rule      `yaml:"allow"`
	Deny        []Rule      `yaml:"deny,empty"`
}

// Rule is one entry of a list. Every condition given must hold.
type Rule struct {
	Name    string      `yaml:"name"`
	Methods []Method    `yaml:"methods"`
	Path    Pattern     `yaml:"path"`
	Query   Parameters  `yaml:"query"`
	JSON    Nodes       `yaml:"json"`
	Types   []MediaType `yaml:"contentTypes"`
	MCP     *MCP        `yaml:"mcp"`
	Clients []CIDR      `yaml:"clients"`
	At      Pos         `yaml:"-"`
}

// MCP is a condition on a message to an MCP server. Each list is of patterns that match in full.
type MCP struct {
	Tools     []Pattern `yaml:"tools"`
	Resources []Pattern `yaml:"resources"`
	Prompts   []Pattern `yaml:"prompts"`
	Methods   []Pattern `yaml:"methods"`
	Also      *MCP      `yaml:"-"` // of a line that gives a list twice: both must match
}

// PolicyTest holds decisions that manifests must make. Cases take from given what they leave out.
type PolicyTest struct {
	Given *Given `yaml:"given"`
	Cases []Case `yaml:"cases,required"`
}

// Given are the defaults of a PolicyTest's cases.
type Given struct {
	Now    Time    `yaml:"now"`
	Token  Ref     `yaml:"token"`
	User   string  `yaml:"user"`
	Scheme Scheme  `yaml:"scheme"`
	Client Address `yaml:"client"`
	TLS    *bool   `yaml:"tls"`
	Host   string  `yaml:"host"`
}

// Case is one request of a PolicyTest, and what must become of it.
type Case struct {
	Name    string            `yaml:"name"`
	Request RequestLine       `yaml:"request,required"`
	Want    Want              `yaml:"want,required"`
	Now     Time              `yaml:"now"`
	Token   Ref               `yaml:"token"`
	User    string            `yaml:"user"`
	Scheme  Scheme            `yaml:"scheme"`
	Client  Address           `yaml:"client"`
	TLS     *bool             `yaml:"tls"`
	Host    string            `yaml:"host"`
	Headers map[string]string `yaml:"headers"`
	Body    Body              `yaml:"body"`
	At      Pos               `yaml:"-"`
}
