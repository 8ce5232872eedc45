package manifest

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"gopkg.in/yaml.v3"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// Time is an instant in RFC 3339. The zero value is no time.
type Time struct{ time.Time }

// rfc3339 is the form that time.Parse is lenient about: one digit for an hour, a comma
// before the fraction, an offset of a day and more.
var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

func (Time) expects() string { return "a time such as 2026-07-30T00:00:00Z" }

func (v *Time) decode(s *scope, n *yaml.Node, field string) {
	if n.Kind != yaml.ScalarNode {
		s.problem(n, field, "%s, expected %s", got(n), v.expects())
		return
	}
	t, ok := ParseTime(n.Value)
	if _, err := time.Parse(time.DateOnly, n.Value); !ok && err == nil {
		s.problem(n, field, "%s is a date, expected a time: write %sT00:00:00Z", n.Value, n.Value)
		return
	}
	if !ok {
		s.problem(n, field, "%q is no time, expected one such as 2026-07-30T00:00:00Z (RFC 3339)", n.Value)
		return
	}
	v.Time = t
}

// ParseTime reads a time as manifests hold it, in RFC 3339 and nothing near it.
func ParseTime(text string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339, text)
	return t.UTC(), err == nil && !t.IsZero() && rfc3339.MatchString(text)
}

// Lifetime is a length of life: days and weeks as well as Go durations, or forever.
// The zero value is none.
type Lifetime time.Duration

func (Lifetime) expects() string { return "a duration such as 90d, 12w, 1y or 36h, or forever" }

func (v *Lifetime) decode(s *scope, n *yaml.Node, field string) {
	if n.Kind != yaml.ScalarNode {
		s.problem(n, field, "%s, expected %s", got(n), v.expects())
		return
	}
	d, ok := ParseLifetime(n.Value)
	if !ok {
		s.problem(n, field, "%q is no lifetime, expected %s", n.Value, v.expects())
		return
	}
	*v = Lifetime(d)
}

// ParseLifetime reads a positive duration with the units of Go, d (24 hours), w (7 days) and y (365 days), or `forever`, which is policy.Forever.
func ParseLifetime(text string) (time.Duration, bool) {
	if text == "forever" {
		return policy.Forever, true
	}
	var total time.Duration
	for _, unit := range []struct {
		name  byte
		hours int64
	}{{'y', 365 * 24}, {'w', 7 * 24}, {'d', 24}} {
		digits, rest, found := strings.Cut(text, string(unit.name))
		n, err := strconv.ParseInt(digits, 10, 64)
		if !found || err != nil {
			continue
		}
		if digits[0] == '+' || n < 0 || n > int64(policy.Forever/time.Hour)/unit.hours {
			return 0, false
		}
		total += time.Duration(n * unit.hours * int64(time.Hour))
		text = rest
		if text == "" {
			return total, total > 0
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || total < 0 || total > policy.Forever-d-1 || strings.HasPrefix(text, "+") {
		return 0, false
	}
	return total + d, total+d > 0
}

// Digest is the digest of a token's value, and its place.
type Digest struct {
	Sum token.Digest
	At  Pos
}

func (Digest) expects() string { return "sha256: and 64 hexadecimal digits" }

func (v *Digest) decode(s *scope, n *yaml.Node, field string) {
	text, ok := s.text(n, field)
	if !ok {
		return
	}
	sum, err := token.ParseDigest(text)
	if err != nil {
		// The text itself may be a token's value that went in here by mistake.
		s.problem(n, field, "not a digest, %v: `patgate token create` makes one, never put a token's value here", err)
		return
	}
	*v = Digest{sum, s.pos(n)}
}

// CIDR is a range of addresses; a bare address is one host.
type CIDR struct{ netip.Prefix }

func (CIDR) expects() string { return "a range of addresses such as 10.0.0.0/8 or 2001:db8::/32" }

func (v *CIDR) decode(s *scope, n *yaml.Node, field string) {
	text, ok := s.text(n, field)
	if !ok {
		return
	}
	p, problem := parseCIDR(text)
	if problem != "" {
		s.problem(n, field, "%q %s", text, problem)
		return
	}
	v.Prefix = p
}

// parseCIDR reads a range in the form in which addresses are compared: an IPv4 range
// written as IPv6 (::ffff:10.0.0.0/104) is the IPv4 range.
func parseCIDR(text string) (p netip.Prefix, problem string) {
	const want = "expected one such as 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7"
	if !strings.Contains(text, "/") {
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" {
			return p, "is no address, " + want
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), ""
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, "is no range of addresses, " + want
	}
	if p != p.Masked() {
		return p, "has host bits set, expected " + p.Masked().String()
	}
	if a := p.Addr(); a.Is4In6() {
		if p.Bits() < 96 {
			return p, "holds more than IPv4 addresses in IPv6, expected the IPv4 range"
		}
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p, ""
}

// word reads one of a few words.
func (s *scope) word(n *yaml.Node, field string, words ...string) (string, bool) {
	if n.Kind == yaml.ScalarNode && isOldBoolean(n) {
		s.problem(n, field, "%q, %s", n.Value, diag.Suggest(n.Value, words))
		return "", false
	}
	text, ok := s.text(n, field)
	if ok && !slices.Contains(words, text) {
		s.problem(n, field, "%q, %s", text, diag.Suggest(text, words))
		return "", false
	}
	return text, ok
}

// Scheme is the scheme by which a token is presented, and its place.
type Scheme struct {
	Is policy.Scheme
	At Pos
}

func (Scheme) expects() string { return "basic or bearer" }

func (v *Scheme) decode(s *scope, n *yaml.Node, field string) {
	if word, ok := s.word(n, field, "basic", "bearer"); ok {
		*v = Scheme{policy.Basic, s.pos(n)}
		if word == "bearer" {
			v.Is = policy.Bearer
		}
	}
}

// Forwarded is the name of a scheme of credentials, in lower case.
type Forwarded string

func (Forwarded) expects() string { return "the name of a scheme, such as basic, bearer or oauth" }

// schemeName is a token of RFC 9110, section 5.6.2.
var schemeName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")

func (v *Forwarded) decode(s *scope, n *yaml.Node, field string) {
	text, ok := s.text(n, field)
	if !ok {
		return
	}
	if !schemeName.MatchString(text) {
		s.problem(n, field, "%q is no name of a scheme, expected one such as basic, bearer or oauth", text)
		return
	}
	*v = Forwarded(strings.ToLower(text))
}

// Contact is the contact in refusals: an address of a page or a person.
type Contact string

func (Contact) expects() string { return "whom to ask, such as https://wiki.example.com/tokens" }

// maxContact is the longest contact, in bytes. It is in every refusal.
const maxContact = 256

func (v *Contact) decode(s *scope, n *yaml.Node, field string) {
	text, ok := s.text(n, field)
	if !ok {
		return
	}
	if len(text) > maxContact || strings.TrimSpace(text) != text || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		s.problem(n, field, "not one line of printable text of at most %d bytes, expected %s", maxContact, v.expects())
		return
	}
	*v = Contact(text)
}

// Enforcement is whether a manifest decides or only observes.
type Enforcement struct{ Observe bool }

func (Enforcement) expects() string { return "enforce or observe" }

func (v *Enforcement) decode(s *scope, n *yaml.Node, field string) {
	if word, ok := s.word(n, field, "enforce", "observe"); ok {
		v.Observe = word == "observe"
	}
}

// Authorization is whether the upstream gets the header that held a token.
type Authorization struct{ Keep bool }

func (Authorization) expects() string { return "remove or keep" }

func (v *Authorization) decode(s *scope, n *yaml.Node, field string) {
	if word, ok := s.word(n, field, "remove", "keep"); ok {
		v.Keep = word == "keep"
	}
}

// FormBodies says how a gate's API reads the parameters of form bodies.
type FormBodies struct{ policy.FormBodies }

func (FormBodies) expects() string { return "merged or separate" }

func (v *FormBodies) decode(s *scope, n *yaml.Node, field string) {
	word, ok := s.word(n, field, "merged", "separate")
	for _, f := range []policy.FormBodies{policy.FormsMerged, policy.FormsSeparate} {
		if ok && f.String() == word {
			v.FormBodies = f
		}
	}
}

// AddressSource is the source of the client's address.
type AddressSource policy.AddressSource

func (AddressSource) expects() string { return "peer, xff or header" }

func (v *AddressSource) decode(s *scope, n *yaml.Node, field string) {
	word, ok := s.word(n, field, "peer", "xff", "header")
	for _, source := range []policy.AddressSource{policy.FromPeer, policy.FromXFF, policy.FromHeader} {
		if ok && source.String() == word {
			*v = AddressSource(source)
		}
	}
}

// wholeNumber reads a number that means the same to every YAML reader: kubectl reads 010 as 8.
func wholeNumber(n *yaml.Node) (int, bool) {
	number, err := strconv.Atoi(n.Value)
	return number, err == nil && n.Kind == yaml.ScalarNode && n.ShortTag() == "!!int" && strconv.Itoa(number) == n.Value
}

// Count is a number of things that there may be at most.
type Count int

// maxCount is larger than any sensible count.
const maxCount = 1_000_000

func (Count) expects() string { return "a number from 1" }

func (v *Count) decode(s *scope, n *yaml.Node, field string) {
	count, ok := wholeNumber(n)
	if !ok || count < 1 || count > maxCount {
		s.problem(n, field, "expected a number from 1 to %d; without one there is no limit", maxCount)
		return
	}
	*v = Count(count)
}

// Hops is the number of trusted proxies in front of Envoy.
type Hops int

// maxHops is larger than any sensible number of proxies.
const maxHops = 32

func (Hops) expects() string { return "a number of proxies" }

func (v *Hops) decode(s *scope, n *yaml.Node, field string) {
	hops, ok := wholeNumber(n)
	if !ok || hops < 0 || hops > maxHops {
		s.problem(n, field, "expected the number of proxies in front of Envoy, from 0 to %d", maxHops)
		return
	}
	*v = Hops(hops)
}
