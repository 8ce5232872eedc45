package check

import "strings"

// readApart reports whether requests with a body that rules read, by its types, never come
// to the route that leaves bodies out: an earlier one of the same list takes them, and
// does not.
func readApart(off *node, types []string) bool {
	route := off
	for route != nil && route.get("match") == nil {
		route = route.parent
	}
	if route == nil || route.parent == nil {
		return false
	}
	for _, earlier := range route.parent.elements() {
		if earlier == route {
			return false
		}
		if takesTypes(earlier.get("match"), route.get("match"), types) && !leavesBodiesOut(earlier) {
			return true
		}
	}
	return false
}

func leavesBodiesOut(route *node) bool {
	for _, off := range route.within("disable_request_body_buffering") {
		if off.isTrue() {
			return true
		}
	}
	return len(route.get("route").entries()) == 0 // a redirect, or an answer by itself
}

// takesTypes reports whether a match takes every request of another that has a body of
// these types: it matches like the other one, and on the content type.
func takesTypes(match, other *node, types []string) bool {
	for _, f := range match.entries() {
		if sameName(f.name, "headers") {
			continue
		}
		if f.value != nil && (f.value.kind != scalar || f.value.text != other.get(f.name).str()) {
			return false
		}
	}
	headers := match.get("headers").elements()
	if len(headers) != 1 || !strings.EqualFold(headers[0].get("name").str(), "content-type") || headers[0].get("invert_match").isTrue() {
		return false
	}
	matcher := headers[0].get("string_match")
	if matcher == nil {
		matcher = headers[0]
	}
	pattern := matcher.get("safe_regex", "regex")
	if pattern == nil {
		pattern = matcher.get("safe_regex_match", "regex")
	}
	for _, t := range types {
		for _, spelt := range []string{t, t + "; charset=utf-8", strings.ToUpper(t) + ";charset=UTF-8"} {
			if !fullMatch(pattern.str(), spelt) {
				return false
			}
		}
	}
	return len(types) > 0
}
