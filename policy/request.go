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
	Joined     bool // headers of one name may have come joined by commas
	Unframed   bool // a body may come without a header that declares it, as over HTTP/2
	Unseen     bool // the front does not say whether there is a body
	Credential Credential
	Body       Body

	// Problem is why the request can't be evaluated, in fixed words: the front left something out, or gave it
	// twice. Empty: it can be.
	Problem string

	// Budget decides whether rules that cost much are evaluated to the end. nil: they are.
	Budget Budget
}

// Header looks up the headers of a request.
type Header interface {
	// Get returns the value of a header, whose name is in lower case, and how many
	// there were. Several are joined by commas, in their order.
	Get(name string) (value string, count int)
	// Len returns how many headers there are, those of one name each for itself.
	Len() int
	// At returns the name and value of one of them, as they came.
	At(i int) (name, value string)
}

// Body is a request's body, as far as Envoy handed it over. The zero value is absent.
type Body struct {
	State BodyState
	Bytes []byte

	// Recorded returns the outcome of a rule's check of the body when the request was decided first, in the words of
	// BodyVerdict; empty: it is not known. It is for requests that are read back from an audit log, which
	// holds no bodies; nil: the body itself decides.
	Recorded func(*Rule) string
}

// BodyState says whether a body is complete.
type BodyState uint8

// The states of a body. Only a whole one is read.
const (
	BodyAbsent BodyState = iota
	BodyPartial
	BodyWhole
)

// String returns what the audit calls the state.
func (s BodyState) String() string { return [...]string{"absent", "partial", "whole"}[s] }
