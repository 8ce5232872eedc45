package wire

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// head holds the fields of a header list that matter.
type head struct {
	method, path, scheme, contentType string
	timeout                           time.Duration // of grpc-timeout; negative: none
	length                            int64         // of content-length; negative: none
	isBad                             bool          // malformed: RFC 9113, 8.1.1 and 8.2
	badTimeout                        bool
	tooLarge                          bool
}

// heads decodes header blocks. Envoy sends the same bytes for every call: a block that
// adds nothing to the dynamic table means the same when it comes again.
type heads struct {
	decoder *hpack.Decoder
	max     int

	block  []byte // of HEADERS and CONTINUATION frames so far
	frames int
	opener blockOpener

	now     head // being decoded
	size    int
	regular bool // a field that is no pseudo-header was seen
	seen    uint8
	trailer bool

	known     []byte // a block
	knownHead head
}

// blockOpener is the HEADERS frame of a block.
type blockOpener struct {
	id        uint32
	endStream bool
	selfDep   bool
}

func (h *heads) init(limit int) {
	h.max = limit
	h.decoder = hpack.NewDecoder(4096, h.field)
	h.decoder.SetMaxStringLength(limit)
}

// decode decodes a whole block. It returns false if the block is broken, which leaves the
// table in an unknown state.
func (h *heads) decode(block []byte, trailer bool) (head, bool) {
	if !trailer && len(h.known) > 0 && bytes.Equal(block, h.known) {
		return h.knownHead, true
	}
	h.now = head{timeout: -1, length: -1}
	h.size, h.regular, h.seen, h.trailer = 0, false, 0, trailer
	h.decoder.SetEmitEnabled(true)
	if _, err := h.decoder.Write(block); err != nil {
		return head{}, false
	}
	if h.decoder.Close() != nil {
		return head{}, false
	}
	h.known = h.known[:0]
	if !trailer && len(block) <= 1<<10 && leavesTable(block) {
		h.known, h.knownHead = append(h.known, block...), h.now
	}
	return h.now, true
}

// leavesTable reports whether a valid block that comes again leaves the dynamic table as it
// found it (RFC 7541, 6): it has no field that is added. Sizes that it begins with were set the
// first time.
func leavesTable(block []byte) bool {
	for len(block) > 0 && block[0]&0xe0 == 0x20 {
		if block = skipInteger(block, 5); block == nil {
			return false
		}
	}
	for len(block) > 0 {
		var nameBits int
		switch b := block[0]; {
		case b&0x80 != 0: // indexed
			if block = skipInteger(block, 7); block == nil {
				return false
			}
			continue
		case b&0xe0 == 0: // literal, not indexed or never
			nameBits = 4
		default:
			return false
		}
		hasName := block[0]&0x0f == 0
		block = skipInteger(block, nameBits)
		if hasName {
			block = skipString(block)
		}
		block = skipString(block)
		if block == nil {
			return false
		}
	}
	return true
}

// skipInteger returns what follows an integer; nil if that is not in the block.
func skipInteger(b []byte, bits int) []byte {
	_, rest := integer(b, bits)
	return rest
}

func skipString(b []byte) []byte {
	n, rest := integer(b, 7)
	if rest == nil || n > len(rest) {
		return nil
	}
	return rest[n:]
}

// integer reads an integer of RFC 7541, 5.1.
func integer(b []byte, bits int) (n int, rest []byte) {
	if len(b) == 0 {
		return 0, nil
	}
	limit := 1<<bits - 1
	if n = int(b[0]) & limit; n < limit {
		return n, b[1:]
	}
	for shift, i := 0, 1; i < len(b) && shift <= 21; i++ {
		n += int(b[i]&0x7f) << shift
		shift += 7
		if b[i] < 0x80 {
			return n, b[i+1:]
		}
	}
	return 0, nil
}

// The pseudo-headers of a request.
const (
	seenMethod = 1 << iota
	seenPath
	seenScheme
	seenAuthority
	seenContentType
)

// field takes a field from the decoder.
func (h *heads) field(f hpack.HeaderField) {
	if h.size += len(f.Name) + len(f.Value) + 32; h.size > h.max {
		h.now.tooLarge = true
		h.decoder.SetEmitEnabled(false)
		return
	}
	if strings.HasPrefix(f.Name, ":") {
		h.pseudo(f)
		return
	}
	h.regular = true
	if !validName(f.Name) || !validValue(f.Value) {
		h.now.isBad = true
		return
	}
	switch f.Name {
	case "content-type":
		if h.seen&seenContentType == 0 {
			h.now.contentType = f.Value
		}
		h.seen |= seenContentType
	case "content-length":
		n, err := strconv.ParseInt(f.Value, 10, 64)
		if err != nil || n < 0 || h.now.length >= 0 && h.now.length != n {
			h.now.isBad = true
		}
		h.now.length = n
	case "grpc-timeout":
		var ok bool
		h.now.timeout, ok = parseTimeout(f.Value)
		h.now.badTimeout = !ok
	case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
		h.now.isBad = true
	case "te":
		h.now.isBad = h.now.isBad || f.Value != "trailers"
	}
}

func (h *heads) pseudo(f hpack.HeaderField) {
	var bit uint8
	switch f.Name {
	case ":method":
		bit, h.now.method = seenMethod, f.Value
	case ":path":
		bit, h.now.path = seenPath, f.Value
	case ":scheme":
		bit, h.now.scheme = seenScheme, f.Value
	case ":authority":
		bit = seenAuthority
	}
	if bit == 0 || h.seen&bit != 0 || h.regular || h.trailer || !validValue(f.Value) {
		h.now.isBad = true
	}
	h.seen |= bit
}

// complete reports whether a request has all the pseudo-headers that it must have.
func (r *head) complete() bool {
	return r.method != "" && r.path != "" && r.scheme != "" && r.method != "CONNECT"
}

func validName(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || 'A' <= c && c <= 'Z' || c == ':' {
			return false
		}
	}
	return s != ""
}

func validValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c == 0 || c == '\r' || c == '\n' {
			return false
		}
	}
	return true
}

// parseTimeout reads a grpc-timeout: up to 8 digits and a unit.
func parseTimeout(s string) (time.Duration, bool) {
	if len(s) < 2 || len(s) > 9 {
		return -1, false
	}
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 32)
	if err != nil {
		return -1, false
	}
	unit := map[byte]time.Duration{
		'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
	}[s[len(s)-1]]
	const longest = 1000 * time.Hour // 8 digits of hours are more than a Duration holds
	if unit == 0 {
		return -1, false
	}
	if time.Duration(n) > longest/unit {
		return longest, true
	}
	return time.Duration(n) * unit, true
}

// isGRPC reports whether a content type is one of gRPC.
func isGRPC(contentType string) bool {
	rest, ok := strings.CutPrefix(strings.ToLower(contentType), "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

func (c *conn) headers(t *turn, f *http2.HeadersFrame) {
	c.heads.opener = blockOpener{id: f.StreamID, endStream: f.StreamEnded(), selfDep: f.HasPriority() && f.Priority.StreamDep == f.StreamID}
	c.heads.frames = 0
	if f.HeadersEnded() {
		c.block(t, f.HeaderBlockFragment())
		return
	}
	c.heads.block = c.heads.block[:0]
	c.fragment(f.HeaderBlockFragment())
}

func (c *conn) continuation(t *turn, f *http2.ContinuationFrame) {
	c.disturb(1)
	c.fragment(f.HeaderBlockFragment())
	if f.HeadersEnded() && !c.ending {
		block := c.heads.block
		c.heads.block = nil // before another goroutine reads on, which may gather the next one
		c.block(t, block)
	}
}

// fragment keeps a part of a header block. Headers are under no flow control: what is
// beyond the limit ends the connection, as the table would be unknown without it.
func (c *conn) fragment(part []byte) {
	h := &c.heads
	if h.frames++; h.frames > maxContinuations || len(h.block)+len(part) > h.max {
		c.fail(http2.ErrCodeEnhanceYourCalm, "a header list that is too large")
		return
	}
	h.block = append(h.block, part...)
}

// block handles a whole header block.
func (c *conn) block(t *turn, block []byte) {
	o := c.heads.opener
	if o.id%2 == 0 {
		c.fail(http2.ErrCodeProtocol, "a stream of a client has an odd number")
		return
	}
	if len(block) > c.heads.max {
		c.fail(http2.ErrCodeEnhanceYourCalm, "a header list that is too large")
		return
	}
	trailer := o.id <= c.lastID
	r, ok := c.heads.decode(block, trailer)
	switch {
	case !ok:
		c.fail(http2.ErrCodeCompression, "a header block that is broken")
	case trailer:
		c.trailers(t, o, &r)
	default:
		c.open(t, o, &r)
	}
}

// trailers ends a request.
func (c *conn) trailers(t *turn, o blockOpener, r *head) {
	st := c.streams[o.id]
	switch {
	case st == nil && (c.recent.has(o.id) || c.orphaned[o.id] != nil):
		c.disturb(1)
	case st == nil:
		c.fail(http2.ErrCodeStreamClosed, "HEADERS on a stream that is closed")
	case st.ended:
		c.reset(o.id, http2.ErrCodeStreamClosed)
	case !o.endStream, r.isBad, o.selfDep:
		c.reset(o.id, http2.ErrCodeProtocol)
	default:
		c.end(t, st)
	}
}
