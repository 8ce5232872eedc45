package policy_test

import (
	"testing"

	"github.com/patgate/patgate/policy"
)

func TestWithoutPort(t *testing.T) {
	for host, want := range map[string]string{
		"": "", "Jira.example.com": "Jira.example.com", "jira.example.com:8443": "jira.example.com", "jira.example.com:": "jira.example.com",
		"[2001:db8::1]:8443": "[2001:db8::1]", "[2001:db8::1]": "[2001:db8::1]", "2001:db8::1": "2001:db8::1",
		"jira.example.com:8443:9": "jira.example.com:8443:9", "jira.example.com:https": "jira.example.com:https", "a.:80": "a.",
	} {
		if got := policy.WithoutPort(host); got != want {
			t.Errorf("%q: %q, want %q", host, got, want)
		}
	}
}
