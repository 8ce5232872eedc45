package migrate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/patgate/patgate/diag"
)

// field is a value of a JSON object or array, and where it begins.
type field struct {
	name   string // empty in an array
	value  json.RawMessage
	offset int
}

// readObject reads a JSON object whose names differ, also in case: of two, readers take
// one or the other, and one of them may hold the limits.
func readObject(data []byte) (fields []field, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("no JSON object")
	}
	seen := map[string]bool{}
	for d.More() {
		name, err := d.Token()
		text, ok := name.(string)
		if err != nil || !ok {
			return nil, errors.New("broken JSON")
		}
		if folded := strings.ToLower(text); seen[folded] {
			return nil, fmt.Errorf("the name %q appears twice", folded)
		} else {
			seen[folded] = true
		}
		f, err := readValue(d, 0)
		if err != nil {
			return nil, err
		}
		f.name = text
		fields = append(fields, f)
	}
	if _, err := d.Token(); err != nil {
		return nil, errors.New("broken JSON")
	}
	return fields, nil
}

// readArray reads the values of a JSON array that a file holds.
func readArray(of field) (list []field, err error) {
	d := json.NewDecoder(bytes.NewReader(of.value))
	if open, err := d.Token(); err != nil || open != json.Delim('[') {
		return nil, errors.New("tokens is no array")
	}
	for d.More() {
		f, err := readValue(d, of.offset)
		if err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	return list, nil
}

func readValue(d *json.Decoder, base int) (f field, err error) {
	if err := d.Decode(&f.value); err != nil {
		return f, errors.New("broken JSON")
	}
	f.offset = base + int(d.InputOffset()) - len(f.value)
	return f, nil
}

// position is the line and column of an offset; columns count characters.
func position(data []byte, offset int) diag.Pos {
	before := data[:offset]
	start := bytes.LastIndexByte(before, '\n') + 1
	return diag.Pos{Line: bytes.Count(before, []byte("\n")) + 1, Column: utf8.RuneCount(before[start:]) + 1}
}

// Milliseconds since 1970 below earliest are seconds by mistake; those above latest have no
// four-digit year.
const (
	earliest = 100_000_000_000
	latest   = 253_402_300_799_999
)

var errTime = errors.New("no time, expected milliseconds since 1970 such as 1830476718964, or a date such as 2028-01-03 or 2028-01-03T01:45:18Z")

// dateForms are the forms of a time as text. Each has a zone, but the date, which is midnight in UTC.
var dateForms = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700", "2006-01-02T15:04Z07:00", "2006-01-02 15:04:05Z07:00", time.DateOnly}

// readTime reads milliseconds since 1970, as a number or text, or a date. 0 and the empty text are
// the zero time.
func readTime(value json.RawMessage) (time.Time, error) {
	var number int64
	var text string
	if json.Unmarshal(value, &text) == nil {
		if text == "" {
			return time.Time{}, nil
		}
		for _, form := range dateForms {
			if t, err := time.Parse(form, text); err == nil {
				return checkTime(t.UTC())
			}
		}
		value = json.RawMessage(text)
	}
	if json.Unmarshal(value, &number) != nil || number < 0 {
		return time.Time{}, errTime
	}
	if number == 0 {
		return time.Time{}, nil
	}
	if number < earliest {
		return time.Time{}, errors.New("looks like seconds since 1970, expected milliseconds: three digits more")
	}
	if number > latest {
		return time.Time{}, errors.New("is after the year 9999, expected an earlier time or none")
	}
	return time.UnixMilli(number).UTC(), nil
}

// checkTime refuses times that can't be written as RFC 3339, or that are surely a mistake.
func checkTime(t time.Time) (time.Time, error) {
	if ms := t.UnixMilli(); ms < earliest || ms > latest {
		return time.Time{}, errors.New("is before 1973 or after 9999, expected another time or none")
	}
	return t, nil
}
