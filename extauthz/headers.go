package extauthz

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
)

// header is one header line as Envoy sent it.
type header struct{ name, value string }

// headers are a request's headers, in their order where Envoy keeps it. They
// implement policy.Header.
type headers []header

// readHeaders takes both forms in which Envoy sends headers: the map, whose values are
// sanitized and joined, and the list of encode_raw_headers. Envoy fills one of them; a
// header that stands in both counts twice.
func readHeaders(joined map[string]string, list *corev3.HeaderMap) headers {
	raw := list.GetHeaders()
	h := make(headers, 0, len(joined)+len(raw))
	for name, value := range joined {
		h = append(h, header{name, value})
	}
	for _, v := range raw {
		value := v.GetValue()
		if b := v.GetRawValue(); len(b) > 0 {
			value = string(b)
		}
		h = append(h, header{v.GetKey(), value})
	}
	return h
}

// Get implements policy.Header. Names are compared without regard to case, though
// Envoy sends them in lower case: a header that is overlooked could only help a caller.
func (h headers) Get(name string) (value string, count int) {
	for i := range h {
		if len(h[i].name) == len(name) && strings.EqualFold(h[i].name, name) {
			if count++; count == 1 {
				value = h[i].value
			} else {
				value += "," + h[i].value
			}
		}
	}
	return value, count
}
