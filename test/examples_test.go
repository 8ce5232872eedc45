package test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/patgate/patgate/test/golden"
)

// TestExamplesHaveTheirEnvoy compares the Envoy configurations of the examples with those that envoy-config
// prints for their gates; -update rewrites them.
func TestExamplesHaveTheirEnvoy(t *testing.T) {
	for folder, args := range map[string][]string{
		"../docs/examples/sidecar/": {"--for", "sidecar"},
		"../docs/examples/first-token/": {"--for", "standalone", "--listen", "0.0.0.0:8080",
			"--patgate", "patgate.patgate.svc.cluster.local:9191", "--upstream", "api.patgate.svc.cluster.local:80"}, // as docs/first-token.md has it
	} {
		want, err := exec.Command(binary, append([]string{"envoy-config", "--manifests", folder + "manifests"}, args...)...).Output()
		if err != nil {
			t.Fatal(err)
		}
		golden.File(t, folder+"envoy.yaml", string(want))
	}
}

// TestLDAPGroup makes a group of what ldapsearch prints. A result without members, or with a name that
// LDIF encodes, makes none.
func TestLDAPGroup(t *testing.T) {
	for name, c := range map[string]struct {
		ldif string
		want string // patgate check's report; empty: the script fails
	}{
		"members":         {"dn: uid=bob,dc=example\nuid: bob\n\ndn: uid=alice,dc=example\nuid: alice\n", "ok: 1 gate, 0 tokens, 1 group, 0 policies\n"},
		"nobody":          {"# numResponses: 1\n", ""},
		"an encoded name": {"dn: uid=bob,dc=example\nuid: bob\nuid:: YWxpY2U=\n", ""},
		"a name of two":   {"uid: bob smith\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			script := exec.Command("../docs/examples/groups/ldap-group", "api-users", "90d")
			script.Stdin = strings.NewReader(c.ldif)
			group, err := script.Output()
			if c.want == "" {
				if err == nil {
					t.Errorf("made\n%s", group)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			write(t, dir+"/group.yaml", string(group))
			write(t, dir+"/gate.yaml", "apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata: {name: api}\nspec: {schemes: [bearer], groups: [api-users]}\n")
			if got, err := exec.Command(binary, "check", dir).Output(); err != nil || string(got) != c.want {
				t.Errorf("%v: %s of\n%s", err, got, group)
			}
		})
	}
}
