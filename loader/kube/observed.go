package kube

import (
	"encoding/json"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/token"
)

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
