package controller

import (
	"context"
	"encoding/base64"
	"maps"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

var secretResource = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}

// secretType is the type of the Secrets that are made here.
const secretType = "kubernetes.io/basic-auth"

// secretState describes the object with the name of a token's Secret.
type secretState struct {
	state  int
	digest token.Digest // of the value in an intact one
	object *unstructured.Unstructured
}

// The states of a Secret. One that was edited is of this token, and does not hold what was written.
const (
	absent = iota
	intact
	edited
	foreign
	forbidden
)

// lookUp looks at the Secret of a token.
func (c *Controller) lookUp(ctx context.Context, o *object) (secretState, error) {
	u, err := c.client.Resource(secretResource).Namespace(o.namespace).Get(ctx, o.secret.Name.Text, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return secretState{state: absent}, nil
	case apierrors.IsForbidden(err):
		return secretState{state: forbidden}, nil
	case err != nil:
		return secretState{}, err
	}
	found := secretState{state: foreign, object: u}
	if isOf(u, o) {
		found.state = edited
		if value, ok := valueIn(u, o.user); ok {
			found.state, found.digest = intact, token.Sum(value)
		}
	}
	return found, nil
}

// isOf reports whether a Secret was made for a token.
func isOf(u *unstructured.Unstructured, o *object) bool {
	kind, _, _ := unstructured.NestedString(u.Object, "type")
	owner := metav1.GetControllerOfNoCopy(u)
	return kind == secretType && owner != nil && owner.Kind == o.kind && string(owner.UID) == o.uid && u.GetDeletionTimestamp() == nil
}

// valueIn returns the value that a Secret holds, if it holds it as it was written.
func valueIn(u *unstructured.Unstructured, user string) (token.Secret, bool) {
	data, _, _ := unstructured.NestedStringMap(u.Object, "data")
	decoded, err := base64.StdEncoding.DecodeString(data["token"])
	if err != nil {
		return token.Secret{}, false
	}
	value := token.NewSecret(string(decoded))
	for _, scheme := range []policy.Scheme{policy.Basic, policy.Bearer} {
		if maps.Equal(data, secretData(value, user, scheme)) {
			return value, true
		}
	}
	return token.Secret{}, false
}

// secretData returns the data of a Secret: the value, alone and in the forms that programs read.
func secretData(value token.Secret, user string, scheme policy.Scheme) map[string]string {
	plain := value.Reveal()
	authorization := "Bearer " + plain
	if scheme == policy.Basic {
		authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+plain))
	}
	data := map[string]string{}
	for key, text := range map[string]string{"token": plain, "username": user, "password": plain, "authorization": authorization} {
		data[key] = base64.StdEncoding.EncodeToString([]byte(text))
	}
	return data
}

// writeSecret writes the value that waits into the token's Secret. A Secret that is not of this token stays as it is.
func (c *Controller) writeSecret(ctx context.Context, o *object, row *policy.Token) error {
	found, err := c.lookUp(ctx, o)
	if err != nil {
		return err
	}
	if found.state == foreign || found.state == forbidden {
		return errAgain // the condition says so
	}
	data := map[string]any{}
	for key, text := range secretData(o.pending.value, o.user, c.scheme(row)) {
		data[key] = text
	}
	secrets := c.client.Resource(secretResource).Namespace(o.namespace)
	if found.state == absent {
		_, err = secrets.Create(ctx, newSecret(o, data), metav1.CreateOptions{FieldManager: Manager})
	} else {
		found.object.Object["data"] = data
		_, err = secrets.Update(ctx, found.object, metav1.UpdateOptions{FieldManager: Manager})
	}
	if apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return errAgain
	}
	return err
}

// newSecret is a Secret that goes when its token goes.
func newSecret(o *object, data map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": secretType, "data": data,
		"metadata": map[string]any{
			"name": o.secret.Name.Text, "namespace": o.namespace, "labels": map[string]any{"app.kubernetes.io/managed-by": "patgate"},
			"ownerReferences": []any{map[string]any{
				"apiVersion": manifest.APIVersion, "kind": o.kind, "name": o.name, "uid": o.uid, "controller": true,
			}},
		},
	}}
}

// scheme returns the scheme for the value of a token: Basic, unless its gates or the token itself take Bearer only.
func (c *Controller) scheme(row *policy.Token) policy.Scheme {
	if !row.Takes(policy.Basic) {
		return policy.Bearer
	}
	var taken policy.Schemes
	for _, g := range c.index.Snapshot().Gates() {
		if row.For(g) && !g.Invalid {
			taken |= g.Schemes
		}
	}
	if taken.Has(policy.Bearer) && !taken.Has(policy.Basic) {
		return policy.Bearer
	}
	return policy.Basic
}
