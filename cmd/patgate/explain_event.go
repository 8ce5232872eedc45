package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/patgate/patgate/explain"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// loggedDecision is an audit event, as far as a question can be made of it.
type loggedDecision struct {
	Time         time.Time `json:"time"`
	Kind         string    `json:"kind"`
	ID           string    `json:"id"`
	Decision     string    `json:"decision"`
	Reason       string    `json:"reason"`
	Gate         string    `json:"gate"`
	Scheme       string    `json:"scheme"`
	User         string    `json:"user"`
	UserAsserted bool      `json:"userAsserted"`
	Actor        string    `json:"actor"`
	Token        string    `json:"token"`
	Client       string    `json:"client"`
	Method       string    `json:"method"`
	Host         string    `json:"host"`
	Path         string    `json:"path"`
	Query        string    `json:"query"`
	Previous     bool      `json:"previous"`
	Shadow       string    `json:"shadow"`
	Revision     uint64    `json:"revision"`
	Truncated    bool      `json:"truncated"`
	Detail       string    `json:"detail"`
	ActAs        string    `json:"actAs"`
	TLS          *bool     `json:"tls"` // nil: an older event, which does not say it
	RouteNamed   bool      `json:"routeNamed"`
	BodyState    string    `json:"bodyState"`

	BodyVerdicts map[string]string `json:"bodyVerdicts"`
}

// event explains a decision of the log by the manifests at hand, and says where the two
// differ.
func (f *explainFlags) event(s streams, rows policy.Rows, at time.Time) error {
	data, err := readInput(s, f.eventFile)
	if err != nil {
		return err
	}
	logged, err := findDecision(data, f.eventID)
	if err != nil {
		return usageError{fmt.Errorf("--event %s: %w", f.eventFile, err)}
	}
	q := logged.question(rows)
	if !at.IsZero() {
		q.Now = at
	}
	e, err := explain.Answer(rows, q)
	if err != nil {
		return usageError{err}
	}
	e.Notes = append(logged.notes(), e.Notes...)
	if note := logged.gateNote(rows, *q, e.Gate); note != "" {
		e.Notes = append(e.Notes, note)
	}
	was := outcome(logged.Decision, logged.Reason, logged.Shadow)
	if now := outcome(e.Decision, e.Reason, e.Shadow); now != was && !logged.Previous {
		e.Notes = append(e.Notes, fmt.Sprintf("the event says %s (revision %d), these manifests say %s: they changed since, or something that no event holds decided",
			was, logged.Revision, now))
	}
	return f.print(s, e)
}

// outcome is a decision in words.
func outcome(decision, reason, shadow string) string {
	if shadow != "" {
		reason += " (shadow " + shadow + ")"
	}
	return decision + " " + reason
}

// gateNote says where the manifests no longer send the request to the event's gate. An
// older event does not tell whether Envoy's route had named it, so it is asked all the same.
func (l *loggedDecision) gateNote(rows policy.Rows, q explain.Question, asked string) string {
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
	now, err := explain.Answer(rows, &q)
	switch {
	case err != nil || now.Gate == l.Gate:
		return ""
	case now.Gate == "":
		return fmt.Sprintf("the event's gate %s is asked; by host and path no gate guards the request now", l.Gate)
	}
	return fmt.Sprintf("the event's gate %s is asked; by host and path it would be %s now", l.Gate, now.Gate)
}

// findDecision finds the decision with an id, or the last one, in lines of events. Other
// lines are passed over: a log that was collected holds those of stderr too.
func findDecision(data []byte, id string) (*loggedDecision, error) {
	var found *loggedDecision
	for line := range bytes.Lines(data) {
		var e loggedDecision
		if json.Unmarshal(line, &e) == nil && e.Kind == "decision" && (id == "" || e.ID == id) {
			found = &e
		}
	}
	if found == nil && id != "" {
		return nil, fmt.Errorf("no decision %s in it, expected an audit log that has it", token.Mask(id))
	}
	if found == nil {
		return nil, fmt.Errorf("no decision in it, expected an audit log: one JSON object a line, one of them with kind decision")
	}
	return found, nil
}

// question asks again what was asked. Who has only the event doesn't have the value: the
// token that it names gets a made-up one.
func (l *loggedDecision) question(rows policy.Rows) *explain.Question {
	q := &explain.Question{Now: l.Time, Method: l.Method, Host: l.Host, Target: l.Path, TLS: l.usedTLS(), Header: map[string][]string{}}
	if l.Query != "" {
		q.Target += "?" + l.Query
	}
	q.Client, _ = netip.ParseAddr(l.Client)
	q.Scheme, _ = parseScheme(l.Scheme)
	for _, g := range rows.Gates {
		if g.Name == l.Gate {
			if l.RouteNamed || l.TLS == nil {
				q.Gate = g.Name
			}
			if target := l.target(); target != "" && g.ActAsHeader != "" {
				q.Header[g.ActAsHeader] = []string{target}
			}
		}
	}
	if l.UserAsserted {
		q.User = l.User
	}
	for _, t := range rows.Tokens {
		if l.Token != "" && t.Name == l.Token {
			q.Token = l.Token
			return q
		}
	}
	switch {
	case cmp.Or(l.Shadow, l.Reason) == policy.BadCredential.String():
		q.Header["authorization"] = []string{"Basic -"} // malformed, in some way
	case l.Scheme != "" && q.Scheme == policy.NoScheme: // another one, that the gate forwards
		q.Header["authorization"] = []string{l.Scheme + " " + strings.TrimPrefix(token.Mint().Reveal(), token.Prefix)}
	case l.Scheme != "":
		q.Value = token.Mint() // of nobody
		if l.Shadow == "" && l.Reason == policy.Forwarded.String() {
			// What looks minted is never forwarded: this was none of ours.
			q.Value = token.NewSecret(strings.TrimPrefix(q.Value.Reveal(), token.Prefix))
		}
		if q.User == "" {
			q.User = "somebody"
		}
	}
	return q
}

// usedTLS reports whether the client used TLS, as far as the event tells.
func (l *loggedDecision) usedTLS() bool {
	if l.TLS != nil {
		return *l.TLS
	}
	return l.Reason != policy.TLSRequired.String()
}

// target is the user that the caller asked to act as; empty: none.
func (l *loggedDecision) target() string {
	if l.Actor != "" {
		return l.User
	}
	return l.ActAs
}

// notes say what the event leaves open.
func (l *loggedDecision) notes() []string {
	notes := []string{fmt.Sprintf("of the event %s: it holds no body and no headers, so that rules about a JSON body can't be decided, and a form body is not seen", l.ID)}
	if l.Detail != "" {
		notes = append(notes, "the event says why: "+l.Detail)
	}
	for _, place := range slices.Sorted(maps.Keys(l.BodyVerdicts)) {
		notes = append(notes, fmt.Sprintf("the body, which is %s: the rule at %s %s", l.BodyState, place, l.BodyVerdicts[place]))
	}
	if l.Previous {
		notes = append(notes, "an older value was used, that a rotation had replaced; the question presents the present one")
	}
	if l.Truncated {
		notes = append(notes, "the event is cut: the request was longer")
	}
	if strings.Contains(l.Path+l.Query, "REDACTED") {
		notes = append(notes, "values in the event are masked: a rule about them may decide otherwise")
	}
	return notes
}
