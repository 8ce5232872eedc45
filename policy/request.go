package policy

import (
	"net/netip"
	"time"
)

// Request is one HTTP request as the gate sees it. It carries its own clock, so that
// a decision depends on nothing but the request and a snapshot.
type Request struct {
	Time       time.Time
	Method     string
	Target     Target
	Host       string // Host or :authority, as received
	Route      string // the gate that the route names, where RouteNamed
	RouteNamed bool
	TLS        bool // the client's connection to Envoy is a TLS session
	Peer       netip.Addr
	Header     Header
	Credential Credential
	Body       Body

	// Effort is asked whether rules that cost much may be evaluated on. nil: they may.
	Effort Effort
}

// Header looks up the headers of a request.
type Header interface {
	// Get returns the value of a header, whose name is in lower case, and how many
	// there were. Several are joined by commas, in their order.
	Get(name string) (value string, count int)
	// All calls yield with the name and value of each header, as they came, until it
	// returns false. Its method value is an iter.Seq2.
	All(yield func(name, value string) bool)
}

// Body is a request's body, as far as Envoy handed it over. The zero value is absent.
type Body struct {
	State BodyState
	Bytes []byte
}

// BodyState says how much of a body there is.
type BodyState uint8

// The states of a body. Only a whole one is read.
const (
	BodyAbsent BodyState = iota
	BodyPartial
	BodyWhole
)

// Effort decides whether an evaluation that costs much goes on: whether anybody still waits
// for it, and whether others get their share.
type Effort interface {
	// GoOn is called before each piece of work. The token is nil for callers without one.
	GoOn(t *Token) bool
}

// pieceOfWork is how many steps rules may cost between two calls of GoOn. A step is one
// instruction of a pattern at one byte of a text; most take some nanoseconds. Ordinary
// requests cost less than this.
const pieceOfWork = 1 << 17

// meter counts what the rules of a request cost.
type meter struct {
	effort Effort
	token  *Token
	steps  int
	over   bool // GoOn said no
}

// allows reports whether a pattern may be matched with a text. Once it may not, nothing may.
func (m *meter) allows(p *Pattern, text string) bool {
	if m.steps += p.steps(text); m.steps < pieceOfWork {
		return true
	}
	m.over = m.over || m.effort != nil && !m.effort.GoOn(m.token)
	if !m.over {
		m.steps = 0
	}
	return !m.over
}
