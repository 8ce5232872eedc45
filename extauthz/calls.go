package extauthz

import (
	"sync"

	"github.com/patgate/patgate/audit"
)

// Calls of our own transport are used again, with the memory that they took: new memory is cold, and to
// touch it costs more than most of what is done in it. Texts are never part of that, so that who keeps one,
// keeps it.

// callRoom is memory of a call that outlives it.
type callRoom struct {
	context callContext
	event   audit.Event
	reply   reply
}

var calls = sync.Pool{New: func() any { return new(Call) }}

// What a call keeps of its memory at most. A typical one has 20 headers, and half a KiB of answer.
const (
	maxKeptHeaders = 128
	maxKeptReply   = 4 << 10
)

// recycle makes a call ready for another check. Nothing may refer to it, to its event or to its
// answer any more.
func (c *Call) recycle() {
	headers, wire := c.in.headers, c.room.reply.wire
	clear(headers)
	*c = Call{}
	if cap(headers) <= maxKeptHeaders {
		c.in.headers = headers[:0]
	}
	if cap(wire) <= maxKeptReply {
		c.room.reply.wire = wire[:0]
	}
	calls.Put(c)
}
