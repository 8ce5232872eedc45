package policy

import (
	"strings"
	"unicode/utf8"
)

// A lenient reader behind patgate may take one name for another: a CGI variable has `_`
// for every character of a header's name that is neither a letter nor a digit. What
// folds to a name that the gate uses, without being that name, is refused or removed.

// evaluatedHeaders are the headers that every gate evaluates, in addition to its own.
var evaluatedHeaders = append(append([]string{
	"x-forwarded-proto", "authorization", "content-type", "content-encoding", "destination",
}, overrideMethod...), overrideURL...)

// patgatePrefix begins the names of patgate's own headers.
const patgatePrefix = "x-patgate-"

// headerForwarded is RFC 7239's.
const headerForwarded = "forwarded"

// plainNameBytes are the bytes of a header's name that fold to themselves.
var plainNameBytes = func() (plain [256]bool) {
	for c := range plain {
		b := byte(c)
		plain[c] = b == '-' || 'a' <= b && b <= 'z' || '0' <= b && b <= '9'
	}
	return plain
}()

// isPlainName reports whether a header's name folds to itself.
func isPlainName(name string) bool {
	for i := range len(name) {
		if !plainNameBytes[name[i]] {
			return false
		}
	}
	return true
}

// FoldHeader returns the fold of a header's name: every character except ASCII letters
// and digits becomes `-`, letters become lower case.
func FoldHeader(name string) string {
	if isPlainName(name) {
		return name
	}
	folded := make([]byte, 0, len(name))
	for _, r := range name {
		folded = append(folded, foldNameRune(r))
	}
	return string(folded)
}

func foldNameRune(r rune) byte {
	switch {
	case 'A' <= r && r <= 'Z':
		return byte(r) + 'a' - 'A'
	case r < utf8.RuneSelf && plainNameBytes[r]:
		return byte(r)
	}
	return '-'
}

// headerScan is the only pass over the headers of a request: it finds requests for
// another method, URL or host, and whether a second walk must look for look-alikes.
type headerScan struct {
	method     string
	host       string // the evaluated one
	namesHosts bool   // some gate names hosts
	overrides  bool
	odd        bool // some name does not fold to itself, or is patgate's own
	methods    uint8
}

// overridden reports whether a header asks an upstream to act on another method, URL
// or host.
func (e *evaluation) overridden() bool {
	scan := headerScan{method: e.request.Method, namesHosts: e.snapshot.revision.gates.namesHosts()}
	scan.host, _ = normalizeHost(e.request.Host)
	for i := range e.request.Header.Len() {
		scan.see(e.request.Header.At(i))
	}
	e.oddHeaders = scan.odd
	return scan.overrides
}

func (s *headerScan) see(name, value string) {
	if !isPlainName(name) {
		s.seeOdd(name, value)
		return
	}
	switch name {
	case "x-http-method-override":
		s.seeMethod(1, value)
	case "x-http-method":
		s.seeMethod(2, value)
	case "x-method-override":
		s.seeMethod(4, value)
	case "x-original-url", "x-rewrite-url":
		s.overrides = true
	case "x-forwarded-host", "x-host", "x-original-host", "x-forwarded-server", "x-http-host-override", headerForwarded:
		s.seeHost(name, value)
	default:
		s.odd = s.odd || strings.HasPrefix(name, patgatePrefix)
	}
}

// seeOdd looks at a name that does not fold to itself. Pseudo headers are Envoy's own.
// Any spelling of a header that names hosts counts as that header.
func (s *headerScan) seeOdd(name, value string) {
	if strings.HasPrefix(name, ":") {
		return
	}
	if lower := lowerASCII(name); isPlainName(lower) {
		s.see(lower, value)
		return
	}
	s.odd = true
	switch folded := FoldHeader(name); folded {
	case "x-forwarded-host", "x-host", "x-original-host", "x-forwarded-server", "x-http-host-override":
		s.seeHost(folded, value)
	}
}

// seeMethod checks that a header that overrides the method has one value, the method itself.
func (s *headerScan) seeMethod(bit uint8, value string) {
	s.overrides = s.overrides || s.methods&bit != 0 || value != s.method // mutant: overriding-headers-pass
	s.methods |= bit
}

// seeHost checks that the hosts that a header names are the evaluated one. Where no gate
// names hosts, any host has the same gates.
func (s *headerScan) seeHost(name, value string) {
	if !s.namesHosts || s.overrides {
		return
	}
	if name == headerForwarded {
		s.overrides = forwardedNamesOther(value, s.host)
		return
	}
	for item := range strings.SplitSeq(value, ",") {
		item = strings.Trim(item, " \t")
		if host, ok := normalizeHost(item); item != "" && (!ok || host != s.host) { // mutant: header-names-host
			s.overrides = true
		}
	}
}

// forwardedNamesOther reports whether a Forwarded header has a host parameter that names
// another host. It looks at every `host=`, also within quotes, since not every reader
// knows of these.
func forwardedNamesOther(value, evaluated string) bool {
	rest := lowerASCII(value)
	for {
		_, after, found := strings.Cut(rest, "host")
		if !found {
			return false
		}
		rest = after
		text, isParameter := strings.CutPrefix(strings.TrimLeft(after, " \t"), "=")
		if !isParameter {
			continue
		}
		text = strings.TrimLeft(text, " \t\"")
		if end := strings.IndexAny(text, ",;\""); end >= 0 {
			text = text[:end]
		}
		if host, ok := normalizeHost(strings.TrimRight(text, " \t")); !ok || host != evaluated {
			return true
		}
	}
}

// lookAlike returns the first name among a request's headers that folds to one which the
// gate uses without being it. Names that have `_` for `-`, and patgate's own, are noted
// for removal instead.
func (e *evaluation) lookAlike() (problem string) {
	g := e.gate()
	if !e.oddHeaders && !g.hasOddHeaders() {
		return ""
	}
	watch := headerWatch{names: g.watchedHeaders()}
	for i := 0; i < e.request.Header.Len() && watch.like == ""; i++ {
		name, _ := e.request.Header.At(i)
		watch.see(name)
	}
	e.decision.Remove = watch.remove
	if watch.like != "" {
		return "a header's name looks like " + watch.like + ", which means something here"
	}
	return ""
}

// headerWatch is the walk that looks for look-alikes of a gate's headers.
type headerWatch struct {
	names  []string
	remove []string
	like   string
}

func (w *headerWatch) see(name string) {
	name = lowerASCII(name)
	if strings.HasPrefix(name, ":") {
		return
	}
	folded := FoldHeader(name)
	switch underscores := strings.ReplaceAll(name, "_", "-"); {
	case w.uses(name):
	case strings.HasPrefix(folded, patgatePrefix):
		w.note(name, folded, isPlainName(underscores)) // mutant: own-header-lookalike
	default:
		for _, watched := range w.names {
			if FoldHeader(watched) == folded {
				w.note(name, watched, underscores == watched)
				break
			}
		}
	}
}

// uses reports whether the gate uses a header by this very name. What becomes of those
// does not depend on the request.
func (w *headerWatch) uses(name string) bool {
	for _, watched := range w.names {
		if watched == name {
			return true
		}
	}
	return false
}

// note has a spelling removed, or refused.
func (w *headerWatch) note(name, watched string, removable bool) {
	if !removable {
		w.like = watched // mutant: header-look-alikes-pass
		return
	}
	w.remove = append(w.remove, name)
}

// watchedHeaders returns the headers that the gate sets, removes or evaluates, in lower
// case. Names that begin with x-patgate- belong to them all.
func (g *Gate) watchedHeaders() []string {
	names := append([]string{}, evaluatedHeaders...)
	if g.Upstream != nil {
		names = append(names, g.IdentityHeaders()...)
	}
	return append(names, g.headersRead()...)
}

// headersRead returns the headers that the gate takes the client's address and the user
// to act as from.
func (g *Gate) headersRead() (names []string) {
	if g.ActAsHeader != "" {
		names = append(names, g.ActAsHeader)
	}
	switch g.ClientIP.Source {
	case FromXFF:
		names = append(names, "x-forwarded-for")
	case FromHeader:
		names = append(names, g.ClientIP.Header)
	}
	return names
}

// hasOddHeaders reports whether one of the gate's own headers does not fold to itself,
// so that a plain name may be its look-alike.
func (g *Gate) hasOddHeaders() bool {
	up := g.Upstream
	return up != nil && up.odd || !isPlainName(g.ActAsHeader) || !isPlainName(g.ClientIP.Header)
}
