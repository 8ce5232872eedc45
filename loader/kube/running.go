package kube

import (
	"cmp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Running says up to which version the objects of a kind run: all changes of it and of those before have taken effect.
type Running struct {
	Kind            string `json:"kind"`
	Namespace       string `json:"namespace,omitempty"` // empty: every namespace
	ResourceVersion string `json:"resourceVersion"`
}

// Running returns the versions that run, once all objects were listed.
func (s *Source) Running() []Running {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running
}

// publish says that all changes which were taken run.
func (s *Source) publish() {
	var list []Running
	for w, version := range s.reached {
		if w.kind != kindNamespace {
			list = append(list, Running{w.kind, w.namespace, version})
		}
	}
	slices.SortFunc(list, func(a, b Running) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Namespace, b.Namespace))
	})
	s.documents.decide(s.objects)
	s.mu.Lock()
	s.running = list
	s.mu.Unlock()
	s.published.notify()
	if s.o.Decided != nil {
		s.o.Decided(s.objects.Decisions())
	}
}

// add hands on a change. What a watch says after its list is complete names the version up to which it has come.
func (w *watched) add(u *unstructured.Unstructured, c change) {
	if u != nil && !w.listing {
		c.of, c.version = w, u.GetResourceVersion()
	}
	w.source.queue.add(c)
}
