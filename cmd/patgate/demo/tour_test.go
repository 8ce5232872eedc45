package demo

import (
	"strings"
	"testing"
)

// TestStepsFitATerminal checks that each step has one sentence to learn, and that its lines are short and
// don't repeat the API's address.
func TestStepsFitATerminal(t *testing.T) {
	for _, s := range steps {
		curl := s.curl()
		if len(curl) > 130 || len(s.learn) > 90 || strings.Contains(curl, "http://") || !strings.Contains(curl, "$API/") {
			t.Errorf("%s\n%s", s.learn, curl)
		}
		if strings.ToUpper(s.learn[:1]) != s.learn[:1] && !strings.HasPrefix(s.learn, "limitTo") || !strings.HasSuffix(s.learn, ".") {
			t.Errorf("no sentence: %s", s.learn)
		}
	}
}
