package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/token"
)

// object is a JSON object of a request, read strictly: what is not taken out of it is unknown.
// Its first problem stays.
type object struct {
	fields  map[string]any
	names   []string // that were taken, known ones
	problem *Problem
	nulls   bool // a null takes a field out, as in a merge patch
}

// readBody reads the JSON object of a request. An empty body is an empty object where that is allowed.
func readBody(r *http.Request, contentType string, mayBeEmpty bool) (*object, error) {
	text, err := readAll(r)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(text)) == 0 && mayBeEmpty {
		return &object{fields: map[string]any{}}, nil
	}
	given := r.Header.Get("Content-Type")
	media, _, err := mime.ParseMediaType(given)
	if err != nil || media != "application/json" && media != contentType {
		return nil, problem(http.StatusUnsupportedMediaType, "unsupported_media_type", "expected a body of %s", contentType)
	}
	if !utf8.Valid(text) {
		return nil, problem(http.StatusBadRequest, "bad_json", "the body is no JSON that can be read: it is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	value, err := readValue(d, 0)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			err = nil
		} else {
			err = errors.New("more than one value")
		}
	}
	if err != nil {
		return nil, problem(http.StatusBadRequest, "bad_json", "the body is no JSON that can be read: %s", jsonError(err))
	}
	if plainText, err := json.Marshal(value); err != nil || token.Mask(string(plainText)) != string(plainText) {
		return nil, problem(http.StatusBadRequest, "holds_a_value", "the body holds the value of a token, which would be stored and shown: take that token as leaked, and revoke it")
	}
	fields, ok := value.(map[string]any)
	if !ok {
		return nil, problem(http.StatusBadRequest, "bad_json", "the body is %s, expected an object", kindOf(value))
	}
	return &object{fields: fields, nulls: contentType == mergePatch}, nil
}

// readAll reads the body of a request. A body that does not arrive is the client's error.
func readAll(r *http.Request) ([]byte, error) {
	text, err := io.ReadAll(r.Body)
	return text, BodyError(err)
}

// BodyError returns the problem for an error of reading a body; nil for no error. An *http.MaxBytesError stays as it is.
func BodyError(err error) error {
	var large *http.MaxBytesError
	switch {
	case err == nil, errors.As(err, &large):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return problem(http.StatusRequestTimeout, "request_timeout", "the body did not arrive within %d seconds, expected all of it", int(within.Seconds()))
	}
	return problem(http.StatusBadRequest, "bad_body", "the body can't be read, expected as much as its headers say")
}

// jsonError says what is wrong with JSON, and does not repeat it: it may hold a value.
func jsonError(err error) string {
	var syntax *json.SyntaxError
	var twice *twiceError
	switch {
	case errors.As(err, &syntax):
		return fmt.Sprintf("a mistake at byte %d", syntax.Offset)
	case errors.As(err, &twice):
		return twice.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it ends too early"
	}
	return err.Error()
}

type twiceError struct{}

func (*twiceError) Error() string { return "an object has a key twice, expected once" }

// maxDepth limits how deep values may be nested.
const maxDepth = 16

// readValue reads a value, and refuses objects that have a key twice.
func readValue(d *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested more than %d deep", maxDepth)
	}
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		return readObject(d, depth)
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := readValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := d.Token()
		return list, err
	}
	return t, nil
}

func readObject(d *json.Decoder, depth int) (any, error) {
	fields := map[string]any{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, _ := key.(string)
		if _, twice := fields[name]; twice {
			return nil, &twiceError{}
		}
		if fields[name], err = readValue(d, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return fields, err
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "true or false"
	case json.Number:
		return "a number"
	case string:
		return "a text"
	case []any:
		return "a list"
	}
	return "an object"
}

// take takes a field out. It is not there where it is null and nulls take fields out.
func (o *object) take(name string) (v any, there bool) {
	o.names = append(o.names, name)
	v, there = o.fields[name]
	return v, there
}

func (o *object) wrong(name string, v any, expected string) {
	if o.problem == nil {
		o.problem = fieldProblem(name, "%s is %s, expected %s", name, kindOf(v), expected)
	}
}

func (o *object) fail(name, format string, args ...any) {
	if o.problem == nil {
		o.problem = fieldProblem(name, format, args...)
	}
}

func (o *object) text(name string) (text string, there bool) {
	v, there := o.take(name)
	if !there {
		return "", false
	}
	text, ok := v.(string)
	if !ok {
		o.wrong(name, v, "a text")
	}
	return text, ok
}

func (o *object) flag(name string) (set, there bool) {
	v, there := o.take(name)
	if !there {
		return false, false
	}
	set, ok := v.(bool)
	if !ok {
		o.wrong(name, v, "true or false")
	}
	return set, ok
}

// number reads a whole number; 58.0 is one.
func (o *object) number(name string, least, most int64) (n int64, there bool) {
	v, there := o.take(name)
	if !there {
		return 0, false
	}
	num, ok := v.(json.Number)
	if !ok {
		o.wrong(name, v, "a whole number")
		return 0, false
	}
	f, err := num.Float64()
	if err != nil || f != math.Trunc(f) || f < float64(least) || f > float64(most) {
		o.fail(name, "%s is out of range, expected a whole number from %d to %d", name, least, most)
		return 0, false
	}
	return int64(f), true
}

// texts reads a list of texts.
func (o *object) texts(name string) (list []string, there bool) {
	v, there := o.take(name)
	if !there {
		return nil, false
	}
	values, ok := v.([]any)
	if !ok {
		o.wrong(name, v, "a list of texts")
		return nil, false
	}
	for _, v := range values {
		text, ok := v.(string)
		if !ok {
			o.fail(name, "%s holds %s, expected texts alone", name, kindOf(v))
			return nil, false
		}
		list = append(list, text)
	}
	return list, true
}

// object reads an object within.
func (o *object) object(name string) (*object, bool) {
	v, there := o.take(name)
	if !there {
		return nil, false
	}
	fields, ok := v.(map[string]any)
	if !ok {
		o.wrong(name, v, "an object")
		return nil, false
	}
	return &object{fields: fields}, true
}

// objects reads a list of objects, as manifests hold them.
func (o *object) objects(name string) (list []any, there bool) {
	v, there := o.take(name)
	if !there {
		return nil, false
	}
	values, ok := v.([]any)
	if !ok {
		o.wrong(name, v, "a list of rules")
		return nil, false
	}
	for _, v := range values {
		if _, ok := v.(map[string]any); !ok {
			o.fail(name, "%s holds %s, expected rules alone", name, kindOf(v))
			return nil, false
		}
		list = append(list, plain(v))
	}
	return list, true
}

// plain writes numbers as manifests hold them.
func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = plain(v[i])
		}
		return list
	case map[string]any:
		fields := make(map[string]any, len(v))
		for name, value := range v {
			fields[name] = plain(value)
		}
		return fields
	}
	return v
}

// isNull takes a field out that a merge patch removes.
func (o *object) isNull(name string) bool {
	v, there := o.fields[name]
	if there && v == nil && o.nulls {
		o.names = append(o.names, name)
		return true
	}
	return false
}

// moment reads a time of RFC 3339.
func (o *object) moment(name string) (t time.Time, there bool) {
	text, there := o.text(name)
	if !there {
		return t, false
	}
	t, ok := manifest.ParseTime(text)
	if !ok {
		o.fail(name, "%s is no time, expected one such as 2026-07-30T00:00:00Z (RFC 3339)", name)
	}
	return t, ok
}

// lifetime reads a length of life.
func (o *object) lifetime(name string) (d time.Duration, there bool) {
	text, there := o.text(name)
	if !there {
		return 0, false
	}
	d, ok := manifest.ParseLifetime(text)
	if !ok || d <= 0 {
		o.fail(name, "%s is no lifetime, expected one such as 90d, 12w or 36h", name)
		return 0, false
	}
	return d, true
}

// overlap reads how long an older value stays valid. 0, with any unit, is no overlap.
func (o *object) overlap(name string) (d time.Duration, there bool) {
	text, there := o.text(name)
	if !there || len(text) <= 2 && strings.TrimRight(text, "wdhms") == "0" {
		return 0, there
	}
	return o.lifetime(name)
}

// done returns what is wrong with the object: also an unknown field.
func (o *object) done() error {
	if o.problem != nil {
		return o.problem
	}
	var unknown []string
	for name := range o.fields {
		if !slices.Contains(o.names, name) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		slices.Sort(o.names)
		name, known := unknown[0], "none at all"
		if len(name) > 64 {
			name = strings.ToValidUTF8(name[:64], "") + "…"
		}
		if len(o.names) > 0 {
			known = "some of " + strings.Join(slices.Compact(o.names), ", ")
		}
		return fieldProblem(name, "there is no field %q, expected %s", name, known)
	}
	return nil
}
