package policy

import (
	"encoding/base64"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/patgate/patgate/token"
)

// maxAuthorization is the longest Authorization value, in bytes, that is read.
const maxAuthorization = 4 << 10

// Scheme is how a token is presented. The zero value is none.
type Scheme uint8

// The schemes (RFC 7617, RFC 6750).
const (
	NoScheme Scheme = iota
	Basic
	Bearer
)

// String returns `basic`, `bearer`, or nothing.
func (s Scheme) String() string {
	switch s {
	case Basic:
		return "basic"
	case Bearer:
		return "bearer"
	}
	return ""
}

// Schemes is a set of schemes. The zero value is the empty set.
type Schemes uint8

// With returns the set with one scheme more.
func (s Schemes) With(scheme Scheme) Schemes { return s | 1<<scheme }

// Has reports whether a scheme is in the set.
func (s Schemes) Has(scheme Scheme) bool { return scheme != NoScheme && s&(1<<scheme) != 0 }

// String lists the schemes: `basic or bearer`.
func (s Schemes) String() string {
	var names []string
	for _, scheme := range []Scheme{Basic, Bearer} {
		if s.Has(scheme) {
			names = append(names, scheme.String())
		}
	}
	return strings.Join(names, " or ")
}

// Credential is what an Authorization header holds. The zero value is malformed, so
// that a forgotten one never counts as anonymous.
type Credential struct {
	State  CredentialState
	Scheme Scheme
	User   string // as presented; Basic only
	Secret token.Secret
	Digest token.Digest // of Secret
}

// CredentialState says whether there is a credential to look at.
type CredentialState uint8

// The states of a credential.
const (
	CredentialMalformed CredentialState = iota
	CredentialAbsent
	CredentialPresent
)

// ParseAuthorization reads the Authorization header of a request: its value, and
// how many there were. Anything but exactly one well-formed Basic or Bearer
// credential is malformed; a comma never occurs in one, as Envoy joins two headers
// with it. Malformed also are a value minted by patgate with a wrong checksum, and
// values longer than 4 KiB.
func ParseAuthorization(value string, count int) Credential {
	switch {
	case count == 0:
		return Credential{State: CredentialAbsent}
	case count > 1 || len(value) > maxAuthorization:
		return Credential{}
	}
	name, rest, _ := strings.Cut(value, " ")
	rest = strings.TrimLeft(rest, " ")
	c := Credential{State: CredentialPresent}
	ok := false
	switch lowerASCII(name) {
	case "basic":
		c.Scheme = Basic
		c.User, c.Secret, ok = parseBasic(rest)
	case "bearer":
		c.Scheme = Bearer
		c.Secret, ok = token.NewSecret(rest), isToken68(rest)
	}
	if !ok || !token.WellFormed(c.Secret) {
		// The scheme and the user stay for the audit; the state is what counts.
		return Credential{Scheme: c.Scheme, User: c.User}
	}
	c.Digest = token.Sum(c.Secret)
	return c
}

// strictBase64 refuses the second spellings of a value: unused bits that are set,
// missing padding, another alphabet. (Line breaks it would skip: isToken68 has none.)
var strictBase64 = base64.StdEncoding.Strict()

// parseBasic reads the credentials of RFC 7617, section 2, in UTF-8.
func parseBasic(encoded string) (user string, secret token.Secret, ok bool) {
	if !isToken68(encoded) {
		return "", token.Secret{}, false
	}
	decoded, err := strictBase64.DecodeString(encoded)
	if err != nil || !utf8.Valid(decoded) {
		return "", token.Secret{}, false
	}
	text := string(decoded)
	user, password, found := strings.Cut(text, ":")
	if !found || user == "" || password == "" || strings.ContainsFunc(text, unicode.IsControl) {
		return "", token.Secret{}, false
	}
	return user, token.NewSecret(password), true
}

// isToken68 is the syntax of RFC 9110, section 11.2, that both schemes use.
func isToken68(s string) bool {
	s = strings.TrimRight(s, "=")
	for i := range len(s) {
		c := s[i]
		if !('A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' ||
			strings.IndexByte("-._~+/", c) >= 0) {
			return false
		}
	}
	return s != ""
}

// presentableUser reports whether the name that a caller asserts may be handed on
// as a header's value: 1 to 255 bytes of printable UTF-8 without outer blanks, which
// the next hop would trim, and no token that stands in the wrong place.
func presentableUser(name string) bool {
	return name != "" && !looksMinted(name) && len(name) <= MaxUser && utf8.ValidString(name) &&
		strings.TrimSpace(name) == name && !strings.ContainsFunc(name, unprintable)
}

func unprintable(r rune) bool { return r != ' ' && !unicode.IsPrint(r) }
