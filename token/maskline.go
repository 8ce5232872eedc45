package token

import (
	"bytes"
	"slices"
	"strings"
)

// sign is a byte that few texts have, and the forms of Prefix that have it, plain or in base64, with its place there.
type sign struct {
	c     byte
	forms []signed
}

type signed struct {
	form []byte
	at   int
}

// signs cover all forms.
var signs = func() (list []sign) {
	forms := append([]string{Prefix}, prefixSpellings[:]...)
	for _, c := range []byte("_GX") {
		s := sign{c: c}
		forms = slices.DeleteFunc(forms, func(form string) bool {
			at := strings.IndexByte(form, c)
			if at >= 0 {
				s.forms = append(s.forms, signed{[]byte(form), at})
			}
			return at >= 0
		})
		list = append(list, s)
	}
	if len(forms) > 0 {
		panic("a form of the prefix has no sign")
	}
	return list
}()

// in reports whether a line has one of the sign's forms.
func (s *sign) in(line []byte) bool {
	for from := 0; ; {
		i := bytes.IndexByte(line[from:], s.c)
		if i < 0 {
			return false
		}
		for _, f := range s.forms {
			if start := from + i - f.at; start >= 0 && bytes.HasPrefix(line[start:], f.form) {
				return true
			}
		}
		from += i + 1
	}
}

// MayHold reports whether a line of texts may hold something to hide in one of them, if none holds a `%` nor
// has MayHoldEncoded.
func (m *Masker) MayHold(line []byte) bool {
	for i := range signs {
		if m.minted && signs[i].in(line) {
			return true
		}
	}
	for _, s := range m.secrets {
		var room [128]byte
		if s != "" && bytes.Contains(line, append(room[:0], s...)) {
			return true
		}
	}
	return false
}

// MayHoldEncoded reports whether text may hold a secret in base64.
func (m *Masker) MayHoldEncoded(text string) bool { return m.mayHoldEncoded(text) }
