package manifest

import (
	"strings"
	"testing"
)

// TestStatusIsAResourceOfItsOwn checks that who may write an object may not write its status.
func TestStatusIsAResourceOfItsOwn(t *testing.T) {
	for i := range ObjectKinds {
		if k := &ObjectKinds[i]; !strings.Contains(string(k.CRD()), "      subresources:\n        status: {}\n") {
			t.Errorf("%s has no subresource status", k.Kind)
		}
	}
}
