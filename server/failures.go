package server

import (
	"container/list"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/patgate/patgate/policy"
)

const (
	// failingFrom is how many failed credentials within failureWindow make a client one that
	// is guessing, or that was not informed of a token's end.
	failingFrom   = 10
	failureWindow = time.Minute
	failureSlice  = 5 * time.Second // how exact the window is
	failureSlices = int64(failureWindow / failureSlice)

	// maxFailing bounds the addresses that are remembered: those that failed last.
	maxFailing = 8192

	logEvery       = 10 * time.Second // the log of any client
	logClientEvery = time.Minute      // and of the same
)

// failures count the failed credentials of client addresses, for metrics and the log.
// No caller is locked out: a good token works from any address. Make one with newFailures.
type failures struct {
	now    func() time.Time
	logger *slog.Logger

	mu      sync.Mutex
	clients map[netip.Prefix]*list.Element
	recent  list.List // of *failing, the last to fail first
	warned  time.Time
}

// failing is a client address with its failures, by the slices of the window.
type failing struct {
	client netip.Prefix
	slice  int64 // of time, since 1970: of the last failure
	counts [failureSlices]int
	warned time.Time
}

func newFailures(now func() time.Time, logger *slog.Logger) *failures {
	return &failures{now: now, logger: logger, clients: map[netip.Prefix]*list.Element{}}
}

// failed reports whether a decision refused a credential that was given, or would have.
func failed(d *policy.Decision) bool {
	reason := d.Reason
	if d.Shadowed {
		reason = d.Shadow
	}
	return reason.Status() == http.StatusUnauthorized && reason != policy.NoCredential
}

// clientOf returns what counts as one client: an IPv4 address, or the /64 of an IPv6
// address, because one client has all of it. The zero prefix are all unknown addresses.
func clientOf(addr netip.Addr) netip.Prefix {
	bits := 64
	if addr = addr.Unmap().WithZone(""); addr.Is4() {
		bits = 32
	}
	client, _ := addr.Prefix(bits) // the zero address has the zero prefix
	return client
}

// add counts a failure.
func (f *failures) add(addr netip.Addr) {
	client, now := clientOf(addr), f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	element := f.clients[client]
	if element == nil {
		element = f.recent.PushFront(&failing{client: client})
		f.clients[client] = element
		if last := f.recent.Back(); f.recent.Len() > maxFailing {
			delete(f.clients, f.recent.Remove(last).(*failing).client)
		}
	}
	f.recent.MoveToFront(element)
	c := element.Value.(*failing)
	c.moveTo(sliceOf(now))
	c.counts[c.slice%failureSlices]++
	f.warn(c, now)
}

func sliceOf(t time.Time) int64 { return t.Unix() / int64(failureSlice/time.Second) }

// moveTo moves the window, and forgets what is no longer in it. It starts over if the
// clock went back.
func (c *failing) moveTo(slice int64) {
	if slice < c.slice || slice-c.slice >= failureSlices {
		c.counts = [failureSlices]int{}
	} else {
		for s := c.slice + 1; s <= slice; s++ {
			c.counts[s%failureSlices] = 0
		}
	}
	c.slice = slice
}

// within returns the failures in the window that ends with a slice.
func (c *failing) within(slice int64) (n int) {
	if slice < c.slice {
		return 0 // the clock went back
	}
	for s := max(slice-failureSlices+1, 0); s <= c.slice; s++ {
		n += c.counts[s%failureSlices]
	}
	return n
}

// warn logs a client that fails often.
func (f *failures) warn(c *failing, now time.Time) {
	n := c.within(c.slice)
	if n < failingFrom || now.Sub(f.warned) < logEvery || now.Sub(c.warned) < logClientEvery {
		return
	}
	f.warned, c.warned = now, now
	clients, _ := f.count(c.slice)
	f.logger.Warn("many failed credentials from one client address", "client", c.name(), "failures", n, "within", failureWindow.String(), "such clients", clients)
}

func (c *failing) name() string {
	switch {
	case !c.client.IsValid():
		return "unknown"
	case c.client.IsSingleIP():
		return c.client.Addr().String()
	}
	return c.client.String()
}

// state returns how many clients fail often now, and the most failures of one.
func (f *failures) state() (clients, most int) {
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count(sliceOf(now))
}

func (f *failures) count(slice int64) (clients, most int) {
	for e := f.recent.Front(); e != nil; e = e.Next() {
		c := e.Value.(*failing)
		if slice-c.slice >= failureSlices {
			break // and so are all that failed before
		}
		n := c.within(slice)
		most = max(most, n)
		if n >= failingFrom {
			clients++
		}
	}
	return clients, most
}
