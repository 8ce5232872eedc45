package audit

import "unicode/utf8"

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

// escapedLen returns the number of bytes that quote writes for a character of n bytes.
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
	if len(s) <= limit && isPlainText(s) {
		l.b = append(append(append(l.b, '"'), s...), '"')
		return
	}
	l.quoteAny(s, limit)
	l.cut = l.cut || l.truncated
}

func (l *line) quoteAny(s string, limit int) {
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

// isPlain holds the bytes that a JSON string shows as they are.
var isPlain = func() (plain [256]bool) {
	for c := ' '; c < 0x7f; c++ {
		plain[c] = c != '"' && c != '\\'
	}
	return plain
}()

// isPlainText reports whether a JSON string shows all of a text as it is. It looks at eight bytes at a time.
func isPlainText(s string) bool {
	for ; len(s) >= 8; s = s[8:] {
		if notPlain(uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 | uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56) {
			return false
		}
	}
	for i := range len(s) {
		if !isPlain[s[i]] {
			return false
		}
	}
	return true
}

// notPlain reports whether one of eight bytes is not plain. A byte is found by the high bit that it has, or gets: of
// two numbers that are equal, the difference less one borrows it.
func notPlain(x uint64) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	found := x | (x - ones*' ') // beyond ASCII, and below a blank
	for _, c := range [...]uint64{'"', '\\', 0x7f} {
		found |= (x ^ ones*c) - ones
	}
	return found&highs != 0
}
