package page

import (
	"testing"

	"github.com/patgate/patgate/policy"
)

// TestEveryReasonHasWords checks that people read why a request is refused, whatever the reason is.
func TestEveryReasonHasWords(t *testing.T) {
	names := policy.ReasonNames(policy.Deny)
	for _, name := range names {
		if reasons[name] == "" {
			t.Errorf("%s has no words", name)
		}
	}
	if len(reasons) != len(names) {
		t.Errorf("%d reasons have words, and there are %d", len(reasons), len(names))
	}
}
