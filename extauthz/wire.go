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
	ok = a.parse(message)
	return a, ok
}

// parse reads attributes, which are empty but for room for headers.
func (a *Attributes) parse(message string) bool {
	var seen fieldSet
	for rest := message; rest != ""; {
		var v wireValue
		if v, rest = nextField(rest); v.n != 1 || !seen.add(v.n, single) || !a.context(v) {
			return false
		}
	}
	return true
}

// context reads an AttributeContext.
func (a *Attributes) context(v wireValue) bool {
	var seen fieldSet
	for rest := v.bytes; rest != ""; {
		var v wireValue
		if v, rest = nextField(rest); !seen.add(v.n, 1<<10) || !a.contextField(v) {
			return false
		}
	}
	return v.isBytes
}

// contextField reads a field of AttributeContext.
func (a *Attributes) contextField(v wireValue) bool {
	switch v.n {
	case 1: // source
		return peerOf(v, &a.peer)
	case 2: // destination
		var unused string
		return peerOf(v, &unused)
	case 4: // request
		return a.requestOf(v)
	case 10: // context_extensions
		return a.contextExtension(v)
	case 11, 13: // metadata_context, route_metadata_context
		return v.isBytes && v.bytes == ""
	case 12: // tls_session
		if v.bytes == "" {
			return v.isBytes
		}
		name, rest := nextField(v.bytes)
		return v.isBytes && name.n == 1 && rest == "" && name.text(&a.sni)
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

// peerOf reads a Peer.
func peerOf(v wireValue, address *string) bool {
	var seen fieldSet
	var unused string
	for rest := v.bytes; rest != ""; {
		var v wireValue
		v, rest = nextField(rest)
		ok := seen.add(v.n, single)
		switch v.n {
		case 1: // address
			ok = ok && addressOf(v, address)
		case 2, 4, 5: // service, principal, certificate
			ok = ok && v.text(&unused)
		default:
			ok = false
		}
		if !ok {
			return false
		}
	}
	return v.isBytes
}

// addressOf reads an Address, of a socket.
func addressOf(v wireValue, address *string) bool {
	if v.bytes == "" {
		return v.isBytes
	}
	socket, rest := nextField(v.bytes)
	if !v.isBytes || socket.n != 1 || !socket.isBytes || rest != "" {
		return false
	}
	var seen fieldSet
	for rest := socket.bytes; rest != ""; {
		var v wireValue
		v, rest = nextField(rest)
		ok := seen.add(v.n, single)
		switch v.n {
		case 1, 3: // protocol, port_value
			ok = ok && !v.isBytes
		case 2:
			ok = ok && v.text(address)
		default:
			ok = false
		}
		if !ok {
			return false
		}
	}
	return true
}

// requestOf reads a Request.
func (a *Attributes) requestOf(v wireValue) bool {
	var seen fieldSet
	for rest := v.bytes; rest != ""; {
		var v wireValue
		v, rest = nextField(rest)
		ok := seen.add(v.n, single)
		switch v.n {
		case 1:
			ok = ok && v.isTimestamp()
		case 2:
			ok = ok && a.http(v)
		default:
			ok = false
		}
		if !ok {
			return false
		}
	}
	return v.isBytes
}

// isTimestamp reports whether a value is a Timestamp.
func (v wireValue) isTimestamp() bool {
	var seen fieldSet
	for rest := v.bytes; rest != ""; {
		var v wireValue
		if v, rest = nextField(rest); v.n > 2 || v.isBytes || !seen.add(v.n, single) {
			return false
		}
	}
	return v.isBytes
}

// http reads an HttpRequest.
func (a *Attributes) http(v wireValue) bool {
	var seen fieldSet
	for rest := v.bytes; rest != ""; {
		var v wireValue
		if v, rest = nextField(rest); !seen.add(v.n, 1<<3) || !a.httpField(v) {
			return false
		}
	}
	return v.isBytes
}

// httpField reads a field of HttpRequest.
func (a *Attributes) httpField(v wireValue) bool {
	var unused string
	switch v.n {
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
		return v.isBytes && a.headerMap(v.bytes)
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

// maxJoined is how many entries of a map are compared with each other: more are read by the stock decoder, into a map.
const maxJoined = 256

// joinedHeader reads an entry of the map of headers, whose names differ.
func (a *Attributes) joinedHeader(v wireValue) bool {
	name, value, ok := v.entry()
	if !ok || a.rawHeaders || len(a.headers) >= maxJoined {
		return false
	}
	for i := range a.headers {
		if a.headers[i].name == name {
			return false
		}
	}
	return a.add(header{name, value})
}

// headerMap reads the HeaderValues of the header_map.
func (a *Attributes) headerMap(list string) bool {
	for list != "" {
		var v wireValue
		v, list = nextField(list)
		h, ok := v.ordinaryHeader()
		if !ok {
			h, ok = v.header()
		}
		if v.n != 1 || !ok || !a.rawHeaders && len(a.headers) > 0 { // of the other form
			return false
		}
		a.rawHeaders = true
		a.add(h)
	}
	return true
}

// header reads a HeaderValue.
func (v wireValue) header() (h header, ok bool) {
	var raw string
	var seen fieldSet
	for rest := v.bytes; rest != ""; {
		var v wireValue
		v, rest = nextField(rest)
		ok := seen.add(v.n, single)
		switch v.n {
		case 1:
			ok = ok && v.text(&h.name)
		case 2:
			ok = ok && v.text(&h.value)
		case 3:
			raw = v.bytes
			ok = ok && v.isBytes
		default:
			ok = false
		}
		if !ok {
			return header{}, false
		}
	}
	if raw != "" {
		h.value = raw
	}
	return h, v.isBytes
}

// ordinaryHeader reads a HeaderValue as header does, but only one that has a key and then a raw
// value, of less than 128 bytes each.
func (v wireValue) ordinaryHeader() (h header, ok bool) {
	const key, rawValue = 1<<3 | typeBytes, 3<<3 | typeBytes
	b := v.bytes
	if !v.isBytes || len(b) < 5 || b[0] != key {
		return header{}, false
	}
	value := 2 + int(b[1])
	if value+3 > len(b) || b[value] != rawValue || b[1]|b[value+1] >= 0x80 || len(b) != value+2+int(b[value+1]) {
		return header{}, false
	}
	h.name, h.value = b[2:value], b[value+2:]
	return h, isASCII(h.name) || utf8.ValidString(h.name)
}
