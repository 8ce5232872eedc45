package policy

import "strings"

// A request with the header Destination (WebDAV's COPY and MOVE, RFC 4918, section 10.3)
// acts on two paths. It is evaluated for both, whatever its method.

const headerDestination = "destination"

// destination is the target that a Destination header names. The zero value is none.
type destination struct {
	given  bool
	target Target
}

// readDestination reads the Destination header. problem is why it can't be evaluated.
func (r *Request) readDestination() (d destination, problem string) {
	value, n := r.Header.Get(headerDestination)
	if n == 0 {
		return destination{}, ""
	}
	path, problem := r.destinationPath(value, n)
	if problem != "" {
		return destination{}, "Destination " + problem
	}
	d = destination{true, NewTarget(path)}
	if problem = d.target.Problem(); problem != "" {
		return destination{}, "in Destination, " + problem
	}
	return d, ""
}

// destinationPath returns the path of a Destination: an absolute URL at the request's
// host, or an absolute path.
func (r *Request) destinationPath(value string, n int) (path, problem string) {
	switch {
	case n > 1:
		return "", "is there twice"
	case strings.ContainsAny(value, " \t?"):
		return "", "has a blank or a query"
	case r.Joined && strings.ContainsAny(value, ",!"):
		return "", "has a ',' or '!', which may stand for two headers or for another byte"
	case strings.HasPrefix(value, "/"):
		return value, ""
	}
	scheme, rest, found := strings.Cut(value, "://")
	if scheme = lowerASCII(scheme); !found || scheme != "http" && scheme != "https" {
		return "", "is neither an absolute path nor an http or https URL"
	}
	slash := strings.IndexByte(rest, '/')
	if slash < 0 {
		return "", "has no path"
	}
	host, ok := normalizeHost(rest[:slash])
	if own, _ := normalizeHost(r.Host); !ok || host == "" || host != own { // mutant: destination-host
		return "", "does not name the request's host"
	}
	return rest[slash:], ""
}

// destinationProblem returns why the request's gate can't evaluate its Destination.
func (e *evaluation) destinationProblem() string {
	d, g := &e.destination, e.gate()
	if !d.given {
		return ""
	}
	if problem := d.target.Closed(g.AllowEncoded); problem != "" {
		return "in Destination, " + problem
	}
	host, _ := normalizeHost(e.request.Host)
	other := e.snapshot.revision.gates.find(host, d.target.Path)
	// Where the route names the gate, its hosts and paths need not be those of the request.
	if other == g || other == nil && e.request.RouteNamed { // mutant: destination-gate
		return ""
	}
	return "Destination belongs to another gate, or to none"
}

// path returns the path that rules are checked against: the request's, or its Destination's
// in the second round.
func (e *evaluation) path() string {
	if e.decision.AtDestination {
		return e.destination.target.Path
	}
	return e.request.Target.Path
}

// matchesPath reports whether a pattern matches the path. Where the API ignores case,
// deny rules do.
func (e *evaluation) matchesPath(p *Pattern, deny bool) bool {
	path := e.path()
	if deny && e.gate().IgnoreCase { // mutant: deny-minds-case
		return e.meter.spend(p.size*len(path)) && p.matchFold(path)
	}
	return e.meter.allows(p, path) && p.Match(path)
}

// deniedOnBoth checks the deny rules against the path, then against that of Destination.
func (e *evaluation) deniedOnBoth(grant []*Policy) Reason {
	return e.onBoth(func() Reason { return e.denied(grant) })
}

// allowedOnBoth checks the allow rules against the path, then against that of Destination.
func (e *evaluation) allowedOnBoth(grant *Grant) Reason {
	return e.onBoth(func() Reason { return e.allowed(grant) })
}

func (e *evaluation) onBoth(ask func() Reason) Reason {
	reason := ask()
	if reason != OK || !e.destination.given { // mutant: destination-unchecked
		return reason
	}
	e.decision.AtDestination = true
	if reason = ask(); reason == OK {
		e.decision.AtDestination = false
	}
	return reason
}
