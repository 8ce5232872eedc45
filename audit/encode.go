package audit

import (
	"encoding/json"
	"net/netip"
	"strconv"
	"strings"
	"time"

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
	quick     bool // texts are not looked through one by one; see appendEvent
	truncated bool
	cut       bool // some text is not whole
}

// appendEvent appends the event from its second field on: the line begins with
// `{"v":1,"seq":N`, and N is known only when it is queued.
//
// To look for values in each text costs more than to write it, and nearly no event holds one. So the line is
// written first, and looked through as a whole: what is in no line is in no text of it. If something may be,
// the line is written again, with each text masked.
func appendEvent(b []byte, e *Event, instance string) []byte {
	l := line{b: b, masker: maskerOf(e)} // panic: line
	if l.quick = isPlainText(e.Secret.Reveal()) && isPlainText(e.Credential.Reveal()); l.quick {
		l.event(e, instance)
		if !l.cut && !l.masker.MayHold(l.b[len(b):]) { // mutant: line-unseen
			return l.b
		}
	}
	return appendMasked(b, e, instance)
}

// appendMasked is appendEvent with each text looked through for itself.
func appendMasked(b []byte, e *Event, instance string) []byte {
	l := line{b: b, masker: maskerOf(e)}
	l.event(e, instance)
	return l.b
}

func maskerOf(e *Event) token.Masker {
	if e.Secret == e.Credential {
		return token.NewMasker(longEnough(e.Secret))
	}
	return token.NewMasker(longEnough(e.Secret), longEnough(e.Credential))
}

// event writes the event.
func (l *line) event(e *Event, instance string) {
	l.text("instance", instance, maxText)
	l.instant(e.Time)
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
	l.source(e)
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
	l.b = append(l.b, '}', '\n')
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
	l.b = append(append(append(l.b, `,"`...), name...), `":`...)
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

// instant writes the time of the event.
func (l *line) instant(t time.Time) {
	if t.IsZero() {
		return
	}
	l.b = append(l.b, `,"time":"`...)
	l.b = appendTime(l.b, t.UTC())
	l.b = append(l.b, '"')
}

// appendTime appends a time of UTC in timeFormat.
func appendTime(b []byte, t time.Time) []byte {
	year, month, day := t.Date()
	if year < 1000 || year > 9999 {
		return t.AppendFormat(b, timeFormat)
	}
	hour, minute, second := t.Clock()
	b = appendTwo(appendTwo(b, year/100), year%100)
	b = appendTwo(append(b, '-'), int(month))
	b = appendTwo(append(b, '-'), day)
	b = appendTwo(append(b, 'T'), hour)
	b = appendTwo(append(b, ':'), minute)
	b = appendTwo(append(b, ':'), second)
	micros := t.Nanosecond() / 1000
	b = appendTwo(append(b, '.'), micros/10_000)
	return append(appendTwo(appendTwo(b, micros/100%100), micros%100), 'Z')
}

// appendTwo appends a number of two digits.
func appendTwo(b []byte, n int) []byte { return append(b, byte('0'+n/10), byte('0'+n%10)) }

// source writes the place of the rule.
func (l *line) source(e *Event) {
	switch {
	case e.Source == "" || e.SourceLine == 0:
		l.text("source", e.Source, maxSource)
	case l.isClear(e.Source) && len(e.Source) < maxSource/2 && isPlainText(e.Source):
		l.b = append(append(l.b, `,"source":"`...), e.Source...)
		l.b = append(strconv.AppendInt(append(l.b, ':'), int64(e.SourceLine), 10), '"')
	default:
		l.text("source", e.Source+":"+strconv.Itoa(e.SourceLine), maxSource)
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

// minSecret is the length from which a presented value is looked for in other fields:
// shorter ones would mask ordinary text.
const minSecret = 8

// mask hides minted values and the one that was presented.
func (l *line) mask(s string) string {
	if l.isClear(s) {
		return s
	}
	return l.masker.Mask(s) // mutant: audit-shows-values
}

// isClear reports whether the look at the whole line finds what a text holds.
func (l *line) isClear(s string) bool {
	return l.quick && strings.IndexByte(s, '%') < 0 && !l.masker.MayHoldEncoded(s)
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
