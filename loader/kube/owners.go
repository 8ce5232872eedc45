package kube

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/tokens"
)

// difference is what a change makes of a token.
type difference struct{ before, after *edit.Parsed }

// field is a key of the spec, or an annotation of patgate, that a change sets or removes.
type field struct {
	key        string
	annotation bool
	value      any // nil: it is removed
}

// fields lists what differs.
func (d *difference) fields() (list []field) {
	spec := func(key string) {
		if before, after := d.before.Spec[key], d.after.Spec[key]; !reflect.DeepEqual(before, after) {
			list = append(list, field{key, false, after})
		}
	}
	annotation := func(key string) {
		before, was := d.before.Annotations[key]
		after, is := d.after.Annotations[key]
		switch {
		case is && (!was || before != after):
			list = append(list, field{key, true, after})
		case was && !is:
			list = append(list, field{key, true, nil})
		}
	}
	for _, key := range union(d.before.Spec, d.after.Spec) {
		spec(key)
	}
	for _, key := range union(d.before.Annotations, d.after.Annotations) {
		annotation(key)
	}
	return list
}

// union returns the keys of two maps in their order.
func union[V any](a, b map[string]V) (keys []string) {
	for key := range a {
		keys = append(keys, key)
	}
	for key := range b {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// ends reports whether a field is one that ends or stops a token: it is written whoever the field belongs to.
func (f *field) ends() bool {
	return f.key == "revoked" && f.value != nil || f.key == "suspended" && f.value == true || f.annotation && f.key == tokens.SuspendedByAnnotation
}

// name is the field as people know it.
func (f *field) name() string {
	if f.annotation {
		return "metadata.annotations." + f.key
	}
	return "spec." + f.key
}

// path leads to the field among those of managedFields.
func (f *field) path() []string {
	if f.annotation {
		return []string{"f:metadata", "f:annotations", "f:" + f.key}
	}
	return []string{"f:spec", "f:" + f.key}
}

// owned are the fields that a manager has of an object.
func owned(entry *metav1.ManagedFieldsEntry) map[string]any {
	fields := map[string]any{}
	if entry.FieldsV1 != nil {
		_ = json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields)
	}
	return fields
}

// has reports whether fields have a path.
func has(fields map[string]any, path []string) bool {
	for _, key := range path {
		next, ok := fields[key].(map[string]any)
		if !ok {
			return false
		}
		fields = next
	}
	return true
}

// owner returns the other manager that owns a field; empty: none.
func owner(live *unstructured.Unstructured, f *field) string {
	for _, entry := range live.GetManagedFields() {
		if entry.Manager != Manager && entry.Subresource == "" && has(owned(&entry), f.path()) {
			return entry.Manager
		}
	}
	return ""
}

// write makes a change by server-side apply. The object must be what it was when it was read: its version is compared.
// So is who its fields belong to, and force takes none from another manager that was not seen.
func (s *Store) write(ctx context.Context, live *unstructured.Unstructured, d *difference, dry bool) (tokens.Receipt, error) {
	fields := d.fields()
	for i := range fields {
		if by := owner(live, &fields[i]); by != "" && !fields[i].ends() {
			return tokens.Receipt{}, ownedElsewhere(live.GetName(), &fields[i], by)
		}
	}
	written := live
	var err error
	if !dry {
		if written, err = s.own(ctx, live, fields); err != nil {
			return tokens.Receipt{}, writeError(live.GetName(), err)
		}
	}
	if written, err = s.apply(ctx, written, fields, dry); err != nil {
		return tokens.Receipt{}, writeError(live.GetName(), err)
	}
	receipt := s.receipt(written)
	if dry {
		return receipt, nil
	}
	receipt.Undo = func(ctx context.Context) error { return s.undo(ctx, live.GetName(), receipt.Revision, d) }
	s.follow(ctx, written)
	return receipt, nil
}

func ownedElsewhere(name string, f *field, by string) error {
	return tokens.Refuse(tokens.NotEditable, f.key,
		"%s of the token %s belongs to %s, which would write its own value again: change it where %s gets it from, such as Git, or let %s give the field up. A revocation or suspension is always written",
		f.name(), name, by, by, by)
}

// undo writes back what was there, where it has not changed since.
func (s *Store) undo(ctx context.Context, name string, is tokens.Revision, d *difference) error {
	live, err := s.apitokens.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if s.receipt(live).Revision != is {
		return &tokens.ConflictError{File: idOf(name)}
	}
	_, err = s.write(ctx, live, &difference{d.after, d.before}, false)
	return err
}

// apply applies the fields that are ours, with the changed ones.
func (s *Store) apply(ctx context.Context, live *unstructured.Unstructured, fields []field, dry bool) (*unstructured.Unstructured, error) {
	u := s.object(live.GetName())
	u.SetResourceVersion(live.GetResourceVersion())
	ours := ownPart(live)
	spec, annotations := ours.Spec, ours.Annotations
	for _, f := range fields {
		switch {
		case f.annotation && f.value == nil:
			delete(annotations, f.key)
		case f.annotation:
			annotations[f.key], _ = f.value.(string)
		case f.value == nil:
			delete(spec, f.key)
		default:
			spec[f.key] = f.value
		}
	}
	if len(annotations) > 0 {
		u.SetAnnotations(annotations)
	}
	if len(spec) > 0 {
		u.Object["spec"] = spec
	}
	return s.apitokens.Apply(ctx, live.GetName(), u, metav1.ApplyOptions{FieldManager: Manager, Force: true, DryRun: dryRun(dry)})
}

// ownPart returns what belongs to the management of an object.
func ownPart(live *unstructured.Unstructured) *edit.Parsed {
	p := &edit.Parsed{Annotations: map[string]string{}, Spec: map[string]any{}}
	for _, entry := range live.GetManagedFields() {
		if entry.Manager != Manager || entry.Operation != metav1.ManagedFieldsOperationApply || entry.Subresource != "" {
			continue
		}
		fields := owned(&entry)
		if spec, ok := part(live.Object["spec"], fields["f:spec"]).(map[string]any); ok {
			p.Spec = spec
		}
		metadata, _ := fields["f:metadata"].(map[string]any)
		for key, text := range live.GetAnnotations() {
			if has(metadata, []string{"f:annotations", "f:" + key}) {
				p.Annotations[key] = text
			}
		}
	}
	return p
}

// part returns the part of a value that fields of managedFields name. Of a list it is the whole.
func part(value, fields any) any {
	of, isMap := value.(map[string]any)
	names, named := fields.(map[string]any)
	if !isMap || !named {
		return value
	}
	if len(names) == 0 {
		return value // a map that is kept as one value
	}
	got := map[string]any{}
	for name, inner := range names {
		key, isField := strings.CutPrefix(name, "f:")
		if child, there := of[key]; isField && there {
			got[key] = part(child, inner)
		}
	}
	return got
}

// own makes the management the one that applies what it owns, before it changes it: a field is removed by who applies
// it no longer. What the management has created is its own by an update, until then; a field of an object whose owners
// were forgotten is nobody's.
func (s *Store) own(ctx context.Context, live *unstructured.Unstructured, fields []field) (*unstructured.Unstructured, error) {
	live, err := s.ownCreated(ctx, live)
	if err != nil {
		return nil, err
	}
	ours := ownPart(live)
	var missing []field
	for _, f := range fields {
		_, ofSpec := ours.Spec[f.key]
		_, ofAnnotations := ours.Annotations[f.key]
		if f.value != nil || f.annotation && ofAnnotations || !f.annotation && ofSpec {
			continue
		}
		if f.annotation {
			f.value = live.GetAnnotations()[f.key]
		} else {
			f.value, _, _ = unstructured.NestedFieldCopy(live.Object, "spec", f.key)
		}
		missing = append(missing, f)
	}
	if len(missing) == 0 {
		return live, nil
	}
	return s.apply(ctx, live, missing, false)
}

// ownCreated turns what the management owns by an update into what it owns by apply.
func (s *Store) ownCreated(ctx context.Context, live *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	entries := live.GetManagedFields()
	i := slices.IndexFunc(entries, func(e metav1.ManagedFieldsEntry) bool {
		return e.Manager == Manager && e.Operation == metav1.ManagedFieldsOperationUpdate && e.Subresource == ""
	})
	applies := slices.ContainsFunc(entries, func(e metav1.ManagedFieldsEntry) bool {
		return e.Manager == Manager && e.Operation == metav1.ManagedFieldsOperationApply && e.Subresource == ""
	})
	if i < 0 || applies {
		return live, nil
	}
	entries[i].Operation = metav1.ManagedFieldsOperationApply
	patch, err := json.Marshal([]map[string]any{
		{"op": "replace", "path": "/metadata/managedFields", "value": entries},
		{"op": "replace", "path": "/metadata/resourceVersion", "value": live.GetResourceVersion()},
	})
	if err != nil {
		return nil, err
	}
	return s.apitokens.Patch(ctx, live.GetName(), types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: Manager})
}
