package kube

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/token"
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
	s.mu.Lock()
	s.running = list
	s.mu.Unlock()
	if s.o.Decided != nil {
		s.o.Decided(s.objects.Decisions())
	}
}

// add hands on a change. What a watch says after its list is complete names the version up to which it has come.
func (w *watched) add(u *unstructured.Unstructured, c change) {
	if u != nil && w.complete {
		c.of, c.version = w, u.GetResourceVersion()
	}
	w.source.queue.add(c)
}

// Observed is a version of an object, or that it is gone.
type Observed struct {
	ID     string                     // Kind/NAMESPACE/NAME
	Object *unstructured.Unstructured // nil: it is gone
}

func (w *watched) observe(id string, u *unstructured.Unstructured) {
	if w.source.o.Observe != nil {
		w.source.o.Observe(Observed{id, u})
	}
}

// valuesOf returns the values that a controller made for a token, and none where its status holds something else.
func valuesOf(kind string, u *unstructured.Unstructured) (values []manifest.Value) {
	_, has, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", "secret")
	if kind != manifest.KindAPIToken || !has {
		return nil
	}
	list, _, _ := unstructured.NestedFieldNoCopy(u.Object, "status", "values")
	text, _ := json.Marshal(list) // of what was JSON a moment ago
	values, err := ParseValues(text)
	if err != nil {
		return nil
	}
	return values
}

// ParseValues reads status.values of a token.
func ParseValues(text []byte) ([]manifest.Value, error) {
	var list []struct {
		Digest string
		Issued time.Time
		Until  time.Time
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, err
	}
	var values []manifest.Value
	for _, v := range list {
		digest, err := token.ParseDigest(v.Digest)
		if err != nil {
			return nil, err
		}
		values = append(values, manifest.Value{Digest: digest, Issued: v.Issued, Until: v.Until})
	}
	return values, nil
}
