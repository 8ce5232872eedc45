package policy

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Decision is the answer to one request. The zero value denies, with the reason of an internal error.
type Decision struct {
	Effect Effect
	Reason Reason

	Gate      *Gate  // nil where none was found
	Token     *Token // nil where none was found
	Principal Principal
	Scheme    Scheme
	Foreign   string // the name of another scheme, which the gate forwards
	Previous  bool   // a value was used that a rotation had replaced
	Client    netip.Addr
	ClientBy  AddressSource
	Located   bool // the address was looked for

	Expires     time.Time // of the value used; zero: never
	ExpiresSoon bool
	BasicEnds   time.Time // the coming sunset at the gate, where Basic was used; zero: none

	Rule     *Rule  // that decided, or that came nearest to allow
	Failed   Part   // of Rule, where it did not match
	PartName string // the parameter or node of Failed
	Problem  string // why Failed could not be decided, where that decided
	Detail   string // which cause BadCredential or BadTarget had, in fixed words
	Call     string // the id, as JSON, of the call to an MCP server that a rule on MCP refused to a good token
	ActAs    string // the user that the caller asked to act as; set with ActAsDenied

	AtDestination bool // Rule was checked against the path of Destination
	TwoPaths      bool // the request has a Destination, and is decided for both paths

	Remove []string // request headers to remove, in addition to those of Upstream.Remove

	Bodies   []BodyVerdict // of the rules that checked the body, in the order of the checks
	Observed []Observation // what observing policies would have decided
	Shadow   Reason        // of the refusal that an observing gate let through
	Shadowed bool
}

// Principal is who an allowed request acts for, or who a refused one claims to be.
type Principal struct {
	User     string
	Asserted bool     // the user named themselves; nothing proves it
	Groups   []*Group // by name
	Actor    string   // who acts for User; empty: the user calls directly
}

// BodyVerdict is the verdict of a rule's conditions on the body: matches, fails or
// undecidable.
type BodyVerdict struct {
	Rule    *Rule
	Verdict string
}

// Observation is the verdict of a policy that only observes.
type Observation struct {
	Policy string
	Reason Reason
}

// Status returns the HTTP status of a refusal, and 0 for an allow. It is never 2xx,
// 3xx or 429.
func (d *Decision) Status() int {
	if d.Effect == Allow {
		return 0
	}
	if status := d.Reason.Status(); status >= 400 {
		return status
	}
	return Internal.Status()
}

// Refuse turns the decision into a refusal for another reason.
func (d *Decision) Refuse(r Reason) {
	d.Effect, d.Reason = Deny, r
	d.Shadowed, d.Shadow = false, Internal
	d.Call = ""
}

// Identity returns what the upstream learns about the caller.
func (d *Decision) Identity() Identity {
	switch {
	case d.Effect != Allow || d.Reason != OK || d.Shadowed:
		return NoIdentity
	case d.Principal.Asserted:
		return AssertedIdentity
	case len(d.Principal.Groups) > 0:
		return UserGroups
	}
	return UserIdentity
}

// CredentialGiven reports whether the caller presented a credential, good or bad.
func (r *Request) CredentialGiven() bool { return r.Credential.State != CredentialAbsent }

// Where names the rule that decided, for a message to the caller: never patterns,
// ranges or values. It is empty where no rule decided.
func (d *Decision) Where() string {
	if d.Rule == nil {
		return ""
	}
	owner := "of the token"
	if d.Token == nil {
		owner = "for anonymous callers"
	}
	where := d.Rule.words(owner)
	if d.AtDestination {
		where += " (for the Destination)"
	}
	return where
}

// words names the rule to a caller, who has not seen the manifests: by its name, or as
// the list that it is in and its number there, from 1 on. A rule of no policy has an owner.
func (r *Rule) words(owner string) string {
	if r.Policy != "" {
		owner = "of policy " + r.Policy
	}
	list, place, ok := strings.Cut(strings.TrimSuffix(r.Name, "]"), "[")
	index, err := strconv.Atoi(place)
	switch {
	case !ok || err != nil || r.Name != list+"["+place+"]":
	case list == "limitTo":
		return fmt.Sprintf("line %d of the token's limits", index+1)
	case list == "allow", list == "deny":
		return fmt.Sprintf("%s rule %d %s", list, index+1, owner)
	}
	named := "rule " + strconv.Quote(r.Name)
	if r.Policy != "" {
		named += " " + owner
	}
	return named
}
