package audit

import "strings"

// MaskQuery replaces the values of parameters that hold credentials by custom. It
// reads names as lenient servers do (any case, escapes, blanks around them, `;` as a
// separator), and leaves the rest of the text as it is.
func MaskQuery(query string) string {
	var b strings.Builder
	done := 0
	for at := 0; at < len(query); {
		end := endOf(query, at, "&;#")
		name, value, found := strings.Cut(query[at:end], "=")
		if found && isMasked(name) {
			b.WriteString(query[done : end-len(value)])
			b.WriteString(redacted)
			end = endOf(query, at, "&") // `;` and `#` may be part of the value
			done = end
		}
		at = end + 1
	}
	if done == 0 {
		return query
	}
	b.WriteString(query[done:])
	return b.String()
}

// endOf returns where the text from an offset ends: at one of the separators.
func endOf(text string, from int, separators string) int {
	if i := strings.IndexAny(text[from:], separators); i >= 0 {
		return from + i
	}
	return len(text)
}

// isMasked reports whether a parameter's value is a credential by custom.
func isMasked(name string) bool {
	var folded [12]byte // the longest of them
	n := 0
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c == '%' && i+2 < len(name) {
			if hi, lo := unhex(name[i+1]), unhex(name[i+2]); hi < 16 && lo < 16 {
				c = hi<<4 | lo
				i += 2
			}
		}
		if c == '[' {
			break
		}
		if c == '+' || c <= ' ' {
			continue
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if n == len(folded) {
			return false
		}
		folded[n] = c
		n++
	}
	switch string(folded[:n]) {
	case "access_token", "token", "api_key", "apikey", "key", "secret",
		"password", "os_password", "sig", "signature", "code":
		return true
	}
	return false
}

// unhex returns the value of a hexadecimal digit, or 16.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 16
}
