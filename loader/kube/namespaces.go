package kube

import (
	"maps"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// kindNamespace is the kind of the objects whose labels `tokensFrom` selects by.
const kindNamespace = "Namespace"

// watchNamespaces returns the watch of the cluster's namespaces. Without the right to it no labels are known, and a
// selection by another label than a namespace's name selects nothing.
func (s *Source) watchNamespaces() *watched {
	return &watched{source: s, kind: kindNamespace, resource: schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}, optional: true}
}

// nonNil returns labels, or an empty set: nil means that a namespace is gone.
func nonNil(labels map[string]string) map[string]string {
	if labels == nil {
		return map[string]string{}
	}
	return labels
}

// putLabels notes labels of a namespace.
func (s *Source) putLabels(c *change) {
	if c.labels == nil {
		delete(s.labels, c.namespace)
		return
	}
	s.labels[c.namespace] = c.labels
}

// useLabels hands the labels to the objects, where they have changed.
func (s *Source) useLabels() {
	if maps.EqualFunc(s.labels, s.usedLabels, maps.Equal[map[string]string, map[string]string]) {
		return
	}
	s.usedLabels = maps.Clone(s.labels)
	seen := s.usedLabels
	if home, known := seen[s.o.Home]; known {
		seen = maps.Clone(seen)
		seen[""] = home
	}
	s.objects.SetLabels(seen)
}
