package controller

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"
)

// TestEventsHaveNames of objects whose names are cut at a dash or a dot: the API server would refuse the Event.
func TestEventsHaveNames(t *testing.T) {
	long := strings.Repeat("a", maxEventName-1)
	for name, want := range map[string]string{"ci": "ci.", long + "-b": long + ".", long + ".b": long + ".", long[1:] + "-.c": long[1:] + ".", long + "bc": long + "b."} {
		if got := eventPrefix(name); got != want || len(validation.IsDNS1123Subdomain(got+"x7k2p")) > 0 {
			t.Errorf("%s: %s", name, got)
		}
	}
}
