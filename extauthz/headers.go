package extauthz

import "strings"

// header is one header line as Envoy sent it.
type header struct{ name, value string }

// headers are a request's headers, in their order where Envoy keeps it. They
// implement policy.Header.
type headers []header

// Get implements policy.Header. Names are compared without regard to case, though
// Envoy sends them in lower case: a header that is overlooked could only help a caller.
func (h headers) Get(name string) (value string, count int) {
	if name == "" {
		return "", 0
	}
	const lower = 'a' - 'A' // names of one length that differ in case alone begin alike but for this bit
	for i := range h {
		if len(h[i].name) == len(name) && h[i].name[0]|lower == name[0]|lower && (h[i].name == name || strings.EqualFold(h[i].name, name)) {
			if count++; count == 1 {
				value = h[i].value
			} else {
				value += "," + h[i].value
			}
		}
	}
	return value, count
}

// Len implements policy.Header.
func (h headers) Len() int { return len(h) }

// At implements policy.Header.
func (h headers) At(i int) (name, value string) { return h[i].name, h[i].value }
