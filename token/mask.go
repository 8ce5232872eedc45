package token

import (
	"encoding/base64"
	"slices"
	"strings"
)

// Mask hides what looks like a minted value in text, whole or cut short: its plain form
// becomes `patg_REDACTED`. Percent-encoded spellings (`patg%5F…`) are found too, as text is
// often a URL, and base64 that decodes to one. It returns text itself where there is
// nothing to hide.
func Mask(text string) string {
	m := NewMasker()
	return m.Mask(text)
}

// MaskValue hides a value that is known wherever text holds it, percent-encoded or not,
// or in base64.
func MaskValue(text string, s Secret) string {
	if s.value == "" {
		return text
	}
	m := Masker{secrets: [2]string{s.value}}
	return m.mask(text)
}

// Masker hides minted values and given secrets in texts. Make one with NewMasker; the zero
// value hides nothing.
type Masker struct {
	minted  bool
	secrets [2]string    // empty ones are none
	encoded [2][3]string // of each secret, once a text is long enough to hold one
	known   bool         // encoded is filled

	groups     [6]uint32 // see encodedGroups
	groupCount int       // 0: groups is not filled; negative: it can't be
}

// NewMasker returns a masker of minted values and of at most two secrets.
func NewMasker(secrets ...Secret) Masker {
	m := Masker{minted: true}
	for i, s := range secrets[:min(len(secrets), len(m.secrets))] {
		m.secrets[i] = s.value
	}
	return m
}

// Mask returns text without the values. It returns text itself where there is nothing to
// hide.
func (m *Masker) Mask(text string) string { return m.mask(text) }

func (m *Masker) mask(text string) string {
	// What looks like an escape may be none, so that every reading counts.
	if strings.IndexByte(text, '%') >= 0 {
		text = m.maskEscaped(text, unit)
		text = m.maskEscaped(text, unitOnce)
	}
	if !m.holds(text) {
		return text
	}
	return cutOut(text, m.find(text), nil)
}

// maskEscaped hides what text holds once it is decoded.
func (m *Masker) maskEscaped(text string, read unitReader) string {
	plain := unescaped(text, read)
	if plain == text || !m.holds(plain) {
		return text
	}
	return cutOut(text, m.find(plain), offsets(text, read))
}

// offsets returns where each byte of the unescaped text begins in text, and its end.
func offsets(text string, read unitReader) []int {
	at := make([]int, 0, len(text)+1)
	for i := 0; i < len(text); {
		at = append(at, i)
		_, n := read(text, i)
		i += n
	}
	return append(at, len(text))
}

// holds reports whether text may hold something to hide. It is what most texts cost.
func (m *Masker) holds(text string) bool {
	if m.minted && (strings.Contains(text, Prefix) || holdsEncodedPrefix(text)) {
		return true
	}
	for _, s := range m.secrets {
		if s != "" && strings.Contains(text, s) {
			return true
		}
	}
	return m.holdsEncoded(text)
}

// holdsEncoded reports whether text has the base64 of a secret, in either alphabet.
func (m *Masker) holdsEncoded(text string) bool {
	if !m.mayHoldEncoded(text) {
		return false
	}
	if !m.known {
		m.known = true
		for i, s := range m.secrets {
			if s != "" {
				m.encoded[i] = spellings(s)
			}
		}
	}
	text = standardAlphabet.Replace(text)
	for _, forms := range m.encoded {
		for _, form := range forms {
			if form != "" && strings.Contains(text, form) {
				return true
			}
		}
	}
	return false
}

// mayHoldEncoded reports whether text has a run of base64 characters that is long enough, and a group of four that
// the base64 of a secret has.
func (m *Masker) mayHoldEncoded(text string) bool {
	least := 0
	for _, s := range m.secrets {
		if n := encodedLen(s); n > 0 && (least == 0 || n < least) {
			least = n
		}
	}
	if least == 0 || len(text) < least {
		return false
	}
	groups, ends := m.encodedGroups(), uint64(0) // ends holds the last six bits of the groups
	for _, group := range groups {
		ends |= 1 << (group & 63)
	}
	isLong, isLike, run, last := false, len(groups) == 0, 0, uint32(0)
	for i := range len(text) {
		bits := base64Bits[text[i]]
		if bits > 63 {
			run = 0
			continue
		}
		run++
		last = last<<6&(1<<24-1) | uint32(bits)
		isLong = isLong || run == least
		if ends>>bits&1 != 0 && run >= 4 && slices.Contains(groups, last) {
			isLike = true
		}
		if isLong && isLike {
			return true
		}
	}
	return false
}

// encodedGroups returns the 24 bits of one group of each spelling of the secrets in base64, or nothing if a secret
// is too short to have one in each.
func (m *Masker) encodedGroups() []uint32 {
	if m.groupCount == 0 {
		m.groupCount = -1
		n := 0
		for _, s := range m.secrets {
			if s == "" {
				continue
			}
			if len(s) < 5 {
				return nil
			}
			for first := range 3 { // the group begins with the first, second or third byte
				m.groups[n] = uint32(s[first])<<16 | uint32(s[first+1])<<8 | uint32(s[first+2])
				n++
			}
		}
		m.groupCount = n
	}
	return m.groups[:max(m.groupCount, 0)]
}

// base64Bits are the values of the characters of base64, of both alphabets; 255: it is none.
var base64Bits = func() (bits [256]uint8) {
	for c := range bits {
		bits[c] = 255
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		bits[c] = uint8(i)
	}
	bits['-'], bits['_'] = bits['+'], bits['/']
	return bits
}()

// encodedLen is how many characters of base64 belong to a secret alone at least.
func encodedLen(s string) int { return len(s)*8/6 - 1 }

// span is a part of a text to hide, and what takes its place.
type span struct {
	start, end int
	label      string
}

// find returns what to hide in text, in its order.
func (m *Masker) find(text string) []span {
	var spans []span
	if m.minted {
		for i := 0; ; {
			at := strings.Index(text[i:], Prefix)
			if at < 0 {
				break
			}
			end := skipValue(text, i+at+len(Prefix))
			spans = append(spans, span{i + at, end, Prefix + redacted})
			i = end
		}
	}
	for _, s := range m.secrets {
		for i := 0; s != ""; {
			at := strings.Index(text[i:], s)
			if at < 0 {
				break
			}
			spans = append(spans, span{i + at, i + at + len(s), redacted})
			i += at + len(s)
		}
	}
	least := minEncoded
	for _, s := range m.secrets {
		if s != "" {
			least = min(least, max(encodedLen(s), 1))
		}
	}
	eachRun(text, least, func(start, end int) {
		for shift := range 4 {
			spans = m.findEncoded(spans, text, start, end, shift)
		}
	})
	slices.SortStableFunc(spans, func(a, b span) int { return a.start - b.start })
	return spans
}

// findEncoded adds what a run of base64 characters holds once it is decoded from one of
// its first characters on.
func (m *Masker) findEncoded(spans []span, text string, start, end, shift int) []span {
	decoded := string(decodeRun(text[start:end], shift))
	// next is where to go on in decoded: behind what was hidden.
	hide := func(from, to int) (next int) {
		first, last := start+shift+from*8/6, start+shift+(to*8-1)/6
		s := widen(text, start, end, first, min(last, end-1))
		spans = append(spans, s)
		return max(to, (s.end-start-shift)*6/8)
	}
	if m.minted && end-start >= minEncoded {
		for i := 0; ; {
			at := strings.Index(decoded[min(i, len(decoded)):], Prefix)
			if at < 0 {
				break
			}
			i = hide(i+at, skipValue(decoded, i+at+len(Prefix)))
		}
	}
	for _, s := range m.secrets {
		for i := 0; s != ""; {
			at := strings.Index(decoded[min(i, len(decoded)):], s)
			if at < 0 {
				break
			}
			i = hide(i+at, i+at+len(s))
		}
	}
	return spans
}

// widen makes a part of a run the whole of what was encoded. In a path, which begins with
// a slash, slashes end it: base64 has them too.
func widen(text string, start, end, first, last int) span {
	if text[0] != '/' {
		return span{start, end, redacted}
	}
	if i := strings.LastIndexByte(text[start:first], '/'); i >= 0 {
		start += i + 1
	}
	if i := strings.IndexByte(text[last+1:end], '/'); i >= 0 {
		end = last + 1 + i
	}
	return span{start, end, redacted}
}

// cutOut replaces spans of a text; at holds where their bytes are in it, nil: as they are.
func cutOut(text string, spans []span, at []int) string {
	var b strings.Builder
	done := 0
	for _, s := range spans {
		start, end := s.start, s.end
		if at != nil {
			start, end = at[start], at[end]
		}
		if end <= done {
			continue // in the one before
		}
		if start < done {
			done = end // goes on behind the one before
			continue
		}
		b.WriteString(text[done:start])
		b.WriteString(s.label)
		done = end
	}
	b.WriteString(text[done:])
	return b.String()
}

// skipValue returns the offset after a value's characters. The underscore is one
// here, so that a value pasted twice (`patg_patg_…`) is masked to its end.
func skipValue(text string, i int) int {
	for i < len(text) && (isBase62(text[i]) || text[i] == '_') {
		i++
	}
	return i
}

// decodeRun decodes a run of base64 characters of either alphabet, from one of its first
// four characters on: where the encoded text begins is not known.
func decodeRun(run string, shift int) []byte {
	run = standardAlphabet.Replace(run[min(shift, len(run)):])
	if len(run)%4 == 1 {
		run = run[:len(run)-1] // no whole byte
	}
	decoded, err := base64.RawStdEncoding.DecodeString(run)
	if err != nil {
		return nil // the alphabet is its own
	}
	return decoded
}
