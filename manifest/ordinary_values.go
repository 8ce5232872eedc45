package manifest

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// name reads a manifest's name.
func (o *ordinary) name(v *Ref, value []byte, column int) bool {
	text := string(value)
	*v = Ref{text, o.at(column)}
	return isWord(value, isFlow) && isKubernetesName(text)
}

func (o *ordinary) text(v *string, value []byte, class byteClass) bool {
	text, ok := scalar(value, class)
	*v = string(text)
	return ok
}

func (o *ordinary) user(v *User, value []byte) bool {
	text, ok := scalar(value, isBlockText)
	*v = User(text)
	return ok && len(text) <= policy.MaxUser
}

func (o *ordinary) digest(v *Digest, value []byte, column int) bool {
	const plain = "sha256:" // and no quotes
	if len(value) != len(plain)+2*len(token.Digest{}) || !bytes.HasPrefix(value, []byte(plain)) {
		return false
	}
	sum, err := token.ParseDigest(string(value))
	*v = Digest{sum, o.at(column)}
	return err == nil
}

// time reads a time in UTC and whole seconds, with or without quotes.
func (o *ordinary) time(v *Time, value []byte) bool {
	const form = "0000-00-00T00:00:00Z"
	value = unquoted(value)
	if len(value) != len(form) {
		return false
	}
	for i := range len(form) {
		if c := value[i]; form[i] == '0' && !('0' <= c && c <= '9') || form[i] != '0' && c != form[i] {
			return false
		}
	}
	t, err := time.Parse(time.RFC3339, string(value))
	v.Time = t.UTC()
	return err == nil && !v.IsZero()
}

func (o *ordinary) boolean(v *bool, value []byte) bool {
	*v = string(value) == "true"
	return *v || string(value) == "false"
}

// scalar returns the text of a value that YAML readers take for text: in quotes without escapes,
// or a plain one.
func scalar(value []byte, class byteClass) (text []byte, ok bool) {
	if text = unquoted(value); len(text) < len(value) {
		return text, isText(text, class) && text[0] != ' ' && text[len(text)-1] != ' '
	}
	if isWord(value, class) {
		return value, true
	}
	// A pattern begins with a slash, or with a dot and a star, more often than with a letter.
	starts := bytes.HasPrefix(value, []byte("/")) || bytes.HasPrefix(value, []byte(".*"))
	return value, starts && isText(value, class) && value[len(value)-1] != ' ' && isText(value, isPlain)
}

// unquoted returns what is in quotes, where nothing in it needs an escape; else the value itself.
func unquoted(value []byte) []byte {
	n := len(value)
	if n < 2 || value[0] != value[n-1] {
		return value
	}
	inner := value[1 : n-1]
	switch value[0] {
	case '"':
		if bytes.IndexByte(inner, '"') < 0 && bytes.IndexByte(inner, '\\') < 0 {
			return inner
		}
	case '\'':
		if bytes.IndexByte(inner, '\'') < 0 {
			return inner
		}
	}
	return value
}

// isWord reports whether a plain value is text to every YAML reader: it begins with a letter and is
// none of the words that YAML reads as another type.
func isWord(value []byte, class byteClass) bool {
	if len(value) == 0 || !isLetter(value[0]) || value[len(value)-1] == ' ' || !isText(value, class) || !isText(value, isPlain) {
		return false
	}
	return len(value) > len("false") || !slices.Contains(otherWords, strings.ToLower(string(value)))
}

// otherWords are null and booleans in some version of YAML.
var otherWords = []string{"y", "n", "yes", "no", "on", "off", "true", "false", "null"}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// byteClass is a set of bytes.
type byteClass uint8

const (
	isProse     byteClass = 1 << iota // printable ASCII
	isPlain                           // what a plain value may hold: no colon, no number sign
	isBlockText                       // of a user's name
	isPattern                         // printable ASCII without blanks
	isFlow                            // of an entry of a list in brackets
	isLabel                           // of a key of labels and annotations
)

// classes are the classes of each byte.
var classes = func() (table [256]byteClass) {
	for c := byte(' '); c < 0x7f; c++ {
		table[c] |= isProse
		if c != ':' && c != '#' {
			table[c] |= isPlain
		}
		if c != ' ' {
			table[c] |= isPattern
		}
		word := isLetter(c) || '0' <= c && c <= '9'
		if word || strings.IndexByte("._-@/\\+", c) >= 0 {
			table[c] |= isBlockText
		}
		if word || strings.IndexByte(".-_", c) >= 0 {
			table[c] |= isFlow
		}
		if word || strings.IndexByte("./-_", c) >= 0 {
			table[c] |= isLabel
		}
	}
	return table
}()

// isText reports whether a value has nothing but bytes of a class, and one at least.
func isText(value []byte, class byteClass) bool {
	for _, c := range value {
		if classes[c]&class == 0 {
			return false
		}
	}
	return len(value) > 0
}
