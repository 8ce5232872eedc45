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

	// Budget decides whether rules that cost much are evaluated to the end. nil: they are.
	Budget Budget
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

// Budget decides whether a costly evaluation may continue: whether the call's deadline is
// not over, and whether the token has not more than its share.
type Budget interface {
	// MayContinue is called before each piece of costly work. The token is nil for callers
	// without one.
	MayContinue(t *Token) bool
}

// pieceOfWork is how many steps patterns may cost between two calls of MayContinue. A step
// is one instruction of a pattern at one byte of a text, and takes some nanoseconds. The
// rules of ordinary requests cost less than one piece.
const pieceOfWork = 1 << 17

// meter counts what the rules of a request cost.
type meter struct {
	budget Budget
	token  *Token
	steps  int
	over   bool // MayContinue returned false
}

// allows reports whether a pattern may be matched against a text. Once it may not, no other
// pattern may be.
func (m *meter) allows(p *Pattern, text string) bool {
	if m.steps += p.steps(text); m.steps < pieceOfWork {
		return true
	}
	m.over = m.over || m.budget != nil && !m.budget.MayContinue(m.token)
	if !m.over {
		m.steps = 0
	}
	return !m.over
}
