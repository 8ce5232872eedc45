package policy

import (
	"encoding/base64"
	"slices"
	"strings"

	"github.com/patgate/patgate/token"
)

// Values of tokens in places where no token belongs: inside of a credential that would be
// forwarded, and in other headers of a request.

const (
	minHidden = 8   // the length from which a word may be the value of a token from elsewhere
	maxWords  = 256 // of a credential that are looked up
)

// known reports whether text is the value of a token that there is, or was.
func (s *Snapshot) known(text string) bool {
	if len(text) < minHidden {
		return false
	}
	digest := token.Sum(token.NewSecret(text))
	return s.holds(&digest) || s.Gone(digest)
}

// holdsToken reports whether a credential that is no token holds one: a minted value
// anywhere, known or not, or a known value as one of its words; both also in one base64
// decoding.
func (s *Snapshot) holdsToken(c *Credential) bool {
	text := c.Secret.Reveal()
	if looksMinted(c.User) || token.HoldsMinted(text) || token.HoldsMinted(c.User) {
		return true
	}
	if c.Scheme == Basic {
		whole := c.User + ":" + text
		return token.HoldsMinted(whole) || s.holdsKnown(whole)
	}
	return s.holdsKnown(text)
}

func (s *Snapshot) holdsKnown(text string) bool {
	left := maxWords
	return s.knownWord(text, &left) || slices.ContainsFunc(words(text), func(word string) bool {
		decoded, ok := decodeWord(word)
		return ok && s.knownWord(decoded, &left)
	})
}

// knownWord looks up a text, the part after its first colon, and its words.
func (s *Snapshot) knownWord(text string, left *int) bool {
	_, password, _ := strings.Cut(text, ":")
	for _, word := range append(words(text), text, strings.TrimSpace(text), password) {
		if *left--; *left < 0 {
			return false
		}
		if s.known(word) {
			return true
		}
	}
	return false
}

// words splits a text where no value goes on: at blanks, quotes and separators.
func words(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r <= ' ' || strings.ContainsRune("\"'`:;,<>()[]{}=&", r) })
}

// decodeWord decodes base64 of either alphabet. Its padding is no part of a word.
func decodeWord(word string) (string, bool) {
	if len(word) < minHidden {
		return "", false
	}
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if decoded, err := encoding.DecodeString(word); err == nil {
			return string(decoded), true
		}
	}
	return "", false
}

// hiddenTokens adds to names the headers that hold a minted or known value, except those where
// a credential belongs.
func (s *Snapshot) hiddenTokens(h Header, names []string) []string {
	if h == nil {
		return names
	}
	for i := range h.Len() {
		name, value := h.At(i)
		if !mayHideToken(name, value) || !token.HoldsMinted(value) && (isOrdinary(name) || !s.knownValue(value)) {
			continue
		}
		if name = lowerASCII(name); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// isOrdinary reports whether a header is one of nearly every request, by Envoy or by the client's library, in which no
// client puts a credential. Minted values are looked for in them, too; for known values of other kinds each
// header costs a digest and a look-up.
func isOrdinary(name string) bool {
	switch name {
	case "accept", "accept-charset", "accept-encoding", "accept-language", "cache-control", "connection", "content-encoding",
		"content-length", "content-type", "date", "dnt", "expect", "if-match", "if-modified-since", "if-none-match", "origin",
		"pragma", "priority", "range", "referer", "sec-ch-ua", "sec-ch-ua-mobile", "sec-ch-ua-platform", "sec-fetch-dest",
		"sec-fetch-mode", "sec-fetch-site", "sec-fetch-user", "te", "traceparent", "tracestate", "transfer-encoding",
		"upgrade-insecure-requests", "user-agent", "via", "x-envoy-attempt-count", "x-envoy-decorator-operation",
		"x-envoy-expected-rq-timeout-ms", "x-envoy-external-address", "x-envoy-internal", "x-envoy-original-path",
		"x-forwarded-client-cert", "x-forwarded-for", "x-forwarded-port", "x-forwarded-proto", "x-request-id", "x-requested-with":
		return true
	}
	return false
}

// mayHideToken leaves out what can't be removed or can hold no value.
func mayHideToken(name, value string) bool {
	if len(value) < minHidden || name == "" || name[0] == ':' {
		return false
	}
	switch len(name) {
	case len("authorization"):
		return !strings.EqualFold(name, "authorization")
	case len("cookie"):
		return !strings.EqualFold(name, "cookie")
	case len("host"):
		return !strings.EqualFold(name, "host")
	}
	return true
}

// knownValue looks up a header's value, and the part after its last blank, which follows a
// scheme.
func (s *Snapshot) knownValue(value string) bool {
	value = strings.Trim(value, " \t\"'")
	if len(value) > maxAuthorization {
		return false
	}
	if i := strings.LastIndexByte(value, ' '); i >= 0 && s.known(value[i+1:]) {
		return true
	}
	return s.known(value)
}
