package suggest_test

import (
	"testing"

	"github.com/patgate/patgate/replay/suggest"
)

// TestDaysText says how long a log is: one of some hours has no day yet.
func TestDaysText(t *testing.T) {
	for days, want := range map[int]string{0: "less than a day", 1: "1 day", 90: "90 days"} {
		if got := suggest.DaysText(days); got != want {
			t.Errorf("%d: %s, want %s", days, got, want)
		}
	}
}
