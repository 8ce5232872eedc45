package lookalikes

import (
	"fmt"
	"slices"
	"strings"
)

// Check says how an answer breaks the invariant: what the API says that it read must
// satisfy the rule that allowed the request. reached is false where no API reported.
func (s *Suite) Check(q *Request, a *Answer) (reached bool, broken []string) {
	r, reached, err := ParseReport(a)
	if err != nil {
		return true, []string{err.Error()}
	}
	if !reached {
		return false, nil
	}
	for _, text := range []string{s.ruleBroken(q, r), hostBroken(q, r)} {
		if text != "" {
			broken = append(broken, text)
		}
	}
	broken = append(broken, identityBroken(q, r)...)
	for name, value := range s.values {
		for _, header := range r.holds(value) {
			broken = append(broken, fmt.Sprintf("it got the value of token %s in %s", name, header))
		}
	}
	slices.Sort(broken)
	return true, broken
}

func (s *Suite) ruleBroken(q *Request, r *Report) string {
	if q.Rule == "" {
		if !strings.HasPrefix(r.Path+"/", "/rest/public/") {
			return fmt.Sprintf("it read the path %q, which is not open to anonymous callers", r.Path)
		}
		return ""
	}
	// The contract has it that a key alone in another case is another key.
	if s.profile.FoldsJSON && q.Rule == "json-deny" && !strings.Contains(q.Body, `"admin"`) {
		return ""
	}
	return s.rules[q.Rule].broken(r)
}

// hostBroken checks that the host is the one of the gate that admits this token.
func hostBroken(q *Request, r *Report) string {
	want := Host
	if strings.HasPrefix(q.Rule, "encoded") {
		want = EncodedHost
	}
	if r.Host != "" && r.hostname() != want {
		return fmt.Sprintf("it read the host %q, the check was for %s", r.Host, want)
	}
	return ""
}

// identityBroken checks that the headers that only patgate may set are patgate's, and that
// those that it removes are gone.
func identityBroken(q *Request, r *Report) (broken []string) {
	want := map[string][]string{"x-forwarded-user": {"alice"}, "x-forwarded-groups": {"staff"}, "x-patgate-token": {q.Rule}}
	if q.Rule == "" {
		want = map[string][]string{}
	}
	for _, name := range []string{"x-forwarded-user", "x-forwarded-groups", "x-patgate-token", "x-patgate-user-asserted", "x-on-behalf-of",
		"x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url", "authorization"} {
		if got := r.Lookup[name]; !slices.Equal(got, want[name]) {
			broken = append(broken, fmt.Sprintf("it read %s: %q, want %q", name, got, want[name]))
		}
	}
	if id := r.Lookup["x-patgate-id"]; len(id) != 1 || len(id[0]) != 26 {
		broken = append(broken, fmt.Sprintf("it read x-patgate-id: %q, want one id", id))
	}
	return broken
}
