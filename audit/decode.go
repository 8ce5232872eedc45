package audit

import (
	"encoding/json"
	"strconv"
	"time"
)

// decodeLine reads an event in the form in which patgate writes it: no spaces, each key once and as it is named.
// ok is false for every other form, and for values that are out of the ordinary: encoding/json reads those. Where
// it is true, encoding/json reads the same; FuzzDecodeLine holds the two together.
//
// The texts of the event share one copy of the line.
func decodeLine(text []byte, l *Logged) (ok bool) {
	if len(text) < 2 || text[0] != '{' {
		return false
	}
	d := lineDecoder{text: string(text), at: 1}
	if !d.fields(l) || d.at != len(d.text) {
		*l = Logged{}
		return false
	}
	return true
}

// lineDecoder reads one line.
type lineDecoder struct {
	text string
	at   int
}

// fields reads the fields of the event and the end of its object.
func (d *lineDecoder) fields(l *Logged) bool {
	for {
		key, ok := d.plain()
		if !ok || !d.byte(':') || !d.field(key, l) {
			return false
		}
		switch {
		case d.byte(','):
		case d.byte('}'):
			return true
		default:
			return false
		}
	}
}

// byte passes a character over.
func (d *lineDecoder) byte(c byte) bool {
	if d.at < len(d.text) && d.text[d.at] == c {
		d.at++
		return true
	}
	return false
}

// word passes a word over.
func (d *lineDecoder) word(w string) bool {
	if len(d.text)-d.at >= len(w) && d.text[d.at:d.at+len(w)] == w {
		d.at += len(w)
		return true
	}
	return false
}

// plain reads a text without escapes, of printable ASCII.
func (d *lineDecoder) plain() (string, bool) {
	if !d.byte('"') {
		return "", false
	}
	start := d.at
	for d.at < len(d.text) && isPlain[d.text[d.at]] {
		d.at++
	}
	text := d.text[start:d.at]
	return text, d.byte('"')
}

// string reads a text.
func (d *lineDecoder) string(to *string) bool {
	start := d.at
	text, ok := d.plain()
	if ok {
		*to = text
		return true
	}
	if d.at == start {
		return false
	}
	for d.at < len(d.text) && d.text[d.at] != '"' {
		if d.text[d.at] == '\\' {
			d.at++
		}
		d.at++
	}
	if !d.byte('"') {
		return false
	}
	return json.Unmarshal([]byte(d.text[start:d.at]), to) == nil
}

// number reads a number without a sign, a fraction or an exponent.
func (d *lineDecoder) number(bits int) (uint64, bool) {
	start := d.at
	for d.at < len(d.text) && d.text[d.at]-'0' <= 9 {
		d.at++
	}
	digits := d.text[start:d.at]
	if digits == "" || digits[0] == '0' && len(digits) > 1 || d.at < len(d.text) && d.text[d.at] != ',' && d.text[d.at] != '}' {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, bits)
	return n, err == nil
}

func (d *lineDecoder) int(to *int) bool {
	n, ok := d.number(63)
	*to = int(n)
	return ok
}

// bool reads true: patgate leaves false out, but for tls.
func (d *lineDecoder) bool(to *bool) bool {
	*to = d.word("true")
	return *to || d.word("false")
}

// time reads a time in UTC, to the second or the microsecond. Months have days enough for every line but few.
func (d *lineDecoder) time(to *time.Time) bool {
	text, ok := d.plain()
	if !ok || len(text) != len("2006-01-02T15:04:05Z") && len(text) != len("2006-01-02T15:04:05.000000Z") || text[len(text)-1] != 'Z' {
		return false
	}
	var n [6]int
	const form = "0000-00-00T00:00:00"
	part := 0
	for i := range len(form) {
		switch c := text[i]; {
		case form[i] != '0' && c != form[i]:
			return false
		case form[i] != '0':
			part++
		case c-'0' > 9:
			return false
		default:
			n[part] = 10*n[part] + int(c-'0')
		}
	}
	micros := 0
	if len(text) > len(form)+1 {
		if text[len(form)] != '.' {
			return false
		}
		for _, c := range []byte(text[len(form)+1 : len(text)-1]) {
			if c-'0' > 9 {
				return false
			}
			micros = 10*micros + int(c-'0')
		}
	}
	if n[1] < 1 || n[1] > 12 || n[2] < 1 || n[2] > 28 && n[2] > daysOf(n[0], n[1]) || n[3] > 23 || n[4] > 59 || n[5] > 59 {
		return false
	}
	*to = time.Date(n[0], time.Month(n[1]), n[2], n[3], n[4], n[5], 1000*micros, time.UTC)
	return true
}

func daysOf(year, month int) int {
	return time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// list reads a list of texts, of one at least.
func (d *lineDecoder) list(to *Strings) bool {
	if d.at < len(d.text) && d.text[d.at] == '"' {
		*to = make(Strings, 1)
		return d.string(&(*to)[0])
	}
	if !d.byte('[') {
		return false
	}
	for {
		var one string
		if !d.string(&one) {
			return false
		}
		*to = append(*to, one)
		switch {
		case d.byte(','):
		case d.byte(']'):
			return true
		default:
			return false
		}
	}
}

// pairs reads an object of texts, of one at least.
func (d *lineDecoder) pairs(to *map[string]string) bool {
	if !d.byte('{') {
		return false
	}
	*to = map[string]string{}
	for {
		var name, value string
		if !d.string(&name) || !d.byte(':') || !d.string(&value) {
			return false
		}
		(*to)[name] = value
		switch {
		case d.byte(','):
		case d.byte('}'):
			return true
		default:
			return false
		}
	}
}

// field reads the value of a field. One that has a value already was there before: encoding/json decides what that
// means.
func (d *lineDecoder) field(key string, l *Logged) bool {
	if to := l.textField(key); to != nil {
		return *to == "" && d.string(to)
	}
	if to := l.flagField(key); to != nil {
		return !*to && d.bool(to)
	}
	switch key {
	case "time":
		return l.Time.IsZero() && d.time(&l.Time)
	case "basicEnds":
		return l.BasicEnds.IsZero() && d.time(&l.BasicEnds)
	case "tls":
		if l.TLS != nil {
			return false
		}
		l.TLS = new(bool)
		return d.bool(l.TLS)
	case "seq":
		n, ok := d.number(64)
		if l.Seq != 0 {
			return false
		}
		l.Seq = n
		return ok
	case "revision":
		n, ok := d.number(64)
		if l.Revision != 0 {
			return false
		}
		l.Revision = n
		return ok
	case "micros":
		n, ok := d.number(63)
		if l.Micros != 0 {
			return false
		}
		l.Micros = int64(n)
		return ok
	case "observed":
		return l.Observed == nil && d.pairs(&l.Observed)
	case "bodyVerdicts":
		return l.BodyVerdicts == nil && d.pairs(&l.BodyVerdicts)
	}
	if to := l.intField(key); to != nil {
		return *to == 0 && d.int(to)
	}
	if to := l.listField(key); to != nil {
		return *to == nil && d.list(to)
	}
	return d.other(key)
}

// other passes a field over that patgate writes and Logged does not have.
func (d *lineDecoder) other(key string) bool {
	switch key {
	case "sha256":
		return d.string(new(string))
	case "added", "changed", "removed":
		return d.int(new(int))
	case "addedNames", "changedNames", "removedNames":
		return d.list(new(Strings))
	}
	return false
}
