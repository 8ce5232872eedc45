package audit

import "strings"

// maskedNames are the names of parameters that hold credentials by custom, folded.
var maskedNames = func() map[string]bool {
	names := map[string]bool{}
	for _, name := range strings.Fields(`access_token token api_key apikey key secret password os_password sig signature code
		refresh_token id_token client_secret pass pwd auth auth_token private_token x-api-key x-amz-signature sessionid`) {
		names[string(foldName(nil, name))] = true
	}
	return names
}()

// beginsMasked holds the bytes that maskedNames begin with.
var beginsMasked = func() (begins [256]bool) {
	for name := range maskedNames {
		begins[name[0]] = true
	}
	return begins
}()

// MaskQuery replaces the values of parameters that hold credentials by custom. It
// reads names as lenient servers do (any case, escapes, characters dropped, `;` and `?` as
// separators), and leaves the rest of the text as it is.
func MaskQuery(query string) string {
	var b strings.Builder
	done := 0
	for at := 0; at < len(query); {
		end := len(query)
		if i := strings.IndexByte(query[at:], '&'); i >= 0 {
			end = at + i
		}
		if value := maskedValue(query[at:end]); value >= 0 {
			b.WriteString(query[done : at+value])
			b.WriteString(redacted)
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

// maskedValue returns where the value begins that a field of a query must not show, or -1.
// What follows `;` or `#` may be a parameter of its own or part of the value, so that all
// of it goes.
func maskedValue(field string) int {
	for at := 0; ; {
		equals := strings.IndexByte(field[at:], '=')
		if equals < 0 {
			return -1
		}
		equals += at
		if isMasked(field[:equals]) {
			return equals + 1
		}
		if i := strings.LastIndexAny(field[:equals], ";#?="); i >= 0 && isMasked(field[i+1:equals]) {
			return equals + 1
		}
		at = equals + 1
	}
}

// maxName is the longest name, in bytes, that is looked at: every byte may be escaped twice.
const maxName = 256

// isMasked reports whether a parameter's value is a credential by custom: by its name as
// it is, decoded once and twice; of a name with brackets also by each of its parts.
func isMasked(name string) bool {
	if len(name) > maxName {
		return true // not a user's name
	}
	var room [maxName]byte
	decoded := append(room[:0], name...)
	for range 3 {
		if namesCredential(decoded) {
			return true
		}
		again := unescape(decoded)
		if len(again) == len(decoded) {
			return false
		}
		decoded = again
	}
	return false
}

func namesCredential(name []byte) bool {
	var room [maxName]byte
	if folded := foldName(room[:0], name); len(folded) > 0 && beginsMasked[folded[0]] && maskedNames[string(folded)] {
		return true
	}
	start, brackets := 0, false
	for i, c := range name {
		if c == '[' || c == ']' {
			if maskedNames[string(foldName(room[:0], name[start:i]))] {
				return true
			}
			start, brackets = i+1, true
		}
	}
	return brackets && maskedNames[string(foldName(room[:0], name[start:]))]
}

// foldName appends a name's ASCII letters and digits in lower case.
func foldName[T string | []byte](folded []byte, name T) []byte {
	for i := range len(name) {
		switch c := name[i]; {
		case 'A' <= c && c <= 'Z':
			folded = append(folded, c+'a'-'A')
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			folded = append(folded, c)
		}
	}
	return folded
}

// unescape decodes percent-encoded bytes once, in place.
func unescape(text []byte) []byte {
	n := 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '%' && i+2 < len(text) {
			if hi, lo := unhex(text[i+1]), unhex(text[i+2]); hi < 16 && lo < 16 {
				c = hi<<4 | lo
				i += 2
			}
		}
		text[n] = c
		n++
	}
	return text[:n]
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
