// Package audit writes one JSON object per line for each decision and each change of the manifests. An allow is
// answered after its line was written.
package audit

import (
	"net/netip"
	"time"

	"github.com/patgate/patgate/token"
)

// Version is the version of the events' fields.
const Version = 1

// Kind is the subject of an event.
type Kind string

// The kinds.
const (
	Decision       Kind = "decision"
	PolicyLoaded   Kind = "policy.loaded"
	PolicyRejected Kind = "policy.rejected"
	Gap            Kind = "audit.gap"
	TokenCreated   Kind = "token.created"
	TokenRevoked   Kind = "token.revoked"
	TokenUpdated   Kind = "token.updated"
	TokenRotated   Kind = "token.rotated"
	TokenRevived   Kind = "token.revived"
	TokenExpires   Kind = "token.expires-soon"
	ManageRefused  Kind = "manage.refused"
	ClockStepped   Kind = "clock.stepped"
	Checkpoint     Kind = "audit.checkpoint"
	TokenUsage     Kind = "token.usage" // how a token was used since the process started
)

// Severity is how much attention an event needs: info none, notice a look
// now and then, alert a person at once.
type Severity string

// The severities.
const (
	Info   Severity = "info"
	Notice Severity = "notice"
	Alert  Severity = "alert"
)

// The values of Event.Decision.
const (
	Allow = "allow"
	Deny  = "deny"
)

// Event is one line of the audit. Fields at their zero value are left out. Text from
// clients may be anything: it is escaped, masked and capped when it is written.
type Event struct {
	Time     time.Time
	Kind     Kind
	Severity Severity
	ID       string

	Decision     string
	Reason       string
	Status       int
	Gate         string
	Scheme       string
	User         string
	UserAsserted bool
	Actor        string
	Token        string // its name
	Previous     bool   // an older value was used
	Policy       string
	Rule         string
	Source       string
	SourceLine   int // of Source, if it is not part of that
	Observed     []Observation
	Shadow       string
	Detail       string        // which cause the reason had, in fixed words
	ActAs        string        // the user that the caller asked to act as, without permission
	Unmatched    string        // what did not match, as reported to the client
	BodyVerdicts []BodyVerdict // of each rule that checked the body

	Client       netip.Addr
	ClientSource string
	Peer         netip.Addr
	PeerName     string // the Envoy that requested the decision, by its client certificate
	Method       string
	Host         string
	Path         string // as received, without the query
	Query        string // as received
	UserAgent    string
	TLS          bool   // the client used TLS
	RouteNamed   bool   // Envoy's route named the gate
	BodyState    string // whole, partial or absent
	Destination  bool   // the request had a Destination header, and was decided for both paths
	RequestID    string
	Traceparent  string

	Revision  uint64
	Elapsed   time.Duration // written as micros
	BasicEnds time.Time

	// Of changes, not of decisions.
	SHA256                  string // of the manifests
	Added, Changed, Removed int

	// Names of what was added, changed and removed, such as APIToken/ci-bot: the first of them.
	AddedNames, ChangedNames, RemovedNames []string

	By     string   // who requested a change of a token
	Via    string   // on which way: api, page, cli or controller
	Fields []string // of the token that changed

	Tokens   []string // revoked early by a rejected load
	Problems []string // of a rejected load, the first of them
	Count    int      // of all its problems; of the events that a gap lost

	Uses []Use // of token.usage: the uses of the token since the process started

	// Secret is the value that the caller presented. It is never written: wherever
	// the text of the event holds it, it is masked.
	Secret token.Secret
	// Credential is what followed the scheme in the header that the caller presented. It is
	// masked in the same way.
	Credential token.Secret
}

// Use counts the uses of a token by one scheme and one kind of value, with the times of the first and the last.
type Use struct {
	Scheme   string    `json:"scheme,omitempty"`
	Previous bool      `json:"previous,omitempty"` // an older value
	Count    int64     `json:"count"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"` // exact to the minute
}

// BodyVerdict is the verdict of a rule's conditions on the body.
type BodyVerdict struct {
	Rule    string // its place
	Verdict string // matches, fails or undecidable
}

// Observation is the verdict of a policy that only observes.
type Observation struct{ Policy, Reason string }
