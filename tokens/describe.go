package tokens

import (
	"fmt"
	"time"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// View is all that is known of a token, in JSON as in text.
type View struct {
	Name         string         `json:"name"`
	DisplayName  string         `json:"displayName,omitempty"`
	Description  string         `json:"description,omitempty"`
	State        string         `json:"state"`
	Why          string         `json:"why,omitempty"`
	User         string         `json:"user"`
	AnyUser      bool           `json:"anyUser,omitempty"`
	Logins       []string       `json:"logins,omitempty"`
	Groups       []GroupView    `json:"groups"`
	Issued       time.Time      `json:"issued"`
	Expires      *time.Time     `json:"expires,omitempty"`
	ExpiresBy    string         `json:"expiresBy,omitempty"` // what sets the end
	Revoked      *time.Time     `json:"revoked,omitempty"`
	Suspended    bool           `json:"suspended,omitempty"`
	Digest       string         `json:"digest"` // its beginning
	Previous     []PreviousView `json:"previous"`
	Schemes      []string       `json:"schemes"` // that the token and one of its gates take
	Gates        []string       `json:"gates"`   // by name, also where the token is for every gate
	EveryGate    bool           `json:"everyGate,omitempty"`
	Deactivated  []RefusalView  `json:"deactivated,omitempty"` // gates that don't admit its user
	Clients      *ClientsView   `json:"clients,omitempty"`
	ActAs        []string       `json:"actAs,omitempty"`
	Policies     []string       `json:"policies"`
	Unrestricted bool           `json:"unrestricted,omitempty"`
	Rules        []RuleView     `json:"rules"`
	Source       string         `json:"source"`
}

// GroupView is a group of the token's user.
type GroupView struct {
	Name        string   `json:"name"`
	MaxLifetime string   `json:"maxLifetime,omitempty"`
	Policies    []string `json:"policies,omitempty"`
	Source      string   `json:"source"`
}

// PreviousView is a value that a rotation replaced.
type PreviousView struct {
	Digest string    `json:"digest"`
	Issued time.Time `json:"issued"`
	Until  time.Time `json:"until"`
	Ended  bool      `json:"ended"`
}

// RefusalView is a Gate that does not admit the token's user.
type RefusalView struct {
	Gate   string   `json:"gate"`
	Groups []string `json:"groups"`
}

// ClientsView is ranges of client addresses.
type ClientsView struct {
	Allow []string `json:"allow,omitempty"`
	Deny  []string `json:"deny,omitempty"`
}

// RuleView is a rule of the token, or one that bounds it.
type RuleView struct {
	Level    string `json:"level"`           // as explain has it: gate, group or grant (of the token)
	Gate     string `json:"gate,omitempty"`  // at the level of gates
	Group    string `json:"group,omitempty"` // at the level of groups
	Kind     string `json:"kind"`            // allow or deny
	Policy   string `json:"policy,omitempty"`
	Rule     string `json:"rule"`
	Text     string `json:"text"`
	Source   string `json:"source"`
	Observed bool   `json:"observed,omitempty"`
}

// Describe returns all that is known of a token at a moment.
func Describe(s *policy.Snapshot, t *policy.Token, doc *manifest.Document, now time.Time) View {
	spec := doc.APIToken
	d := View{
		Name: t.Name, DisplayName: spec.DisplayName, Description: spec.Description, State: s.State(t, now).String(), User: t.User, AnyUser: t.AnyUser, Logins: t.Logins,
		Groups: []GroupView{}, Issued: t.Issued.UTC(), Expires: instant(t.End()), ExpiresBy: endBy(t), Revoked: instant(spec.Revoked.Time),
		Suspended: t.Suspended, Digest: short(t.Digest), Previous: []PreviousView{}, Schemes: []string{}, Gates: []string{},
		EveryGate: len(t.Gates) == 0 && !t.Canary, Policies: []string{}, Unrestricted: t.Grant.Unrestricted, Rules: []RuleView{}, Source: t.Source.String(),
	}
	for _, g := range t.Groups {
		d.Groups = append(d.Groups, GroupView{g.Name, capText(g.MaxLifetime), policyNames(g.Policies), g.Source.String()})
	}
	for _, p := range t.Previous {
		end := t.EndOf(p.Digest)
		d.Previous = append(d.Previous, PreviousView{short(p.Digest), p.Issued.UTC(), end.UTC(), !now.Before(end)})
	}
	if !t.Clients.Empty() {
		d.Clients = &ClientsView{ranges(t.Clients.Allow), ranges(t.Clients.Deny)}
	}
	for _, p := range t.ActAs {
		d.ActAs = append(d.ActAs, p.String())
	}
	d.Policies = append(d.Policies, policyNames(t.Grant.Policies)...)
	d.describeGates(s, t)
	d.describeRules(s, t)
	d.Why = d.why(s, t, now)
	return d
}

func (d *View) describeGates(s *policy.Snapshot, t *policy.Token) {
	var taken policy.Schemes
	for _, g := range GatesOf(s, t) {
		d.Gates = append(d.Gates, g.Name)
		taken |= g.Schemes
		if !t.AdmittedAt(g) {
			d.Deactivated = append(d.Deactivated, RefusalView{g.Name, groupNames(g.Groups)})
		}
	}
	for _, scheme := range []policy.Scheme{policy.Basic, policy.Bearer} {
		if taken.Has(scheme) && t.Takes(scheme) {
			d.Schemes = append(d.Schemes, scheme.String())
		}
	}
}

// describeRules lists the rules in the order in which they are asked: of the gates, of
// the groups, of the token.
func (d *View) describeRules(s *policy.Snapshot, t *policy.Token) {
	for _, g := range GatesOf(s, t) {
		d.addRules(RuleView{Level: policy.LevelGate.String(), Gate: g.Name}, g.Policies)
	}
	for _, g := range t.Groups {
		d.addRules(RuleView{Level: policy.LevelGroup.String(), Group: g.Name}, g.Policies)
	}
	d.addRules(RuleView{Level: policy.LevelGrant.String()}, t.Grant.Policies)
}

// Of names what a rule belongs to.
func (r *RuleView) Of() string {
	switch {
	case r.Gate != "":
		return "gate " + r.Gate
	case r.Group != "":
		return "group " + r.Group
	}
	return "the token"
}

func (d *View) addRules(view RuleView, policies []*policy.Policy) {
	for _, kind := range []string{"deny", "allow"} {
		for _, p := range policies {
			rules := p.Allow
			if kind == "deny" {
				rules = p.Deny
			}
			for _, r := range rules {
				view.Kind, view.Policy, view.Rule, view.Text, view.Source, view.Observed = kind, r.Policy, r.Name, r.Text(), r.Source.String(), p.Observe
				d.Rules = append(d.Rules, view)
			}
		}
	}
}

// why says what a state follows from, where the rest does not show it.
func (d *View) why(s *policy.Snapshot, t *policy.Token, now time.Time) string {
	switch s.State(t, now) {
	case policy.StateRevoked:
		return "since " + writtenTime(*d.Revoked)
	case policy.StateSuspended:
		return "until `suspended` is taken out of its manifest"
	case policy.StateCanary:
		return "refused always, and each use raises an alert"
	case policy.StateNotYetValid:
		return "it begins at " + writtenTime(t.Issued)
	case policy.StateExpired:
		return "since " + writtenTime(t.End())
	case policy.StateDeactivated:
		return fmt.Sprintf("as no gate admits %s; it comes back when they are in one of the groups", t.User)
	case policy.StateExpiresSoon:
		return DistanceText(t.End(), now)
	}
	return ""
}

// endBy says what sets a token's end.
func endBy(t *policy.Token) string {
	longest, group := policy.Cap(t.Groups)
	switch end := t.End(); {
	case end.IsZero():
		return ""
	case !t.Expires.IsZero() && !t.Expires.After(end):
		return "expires in its manifest"
	default:
		return fmt.Sprintf("group %s: at most %s (%s)", group.Name, capText(longest), group.Source)
	}
}

// short is the beginning of a digest, enough to find it in a manifest.
func short(d token.Digest) string { return d.String()[:len("sha256:")+12] + "…" }

// policyNames returns the names of those that have one.
func policyNames(list []*policy.Policy) []string {
	var names []string
	for _, p := range list {
		if p.Name != "" {
			names = append(names, p.Name)
		}
	}
	return names
}

func groupNames(list []*policy.Group) []string {
	var names []string
	for _, g := range list {
		names = append(names, g.Name)
	}
	return names
}
