package manifest

import (
	"bytes"

	"github.com/patgate/patgate/policy"
)

// Nearly every document of a large directory is an APIToken in the form in which tools write one:
// one `key: value` a line, in fixed indentation. Those are read without the YAML library, at a
// tenth of its cost. Whatever differs in one byte from what is known here (a comment, an anchor, a
// key or a value that is wrong, a byte that is not ASCII) is left to the strict decoder, so that
// this one never reports a problem. A fuzz test holds both to equal results, places included.

// maxOrdinary is how many bytes an ordinary document has at most, and maxOrdinaryLine each line.
const (
	maxOrdinary     = 8 << 10
	maxOrdinaryLine = 800
)

// ordinary decodes the chunk into doc where it is an ordinary APIToken. Where it is not, it returns
// false and leaves doc as it was.
func (s *scope) ordinary(doc *Document) bool {
	if s.tests || len(s.chunk.text) > maxOrdinary {
		return false
	}
	o := ordinary{scope: s, rest: s.chunk.text, number: s.chunk.line - 1}
	if o.next(); string(o.line) == "---" {
		o.next()
	}
	pos := o.at(0)
	if !o.is("apiVersion: "+APIVersion) || !o.is("kind: "+KindAPIToken) {
		return false
	}
	var meta Metadata
	spec := new(APIToken)
	if !o.metadata(&meta) || !o.spec(spec) || !o.ended() || !spec.ordinary(o.given) {
		return false
	}
	doc.Pos, doc.Kind, doc.Metadata, doc.APIToken = pos, KindAPIToken, meta, spec
	return true
}

// ordinary reports whether the fields, each good by itself, are good together.
func (t *APIToken) ordinary(given fieldSet) bool {
	rules := len(t.Allow)+len(t.LimitTo) > 0
	for _, p := range t.Previous {
		if !p.Until.After(p.Issued.Time) {
			return false
		}
	}
	return given.has(fieldUser) && given.has(fieldDigest) && given.has(fieldIssued) &&
		(t.Unrestricted && !rules || !t.Unrestricted && (rules || len(t.Policies) > 0)) &&
		(t.Expires.IsZero() || t.Expires.After(t.Issued.Time)) && len(t.Allow) <= policy.MaxRules
}

// ordinary reads lines. line is the current one, and absent after the last.
type ordinary struct {
	*scope
	rest   []byte
	line   []byte
	absent bool
	number int // of line, in the file
	given  fieldSet
}

func (o *ordinary) next() {
	o.number++
	if len(o.rest) == 0 {
		o.line, o.absent = nil, true
		return
	}
	end := bytes.IndexByte(o.rest, '\n')
	if end < 0 || end > maxOrdinaryLine { // also a last line that does not end
		o.line, o.rest = []byte("#"), nil
		return
	}
	o.line, o.rest = o.rest[:end], o.rest[end+1:]
}

// is reports whether the line is a text, and goes on to the next.
func (o *ordinary) is(text string) bool {
	if o.absent || string(o.line) != text {
		return false
	}
	o.next()
	return true
}

// ended reports whether nothing but empty lines is left.
func (o *ordinary) ended() bool {
	for !o.absent && len(o.line) == 0 {
		o.next()
	}
	return o.absent
}

// at returns the place of a column, from 0, of the line.
func (o *ordinary) at(column int) Pos { return Pos{Line: o.number, Column: column + 1} }

// after returns what follows a prefix of the line.
func (o *ordinary) after(prefix string) (rest []byte, ok bool) {
	if len(o.line) <= len(prefix) || string(o.line[:len(prefix)]) != prefix {
		return nil, false
	}
	return o.line[len(prefix):], true
}

// metadata reads a name, and labels and annotations after it.
func (o *ordinary) metadata(m *Metadata) bool {
	const flow = "metadata: {name: "
	if rest, ok := o.after(flow); ok {
		name, closed := bytes.CutSuffix(rest, []byte("}"))
		return closed && o.name((*Ref)(&m.Name), name, len(flow)) && o.advance()
	}
	const key = "  name: "
	if !o.is("metadata:") {
		return false
	}
	rest, ok := o.after(key)
	if !ok || !o.name((*Ref)(&m.Name), rest, len(key)) {
		return false
	}
	o.next()
	if o.isNext("  labels:") && !o.texts(&m.Labels) {
		return false
	}
	return !o.isNext("  annotations:") || o.texts(&m.Annotations)
}

func (o *ordinary) isNext(text string) bool { return !o.absent && string(o.line) == text }

// advance goes on to the next line.
func (o *ordinary) advance() bool {
	o.next()
	return true
}

// texts reads keys and texts below a key of metadata.
func (o *ordinary) texts(texts *map[string]string) bool {
	const indent = "    "
	*texts = map[string]string{}
	for o.next(); ; o.next() {
		rest, ok := o.after(indent)
		if !ok {
			return len(*texts) > 0
		}
		key, value, found := bytes.Cut(rest, []byte(": "))
		text, good := scalar(value, isProse)
		if !found || !good || !isWord(key, isLabel) {
			return false
		}
		if _, twice := (*texts)[string(key)]; twice {
			return false
		}
		(*texts)[string(key)] = string(text)
	}
}

// spec reads the fields of a token, in any order.
func (o *ordinary) spec(t *APIToken) bool {
	const indent = "  "
	if !o.is("spec:") || o.absent {
		return false
	}
	t.At = o.at(len(indent))
	for {
		rest, ok := o.after(indent)
		if !ok || rest[0] == ' ' {
			return o.given != 0
		}
		key, value, found := bytes.Cut(rest, []byte(":"))
		f := fieldOf(key)
		if !found || f == fieldNone || o.given.has(f) {
			return false
		}
		o.given |= 1 << f
		column := len(indent) + len(key) + len(": ")
		switch {
		case len(value) == 0:
			ok = o.block(t, f)
		case value[0] == ' ':
			ok = o.field(t, f, value[1:], column)
		default:
			ok = false
		}
		if !ok {
			return false
		}
	}
}

// field reads the value of a field that is on its line, and the block that may follow.
func (o *ordinary) field(t *APIToken, f field, value []byte, column int) bool {
	ok := false
	switch f {
	case fieldDisplayName:
		ok = o.text(&t.DisplayName, value, isProse)
	case fieldDescription:
		ok = o.text(&t.Description, value, isProse)
	case fieldUser:
		ok = o.user(&t.User, value)
	case fieldDigest:
		ok = o.digest(&t.Digest, value, column)
	case fieldIssued:
		ok = o.time(&t.Issued, value)
	case fieldExpires:
		ok = o.time(&t.Expires, value)
	case fieldRevoked:
		ok = o.time(&t.Revoked, value)
		t.Ends.Revoked = ok
	case fieldSuspended:
		ok = o.boolean(&t.Suspended, value)
		t.Ends.Suspended = t.Suspended
	case fieldUnrestricted:
		ok = o.boolean(&t.Unrestricted, value)
	case fieldLimitTo:
		return string(value) == "|" && o.lines(&t.LimitTo)
	default:
		ok = o.flow(value, column, func(item []byte, at Pos) bool { return o.item(t, f, item, at) })
	}
	return ok && o.advance()
}

// field is a field of a token that is read here, and fieldSet several.
type (
	field    uint8
	fieldSet uint32
)

const (
	fieldNone field = iota
	fieldDisplayName
	fieldDescription
	fieldUser
	fieldLogins
	fieldDigest
	fieldIssued
	fieldExpires
	fieldSchemes
	fieldGates
	fieldPolicies
	fieldAllow
	fieldLimitTo
	fieldUnrestricted
	fieldRevoked
	fieldSuspended
	fieldPrevious
)

func (s fieldSet) has(f field) bool { return s&(1<<f) != 0 }

// fieldOf returns the field of a key. Others, such as canary, clients and actAs, are rare.
func fieldOf(key []byte) field {
	switch string(key) {
	case "displayName":
		return fieldDisplayName
	case "description":
		return fieldDescription
	case "user":
		return fieldUser
	case "logins":
		return fieldLogins
	case "digest":
		return fieldDigest
	case "issued":
		return fieldIssued
	case "expires":
		return fieldExpires
	case "schemes":
		return fieldSchemes
	case "gates":
		return fieldGates
	case "policies":
		return fieldPolicies
	case "allow":
		return fieldAllow
	case "limitTo":
		return fieldLimitTo
	case "unrestricted":
		return fieldUnrestricted
	case "revoked":
		return fieldRevoked
	case "suspended":
		return fieldSuspended
	case "previous":
		return fieldPrevious
	}
	return fieldNone
}
