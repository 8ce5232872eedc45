package audit

import (
	"encoding/json"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/patgate/patgate/token"
)

// How much of a text is written, in bytes of its escaped form. Together they keep a
// line below 16 KiB, which container runtimes would split.
const (
	maxPath   = 2 << 10
	maxQuery  = 2 << 10
	maxUser   = 256
	maxSource = 1 << 10
	maxText   = 256
	maxList   = 6 << 10 // of a list's entries together

	maxVerdicts = 1 << 10
	maxObserved = 4 << 10
	maxNames    = 2 << 10
	maxTail     = 512 // what is kept of the end of a path or query that is cut
)

// timeFormat is RFC 3339 in UTC with microseconds, always of the same length.
const timeFormat = "2006-01-02T15:04:05.000000Z07:00"

// line writes one event.
type line struct {
	b         []byte
	masker    token.Masker
	truncated bool
}

// appendEvent appends the event from its second field on: the line begins with
// `{"v":1,"seq":N`, and N is known only when it is queued.
func appendEvent(b []byte, e *Event, instance string) []byte {
	l := line{b: b, masker: token.NewMasker(longEnough(e.Secret), longEnough(e.Credential))} // panic: line
	l.text("instance", instance, maxText)
	l.time("time", e.Time, timeFormat)
	l.word("kind", string(e.Kind))
	l.word("severity", string(e.Severity))
	l.word("id", e.ID)
	l.word("decision", e.Decision)
	l.word("reason", e.Reason)
	l.number("status", int64(e.Status))
	l.word("gate", e.Gate)
	l.word("scheme", e.Scheme)
	l.text("user", e.User, maxUser)
	l.flag("userAsserted", e.UserAsserted)
	l.text("actor", e.Actor, maxUser)
	l.word("token", e.Token)
	l.flag("previous", e.Previous)
	l.word("policy", e.Policy)
	l.text("rule", e.Rule, maxText)
	l.text("source", e.Source, maxSource)
	l.observed(e.Observed)
	l.word("shadow", e.Shadow)
	l.text("detail", e.Detail, maxText)
	l.text("actAs", e.ActAs, maxUser)
	l.text("unmatched", e.Unmatched, maxText)
	l.bodyVerdicts(e.BodyVerdicts)
	l.address("client", e.Client)
	l.word("clientSource", e.ClientSource)
	l.address("peer", e.Peer)
	l.text("peerName", e.PeerName, maxText)
	l.text("method", e.Method, maxText)
	l.text("host", maskHost(e.Host), maxText)
	l.ends("path", e.Path, "pathBytes", len(e.Path), maxPath)
	if e.Query != "" {
		l.ends("query", MaskQuery(e.Query), "queryBytes", len(e.Query), maxQuery)
	}
	l.text("userAgent", e.UserAgent, maxUser)
	l.text("requestId", e.RequestID, maxText)
	l.text("traceparent", e.Traceparent, maxText)
	l.number("revision", int64(e.Revision))
	if e.Kind == Decision {
		l.key("tls")
		l.b = strconv.AppendBool(l.b, e.TLS)
		l.flag("routeNamed", e.RouteNamed)
		l.word("bodyState", e.BodyState)
		l.flag("destination", e.Destination)
		l.key("micros")
		l.b = strconv.AppendInt(l.b, e.Elapsed.Microseconds(), 10)
	}
	l.time("basicEnds", e.BasicEnds, time.RFC3339)
	l.change(e)
	l.flag("truncated", l.truncated)
	return append(l.b, '}', '\n')
}

// change writes the fields of events that are no decision.
func (l *line) change(e *Event) {
	l.word("sha256", e.SHA256)
	l.number("added", int64(e.Added))
	l.number("changed", int64(e.Changed))
	l.number("removed", int64(e.Removed))
	l.list("addedNames", e.AddedNames, maxNames)
	l.list("changedNames", e.ChangedNames, maxNames)
	l.list("removedNames", e.RemovedNames, maxNames)
	l.text("by", e.By, maxUser)
	l.word("via", e.Via)
	l.list("fields", e.Fields, maxNames)
	l.list("tokens", e.Tokens, maxList)
	l.list("problems", e.Problems, maxList)
	l.number("count", int64(e.Count))
	l.uses(e.Uses)
}

// uses writes how a token was used.
func (l *line) uses(list []Use) {
	if len(list) == 0 {
		return
	}
	l.key("uses")
	text, _ := json.Marshal(list) // four at most, of texts and numbers
	l.b = append(l.b, text...)
}

func (l *line) key(name string) {
	l.b = append(l.b, ',', '"')
	l.b = append(l.b, name...)
	l.b = append(l.b, '"', ':')
}

// word writes text that is ours: a name that was checked when it was loaded.
func (l *line) word(key, value string) {
	if value == "" {
		return
	}
	l.key(key)
	l.quote(value, maxText)
}

// text writes text that came from outside: masked, escaped and capped.
func (l *line) text(key, value string, limit int) {
	if value == "" {
		return
	}
	l.key(key)
	l.quote(l.mask(value), limit)
}

func (l *line) number(key string, n int64) {
	if n != 0 {
		l.key(key)
		l.b = strconv.AppendInt(l.b, n, 10)
	}
}

func (l *line) flag(key string, set bool) {
	if set {
		l.key(key)
		l.b = append(l.b, "true"...)
	}
}

func (l *line) time(key string, t time.Time, format string) {
	if !t.IsZero() {
		l.key(key)
		l.b = append(l.b, '"')
		l.b = t.UTC().AppendFormat(l.b, format)
		l.b = append(l.b, '"')
	}
}

func (l *line) address(key string, a netip.Addr) {
	if a.IsValid() {
		l.key(key)
		l.b = append(l.b, '"')
		l.b = a.WithZone("").AppendTo(l.b)
		l.b = append(l.b, '"')
	}
}

func (l *line) observed(list []Observation) {
	pairs(l, "observed", maxObserved, list, func(o *Observation) (name, value string) { return o.Policy, o.Reason })
}

func (l *line) bodyVerdicts(list []BodyVerdict) {
	pairs(l, "bodyVerdicts", maxVerdicts, list, func(v *BodyVerdict) (name, value string) { return v.Rule, v.Verdict })
}

// pairs writes a list as an object of names and values, up to a limit.
func pairs[T any](l *line, key string, limit int, list []T, of func(*T) (name, value string)) {
	if len(list) == 0 {
		return
	}
	l.key(key)
	open, from := byte('{'), len(l.b)
	for i := range list {
		if len(l.b)-from > limit {
			l.truncated = true
			break
		}
		name, value := of(&list[i])
		l.b = append(l.b, open)
		l.quote(name, maxText)
		l.b = append(l.b, ':')
		l.quote(value, maxText)
		open = ','
	}
	l.b = append(l.b, '}')
}

func (l *line) list(key string, values []string, limit int) {
	if len(values) == 0 {
		return
	}
	l.key(key)
	open, from := byte('['), len(l.b)
	for _, v := range values {
		if len(l.b)-from > limit {
			l.truncated = true
			break
		}
		l.b = append(l.b, open)
		l.quote(l.mask(v), maxPath)
		open = ','
	}
	l.b = append(l.b, ']')
}

// ends writes text as text does, but of one that is too long it keeps the head and the
// tail, and its full length: the end is where a caller would hide something.
func (l *line) ends(key, value, sizeKey string, size, limit int) {
	if value == "" {
		return
	}
	value = l.mask(value)
	before, cut := len(l.b), l.truncated
	l.truncated = false
	l.key(key)
	l.quote(value, limit)
	if !l.truncated {
		l.truncated = cut
		return
	}
	l.b = l.b[:before]
	l.key(key)
	l.quote(value, limit-maxTail-len(ellipsis))
	l.b = append(l.b[:len(l.b)-1], ellipsis...)
	quote := len(l.b)
	l.quote(value[tail(value, maxTail):], maxTail)
	l.b = append(l.b[:quote], l.b[quote+1:]...) // one string of both
	l.number(sizeKey, int64(size))
}

const ellipsis = "…"

// tail returns where the longest tail of text begins whose escaped form has at most limit
// bytes.
func tail(text string, limit int) int {
	at := len(text)
	for at > 0 {
		r, n := utf8.DecodeLastRuneInString(text[:at])
		limit -= escapedLen(r, n, text[at-1])
		if limit < 0 {
			break
		}
		at -= n
	}
	return at
}

// escapedLen is how many bytes quote writes for a character of n bytes.
func escapedLen(r rune, n int, first byte) int {
	switch {
	case isPlain[first]:
		return 1
	case first == '"' || first == '\\':
		return 2
	case r == utf8.RuneError && n == 1:
		return len(`\\xff`)
	case r < 0xa0 || r == '\u2028' || r == '\u2029':
		return len(`\u0000`)
	}
	return n
}

// quote writes text as a JSON string of at most limit bytes between its quotes.
// Control characters are escaped, those of terminals (C1) and the line separators
// too; bytes that are not UTF-8 are shown as \xNN.
func (l *line) quote(s string, limit int) {
	l.b = append(l.b, '"')
	end := len(l.b) + limit
	for i := 0; i < len(s); {
		plain := i
		for i < len(s) && isPlain[s[i]] {
			i++
		}
		if room := end - len(l.b); i-plain > room {
			l.b = append(l.b, s[plain:plain+room]...)
			l.truncated = true
			break
		}
		l.b = append(l.b, s[plain:i]...)
		if i == len(s) {
			break
		}
		before := len(l.b)
		c := s[i]
		switch {
		case c >= utf8.RuneSelf:
			r, n := utf8.DecodeRuneInString(s[i:])
			l.rune(r, n, c)
			i += n
		case c == '"' || c == '\\':
			l.b = append(l.b, '\\', c)
			i++
		default:
			l.escape(rune(c))
			i++
		}
		if len(l.b) > end {
			l.b = l.b[:before]
			l.truncated = true
			break
		}
	}
	l.b = append(l.b, '"')
}

// isPlain holds the bytes that a JSON string shows as they are.
var isPlain = func() (plain [256]bool) {
	for c := ' '; c < 0x7f; c++ {
		plain[c] = c != '"' && c != '\\'
	}
	return plain
}()

func (l *line) rune(r rune, n int, first byte) {
	switch {
	case r == utf8.RuneError && n == 1:
		l.b = append(l.b, '\\', '\\', 'x', hexDigits[first>>4], hexDigits[first&15])
	case r < 0xa0 || r == '\u2028' || r == '\u2029':
		l.escape(r)
	default:
		l.b = utf8.AppendRune(l.b, r)
	}
}

const hexDigits = "0123456789abcdef"

func (l *line) escape(r rune) {
	l.b = append(l.b, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}

// minSecret is the length from which a presented value is looked for in other fields:
// shorter ones would mask ordinary text.
const minSecret = 8

// mask hides minted values and the one that was presented.
func (l *line) mask(s string) string {
	return l.masker.Mask(s) // mutant: audit-shows-values
}

// longEnough returns a secret that is looked for in other fields.
func longEnough(s token.Secret) token.Secret {
	if len(s.Reveal()) < minSecret {
		return token.Secret{}
	}
	return s
}

const redacted = "REDACTED"

// maskHost hides what comes before an `@`, where a client's URL had user and password.
func maskHost(host string) string {
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		return redacted + host[i:]
	}
	return host
}
