package diag

import "testing"

// TestColorOfTheTour checks the lines that `patgate demo` and the live view print.
func TestColorOfTheTour(t *testing.T) {
	for line, want := range map[string]string{
		" 1. A token takes the place.":   bold + " 1. A token takes the place." + plain,
		"    200 OK         | allow ok":  "    " + green + "200 OK         " + plain + "| allow ok",
		"    403 Forbidden  | deny x":    "    " + red + "403 Forbidden  " + plain + "| deny x",
		"    DIFFERS: expected 200":      "    " + bold + red + "DIFFERS" + plain + ": expected 200",
		"10:00:00 policy.rejected  x":    "10:00:00 " + yellow + "policy.rejected" + plain + "  x",
		"    $ curl $API/rest/200 OK | ": "    $ curl $API/rest/200 OK | ",
	} {
		if got := Color(line); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}
