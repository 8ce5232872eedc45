package manifest

import (
	"bytes"
	"strings"

	"github.com/patgate/patgate/policy"
)

// flow reads a list in brackets.
func (o *ordinary) flow(value []byte, column int, item func(item []byte, at Pos) bool) bool {
	inner, ok := bytes.CutPrefix(value, []byte("["))
	if !ok {
		return false
	}
	if inner, ok = bytes.CutSuffix(inner, []byte("]")); !ok {
		return false
	}
	for column++; ; {
		one, rest, more := bytes.Cut(inner, []byte(", "))
		if !isWord(one, isFlow) || !item(one, o.at(column)) {
			return false
		}
		if !more {
			return true
		}
		column, inner = column+len(one)+len(", "), rest
	}
}

// item reads one entry of a list of a token.
func (o *ordinary) item(t *APIToken, f field, item []byte, at Pos) bool {
	switch f {
	case fieldPolicies, fieldGates:
		list := &t.Policies
		if f == fieldGates {
			list = &t.Gates
		}
		if !isKubernetesName(string(item)) || !isWord(item, isFlow) {
			return false
		}
		*list = append(*list, Ref{string(item), at})
		return true
	case fieldLogins:
		var user User
		ok := o.user(&user, item)
		t.Logins = append(t.Logins, user)
		return ok
	case fieldSchemes:
		switch string(item) {
		case "basic":
			t.Schemes = append(t.Schemes, Scheme{policy.Basic, at})
			return true
		case "bearer":
			t.Schemes = append(t.Schemes, Scheme{policy.Bearer, at})
			return true
		}
	}
	return false
}

// block reads the entries of a list below its key.
func (o *ordinary) block(t *APIToken, f field) bool {
	indent := "  "
	if o.next(); bytes.HasPrefix(o.line, []byte("    - ")) {
		indent = "    "
	}
	for first := true; ; first = false {
		rest, ok := o.after(indent + "- ")
		if !ok {
			return !first
		}
		column := len(indent) + len("- ")
		switch f {
		case fieldAllow:
			ok = o.rule(t, rest, column)
		case fieldPrevious:
			ok = o.previous(t, rest, column)
		default:
			ok = isWord(rest, isBlockText) && o.item(t, f, rest, o.at(column)) && o.advance()
		}
		if !ok {
			return false
		}
	}
}

// entry reads the keys of a map that is an entry of a list: the first one is rest, at a column,
// and the others are below it.
func (o *ordinary) entry(rest []byte, column int, do func(key string, value []byte, at Pos) bool) bool {
	indent := strings.Repeat(" ", column)
	for {
		key, value, found := bytes.Cut(rest, []byte(": "))
		if !found || !do(string(key), value, o.at(column+len(key)+len(": "))) {
			return false
		}
		o.next()
		var more bool
		if rest, more = o.after(indent); !more || rest[0] == ' ' {
			return true
		}
	}
}

// rule reads one rule of a token: methods and a path.
func (o *ordinary) rule(t *APIToken, rest []byte, column int) bool {
	r := Rule{At: o.at(column)}
	ok := o.entry(rest, column, func(key string, value []byte, at Pos) bool {
		switch {
		case key == "methods" && r.Methods == nil:
			return o.flow(value, at.Column-1, func(item []byte, _ Pos) bool {
				r.Methods = append(r.Methods, Method(strings.ToUpper(string(item))))
				return isHTTPToken(string(item))
			})
		case key == "path" && r.Path.Pattern == nil:
			text, ok := scalar(value, isPattern)
			if !ok {
				return false
			}
			p, err := o.decoder.pattern(string(text))
			r.Path = Pattern{p, at}
			return err == nil
		}
		return false
	})
	t.Allow = append(t.Allow, r)
	return ok
}

// previous reads one value that a rotation replaced.
func (o *ordinary) previous(t *APIToken, rest []byte, column int) bool {
	var p Previous
	ok := o.entry(rest, column, func(key string, value []byte, at Pos) bool {
		switch {
		case key == "digest" && p.Digest.At.Line == 0:
			return o.digest(&p.Digest, value, at.Column-1)
		case key == "issued" && p.Issued.IsZero():
			return o.time(&p.Issued, value)
		case key == "until" && p.Until.IsZero():
			return o.time(&p.Until, value)
		}
		return false
	})
	t.Previous = append(t.Previous, p)
	return ok && p.Digest.At.Line > 0 && !p.Issued.IsZero() && !p.Until.IsZero()
}

// lines reads rules in the one-line form, in a literal block.
func (o *ordinary) lines(list *Lines) bool {
	const indent = "    "
	for o.next(); ; o.next() {
		line, ok := o.after(indent)
		if !ok || line[0] == ' ' {
			return len(*list) > 0 && len(*list) <= policy.MaxRules && !bytes.HasPrefix(o.line, []byte("   "))
		}
		text := string(line)
		if strings.TrimSpace(text) != text || !isText(line, isProse) || commentIn(text) >= 0 {
			return false
		}
		rule, err := o.decoder.ParseLine(text)
		if err != nil {
			return false
		}
		rule.At = o.at(len(indent))
		*list = append(*list, rule)
	}
}
