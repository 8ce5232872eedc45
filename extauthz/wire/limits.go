package wire

import (
	"sync/atomic"
	"time"
)

// What one connection may have and do.
const (
	maxStreams = 200 // Envoy opens more connections if it needs more

	// streamWindow is how much a peer may send on a stream before its message is admitted:
	// a body of 64 KiB, as envoy/standalone.yaml sends it, and its headers.
	streamWindow = 80 << 10
	// connWindow is how much a peer may send on all streams. It is returned as calls are
	// decided and messages are admitted, some of it at a time.
	connWindow = maxStreams*streamWindow + 2<<20
	// maxAdmitted is how much the messages have together that are larger than streamWindow
	// and received at a time. The others wait their turn.
	maxAdmitted = 8 << 20

	maxContinuations = 16
	maxNoise         = 10_000 // frames that do nothing; calls and time make up for them
	noisePerCall     = 8
	noisePerSweep    = 50

	batchCalls = 64
	batchBytes = 60 << 10 // of events
	batchTime  = 300 * time.Microsecond
	batchOut   = 64 << 10 // of answers

	maxBacklog = 256 << 10 // of answers that are not written; then no more is read
)

// What memory connections count for.
const (
	connCost  = 40 << 10                            // a connection at rest: its buffers, goroutine and tables
	largeCost = largeInput + 2*batchOut + textChunk // a busy one, in addition

	textChunk = 32 << 10 // of messages
)

// times are the time limits.
type times struct {
	sweep     time.Duration // how often that is looked at
	handshake time.Duration // TLS, preface and settings
	request   time.Duration // from the headers of a call to its end
	write     time.Duration // until the peer takes what is written
	idlePing  time.Duration // without a frame, until a ping checks whether the peer is there
	pingWait  time.Duration
	rest      time.Duration // without a frame, until buffers are given back
	age       time.Duration // of a connection, so that Envoys find new replicas
	ageGrace  time.Duration // after which it is cut
	goAway    time.Duration // between the two steps of a GOAWAY at most
	linger    time.Duration // for the peer to close first
	takeover  time.Duration // half of what a decision may take before another goroutine reads on
}

var defaultTimes = times{
	sweep: 250 * time.Millisecond, handshake: 10 * time.Second, request: 10 * time.Second, write: 20 * time.Second,
	idlePing: 30 * time.Second, pingWait: 10 * time.Second, rest: 5 * time.Second,
	age: 5 * time.Minute, ageGrace: 30 * time.Second, goAway: time.Second, linger: 500 * time.Millisecond,
	takeover: 600 * time.Microsecond,
}

// budget limits the memory of all connections together, in bytes.
type budget struct {
	limit int64
	used  atomic.Int64
}

// take takes n bytes if they are there.
func (b *budget) take(n int64) bool {
	if b.used.Add(n) <= b.limit {
		return true
	}
	b.used.Add(-n)
	return false
}

func (b *budget) give(n int64) { b.used.Add(-n) }
