package test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/patgate/patgate/token"
)

// TestATokenAtFaultIsRefusedAlone starts with a token that names a policy which is not there: the others are answered, its
// value is unknown to clients, and the audit says why and where.
func TestATokenAtFaultIsRefusedAlone(t *testing.T) {
	good, bad := token.Mint().Reveal(), token.Mint().Reveal()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "gate.yaml"), gateManifest)
	write(t, filepath.Join(dir, "good.yaml"), tokenManifest("good", good, ""))
	write(t, filepath.Join(dir, "bad.yaml"), strings.Replace(tokenManifest("bad", bad, ""), "unrestricted: true", "policies: [read]", 1))
	s := startSystem(t, dir, nil, "--isolate-tokens")
	if got := s.http(t, ask{path: "/", authorization: "Bearer " + good}); got.status != 200 {
		t.Errorf("a good token: %d", got.status)
	}
	if got := s.http(t, ask{path: "/", authorization: "Bearer " + bad}); got.status != 401 {
		t.Errorf("the token at fault: %d: %s", got.status, got.body)
	}
	s.find("the refusal", func(e *event) bool {
		return e.Kind == "decision" && e.Reason == "token_unknown" && e.Token == "bad" && e.Detail == "not accepted"
	})
	s.find("the problem", func(e *event) bool {
		return e.Kind == "policy.rejected" && e.Count == 1 && strings.Contains(strings.Join(e.Problems, " "), "bad.yaml:9:14: spec.policies[0]: no TokenPolicy is called read") &&
			e.Detail == "the tokens are not accepted, and the others run"
	})
	s.wantPage("/revision", `"ok":true`, `"isolated":1`, "bad.yaml:9:14")
	write(t, filepath.Join(dir, "read.yaml"), kind("read", "TokenPolicy", "allow: [{methods: [GET]}]\n"))
	s.find("the next load", func(e *event) bool { return e.Kind == "policy.loaded" && e.Revision == 2 })
	if got := s.http(t, ask{path: "/", authorization: "Bearer " + bad}); got.status != 200 {
		t.Errorf("once its policy is there: %d", got.status)
	}
}
