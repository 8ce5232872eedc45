//go:build kube

package kube

import (
	"strings"
	"testing"
)

const twoTokens = `apiVersion: patgate.dev/v1alpha1
kind: APIToken
metadata: {name: ci}
spec:
  user: alice
  digest: sha256:a225fab98955e121e6b28bd2fcfe197dffc8706e731a58295f31369fbd6a41d8
  issued: "2026-05-01T00:00:00Z"
  unrestricted: true
  gates: [jira]
---
apiVersion: patgate.dev/v1alpha1
kind: APIToken
metadata: {name: report}
spec:
  anyUser: true
  digest: sha256:b225fab98955e121e6b28bd2fcfe197dffc8706e731a58295f31369fbd6a41d8
  issued: "2026-05-01T00:00:00Z"
  limitTo: .*/rest/.*
`

// TestObjectsInACluster uses the kinds as people do with kubectl: columns, short names, selection, explanations,
// server-side apply twice, and the changes that a token refuses.
func TestObjectsInACluster(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	apply := []string{"apply", "--server-side", "-f", "-"}
	ns.pipe(twoTokens, apply...)
	ns.pipe(twoTokens, apply...) // stores the default of the status, which a controller would have written
	before := ns.get("pat", "ci").text("metadata", "resourceVersion")
	ns.pipe(twoTokens, apply...)
	if after := ns.get("pat", "ci").text("metadata", "resourceVersion"); after != before {
		t.Errorf("applying the same object made %s of %s", after, before)
	}
	containsAll(t, "the columns", ns.kubectl("get", "pat", "-o", "wide"), "USER", "STATE", "ENDS", "LAST USED", "AGE", "GATES", "RULES", "alice", `["jira"]`)
	if got := ns.kubectl("get", "pat", "--field-selector", "spec.user=alice", "-o", "name"); got != "apitoken.patgate.dev/ci\n" {
		t.Errorf("selected by user: %q", got)
	}
	containsAll(t, "explain", ns.kubectl("explain", "apitoken.spec.limitTo"), "one-line form")
	containsAll(t, "all kinds", ns.kubectl("get", "patgate", "-o", "name"), "apitoken.patgate.dev/report")

	with := func(old, changed string) string { return strings.Replace(twoTokens, old, changed, 1) }
	revoked := with("  unrestricted: true\n", "  unrestricted: true\n  revoked: \"2026-06-01T00:00:00Z\"\n")
	ns.pipe(revoked, apply...)
	ns.refused(twoTokens, []string{"spec.revoked", "a revoked token never works again"}, apply...)
	ns.pipe(strings.Replace(revoked, "2026-06-01", "2026-06-02", 1), apply...)
	ns.refused(strings.Replace(revoked, "user: alice", "user: bob", 1), []string{"spec.user", "a token belongs to its user"}, apply...)
	ns.refused(strings.Replace(revoked, "  user: alice\n", "  anyUser: true\n", 1), []string{"spec.user"}, apply...)
	ns.refused(strings.Replace(revoked, "anyUser: true", "user: bob", 1), []string{"spec.user"}, apply...)
	ns.kubectl("delete", "pat", "ci")
	ns.pipe(twoTokens, apply...) // an object of the same name is another one
}

// TestDefinitionsCanBeUpgraded applies the definitions over an older one, with objects in place.
func TestDefinitionsCanBeUpgraded(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	ns.pipe(twoTokens, "apply", "--server-side", "-f", "-")
	before := ns.get("pat", "ci")
	ns.kubectl("patch", "crd", "apitokens.patgate.dev", "--type=json", "-p",
		`[{"op":"remove","path":"/spec/versions/0/additionalPrinterColumns"},{"op":"remove","path":"/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/description"}]`)
	ns.kubectl("apply", "--server-side", "--force-conflicts", "-f", crds)
	if after := ns.get("pat", "ci"); after.text("metadata", "uid") != before.text("metadata", "uid") {
		t.Errorf("the upgrade replaced the object: %v", after)
	}
	ns.kubectl("annotate", "pat", "ci", "note=still valid")
}

func containsAll(t *testing.T, what, got string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(got, text) {
			t.Errorf("%s: no %q in:\n%s", what, text, got)
		}
	}
}
