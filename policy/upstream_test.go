package policy_test

import (
	"net/url"
	"testing"

	"github.com/patgate/patgate/policy"
)

func TestUserText(t *testing.T) {
	for _, c := range []struct{ user, percent string }{
		{"alice", "alice"}, {"zoë", "zo%C3%AB"}, {"100%", "100%25"}, {"a b+c", "a b+c"}, {"日本", "%E6%97%A5%E6%9C%AC"},
	} {
		u := policy.NewUpstream("x-u", "x-g", "x-t", "", false)
		if got := u.UserText(c.user); got != c.user {
			t.Errorf("utf-8: %q, want %q", got, c.user)
		}
		u.PercentUsers = true
		if got := u.UserText(c.user); got != c.percent {
			t.Errorf("percent: %q, want %q", got, c.percent)
		}
		if back, err := url.PathUnescape(c.percent); err != nil || back != c.user {
			t.Errorf("%q can't be read back: %q, %v", c.percent, back, err)
		}
	}
}
