package extauthz

import (
	"bytes"
	"math"
	"net/http"
	"strings"

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

func (m message) message(n protowire.Number, content message) message {
	return protowire.AppendBytes(m.tag(n, protowire.BytesType), content)
}

func (m message) number(n protowire.Number, v uint64) message {
	return protowire.AppendVarint(m.tag(n, protowire.VarintType), v)
}

// text appends text, which is UTF-8 in messages: with anything else in it, Envoy would
// take the whole answer for an error.
func (m message) text(n protowire.Number, s string) message {
	return protowire.AppendString(m.tag(n, protowire.BytesType), strings.ToValidUTF8(s, "\uFFFD"))
}

// name appends a header's name, which was checked when it was loaded.
func (m message) name(n protowire.Number, s string) message {
	return protowire.AppendString(m.tag(n, protowire.BytesType), s)
}

// header appends a header that replaces those of its name.
func (m message) header(n protowire.Number, name, value string) message {
	return m.headerAction(n, name, value, false)
}

func (m message) headerAction(n protowire.Number, name, value string, appended bool) message {
	var room [512]byte
	header := message(room[:0]).name(headerKey, name).text(headerValue, value)
	size := protowire.SizeTag(optionHeader) + protowire.SizeBytes(len(header))
	if !appended {
		size += 2
	}
	m = protowire.AppendVarint(m.tag(n, protowire.BytesType), uint64(size))
	m = m.message(optionHeader, header)
	if appended {
		return m
	}
	return m.number(optionAction, overwriteHeader)
}

// structText appends a field of a Struct.
func (m message) structText(name, text string) message {
	var room [512]byte
	return m.structField(name, message(room[:0]).text(valueText, text))
}

func (m message) structNumber(name string, number float64) message {
	var room [16]byte
	return m.structField(name, protowire.AppendFixed64(message(room[:0]).tag(valueNumber, protowire.Fixed64Type), math.Float64bits(number)))
}

func (m message) structField(name string, value message) message {
	var room [640]byte
	return m.message(structFields, message(room[:0]).name(entryKey, name).message(entryValue, value))
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
