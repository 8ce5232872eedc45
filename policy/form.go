package policy

import (
	"bytes"
	"encoding/json"
	"strings"
)

// FormBodies says how the API behind a gate reads the parameters of form bodies. The
// zero value: unknown.
type FormBodies uint8

// What an API does with form bodies.
const (
	FormsUnknown  FormBodies = iota
	FormsMerged              // parameters join those of the query, `_method` replaces the method
	FormsSeparate            // a form body changes neither
)

// String returns the value's name in manifests; empty for FormsUnknown.
func (f FormBodies) String() string {
	return [...]string{"", "merged", "separate"}[f]
}

// Why a form body leaves a condition undecided.
const (
	whyFormQuery  = "the API may take parameters from the form body too"
	whyFormMethod = "the API may take the method from the form body"
	whyJSONMethod = "the API may take the method from `_method` in the body"
	whyAskMethod  = "the API may take the method from it"
)

// form caches what rules need to know about a request's form body.
type form struct {
	judged, is   bool
	methodJudged bool
	method       outcome // where `_method` was seen
}

// addsParameters reports whether the API may merge the parameters of a form body with
// those of the query.
func (f *form) addsParameters(e *evaluation) bool {
	if !f.judged {
		f.judged = true
		forms := e.gate().FormBodies
		f.is = forms != FormsSeparate && (e.request.hasForm() || forms == FormsMerged && e.request.mayHaveUntypedBody())
	}
	return f.is
}

// replacesMethod returns where the API may take another method from, or matches: a `_method`
// that was seen, or a form body that can't be parsed. At a gate with `formBodies: merged`,
// allow rules check this too, and a form that was not read whole counts in deny rules.
func (f *form) replacesMethod(e *evaluation, deny bool) outcome {
	forms := e.gate().FormBodies
	if forms == FormsSeparate || !deny && forms == FormsUnknown {
		return outcome{verdict: matches}
	}
	if !f.methodJudged {
		f.methodJudged = true
		f.method = e.seenMethod(forms == FormsMerged)
	}
	if deny && f.method.verdict == matches && forms == FormsMerged && f.addsParameters(e) && e.request.Body.State != BodyWhole {
		return outcome{verdict: undecided, part: PartMethod, why: whyFormMethod}
	}
	return f.method
}

// seenMethod returns where the part of the request that was read holds a `_method`, or may hold
// one. Some take it from the query of a POST (Spring's HiddenHttpMethodFilter, Symfony),
// and some that take it from forms take it from JSON (Laravel, method-override of Express).
func (e *evaluation) seenMethod(merged bool) outcome {
	switch r := e.request; {
	case formNamesMethod(r.Target.Query):
		return outcome{verdict: undecided, part: PartQuery, name: "_method", why: whyAskMethod}
	case len(r.Body.Bytes) == 0:
	case e.form.addsParameters(e):
		if r.mayReplaceMethod() {
			return outcome{verdict: undecided, part: PartMethod, why: whyFormMethod}
		}
	case merged && jsonNamesMethod(r.Body.Bytes):
		return outcome{verdict: undecided, part: PartMethod, why: whyJSONMethod}
	}
	return outcome{verdict: matches}
}

// hasForm reports whether a server may take the body for a form. It is lenient: some
// servers look at a part of the Content-Type, and some take a body without one for a form.
func (r *Request) hasForm() bool {
	value, n := r.Header.Get("content-type")
	if value == "application/json" {
		return false
	}
	media, _, _ := strings.Cut(value, ";")
	if n == 0 || fold(media, foldWhole) == "" {
		return r.mayHaveBody()
	}
	if r.Body.State == BodyAbsent && !r.Unseen && r.declaresEmpty() {
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

// declaresEmpty reports whether a header declares that there is no body.
func (r *Request) declaresEmpty() bool {
	length, n := r.Header.Get("content-length")
	return n == 1 && length == "0"
}

// mayHaveBody reports whether there is a body, read or not.
func (r *Request) mayHaveBody() bool {
	if r.Body.State != BodyAbsent {
		return true
	}
	if r.Unseen {
		return r.methodTakesBody()
	}
	_, lengths := r.Header.Get("content-length")
	_, chunked := r.Header.Get("transfer-encoding")
	return lengths > 0 && !r.declaresEmpty() || chunked > 0
}

// methodTakesBody reports whether requests with the method usually have a body, so that APIs take what
// has no Content-Type for a form.
func (r *Request) methodTakesBody() bool {
	return r.Method != "GET" && r.Method != "HEAD" && r.Method != "OPTIONS"
}

// mayHaveUntypedBody reports whether there may be a body that no header declares: over
// HTTP/2 one needs neither a Content-Length nor a Content-Type.
func (r *Request) mayHaveUntypedBody() bool {
	if _, n := r.Header.Get("content-length"); n > 0 || !r.Unframed && !r.Unseen {
		return false
	}
	value, _ := r.Header.Get("content-type")
	media, _, _ := strings.Cut(value, ";")
	return fold(media, foldWhole) == "" && r.methodTakesBody()
}

// mayReplaceMethod reports whether a form body that was read holds `_method` or can't be
// understood.
func (r *Request) mayReplaceMethod() bool {
	if _, n := r.Header.Get("content-encoding"); n > 0 || !asciiCharset(r) {
		return true
	}
	return formNamesMethod(string(r.Body.Bytes)) || partNamesMethod(r.Body.Bytes)
}

// asciiCharset reports whether the charset in a form's Content-Type is compatible with ASCII, or
// absent.
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

// formNamesMethod reports whether form text, of a body or a query, has a field that servers
// may read as `_method`.
func formNamesMethod(text string) bool {
	for text != "" {
		field, rest := text, ""
		if end := strings.IndexAny(text, "&;"); end >= 0 {
			field, rest = text[:end], text[end+1:]
		}
		text = rest
		name, _, _ := strings.Cut(field, "=")
		if strings.ContainsAny(name, "%+") {
			name = unescapeLenient([]byte(name))
		}
		if isMethodName(name) {
			return true
		}
	}
	return false
}

// jsonNamesMethod reports whether a body has a JSON member `_method`, at whatever depth.
func jsonNamesMethod(body []byte) bool {
	const name = "_method"
	if !bytes.Contains(body, []byte(name)) && !bytes.Contains(body, []byte(`\u`)) {
		return false
	}
	for at := 0; at < len(body); at++ {
		if body[at] != '"' {
			continue
		}
		start := at
		for at++; at < len(body) && body[at] != '"'; at++ {
			if body[at] == '\\' {
				at++
			}
		}
		if end := min(at+1, len(body)); isKey(body[end:]) && unquotesTo(body[start:end], name) {
			return true
		}
	}
	return false
}

// isKey reports whether what follows a string makes it the name of a member.
func isKey(rest []byte) bool {
	rest = bytes.TrimLeft(rest, " \t\r\n")
	return len(rest) > 0 && rest[0] == ':'
}

// unquotesTo reports whether a quoted JSON string decodes to a text.
func unquotesTo(quoted []byte, text string) bool {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted) == `"`+text+`"`
	}
	var got string
	return json.Unmarshal(quoted, &got) == nil && got == text
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

// namesMethod reports whether a header line may name a part `_method`: the word is
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
