package extauthz

import (
	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/policy"
)

// newEvent returns the audit event of the decision.
func (c *Call) newEvent() *audit.Event {
	d, r := &c.answer.decision, &c.request
	e := &c.room.event
	*e = audit.Event{
		Time: c.answer.now, Kind: audit.Decision, Severity: severity(d), ID: c.answer.id,
		Decision: d.Effect.String(), Reason: d.Reason.String(), Status: c.answer.status(),
		Gate: gateName(d), Scheme: d.Scheme.String(),
		User: d.Principal.User, UserAsserted: d.Principal.Asserted, Actor: d.Principal.Actor,
		Token: tokenName(d), Previous: d.Previous,
		Detail: d.Detail, Peer: r.Peer.Unmap(), PeerName: c.in.peerName, Method: r.Method, Host: policy.WithoutPort(r.Host), Path: r.Target.Raw, Query: r.Target.Query,
		Revision: c.answer.revision, BasicEnds: d.BasicEnds, Secret: r.Credential.Secret, Credential: r.Credential.Text,
		RouteNamed: r.RouteNamed, BodyState: r.Body.State.String(), Destination: d.TwoPaths,
	}
	if d.Located { // panic: event
		e.Client, e.ClientSource = d.Client, d.ClientBy.String()
	}
	if d.Foreign != "" {
		e.Scheme = d.Foreign
	}
	if d.Reason == policy.ActAsDenied || d.Shadow == policy.ActAsDenied {
		e.ActAs = d.ActAs
	}
	if d.Effect != policy.Allow || d.Shadowed {
		e.Unmatched = unmatched(d)
	}
	for _, v := range d.Bodies {
		e.BodyVerdicts = append(e.BodyVerdicts, audit.BodyVerdict{Rule: v.Rule.Source.String(), Verdict: v.Verdict})
	}
	if d.Rule != nil {
		e.Policy, e.Rule = d.Rule.Policy, d.Rule.Name
		if e.Source = d.Rule.Source.File; e.Source != "" {
			e.SourceLine = d.Rule.Source.Line
		}
	}
	if d.Shadowed {
		e.Shadow = d.Shadow.String()
	}
	for _, o := range d.Observed {
		e.Observed = append(e.Observed, audit.Observation{Policy: o.Policy, Reason: o.Reason.String()})
	}
	if r.Header != nil {
		e.RequestID, _ = r.Header.Get("x-request-id")
		e.Traceparent, _ = r.Header.Get("traceparent")
		e.UserAgent, _ = r.Header.Get("user-agent")
		e.TLS = r.Secure()
	}
	e.Elapsed = c.elapsed()
	return e
}

// severity is alert for the use of a canary, and notice for every other refusal.
func severity(d *policy.Decision) audit.Severity {
	switch {
	case d.Reason == policy.TokenCanary, d.Shadowed && d.Shadow == policy.TokenCanary:
		return audit.Alert
	case d.Effect != policy.Allow, d.Shadowed:
		return audit.Notice
	}
	return audit.Info
}
