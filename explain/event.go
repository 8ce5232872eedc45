package explain

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// Supplied holds what the caller adds to an event, as an audit log does not have it. The zero value adds nothing.
type Supplied struct {
	Now    time.Time // zero: when the event was written
	Header map[string][]string
	Body   []byte
}

// EventOutcome compares an event with what is decided when its request is evaluated again.
type EventOutcome struct {
	ID       string `json:"id"`
	Decision string `json:"decision"`
	Reason   string `json:"reason"`
	Shadow   string `json:"shadow,omitempty"`
	Revision uint64 `json:"revision,omitempty"`
	Same     bool   `json:"same"` // the decision, the reason and the shadow are what they are now
}

// Event evaluates the request of an audit event again, and compares the decisions. The event does not
// hold the value: the token that it names gets a made-up one.
func Event(rows policy.Rows, l *audit.Logged, beside Supplied) (*Explanation, error) {
	q := requestOf(rows, l)
	if !beside.Now.IsZero() {
		q.Now = beside.Now
	}
	maps.Copy(q.Header, beside.Header)
	if q.Body = beside.Body; len(q.Body) == 0 && (len(l.BodyVerdicts) > 0 || l.BodyState == policy.BodyWhole.String()) {
		q.Recorded = recordedOf(l.BodyVerdicts)
	}
	e, err := Answer(rows, q)
	if err != nil {
		return nil, err
	}
	e.Event = &EventOutcome{ID: l.ID, Decision: l.Decision, Reason: l.Reason, Shadow: l.Shadow, Revision: l.Revision}
	e.Event.Same = e.Event.text() == outcome(e.Decision, e.Reason, e.Shadow)
	e.Notes = append(eventNotes(l, e, &beside), e.Notes...)
	if text := gateNote(rows, l, *q, e.Gate); text != "" {
		e.Notes = append(e.Notes, text)
	}
	if !e.Event.Same {
		e.Notes = append(e.Notes, differs(l))
	}
	return e, nil
}

// differs explains why two decisions about one event may differ.
func differs(l *audit.Logged) string {
	return fmt.Sprintf("the two differ (the event is of revision %d): the manifests have changed since, or something decided that the event does not hold; "+
		"--header NAME:VALUE and --body FILE supply what the client sent", l.Revision)
}

func (o *EventOutcome) text() string { return outcome(o.Decision, o.Reason, o.Shadow) }

// outcome is a decision in words.
func outcome(decision, reason, shadow string) string {
	if shadow != "" {
		reason += " (shadow " + shadow + ")"
	}
	return decision + " " + reason
}

// recordedOf looks up verdicts by the place of a rule. The server may have read the same file under
// another directory.
func recordedOf(verdicts map[string]string) func(*policy.Rule) string {
	return func(r *policy.Rule) string {
		if verdict, ok := verdicts[r.Source.String()]; ok {
			return verdict
		}
		found := ""
		for place, verdict := range verdicts {
			if file, line, ok := cutPlace(place); ok && line == r.Source.Line && path.Base(file) == path.Base(r.Source.File) {
				if found != "" && found != verdict {
					return "" // two files of that name
				}
				found = verdict
			}
		}
		return found
	}
}

// cutPlace cuts `FILE:LINE` apart.
func cutPlace(place string) (file string, line int, ok bool) {
	at := strings.LastIndexByte(place, ':')
	if at < 0 {
		return "", 0, false
	}
	line, err := strconv.Atoi(place[at+1:])
	return place[:at], line, err == nil
}

// requestOf rebuilds the request of an event.
func requestOf(rows policy.Rows, l *audit.Logged) *Request {
	q := &Request{Now: l.Time, Method: l.Method, Host: l.Host, Target: l.Path, TLS: usedTLS(l), Header: map[string][]string{}}
	if l.Query != "" {
		q.Target += "?" + l.Query
	}
	q.Client, _ = netip.ParseAddr(l.Client)
	q.Scheme = schemeOf(l.Scheme)
	for _, g := range rows.Gates {
		if g.Name == l.Gate {
			if l.RouteNamed || l.TLS == nil {
				q.Gate = g.Name
			}
			if target := targetOf(l); target != "" && g.ActAsHeader != "" {
				q.Header[g.ActAsHeader] = []string{target}
			}
		}
	}
	if l.UserAsserted {
		q.User = l.User
	}
	if slices.ContainsFunc(rows.Tokens, func(t *policy.Token) bool { return l.Token != "" && t.Name == l.Token }) {
		q.Token = l.Token
	} else {
		presentUnknown(q, l)
	}
	return q
}

// presentUnknown presents a credential that is not a token, as the event describes it.
func presentUnknown(q *Request, l *audit.Logged) {
	switch {
	case cmp.Or(l.Shadow, l.Reason) == policy.BadCredential.String():
		q.Header["authorization"] = []string{"Basic -"} // malformed
	case l.Scheme != "" && q.Scheme == policy.NoScheme: // another scheme, which the gate forwards
		q.Header["authorization"] = []string{l.Scheme + " " + strings.TrimPrefix(token.Mint().Reveal(), token.Prefix)}
	case l.Scheme != "":
		q.Value = token.Mint() // of no token
		if l.Shadow == "" && l.Reason == policy.Forwarded.String() {
			// What looks minted is never forwarded: this was not a patgate token.
			q.Value = token.NewSecret(strings.TrimPrefix(q.Value.Reveal(), token.Prefix))
		}
		if q.User == "" {
			q.User = "somebody"
		}
	}
}

func schemeOf(name string) policy.Scheme {
	for _, s := range []policy.Scheme{policy.Basic, policy.Bearer} {
		if s.String() == name {
			return s
		}
	}
	return policy.NoScheme
}

// usedTLS reports whether the client used TLS, as far as the event records it.
func usedTLS(l *audit.Logged) bool {
	if l.TLS != nil {
		return *l.TLS
	}
	return l.Reason != policy.TLSRequired.String()
}

// targetOf is the user that the caller asked to act as; empty: none.
func targetOf(l *audit.Logged) string {
	if l.Actor != "" {
		return l.User
	}
	return l.ActAs
}

// eventNotes describe what the event holds besides the decision, and what it leaves open.
func eventNotes(l *audit.Logged, e *Explanation, beside *Supplied) []string {
	var notes []string
	add := func(is bool, format string, args ...any) {
		if is {
			notes = append(notes, fmt.Sprintf(format, args...))
		}
	}
	add(l.Detail != "", "the event gives the cause: %s", l.Detail)
	for _, what := range l.Unmatched {
		add(what != "", "the answer to the client named what did not match: %s", what)
	}
	add(l.ActAs != "", "the caller asked to act for %s", l.ActAs)
	add(l.UserAgent != "", "the client called itself %s", l.UserAgent)
	if len(beside.Body) == 0 {
		for _, place := range slices.Sorted(maps.Keys(l.BodyVerdicts)) {
			add(true, "the event has no body, but what a rule made of it: the rule at %s %s", place, l.BodyVerdicts[place])
		}
		add(e.asksBody() || l.BodyState != "" && l.BodyState != policy.BodyAbsent.String(),
			"the event %s has no body (it was %s): --body FILE supplies it", l.ID, cmp.Or(l.BodyState, "not recorded"))
	}
	add(l.Previous, "an older value was used, which a rotation had replaced; the question presents the present one")
	add(l.Truncated, "the event is cut: the request was longer")
	add(strings.Contains(l.Path+l.Query, "REDACTED"), "values in the event are masked: a rule about them may decide otherwise")
	return notes
}

// asksBody reports whether a rule could not be decided without the body.
func (e *Explanation) asksBody() bool {
	return slices.ContainsFunc(e.Rules, func(r RuleResult) bool {
		return r.Result == "unclear" && (strings.HasPrefix(r.Part, policy.PartJSON.String()) || strings.HasPrefix(r.Part, policy.PartMCP.String()))
	})
}

// gateNote notes that the manifests no longer send the request to the event's gate. An
// older event does not record whether Envoy's route had named it, so that gate is used anyway.
func gateNote(rows policy.Rows, l *audit.Logged, q Request, asked string) string {
	if l.Gate == "" || q.Gate == "" && asked == l.Gate {
		return ""
	}
	if q.Gate == "" && asked != "" && l.TLS != nil && !l.RouteNamed {
		return fmt.Sprintf("the event's gate is %s; by host and path it is %s now", l.Gate, asked)
	}
	if q.Gate == "" {
		return fmt.Sprintf("the event's gate %s is gone, so that host and path choose one", l.Gate)
	}
	q.Gate = ""
	now, err := Answer(rows, &q)
	switch {
	case err != nil || now.Gate == l.Gate:
		return ""
	case now.Gate == "":
		return fmt.Sprintf("the event's gate %s is used; by host and path no gate guards the request now", l.Gate)
	}
	return fmt.Sprintf("the event's gate %s is used; by host and path it would be %s now", l.Gate, now.Gate)
}
