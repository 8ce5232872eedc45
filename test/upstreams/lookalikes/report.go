package lookalikes

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
)

// Report is what an API says that it read. See README.md of the folder above.
type Report struct {
	Method  string              `json:"method"`
	Path    string              `json:"path"`
	Route   string              `json:"route"`
	ID      string              `json:"id"`
	Query   map[string][]string `json:"query"`
	Form    map[string][]string `json:"form"`
	Params  map[string][]string `json:"params"`
	JSON    json.RawMessage     `json:"json"`
	Lookup  map[string][]string `json:"lookup"`
	Headers map[string][]string `json:"headers"`
	Host    string              `json:"host"`
}

// Lookups are the headers of which an API must report what it finds under their names.
var Lookups = []string{
	"x-forwarded-user", "x-forwarded-groups", "x-patgate-token", "x-patgate-user-asserted", "x-patgate-id",
	"x-on-behalf-of", "x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url",
	"x-forwarded-host", "forwarded", "x-host", "authorization", "destination", "private-token", "x-api-key", "content-type",
}

// ParseReport reads the answer of an API. ok is false for an answer that is no report:
// the API or a proxy refused the request.
func ParseReport(a *Answer) (r *Report, ok bool, err error) {
	if a.Header("x-upstream") != "1" {
		return nil, false, nil
	}
	r = &Report{}
	if err := json.Unmarshal(a.Body, r); err != nil {
		return nil, false, fmt.Errorf("the API's report can't be read: %w: %.200q", err, a.Body)
	}
	return r, true, nil
}

// views returns the values of a parameter as each view of the API has it: the query's
// own, and the merged one. An API has one of them at least.
func (r *Report) views(name string) (list [][]string) {
	for _, view := range []map[string][]string{r.Query, r.Params} {
		if view != nil {
			list = append(list, view[name])
		}
	}
	return list
}

// hostname returns the host without its port, in lower case.
func (r *Report) hostname() string {
	host := strings.ToLower(r.Host)
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}

// member returns a member of the parsed body, also of objects in an array. found is
// false where there is none.
func (r *Report) member(name string) (value any, found bool) {
	var body any
	if len(r.JSON) == 0 || json.Unmarshal(r.JSON, &body) != nil {
		return nil, false
	}
	if list, ok := body.([]any); ok {
		for _, element := range list {
			if object, ok := element.(map[string]any); ok {
				if value, found = object[name]; found {
					return value, true
				}
			}
		}
		return nil, false
	}
	object, _ := body.(map[string]any)
	value, found = object[name]
	return value, found
}

// holds reports which headers hold a value, as it is or in base64.
func (r *Report) holds(value string) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		if strings.EqualFold(name, "cookie") || strings.EqualFold(name, "http_cookie") {
			continue
		}
		for _, text := range r.Headers[name] {
			if strings.Contains(text, value) || decodesTo(text, value) {
				names = append(names, name)
			}
		}
	}
	return names
}

// decodesTo reports whether a word of a text is base64 of something that holds a value.
func decodesTo(text, value string) bool {
	for _, word := range strings.FieldsFunc(text, func(c rune) bool { return strings.ContainsRune(" ,;:\"'", c) }) {
		word = strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(word), "=")
		if plain, err := base64.RawStdEncoding.DecodeString(word); err == nil && strings.Contains(string(plain), value) {
			return true
		}
	}
	return false
}
