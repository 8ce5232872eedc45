package manifest

import (
	"bytes"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/patgate/patgate/diag"
)

// versionLike are the versions that a message may repeat.
var versionLike = regexp.MustCompile(`^[a-z0-9./-]{1,40}$`)

// clusterKinds are kinds of Kubernetes that are often in the same directory as manifests. Messages
// name them, and repeat no content of other files that are not manifests.
var clusterKinds = []string{"ConfigMap", "CronJob", "DaemonSet", "Deployment", "Ingress", "Job", "List", "Namespace", "Pod",
	"Secret", "Service", "ServiceAccount", "StatefulSet", "HelmRelease", "Kustomization", "HTTPRoute", "NetworkPolicy"}

// isForeign reports whether a map is not meant as a manifest: none of its content may go
// into a message. A manifest has the API group, or a misspelling of it, or has none
// but has one of the kinds.
func isForeign(root *yaml.Node) bool {
	version, kind := find(root, "apiVersion"), find(root, "kind")
	if version != root {
		return version.Kind != yaml.ScalarNode || !nearAPIVersion(version.Value)
	}
	return kind == root || !slices.Contains(kindsToDecode, kind.Value)
}

// kindsToDecode are the kinds of manifests and of their tests.
var kindsToDecode = []string{KindGate, KindAPIToken, KindUserGroup, KindTokenPolicy, KindPolicyTest}

// nearAPIVersion reports whether a text is the version of manifests, or was likely meant
// as it.
func nearAPIVersion(text string) bool {
	if len(text) > 40 {
		return false
	}
	return strings.HasPrefix(text, apiGroup) || strings.HasPrefix(diag.Suggest(text, []string{APIVersion}), "did you mean")
}

// foreign reports a document that is no manifest, without its content.
func (s *scope) foreign(root *yaml.Node) {
	const want = "expected a manifest with `apiVersion: " + APIVersion + "`"
	if kind := find(root, "kind"); kind != root && kind.Value == "List" {
		s.problem(root, "", "a List of Kubernetes, expected its items as documents of their own, with `---` between them")
		return
	}
	if kind := find(root, "kind"); kind != root && slices.Contains(clusterKinds, kind.Value) {
		s.problem(root, "", "a %s of Kubernetes, %s: other files belong elsewhere", kind.Value, want)
		return
	}
	s.problem(root, "", "no manifest of patgate, %s", want)
}

// isOurs reports whether a text that is no YAML was to be a manifest, so that a message
// may repeat a word of it.
func (s *scope) isOurs() bool { return bytes.Contains(s.chunk.text, []byte(apiGroup)) }
