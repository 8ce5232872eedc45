package kube

import (
	"encoding/json"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/patgate/patgate/ruleset"
)

// object is what is kept of an object: its manifest, and what a Reflector needs to know of it.
type object struct {
	metav1.TypeMeta
	metav1.ObjectMeta
	data []byte
}

// DeepCopyObject implements runtime.Object. No one changes an object.
func (o *object) DeepCopyObject() runtime.Object { return o }

// objects is a list of them.
type objects struct {
	metav1.TypeMeta
	metav1.ListMeta
	Items []object
}

// DeepCopyObject implements runtime.Object.
func (l *objects) DeepCopyObject() runtime.Object { return l }

// cut reduces an object to its manifest: managedFields, status and the like take several times as much. The
// bookmark that ends a list keeps its annotations.
func cut(u *unstructured.Unstructured) *object {
	o := &object{ObjectMeta: metav1.ObjectMeta{
		Name: u.GetName(), Namespace: u.GetNamespace(), UID: u.GetUID(), ResourceVersion: u.GetResourceVersion(),
		CreationTimestamp: u.GetCreationTimestamp(), DeletionTimestamp: u.GetDeletionTimestamp(),
	}}
	if o.Name == "" {
		o.Annotations = u.GetAnnotations()
		return o
	}
	spec, given := u.Object["spec"]
	manifest := map[string]any{"apiVersion": u.GetAPIVersion(), "kind": u.GetKind(), "metadata": map[string]any{"name": o.Name}}
	if given {
		manifest["spec"] = spec
	}
	o.data, _ = json.Marshal(manifest) // of what was JSON a moment ago
	return o
}

// cutAll is cut for a list.
func cutAll(l *unstructured.UnstructuredList) *objects {
	list := &objects{ListMeta: metav1.ListMeta{
		ResourceVersion: l.GetResourceVersion(), Continue: l.GetContinue(), RemainingItemCount: l.GetRemainingItemCount(),
	}, Items: make([]object, len(l.Items))}
	for i := range l.Items {
		list.Items[i] = *cut(&l.Items[i])
		l.Items[i].Object = nil
	}
	return list
}

// manifest returns the object as a set of rules takes it.
func (o *object) manifest(kind string) ruleset.Object {
	return ruleset.Object{
		Kind: kind, Namespace: o.Namespace, Name: o.Name, UID: string(o.UID), Created: o.CreationTimestamp.UTC().Truncate(time.Second), Data: o.data,
	}
}
