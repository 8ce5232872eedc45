package policy

import (
	"bytes"
	"strings"
)

// FormBodies says what the API behind a gate does with the parameters of form bodies. The
// zero value: nobody said.
type FormBodies uint8

// What an API does with form bodies.
const (
	FormsUnknown  FormBodies = iota
	FormsMerged              // parameters join those of the query, `_method` replaces the method
	FormsSeparate            // a form body changes neither
)

// String returns the word of a manifest; empty where nobody said.
func (f FormBodies) String() string {
	return [...]string{"", "merged", "separate"}[f]
}

// Why a form body leaves a condition undecided.
const (
	whyFormQuery  = "the API may take parameters from the form body too"
	whyFormMethod = "the API may take the method from the form body"
)

// form is what rules ask of a request's form body, each worked out once.
type form struct {
	judged, is             bool
	methodJudged, replaces bool
}

// addsParameters reports whether the API may merge the parameters of a form body with
// those of the query.
func (f *form) addsParameters(e *evaluation) bool {
	if !f.judged {
		f.judged = true
		f.is = e.gate().FormBodies != FormsSeparate && e.request.hasForm()
	}
	return f.is
}

// replacesMethod reports whether the API may take the method from a form body: one that
// was read and holds `_method`, or can't be understood. One that was not read counts only
// where the gate says that its API does so.
func (f *form) replacesMethod(e *evaluation) bool {
	if !f.addsParameters(e) {
		return false
	}
	if !f.methodJudged {
		f.methodJudged = true
		f.replaces = e.request.mayReplaceMethod(e.gate().FormBodies == FormsMerged)
	}
	return f.replaces
}

// hasForm reports whether a server may take the body for a form. It is lenient: some
// servers look at a part of the Content-Type, and some take a body without one for a form.
func (r *Request) hasForm() bool {
	value, n := r.Header.Get("content-type")
	media, _, _ := strings.Cut(value, ";")
	if n == 0 || fold(media, foldWhole) == "" {
		return r.mayHaveBody()
	}
	if r.Body.State == BodyAbsent && r.saysEmpty() {
		return false
	}
	return IsForm(value)
}

// IsForm reports whether a server may take bodies of this Content-Type for forms.
func IsForm(contentType string) bool {
	name := fold(contentType, foldWhole)
	for _, word := range []string{"urlencoded", "wwwform", "multipart", "formdata"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// saysEmpty reports whether the request says that it has no body.
func (r *Request) saysEmpty() bool {
	length, n := r.Header.Get("content-length")
	return n == 1 && length == "0"
}

// mayHaveBody reports whether there is a body, read or not.
func (r *Request) mayHaveBody() bool {
	if r.Body.State != BodyAbsent {
		return true
	}
	_, lengths := r.Header.Get("content-length")
	_, chunked := r.Header.Get("transfer-encoding")
	return lengths > 0 && !r.saysEmpty() || chunked > 0
}

// mayReplaceMethod reports whether a form body holds `_method` or can't be understood.
// unread is what to say of one of which there is no text, or not all of it.
func (r *Request) mayReplaceMethod(unread bool) bool {
	if len(r.Body.Bytes) == 0 {
		return unread
	}
	if _, n := r.Header.Get("content-encoding"); n > 0 || !asciiCharset(r) {
		return true
	}
	return r.Body.State != BodyWhole && unread || formNamesMethod(r.Body.Bytes) || partNamesMethod(r.Body.Bytes)
}

// asciiCharset reports whether the letters of a form are those of ASCII, as far as its
// Content-Type says.
func asciiCharset(r *Request) bool {
	value, _ := r.Header.Get("content-type")
	value = strings.ToLower(value)
	at := strings.Index(value, "charset")
	if at < 0 {
		return true
	}
	name := fold(value[at+len("charset"):], foldWhole)
	for _, known := range []string{"utf8", "usascii", "ascii", "iso8859", "windows125"} {
		if strings.HasPrefix(name, known) {
			return true
		}
	}
	return false
}

// formNamesMethod reports whether a urlencoded body has a field that servers may read as
// `_method`.
func formNamesMethod(body []byte) bool {
	for len(body) > 0 {
		field, rest := body, []byte(nil)
		if end := bytes.IndexAny(body, "&;"); end >= 0 {
			field, rest = body[:end], body[end+1:]
		}
		body = rest
		name, _, _ := bytes.Cut(field, []byte("="))
		if isMethodName(unescapeLenient(name)) {
			return true
		}
	}
	return false
}

// isMethodName reports whether a name may be read as `_method`: by fold 2 of query names,
// with something before its first letter, as `method` alone means nothing.
func isMethodName(name string) bool {
	if name == "" {
		return false
	}
	_, letter := foldByte(name[0])
	return !letter && (foldsTo(name, foldCut, "method") || foldsTo(name, foldWhole, "method"))
}

// unescapeLenient decodes form text as a server does that keeps what is malformed.
func unescapeLenient(text []byte) string {
	b := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '+' {
			c = ' '
		}
		if c == '%' && i+2 < len(text) {
			if v, ok := unhexAt(string(text[i:i+3]), 0); ok {
				c = v
				i += 2
			}
		}
		b = append(b, c)
	}
	return string(b)
}

// partNamesMethod reports whether a multipart body has a part that servers may read as
// `_method`. It looks at every line that may be a part's Content-Disposition, and at the
// lines that continue it.
func partNamesMethod(body []byte) bool {
	within := false
	for len(body) > 0 {
		line, rest := body, []byte(nil)
		if end := bytes.IndexAny(body, "\r\n"); end >= 0 {
			line, rest = body[:end], body[end+1:]
		}
		body = rest
		switch {
		case len(line) == 0: // between CR and LF, or before the part's content
		case line[0] != ' ' && line[0] != '\t':
			within = startsDisposition(line)
		}
		if within && namesMethod(line) {
			return true
		}
	}
	return false
}

const disposition = "content-disposition"

func startsDisposition(line []byte) bool {
	return len(line) > len(disposition) && equalASCII(string(line[:len(disposition)]), disposition)
}

// namesMethod reports whether a header line may name a part `_method`: the word stands
// after a sign that is neither a quote nor `=`, or the line holds text in another encoding.
func namesMethod(line []byte) bool {
	text := strings.ReplaceAll(strings.ToLower(unescapeLenient(line)), `\`, "")
	if strings.Contains(text, "=?") { // an encoded word (RFC 2047), which some servers decode
		return true
	}
	const word = "method"
	for at := 0; ; {
		next := strings.Index(text[at:], word)
		if next < 0 {
			return false
		}
		at += next
		before := strings.TrimRightFunc(text[:at], isNameSign)
		after := text[at+len(word):]
		if len(before) < at && !letterAt(before, len(before)-1) && !letterAt(after, 0) {
			return true
		}
		at += len(word)
	}
}

// isNameSign reports whether a character is a sign within a name.
func isNameSign(r rune) bool {
	letter := r < 0x80 && letterAt(string(r), 0)
	return !letter && r != '"' && r != '\'' && r != '='
}

func letterAt(text string, i int) bool {
	if i < 0 || i >= len(text) {
		return false
	}
	_, letter := foldByte(text[i])
	return letter
}
