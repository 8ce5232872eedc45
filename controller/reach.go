package controller

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"time"
)

// reach is on how many servers something is in force.
type reach struct {
	on, of int
	why    string // not on the others
}

func (r reach) all() bool { return r.on == r.of && r.of > 0 }

// String says so for people.
func (r reach) String() string {
	text := fmt.Sprintf("in force on %d of %d replicas", r.on, r.of)
	if r.why != "" {
		text += ": " + r.why
	}
	return text
}

// inForce reports on how many servers a version of an object runs. Servers that don't follow its namespace don't count.
func (g *gates) inForce(kind, namespace string, version uint64) (r reach) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, base := range slices.Sorted(maps.Keys(g.replicas)) {
		server := g.replicas[base]
		runs, follows := upTo(server.runs, kind, namespace)
		if server.failure == "" && !follows {
			continue
		}
		r.of++
		switch {
		case server.failure != "":
			r.why = base + ": " + server.failure
		case runs >= version:
			r.on++
		case r.why == "":
			r.why = base + " has not taken it in yet"
		}
	}
	if r.of == 0 {
		r.why = "no replica is known that follows the namespace"
	}
	return r
}

// lapse is for how long a replica that does not answer, or runs less than before, counts as it was. A pod that is replaced is
// still found by its name for as long as DNS servers keep its address, which is 30 s at most in Kubernetes.
const lapse = 30 * time.Second

// stays reports whether a version of an object that was in force on every replica still is, or was within the lapse.
func (g *gates) stays(kind, namespace string, version uint64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	now, counted := g.now(), 0
	for _, server := range g.replicas {
		runs, follows := upTo(server.runs, kind, namespace)
		if server.failure == "" && !follows {
			continue
		}
		counted++
		if server.failure == "" && runs >= version {
			continue
		}
		held, known := upTo(server.held, kind, namespace)
		if now.Sub(server.at) >= lapse || known && held < version {
			return false
		}
	}
	return counted > 0 || len(g.replicas) == 0 && now.Sub(g.none) < lapse
}

// upTo returns up to which version objects run, and whether they are followed.
func upTo(runs map[string]uint64, kind, namespace string) (version uint64, follows bool) {
	own, one := runs[kind+"/"+namespace]
	every, all := runs[kind+"/"]
	return max(own, every), one || all
}

// follows takes over what was known of a replica.
func (r *replica) follows(was *replica, now time.Time) {
	if r.at = now; was != nil {
		r.usage, r.held, r.at = was.usage, was.held, was.at
	}
	if r.failure == "" && (r.holds(was) || now.Sub(r.at) >= lapse) {
		r.held, r.at = r.runs, now
	}
}

// holds reports whether a replica runs all that it ran before.
func (r *replica) holds(was *replica) bool {
	if was != nil {
		for key, version := range was.held {
			if r.runs[key] < version {
				return false
			}
		}
	}
	return true
}

// failureOf says why a server is not known, in words that are the same each time: a port of this side is in none.
func failureOf(err error) string {
	if name := (*net.DNSError)(nil); errors.As(err, &name) {
		if name.IsNotFound {
			return "lookup " + name.Name + ": no such host"
		}
		return "lookup " + name.Name + ": no answer from a name server"
	}
	if asked := (*url.Error)(nil); errors.As(err, &asked) {
		if err = asked.Err; asked.Timeout() {
			return fmt.Sprintf("no answer within %s", askTime)
		}
	}
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		err = op.Err
	}
	return err.Error()
}
