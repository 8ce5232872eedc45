package kube

import (
	"encoding/json"
	"time"
	"unique"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

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
func manifestOf(kind string, u *unstructured.Unstructured) ruleset.Object {
	data, _ := json.Marshal(u.Object["spec"]) // of what was JSON a moment ago
	return ruleset.Object{
		Generation: u.GetGeneration(), Values: valuesOf(kind, u),
		Kind: kind, Namespace: unique.Make(u.GetNamespace()).Value(), Name: u.GetName(), UID: string(u.GetUID()),
		Created: u.GetCreationTimestamp().UTC().Truncate(time.Second), Spec: data,
	}
}
