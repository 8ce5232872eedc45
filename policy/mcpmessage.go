package policy

import "strings"

// maxCallID is the longest id, in bytes of JSON, that an answer repeats.
const maxCallID = 256

// mcpMessage holds the parts of a JSON-RPC message to an MCP server that rules read.
type mcpMessage struct {
	read    bool
	problem string // why it can't be decided; empty: it can
	mcpMethod
	name        string // of the tool or prompt, or the URI of the resource
	nameProblem string // why the name can't be matched; empty: it can
	folded      string // the URI as servers may read it that ignore the case of hosts; empty: as it is
	id          string // as JSON; empty: none
}

// readMessage reads the message from the body, with which headers must agree. Headers alone
// count only where the gate says that the server refuses those that disagree.
func (e *evaluation) readMessage() mcpMessage {
	h, problem := readMCPHeaders(e.request, e.oddHeaders)
	if problem != "" {
		return mcpMessage{problem: problem}
	}
	if h.modern && e.gate().MCPValidated && e.request.Body.State != BodyWhole { // mutant: mcp-headers-alone
		return h.message(e.request.Joined)
	}
	if problem := e.body.open(e.request, defaultTypes); problem != "" {
		return mcpMessage{problem: problem}
	}
	m, params := e.body.document.message()
	if m.problem == "" {
		m.problem = h.disagreement(&m, &e.body.document, params)
	}
	m.checkName()
	return m
}

// Why a message can't be decided.
const (
	whyBatch       = "it is no single JSON-RPC message"
	whyVersion     = "it is no JSON-RPC 2.0 message"
	whyMethod      = "its method is missing or no text"
	whyLikeMethod  = "its method looks like another one"
	whyID          = "its id is neither a text nor a number"
	whyParams      = "its params are no object"
	whyName        = "what it names is missing or no text"
	whyMCPKeys     = "it has a key twice but for case"
	whyMCPLength   = "it names something with more than 64 KiB"
	whyResponse    = "it is both a request and a response"
	whyURI         = "the URI of the resource may be read in different ways"
	whyMCPHeaders  = "an MCP header is missing, repeated or malformed"
	whyMCPDisagree = "the MCP headers do not agree with it"
)

// message reads a JSON-RPC message, and returns the place of its params; 0: it has none.
func (d *document) message() (m mcpMessage, params int) {
	if d.values[0].kind != jsonObject {
		return mcpMessage{problem: whyBatch}, 0
	}
	if d.repeatsFolded(0) {
		return mcpMessage{problem: whyMCPKeys}, 0
	}
	version, method, id := d.child(0, "jsonrpc"), d.child(0, "method"), d.child(0, "id")
	params = d.child(0, "params")
	answered := d.child(0, "result") > 0 || d.child(0, "error") > 0
	switch {
	case version == 0 || d.values[version].kind != jsonString || !d.equals(version, "2.0"):
		m.problem = whyVersion
	case answered && method > 0:
		m.problem = whyResponse
	case answered && !d.hasFolded(0, "method"):
		m.method = mcpResponse
		return m, params
	case method == 0 || d.values[method].kind != jsonString:
		m.problem = whyMethod
	case id > 0 && !d.isID(id):
		m.problem = whyID
	case params > 0 && d.values[params].kind != jsonObject:
		m.problem = whyParams
	default:
		m.problem = d.readCall(&m, method, params)
	}
	if id > 0 && m.problem == "" {
		m.id = d.rawID(id)
	}
	return m, params
}

// readCall reads the method, and what it names.
func (d *document) readCall(m *mcpMessage, method, params int) (problem string) {
	m.setMethod(d, method)
	if m.looksLikeOther() {
		return whyLikeMethod
	}
	if m.list == mcpMethods {
		return ""
	}
	if params == 0 {
		return whyName
	}
	if d.repeatsFolded(params) {
		return whyMCPKeys
	}
	key := "name"
	if m.list == mcpResources {
		key = "uri"
	}
	at := d.child(params, key)
	if at == 0 || d.values[at].kind != jsonString {
		return whyName
	}
	m.name, _ = d.scalar(&d.values[at])
	return ""
}

// setMethod looks the method up. A known one costs no allocation.
func (m *mcpMessage) setMethod(d *document, at int) {
	v := &d.values[at]
	if known, ok := mcpMethodTable[string(d.text[v.start:v.end])]; ok && !v.escaped {
		m.mcpMethod = known
		return
	}
	text, _ := d.scalar(v)
	m.mcpMethod = methodCalled(text)
}

// methodCalled returns what is known of a method.
func methodCalled(text string) mcpMethod {
	known := mcpMethodTable[text]
	known.method = text
	return known
}

// looksLikeOther reports whether a lenient server may take an unknown method for one that
// names something.
func (m *mcpMessage) looksLikeOther() bool {
	if m.list != mcpMethods || m.lifecycle {
		return false
	}
	if len(m.method) > maxMatched {
		return true
	}
	for i := range knownMethods {
		if known := &knownMethods[i]; known.list != mcpMethods && foldsAlike(m.method, known.method) {
			return true
		}
	}
	return false
}

// foldsAlike reports whether two texts have the same ASCII letters and digits but for case,
// in the same order.
func foldsAlike(a, b string) bool {
	i, j := 0, 0
	for {
		var x, y byte
		x, i = nextFolded(a, i)
		y, j = nextFolded(b, j)
		if x != y {
			return false
		}
		if x == 0 {
			return true
		}
	}
}

// nextFolded returns the next ASCII letter or digit of a text from i on, in lower case, and
// where to go on; 0 at the end.
func nextFolded(text string, i int) (c byte, next int) {
	for ; i < len(text); i++ {
		if c, ok := foldByte(text[i]); ok {
			return c, i + 1
		}
	}
	return 0, i
}

// child returns the place of an object's member; 0: it has none of this name.
func (d *document) child(object int, name string) int {
	for j := object + 1; j < int(d.values[object].next); j = int(d.values[j].next) {
		v := &d.values[j]
		if !v.keyEscaped && string(d.text[v.keyStart:v.keyEnd]) == name || v.keyEscaped && d.key(v) == name {
			return j
		}
	}
	return 0
}

// hasFolded reports whether an object has a member of this name in any case.
func (d *document) hasFolded(object int, name string) bool {
	for j := object + 1; j < int(d.values[object].next); j = int(d.values[j].next) {
		if strings.EqualFold(d.key(&d.values[j]), name) {
			return true
		}
	}
	return false
}

// equals compares a string with a text.
func (d *document) equals(at int, text string) bool {
	v := &d.values[at]
	if v.escaped {
		return unescapeJSON(d.text[v.start:v.end], true) == text
	}
	return string(d.text[v.start:v.end]) == text
}

// isID reports whether a value can be the id of a request: a text or a number.
func (d *document) isID(at int) bool {
	v := &d.values[at]
	if v.kind != jsonPlain {
		return v.kind == jsonString
	}
	c := d.text[v.start]
	return c == '-' || '0' <= c && c <= '9'
}

// rawID returns an id as JSON; empty for one that is too long to be repeated.
func (d *document) rawID(at int) string {
	v := &d.values[at]
	start, end := v.start, v.end
	if v.kind == jsonString {
		start, end = start-1, end+1
	}
	if end-start > maxCallID {
		return ""
	}
	return string(d.text[start:end])
}

// checkName notes whether what the message names can be matched, and the other reading of a URI.
func (m *mcpMessage) checkName() {
	if len(m.name) > maxMatched {
		m.nameProblem = whyMCPLength
	}
	if m.list != mcpResources || m.nameProblem != "" {
		return
	}
	plain := false
	if m.folded, plain = readURI(m.name); !plain {
		m.nameProblem = whyURI
	}
}
