package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/policy"
)

// note describes what a step checked, and if it refused, what it compared.
func note(s policy.Step, passed bool, r *policy.Request, d *policy.Decision) string {
	if !passed {
		if text := refusal(s, r, d); text != "" {
			return text
		}
	}
	switch s {
	case policy.StepGate:
		if d.Gate != nil {
			return fmt.Sprintf("%s (%s)", d.Gate.Name, d.Gate.Source)
		}
		return "no gate guards this host and path"
	case policy.StepGateClients:
		return clientText(d)
	case policy.StepCredential:
		if !r.CredentialGiven() {
			return "none given"
		}
		return d.Scheme.String()
	case policy.StepToken:
		if d.Token != nil {
			return fmt.Sprintf("%s (%s)", d.Token.Name, d.Token.Source)
		}
		return "no token has this value"
	case policy.StepExpired:
		if !d.Expires.IsZero() {
			return "ends " + d.Expires.UTC().Format(time.RFC3339)
		}
	case policy.StepUser, policy.StepGateGroups:
		return masked(r, d.Principal.User)
	}
	return ""
}

// refusal describes what a step that refused has compared; empty: nothing more is known.
func refusal(s policy.Step, r *policy.Request, d *policy.Decision) string {
	switch s {
	case policy.StepTarget, policy.StepGateTarget:
		return d.Detail
	case policy.StepMethodOverride:
		return "a header names another method, URL or host than the request's"
	case policy.StepTLS:
		return "the client came without TLS, and the gate requires it"
	case policy.StepGateValid:
		return d.Gate.Name + " is not accepted, and has no last good version"
	case policy.StepGateClients:
		return clientText(d) + "; the gate takes " + d.Gate.Clients.Text()
	case policy.StepCredential:
		if r.CredentialGiven() {
			return cmp.Or(d.Detail, "malformed")
		}
	case policy.StepGateSchemes:
		return schemeText(d)
	}
	if d.Token != nil {
		return tokenRefusal(s, r, d)
	}
	if s == policy.StepActAs {
		return fmt.Sprintf("for %s: only a token may act for another user", quoted(r, d.ActAs))
	}
	return ""
}

// tokenRefusal is refusal for the steps that look at the token.
func tokenRefusal(s policy.Step, r *policy.Request, d *policy.Decision) string {
	t := d.Token
	switch s {
	case policy.StepCanary:
		return fmt.Sprintf("the token %s is a canary: no user has a reason to use it", t.Name)
	case policy.StepRevoked, policy.StepSuspended:
		return fmt.Sprintf("the token %s is %s (%s)", t.Name, s, t.Source)
	case policy.StepNotYetValid:
		return "valid from " + t.Issued.UTC().Format(time.RFC3339)
	case policy.StepExpired:
		return expiredText(d)
	case policy.StepTokenSchemes:
		if t.AnyUser {
			return fmt.Sprintf("%s was used; a token of any user takes basic alone", d.Scheme)
		}
		return fmt.Sprintf("%s was used; the token takes %s", d.Scheme, t.Schemes)
	case policy.StepUser:
		return userText(r, t)
	case policy.StepGateGroups:
		return groupsText(quoted(r, d.Principal.User), d.Gate)
	case policy.StepTokenGates:
		return fmt.Sprintf("the token is for %s, and this is %s", strings.Join(t.Gates, ", "), d.Gate.Name)
	case policy.StepTokenClients:
		return clientText(d) + "; the token takes " + t.Clients.Text()
	case policy.StepActAs:
		return actAsText(r, d)
	}
	return ""
}

func clientText(d *policy.Decision) string {
	if d.Client.IsValid() {
		return fmt.Sprintf("%s, by %s", d.Client, d.ClientBy)
	}
	return fmt.Sprintf("address unknown, by %s", d.ClientBy)
}

func schemeText(d *policy.Decision) string {
	text := fmt.Sprintf("%s was used; the gate takes %s", d.Scheme, d.Gate.Schemes)
	if end := d.Gate.BasicEnds; d.Scheme == policy.Basic && d.Gate.Schemes.Has(policy.Basic) && !end.IsZero() {
		text += ", and basic only until " + end.UTC().Format(time.RFC3339)
	}
	return text
}

func expiredText(d *policy.Decision) string {
	end := d.Expires
	if end.IsZero() {
		end = d.Token.End()
	}
	text := "ended " + end.UTC().Format(time.RFC3339)
	if d.Previous {
		return text + ", as a rotation set for older values"
	}
	if _, g := policy.Cap(d.Token.Groups); g != nil && !end.Equal(d.Token.Expires) {
		text += fmt.Sprintf(", by the cap of group %s (%s)", g.Name, g.Source)
	}
	return text
}

// userText describes whose token it is, and who presented it.
func userText(r *policy.Request, t *policy.Token) string {
	presented := quoted(r, r.Credential.User)
	if t.AnyUser {
		return fmt.Sprintf("%s is no name that the token can be presented with", presented)
	}
	known := append([]string{t.User}, t.Logins...)
	return fmt.Sprintf("presented by %s; the token is presented by %s%s", presented, strings.Join(known, " or "), didYouMean(r.Credential.User, known))
}

// groupsText describes that a user is in none of a gate's groups, and who was likely meant.
func groupsText(user string, g *policy.Gate) string {
	var names []string
	for _, group := range g.Groups {
		names = append(names, group.Name)
	}
	return fmt.Sprintf("%s is in none of the gate's groups (%s)%s", user, strings.Join(names, ", "), didYouMean(user, members(g)))
}

// members lists everybody in a gate's groups.
func members(g *policy.Gate) []string {
	var list []string
	for _, group := range g.Groups {
		list = append(list, group.Members...)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// didYouMean returns a hint where a name is much like another one.
func didYouMean(wrong string, right []string) string {
	if hint := diag.Suggest(wrong, right); strings.HasPrefix(hint, "did you mean ") && !strings.Contains(hint, " "+wrong+"?") {
		return ", " + hint
	}
	return ""
}

// actAsText describes whom the caller asked to act for, and whom the token may act for.
func actAsText(r *policy.Request, d *policy.Decision) string {
	target := quoted(r, d.ActAs)
	if _, n := r.Header.Get(d.Gate.ActAsHeader); n > 1 {
		return fmt.Sprintf("the header %s came %d times, expected one", d.Gate.ActAsHeader, n)
	}
	if len(d.Token.ActAs) == 0 {
		return fmt.Sprintf("for %s; the token may act for no user", target)
	}
	var patterns []string
	allowed := false
	for _, p := range d.Token.ActAs {
		patterns = append(patterns, p.String())
		allowed = allowed || p.Match(d.ActAs)
	}
	if allowed && len(d.Gate.Groups) > 0 {
		return "for " + groupsText(target, d.Gate)
	}
	return fmt.Sprintf("for %s; the token may act for %s", target, strings.Join(patterns, ", "))
}

// quoted returns a name from a request, with its secrets masked, or "nobody" for an empty one.
func quoted(r *policy.Request, name string) string {
	if name == "" {
		return "nobody"
	}
	return masked(r, name)
}
