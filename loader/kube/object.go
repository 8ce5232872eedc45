package kube

import (
	"encoding/json"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
	"unique"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/ruleset"
)

// stub is what a Reflector sees of an object: the version up to which it has followed. All stubs have one name, so that
// it keeps none of the objects of a long list.
type stub struct {
	metav1.TypeMeta
	metav1.ObjectMeta
}

// DeepCopyObject implements runtime.Object. No one changes a stub.
func (o *stub) DeepCopyObject() runtime.Object { return o }

// stubs is a list of them.
type stubs struct {
	metav1.TypeMeta
	metav1.ListMeta
	Items []stub
}

// DeepCopyObject implements runtime.Object.
func (l *stubs) DeepCopyObject() runtime.Object { return l }

// stubOf returns the stub of an object. That of the bookmark which ends a list keeps its annotations.
func stubOf(u *unstructured.Unstructured) *stub {
	s := &stub{ObjectMeta: metav1.ObjectMeta{Name: "stub", ResourceVersion: u.GetResourceVersion()}}
	if u.GetName() == "" {
		s.Annotations = u.GetAnnotations()
	}
	return s
}

// manifestOf reduces an object to its manifest: managedFields, status and the like take several times as much.
func (o *Options) manifestOf(kind string, u *unstructured.Unstructured) ruleset.Object {
	spec := u.Object["spec"]
	if o.Home != "" {
		spec = o.seenSpec(spec)
	}
	data, _ := json.Marshal(spec) // of what was JSON a moment ago
	return ruleset.Object{
		Generation: u.GetGeneration(), Values: valuesOf(kind, u),
		Kind: kind, Namespace: unique.Make(o.seenAs(u.GetNamespace())).Value(), Name: u.GetName(), UID: string(u.GetUID()),
		Created: u.GetCreationTimestamp().UTC().Truncate(time.Second), Spec: data,
	}
}

// annotationsOf returns the annotations of an object that are patgate's, as JSON; nil: none, or they are not kept.
func (o *Options) annotationsOf(u *unstructured.Unstructured) []byte {
	if o.Home == "" {
		return nil
	}
	own := map[string]string{}
	for key, text := range u.GetAnnotations() {
		if strings.HasPrefix(key, group+"/") {
			own[key] = text
		}
	}
	if len(own) == 0 {
		return nil
	}
	text, _ := json.Marshal(own) // of texts
	return text
}

// seenAs returns the namespace that an object has here.
func (o *Options) seenAs(namespace string) string {
	if namespace == o.Home {
		return ""
	}
	return namespace
}

// seenSpec returns a spec in which what names Home by its name names it as it is seen here.
func (o *Options) seenSpec(spec any) any {
	fields, ok := spec.(map[string]any)
	if !ok {
		return spec
	}
	seen := maps.Clone(fields)
	for _, key := range []string{"gates", "policies", "groups"} {
		if list, ok := seen[key].([]any); ok {
			seen[key] = slices.Collect(o.seenNames(list))
		}
	}
	if from, ok, _ := unstructured.NestedString(fields, "tokensFrom", "namespaces", "matchLabels", manifest.NameLabel); ok && from == o.Home {
		seen["tokensFrom"] = map[string]any{"namespaces": map[string]any{"matchLabels": o.seenLabels(fields)}}
	}
	return seen
}

// seenNames returns references, those to objects of Home without its name.
func (o *Options) seenNames(list []any) iter.Seq[any] {
	return func(yield func(any) bool) {
		for _, item := range list {
			if name, ok := item.(string); ok {
				item = strings.TrimPrefix(name, o.Home+"/")
			}
			if !yield(item) {
				return
			}
		}
	}
}

// seenLabels returns the labels of tokensFrom, which select Home by its name.
func (o *Options) seenLabels(spec map[string]any) map[string]any {
	labels, _, _ := unstructured.NestedMap(spec, "tokensFrom", "namespaces", "matchLabels")
	labels[manifest.NameLabel] = o.seenAs(o.Home)
	return labels
}
