package extauthz

import (
	"bytes"
	"math"
	"net/http"
	"strings"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
)

// The fields of an answer, by message (envoy/service/auth/v3/external_auth.proto,
// envoy/config/core/v3/base.proto, google/protobuf/struct.proto, google/rpc/status.proto).
const (
	responseStatus   protowire.Number = 1 // CheckResponse
	responseDenied   protowire.Number = 2
	responseOK       protowire.Number = 3
	responseMetadata protowire.Number = 4

	statusCode protowire.Number = 1 // Status
	httpCode   protowire.Number = 1 // HttpStatus

	deniedStatus  protowire.Number = 1 // DeniedHttpResponse
	deniedHeaders protowire.Number = 2
	deniedBody    protowire.Number = 3

	okHeaders         protowire.Number = 2 // OkHttpResponse
	okRemove          protowire.Number = 5
	okResponseHeaders protowire.Number = 6

	optionHeader protowire.Number = 1 // HeaderValueOption
	optionAction protowire.Number = 3

	headerKey   protowire.Number = 1 // HeaderValue
	headerValue protowire.Number = 2

	structFields protowire.Number = 1 // Struct: a map
	entryKey     protowire.Number = 1
	entryValue   protowire.Number = 2
	valueNumber  protowire.Number = 2 // Value
	valueText    protowire.Number = 3
)

// overwriteHeader is HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD. The zero value
// there appends, so the action must be written.
const overwriteHeader = 2

// message is an encoded message under construction. Its methods append a field.
type message []byte

func (m message) tag(n protowire.Number, t protowire.Type) message {
	return protowire.AppendTag(m, n, t)
}

func (m message) number(n protowire.Number, v uint64) message {
	return protowire.AppendVarint(m.tag(n, protowire.VarintType), v)
}

// open begins a field that is a message. What is appended until close is its content.
func (m message) open(n protowire.Number) (inner message, at int) {
	inner = append(m.tag(n, protowire.BytesType), 0, 0)
	return inner, len(inner)
}

// close ends the field whose content begins at an offset: two bytes were left for its length.
func (m message) close(at int) message {
	size := len(m) - at
	switch {
	case size < 1<<7:
		m[at-2] = byte(size)
		return append(m[:at-1], m[at:]...)
	case size < 1<<14:
		m[at-2], m[at-1] = byte(size)|0x80, byte(size>>7)
		return m
	}
	content := append(message{}, m[at:]...)
	return append(protowire.AppendVarint(m[:at-2], uint64(size)), content...)
}

// utf8Text returns text that may be put into messages: with anything but UTF-8 in it, Envoy would take
// the whole answer for an error.
func utf8Text(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// text appends text.
func (m message) text(n protowire.Number, s string) message { return m.name(n, utf8Text(s)) }

// name appends a header's name, which was checked when it was loaded.
func (m message) name(n protowire.Number, s string) message {
	return append(m.lengthOf(n, len(s)), s...)
}

// lengthOf appends the length that precedes the bytes of a field.
func (m message) lengthOf(n protowire.Number, size int) message {
	if n < 16 && size < 1<<7 {
		return append(m, byte(n)<<3|byte(protowire.BytesType), byte(size))
	}
	return protowire.AppendVarint(m.tag(n, protowire.BytesType), uint64(size))
}

// sizeOf is how many bytes a field of some bytes takes, by a number below 16.
func sizeOf(size int) int {
	if size < 1<<7 {
		return 2 + size
	}
	return 1 + protowire.SizeBytes(size)
}

// header appends a header that replaces those of its name.
func (m message) header(n protowire.Number, name, value string) message {
	return m.headerAction(n, name, value, false)
}

func (m message) headerAction(n protowire.Number, name, value string, appended bool) message {
	value = utf8Text(value)
	return append(m.headerHead(n, name, len(value), appended), value...).headerEnd(appended)
}

// headerHead appends a header up to its value, which has so many bytes. headerEnd must follow that.
func (m message) headerHead(n protowire.Number, name string, value int, appended bool) message {
	inner := sizeOf(len(name)) + sizeOf(value)
	outer := sizeOf(inner)
	if !appended {
		outer += actionSize
	}
	return m.lengthOf(n, outer).lengthOf(optionHeader, inner).name(headerKey, name).lengthOf(headerValue, value)
}

// actionSize is how many bytes headerEnd appends.
const actionSize = 2

func (m message) headerEnd(appended bool) message {
	if appended {
		return m
	}
	return append(m, byte(optionAction)<<3|byte(protowire.VarintType), overwriteHeader)
}

// structText appends a field of a Struct, of text.
func (m message) structText(name, text string) message {
	text = utf8Text(text)
	return m.structHead(name, sizeOf(len(text))).name(valueText, text)
}

func (m message) structNumber(name string, number float64) message {
	const size = 1 + 8
	return protowire.AppendFixed64(m.structHead(name, size).tag(valueNumber, protowire.Fixed64Type), math.Float64bits(number))
}

// structHead appends a field of a Struct up to its value, which has so many bytes.
func (m message) structHead(name string, value int) message {
	return m.lengthOf(structFields, sizeOf(len(name))+sizeOf(value)).name(entryKey, name).lengthOf(entryValue, value)
}

// proper reports whether an encoded CheckResponse is one that Envoy reads as intended:
// an OK with its OkResponse and nothing else, or a refusal with a DeniedResponse of 4xx or
// 5xx but for 429, which gRPC clients take for a reason to try again. A refused call to an
// MCP server has 200 and a JSON-RPC error.
func proper(r *reply) bool {
	if r == nil {
		return false
	}
	var seen [responseMetadata + 1]bool
	var content [responseMetadata + 1][]byte
	for b := r.wire; len(b) > 0; {
		n, t, size := protowire.ConsumeTag(b)
		if size < 0 || t != protowire.BytesType || n > responseMetadata || seen[n] {
			return false
		}
		b = b[size:]
		value, size := protowire.ConsumeBytes(b)
		if size < 0 {
			return false
		}
		seen[n], content[n], b = true, value, b[size:]
	}
	if !seen[responseStatus] || seen[responseOK] == seen[responseDenied] {
		return false
	}
	if code := firstNumber(content[responseStatus], statusCode); code == uint64(codes.OK) {
		return seen[responseOK] && len(content[responseOK]) > 0
	}
	status, _ := firstField(content[responseDenied], deniedStatus)
	code := firstNumber(status, httpCode)
	if code == http.StatusOK {
		return seen[responseDenied] && firstNumber(content[responseStatus], statusCode) == uint64(codes.PermissionDenied) && bytes.Contains(content[responseDenied], callErrorHead)
	}
	return seen[responseDenied] && code >= 400 && code < 600 && code != 429
}

// firstField returns the content of a message's first field, if it is that one.
func firstField(m []byte, want protowire.Number) (content []byte, ok bool) {
	n, t, size := protowire.ConsumeTag(m)
	if size < 0 || n != want || t != protowire.BytesType {
		return nil, false
	}
	content, size = protowire.ConsumeBytes(m[size:])
	return content, size >= 0
}

// firstNumber returns the number that a message begins with, and 0 where it doesn't.
func firstNumber(m []byte, want protowire.Number) uint64 {
	n, t, size := protowire.ConsumeTag(m)
	if size < 0 || n != want || t != protowire.VarintType {
		return 0
	}
	v, size := protowire.ConsumeVarint(m[size:])
	if size < 0 {
		return 0
	}
	return v
}
