package extauthz

import "unicode/utf8"

// wireValue is a field: its number, and its value, which is bytes or a number.
type wireValue struct {
	bytes   string
	number  uint64
	n       byte // 0: there is none that could be read
	isBytes bool
}

// text sets a field of text, which must be UTF-8.
func (v wireValue) text(field *string) bool {
	*field = v.bytes
	return v.isBytes && utf8.ValidString(v.bytes)
}

// entry reads an entry of a map from text to text.
func (v wireValue) entry() (key, value string, ok bool) {
	var seen fieldSet
	for rest := v.bytes; rest != ""; {
		var v wireValue
		v, rest = nextField(rest)
		ok := seen.add(v.n, single)
		switch v.n {
		case 1:
			ok = ok && v.text(&key)
		case 2:
			ok = ok && v.text(&value)
		default:
			ok = false
		}
		if !ok {
			return "", "", false
		}
	}
	return key, value, v.isBytes
}

// The wire types that occur (protobuf's encoding, "Message Structure").
const (
	typeVarint = 0
	typeBytes  = 2
)

// fieldSet is a set of the fields of a message, by their numbers, which are below 16.
type fieldSet uint16

// single is the empty set of fields that may be repeated.
const single fieldSet = 0

// add adds a field that was read. It returns false for one that is there already, unless it may be repeated: it
// would replace the first or be merged with it, which is the stock decoder's to do.
func (s *fieldSet) add(n byte, lists fieldSet) bool {
	bit := fieldSet(1) << n
	if n == 0 || *s&bit&^lists != 0 { // mutant: field-twice
		return false
	}
	*s |= bit
	return true
}

// nextField reads the first field of a message, and returns what follows it.
func nextField(text string) (v wireValue, rest string) {
	if len(text) < 2 || text[0] >= 0x80 || text[0] < 8 {
		return wireValue{}, ""
	}
	tag, size := text[0], 1
	if v.number = uint64(text[1]); v.number >= 0x80 {
		if v.number, size = varint(text[1:]); size == 0 {
			return wireValue{}, ""
		}
	}
	text = text[1+size:]
	switch tag & 7 {
	case typeVarint:
	case typeBytes:
		if v.number > uint64(len(text)) {
			return wireValue{}, ""
		}
		v.isBytes, v.bytes, text = true, text[:v.number], text[v.number:]
	default:
		return wireValue{}, ""
	}
	v.n = tag >> 3
	return v, text
}

// varint reads a number. size is 0 where there is none of 64 bits.
func varint(text string) (n uint64, size int) {
	for size < len(text) && size < 10 {
		c := text[size]
		if size == 9 && c > 1 {
			break
		}
		n |= uint64(c&0x7f) << (7 * size)
		size++
		if c < 0x80 {
			return n, size
		}
	}
	return 0, 0
}

// isASCII reports whether a text of 8 to 16 bytes is ASCII. Of any other it does not know.
func isASCII(s string) bool {
	if len(s) < 8 || len(s) > 16 {
		return false
	}
	return (eightBytes(s)|eightBytes(s[len(s)-8:]))&0x8080808080808080 == 0
}

func eightBytes(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 | uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}
