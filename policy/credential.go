package policy

import (
	"encoding/base64"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/patgate/patgate/token"
)

// maxAuthorization is the longest Authorization value, in bytes, that can hold a token.
const maxAuthorization = 4 << 10

// Scheme is the scheme by which a token is presented. The zero value is none.
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

// Credential is the content of an Authorization header. The zero value is malformed, so
// that a forgotten one never counts as anonymous.
type Credential struct {
	State  CredentialState
	Scheme Scheme
	Name   string // of the scheme, in lower case; of one that is well-formed alone
	Detail string // why it is malformed, in fixed words, without any part of the credential
	User   string // as presented; Basic only
	Secret token.Secret
	Text   token.Secret // what follows the scheme, as presented; for the audit's mask
	Digest token.Digest // of Secret
}

// CredentialState is the outcome of reading a request's credential.
type CredentialState uint8

// The states of a credential.
const (
	CredentialMalformed CredentialState = iota
	CredentialAbsent
	CredentialPresent
	// CredentialForeign is a credential that only a Gate which forwards its scheme accepts:
	// of a scheme other than Basic and Bearer, or longer than a token may be.
	CredentialForeign
)

// The causes of a malformed credential, as the audit names them.
const (
	detailTwoHeaders = "two Authorization headers"
	detailEmpty      = "the header is empty"
	detailTooLong    = "longer than 4 KiB"
	detailNoScheme   = "no scheme and space before the value"
	detailScheme     = "the scheme is neither basic nor bearer, and not forwarded"
	detailComma      = "a comma, as between two headers that were joined"
	detailCharacter  = "a character that a credential of this scheme never has"
	detailNoValue    = "no value after the scheme"
	detailBase64     = "not padded standard base64"
	detailUTF8       = "not UTF-8"
	detailColon      = "no colon between user and password"
	detailNoUser     = "an empty user"
	detailNoPassword = "an empty password"
	detailControl    = "a control character"
	detailChecksum   = "the value is mistyped or cut off: its checksum is wrong"
)

// ParseAuthorization reads the Authorization header of a request: its value, and
// how many there were. Present is exactly one well-formed Basic or Bearer credential of
// at most 4 KiB; foreign is one that is longer, or of another scheme. Anything else is
// malformed, and so is a value minted by patgate with a wrong checksum. A comma never
// occurs in Basic and Bearer, as Envoy joins two headers with it.
func ParseAuthorization(value string, count int) Credential {
	name, rest, spaced := strings.Cut(value, " ")
	rest = strings.TrimLeft(rest, " ")
	c := Credential{Text: token.NewSecret(rest)}
	switch {
	case count == 0:
		return Credential{State: CredentialAbsent}
	case count > 1: // mutant: two-credentials
		c.Detail = detailTwoHeaders
		return c
	case value == "":
		c.Detail = detailEmpty
		return c
	case !isSchemeName(name):
		c.Detail = detailNoScheme
		if strings.IndexByte(name, ',') >= 0 {
			c.Detail = detailComma
		}
		c.Text = token.NewSecret(value)
		return c
	}
	switch {
	case strings.EqualFold(name, "basic"): // it is ASCII
		name, c.Scheme = "basic", Basic
		c.User, c.Secret, c.Detail = parseBasic(rest)
	case strings.EqualFold(name, "bearer"):
		name, c.Scheme = "bearer", Bearer
		c.Secret, c.Detail = token.NewSecret(rest), checkToken68(rest)
	default:
		return c.other(lowerASCII(name), rest, spaced)
	}
	if c.Detail == "" && !token.WellFormed(c.Secret) { // mutant: wrong-checksum-passes
		c.Detail = detailChecksum
	}
	if c.Detail != "" {
		c.Secret = token.Secret{} // the scheme and the user stay for the audit
		return c
	}
	c.State, c.Name, c.Digest = CredentialPresent, name, token.Sum(c.Secret)
	if len(value) > maxAuthorization {
		c.State = CredentialForeign
	}
	return c
}

// other reads a credential of a scheme that is neither Basic nor Bearer. Whether its
// name is text of the client's or a scheme is known to the Gate alone.
func (c Credential) other(name, rest string, spaced bool) Credential {
	switch {
	case !spaced:
		// The whole header may be a value that lacks its scheme.
		c.Text, c.Detail = token.NewSecret(name), detailNoScheme
	case rest == "":
		c.Detail = detailNoValue
	case strings.ContainsFunc(rest, isControlByte):
		c.Detail = detailControl
	default:
		c.State, c.Name = CredentialForeign, name
		c.Secret = token.NewSecret(rest)
		c.Digest = token.Sum(c.Secret)
	}
	return c
}

func isControlByte(r rune) bool { return r < ' ' || r == 0x7f }

// isSchemeName reports whether text is a token (RFC 9110, section 5.6.2).
func isSchemeName(text string) bool {
	for i := range len(text) {
		if !tokenBytes[text[i]] {
			return false
		}
	}
	return text != ""
}

var tokenBytes = func() (allowed [256]bool) {
	for c := '!'; c < 0x7f; c++ {
		allowed[c] = !strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c)
	}
	return allowed
}()

// strictBase64 refuses the second spellings of a value: unused bits that are set,
// missing padding, another alphabet. (Line breaks it would skip: isToken68 has none.)
var strictBase64 = base64.StdEncoding.Strict() // mutant: lenient-base64

// parseBasic reads the credentials of RFC 7617, section 2, in UTF-8.
func parseBasic(encoded string) (user string, secret token.Secret, problem string) {
	if problem := checkToken68(encoded); problem != "" {
		return "", token.Secret{}, problem
	}
	decoded, err := strictBase64.DecodeString(encoded)
	if err != nil {
		return "", token.Secret{}, detailBase64
	}
	if !utf8.Valid(decoded) {
		return "", token.Secret{}, detailUTF8
	}
	text := string(decoded)
	user, password, found := strings.Cut(text, ":")
	switch {
	case !found:
		return "", token.Secret{}, detailColon
	case strings.ContainsFunc(text, unicode.IsControl):
		return "", token.Secret{}, detailControl
	case user == "":
		return "", token.Secret{}, detailNoUser
	case password == "": // mutant: empty-password-passes
		return "", token.Secret{}, detailNoPassword
	}
	return user, token.NewSecret(password), ""
}

// checkToken68 returns why a text is not valid after Basic or Bearer; empty: it is valid.
func checkToken68(text string) (problem string) {
	switch {
	case text == "":
		return detailNoValue
	case strings.IndexByte(text, ',') >= 0:
		return detailComma
	case !isToken68(text):
		return detailCharacter
	}
	return ""
}

// isToken68 is the syntax of RFC 9110, section 11.2, that both schemes use.
func isToken68(s string) bool {
	s = strings.TrimRight(s, "=")
	for i := range len(s) {
		if !token68Bytes[s[i]] {
			return false
		}
	}
	return s != ""
}

var token68Bytes = func() (allowed [256]bool) {
	for c := range allowed {
		b := byte(c)
		allowed[c] = 'A' <= b && b <= 'Z' || 'a' <= b && b <= 'z' || '0' <= b && b <= '9' || strings.IndexByte("-._~+/", b) >= 0
	}
	return allowed
}()

// presentableUser reports whether the name that a caller asserts may be handed on
// as a header's value: 1 to 255 bytes of printable UTF-8 without outer blanks, which
// the next hop would trim, and not a token in the wrong place.
func presentableUser(name string) bool {
	return name != "" && !looksMinted(name) && len(name) <= MaxUser && utf8.ValidString(name) &&
		strings.TrimSpace(name) == name && !strings.ContainsFunc(name, unprintable)
}

func unprintable(r rune) bool { return r != ' ' && !unicode.IsPrint(r) }
