package policy

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// The headers in which clients repeat what a message is about.
const (
	headerMCPVersion = "mcp-protocol-version"
	headerMCPMethod  = "mcp-method"
	headerMCPName    = "mcp-name"
)

// firstWithHeaders is the version of MCP from which on requests have Mcp-Method and Mcp-Name.
const firstWithHeaders = "2026-07-28"

// mcpHeaders are the headers of a request to an MCP server.
type mcpHeaders struct {
	modern             bool // the version is one with Mcp-Method and Mcp-Name
	hasMethod, hasName bool
	method, name       string
	rawName            string
}

// readMCPHeaders reads them. odd says that some header may be a look-alike.
func readMCPHeaders(r *Request, odd bool) (h mcpHeaders, problem string) {
	version, versions := r.Header.Get(headerMCPVersion)
	method, methods := r.Header.Get(headerMCPMethod)
	name, names := r.Header.Get(headerMCPName)
	if versions == 0 && methods == 0 && names == 0 && !odd {
		return h, ""
	}
	h.modern, h.hasMethod, h.hasName = version >= firstWithHeaders, methods > 0, names > 0 // mutant: mcp-version-unread
	h.method, h.rawName = method, name
	nameOK := true
	if h.hasName {
		h.name, nameOK = decodeMCPName(name)
	}
	switch {
	case versions > 1, methods > 1, names > 1, versions == 1 && !isDate(version), h.modern && !h.hasMethod,
		h.hasMethod && !isMCPMethod(method), !nameOK, odd && likeMCPHeader(r.Header):
		return h, whyMCPHeaders
	}
	return h, ""
}

// isDate reports whether a text has the form of a version: 2026-07-28.
func isDate(text string) bool {
	if len(text) != len(firstWithHeaders) {
		return false
	}
	for i := range len(text) {
		if c := text[i]; (i == 4 || i == 7) != (c == '-') || c != '-' && (c < '0' || c > '9') {
			return false
		}
	}
	month, day := text[5:7], text[8:]
	return "01" <= month && month <= "12" && "01" <= day && day <= "31"
}

// isMCPMethod reports whether a text has the bytes of methods alone.
func isMCPMethod(text string) bool {
	for i := range len(text) {
		c := text[i]
		if !letterAt(text, i) && strings.IndexByte("/_-.$", c) < 0 {
			return false
		}
	}
	return text != ""
}

// decodeMCPName decodes `=?base64?…?=`, once. Other names are plain ASCII without blanks at
// their ends.
func decodeMCPName(value string) (name string, ok bool) {
	const begin, end = "=?base64?", "?="
	if value == "" || strings.Trim(value, " ") != value {
		return "", false
	}
	for i := range len(value) {
		if value[i] < 0x20 || value[i] > 0x7e {
			return "", false
		}
	}
	if len(value) < len(begin) || !equalASCII(value[:len(begin)], begin) {
		return value, true
	}
	text, isBegun := strings.CutPrefix(value, begin)
	text, isEnded := strings.CutSuffix(text, end)
	decoded, err := base64.StdEncoding.Strict().DecodeString(text)
	return string(decoded), isBegun && isEnded && err == nil && len(decoded) > 0 && utf8.Valid(decoded)
}

// likeMCPHeader reports whether a header's name looks like one of MCP without being it.
func likeMCPHeader(h Header) bool {
	for i := range h.Len() {
		name, _ := h.At(i)
		if isPlainName(name) {
			continue
		}
		switch lower := lowerASCII(name); FoldHeader(name) {
		case headerMCPVersion, headerMCPMethod, headerMCPName:
			if !isPlainName(lower) {
				return true
			}
		}
	}
	return false
}

// message is the message by its headers alone. Where headers may have come joined, a comma
// may divide two of them, and `!` may replace another byte.
func (h *mcpHeaders) message(joined bool) mcpMessage {
	m := mcpMessage{mcpMethod: methodCalled(h.method)}
	if m.list != mcpMethods {
		m.name = h.name
	}
	switch {
	case m.looksLikeOther():
		m.problem = whyLikeMethod
	case m.list != mcpMethods && !h.hasName, joined && strings.ContainsAny(h.rawName, ",!"):
		m.problem = whyMCPHeaders
	default:
		m.checkName()
	}
	return m
}

// disagreement returns where the headers say something else than the body.
func (h *mcpHeaders) disagreement(m *mcpMessage, d *document, params int) string {
	switch {
	case h.modern && m.header && !h.hasName:
		return whyMCPHeaders
	case h.hasMethod && h.method != m.method:
		return whyMCPDisagree
	case !h.hasName || m.list != mcpMethods && h.name == m.name:
		return ""
	case m.list == mcpMethods && params > 0 && d.namesIn(params, h.name):
		return ""
	}
	return whyMCPDisagree
}

// namesIn reports whether the params of a method of another kind name something so.
func (d *document) namesIn(params int, name string) bool {
	for _, key := range []string{"name", "uri", "taskId"} {
		if at := d.child(params, key); at > 0 && d.values[at].kind == jsonString && d.equals(at, name) {
			return true
		}
	}
	return false
}

// readURI reports whether servers agree on what a URI means: it has a scheme in lower case,
// and neither dot segments nor escapes that a server may decode into them or into other
// letters. Some servers ignore the case of a host: folded is how they read it, where that differs.
// Libraries lower the case of hosts for the schemes of the web, so there a host has no capitals.
func readURI(uri string) (folded string, plain bool) {
	scheme, rest, ok := strings.Cut(uri, ":")
	if !ok || !isURIScheme(scheme) || scheme == "file" && !strings.HasPrefix(rest, "///") || !plainRest(rest) {
		return "", false
	}
	afterScheme, isHierarchical := strings.CutPrefix(rest, "//")
	if !isHierarchical {
		return "", true
	}
	end := strings.IndexAny(afterScheme, "/?#")
	if end < 0 {
		end = len(afterScheme)
	}
	begin := strings.LastIndexByte(afterScheme[:end], '@') + 1
	host := afterScheme[begin:end]
	lower := strings.ToLower(host)
	switch {
	case slices.Contains(webSchemes, scheme):
		return "", lower == host && isPlainHost(host)
	case lower == host:
		return "", true
	}
	return scheme + "://" + afterScheme[:begin] + lower + afterScheme[end:], true
}

// isPlainHost reports whether a host has neither escapes nor letters beyond ASCII.
func isPlainHost(host string) bool {
	for i := range len(host) {
		if host[i] == '%' || host[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// webSchemes are those whose hosts every library of URLs writes in lower case.
var webSchemes = []string{"http", "https", "ws", "wss", "ftp"}

// plainRest reports whether what follows a URI's scheme has one reading, whatever its host.
func plainRest(rest string) bool {
	segment := 0
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; {
		case c <= ' ' || c == 0x7f || c == '\\':
			return false
		case c == '%' && !plainEscape(rest[i:]):
			return false
		case c == '/' || c == '?' || c == '#' || c == ';' || c == '&' || c == '=':
			if isDots(rest[segment:i]) {
				return false
			}
			segment = i + 1
		}
	}
	decoded, err := url.PathUnescape(rest)
	return !isDots(rest[segment:]) && err == nil && utf8.ValidString(decoded)
}

func isURIScheme(text string) bool {
	for i := range len(text) {
		c := text[i]
		if !('a' <= c && c <= 'z') && (i == 0 || !('0' <= c && c <= '9') && strings.IndexByte("+-.", c) < 0) {
			return false
		}
	}
	return text != ""
}

// plainEscape reports whether an escape is of a byte that needs one and has no meaning
// in a path: no letter, digit, control byte, dot, slash, backslash or percent sign.
func plainEscape(text string) bool {
	if len(text) < 3 {
		return false
	}
	hi, ok := unhex(text[1])
	lo, ok2 := unhex(text[2])
	c := hi<<4 | lo
	_, letter := foldByte(c)
	return ok && ok2 && c >= ' ' && c != 0x7f && !letter && strings.IndexByte(`-._~/\%;?#`, c) < 0
}
