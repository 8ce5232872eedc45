package extauthz

import "unicode/utf8"

// Decoding a CheckRequest into its messages was the largest part of a check's cost: a
// hundred small objects, of which the decision needs a few. parseWire reads what it needs
// in place. It takes the form that Envoy writes and no other: every field at most
// once, of a known number and type, in UTF-8. Whatever else there may be is left to the
// stock decoder, so that there is one opinion on what a message means
// (FuzzWire holds the two against each other).

// parseWire reads the attributes of an encoded CheckRequest. They share its memory. ok is
// false for what only the stock decoder should read.
func parseWire(message string) (a Attributes, ok bool) {
	ok = fields(message, single, func(n byte, v wireValue) bool {
		return n == 1 && v.message(1<<10, func(n byte, v wireValue) bool { return a.contextField(n, v) })
	})
	return a, ok
}

// contextField reads a field of AttributeContext.
func (a *Attributes) contextField(n byte, v wireValue) bool {
	switch n {
	case 1: // source
		return v.message(single, func(n byte, v wireValue) bool { return peerField(n, v, &a.peer) })
	case 2: // destination
		var unused string
		return v.message(single, func(n byte, v wireValue) bool { return peerField(n, v, &unused) })
	case 4: // request
		return v.message(single, func(n byte, v wireValue) bool { return a.requestField(n, v) })
	case 10: // context_extensions
		return a.contextExtension(v)
	case 11, 13: // metadata_context, route_metadata_context
		return v.isBytes && v.bytes == ""
	case 12: // tls_session
		return v.message(single, func(n byte, v wireValue) bool { return n == 1 && v.text(&a.sni) })
	}
	return false
}

// contextExtension reads an entry of a map, of which the last would win.
func (a *Attributes) contextExtension(v wireValue) bool {
	key, value, ok := v.entry()
	if !ok || key == gateExtension && a.routeNamed {
		return false
	}
	if key == gateExtension {
		a.route, a.routeNamed = value, true
	}
	return true
}

// peerField reads a field of Peer.
func peerField(n byte, v wireValue, address *string) bool {
	var unused string
	switch n {
	case 1: // address
		return v.message(single, func(n byte, v wireValue) bool {
			return n == 1 && v.message(single, func(n byte, v wireValue) bool { return socketField(n, v, address) })
		})
	case 2, 4, 5: // service, principal, certificate
		return v.text(&unused)
	}
	return false
}

// socketField reads a field of SocketAddress.
func socketField(n byte, v wireValue, address *string) bool {
	switch n {
	case 1, 3: // protocol, port_value
		return !v.isBytes
	case 2:
		return v.text(address)
	}
	return false
}

// requestField reads a field of Request.
func (a *Attributes) requestField(n byte, v wireValue) bool {
	switch n {
	case 1: // time
		return v.message(single, func(n byte, v wireValue) bool { return n <= 2 && !v.isBytes })
	case 2:
		return v.message(1<<3, func(n byte, v wireValue) bool { return a.httpField(n, v) })
	}
	return false
}

// httpField reads a field of HttpRequest.
func (a *Attributes) httpField(n byte, v wireValue) bool {
	var unused string
	switch n {
	case 1, 6, 8: // id, scheme, fragment
		return v.text(&unused)
	case 2:
		return v.text(&a.method)
	case 3:
		return a.joinedHeader(v)
	case 4:
		return v.text(&a.path)
	case 5:
		return v.text(&a.host)
	case 7:
		return v.text(&a.query)
	case 9:
		a.size = int64(v.number)
		return !v.isBytes
	case 10:
		return v.text(&a.protocol)
	case 11:
		return v.text(&a.body)
	case 12:
		a.rawBody = v.bytes
		return v.isBytes
	case 13:
		return v.message(1<<1, func(n byte, v wireValue) bool { return n == 1 && a.rawHeader(v) })
	}
	return false
}

// typicalHeaders is for how many headers there is room at first.
const typicalHeaders = 32

func (a *Attributes) add(h header) bool {
	if a.headers == nil {
		a.headers = make(headers, 0, typicalHeaders)
	}
	a.headers = append(a.headers, h)
	return true
}

// joinedHeader reads an entry of the map of headers, whose names differ.
func (a *Attributes) joinedHeader(v wireValue) bool {
	name, value, ok := v.entry()
	if !ok || a.rawHeaders {
		return false
	}
	for i := range a.headers {
		if a.headers[i].name == name {
			return false
		}
	}
	return a.add(header{name, value})
}

// rawHeader reads a HeaderValue of the header_map.
func (a *Attributes) rawHeader(v wireValue) bool {
	var h header
	var raw string
	ok := v.message(single, func(n byte, v wireValue) bool {
		switch n {
		case 1:
			return v.text(&h.name)
		case 2:
			return v.text(&h.value)
		case 3:
			raw = v.bytes
			return v.isBytes
		}
		return false
	})
	if raw != "" {
		h.value = raw
	}
	if !a.rawHeaders && len(a.headers) > 0 {
		return false // both forms at once
	}
	a.rawHeaders = true
	return ok && a.add(h)
}

// wireValue is the value of a field: bytes, or a number.
type wireValue struct {
	bytes   string
	number  uint64
	isBytes bool
}

// text sets a field of text, which must be UTF-8.
func (v wireValue) text(field *string) bool {
	*field = v.bytes
	return v.isBytes && utf8.ValidString(v.bytes)
}

// message reads the fields of a message.
func (v wireValue) message(lists repeated, field func(n byte, v wireValue) bool) bool {
	return v.isBytes && fields(v.bytes, lists, field)
}

// entry reads an entry of a map from text to text.
func (v wireValue) entry() (key, value string, ok bool) {
	ok = v.message(single, func(n byte, v wireValue) bool {
		switch n {
		case 1:
			return v.text(&key)
		case 2:
			return v.text(&value)
		}
		return false
	})
	return key, value, ok
}

// The wire types that occur (protobuf's encoding, "Message Structure").
const (
	typeVarint = 0
	typeBytes  = 2
)

// repeated is a set of fields that may stand more than once. Of any other, a second one
// would replace the first or be merged with it, which is the stock decoder's to do.
type repeated uint16

const single repeated = 0

// fields reads a message field by field, until field returns false.
func fields(text string, lists repeated, field func(n byte, v wireValue) bool) bool {
	var seen repeated
	for i := 0; i < len(text); {
		tag := text[i]
		i++
		var v wireValue
		var size int
		if v.number, size = varint(text[i:]); size == 0 || tag >= 0x80 || tag < 8 {
			return false
		}
		i += size
		switch tag & 7 {
		case typeVarint:
		case typeBytes:
			if v.number > uint64(len(text)-i) {
				return false
			}
			v.isBytes, v.bytes = true, text[i:i+int(v.number)]
			i += len(v.bytes)
		default:
			return false
		}
		bit := repeated(1) << (tag >> 3)
		if seen&bit&^lists != 0 || !field(tag>>3, v) { // mutant: field-twice
			return false
		}
		seen |= bit
	}
	return true
}

// varint reads a number. size is 0 where there is none of 64 bits.
func varint(text string) (n uint64, size int) {
	for size < len(text) && size < 10 {
		c := text[size]
		if size == 9 && c > 1 {
			break
		}
		n |= uint64(c&0x7f) << (7 * size)
		size++
		if c < 0x80 {
			return n, size
		}
	}
	return 0, 0
}
