package kube

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validate/content"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
	"github.com/patgate/patgate/tokens"
)

// Manager is the name under which fields of objects belong to the management.
const Manager = "patgate-manage"

// followWithin is how long a change waits until the documents have it.
const followWithin = 2 * time.Second

// Store keeps tokens as the APIToken objects of one namespace, and implements tokens.Store and tokens.Documents. There
// is nothing beside the objects. It follows them as a server does, and reads the one to change from the API server.
//
// Objects, names and rights are those of the namespace, as if it were a directory: a group of it gives rights here. A
// token's revision is the digest of its spec and of patgate's annotations, so that a status does not change it; what is
// written is compared and swapped by the object's resourceVersion.
type Store struct {
	*Source

	index     *policy.Index
	apitokens dynamic.ResourceInterface

	creating sync.Mutex
	mu       sync.Mutex
	written  string // the last version of the cluster that this process has written
}

var namespaceName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// NewStore returns a store of the tokens of Options.Home. Run makes it follow them.
func NewStore(o Options) (*Store, error) {
	if !namespaceName.MatchString(o.Home) {
		return nil, fmt.Errorf("%q is no name of a namespace, expected lower-case letters, digits and `-`", o.Home)
	}
	s := &Store{index: policy.NewIndex()}
	var err error
	s.Source, err = New(s.index, o, s.changed, s.faulted)
	if err != nil {
		return nil, err
	}
	s.apitokens = s.client.Resource(schema.GroupVersionResource{Group: group, Version: version, Resource: "apitokens"}).Namespace(o.Home)
	return s, nil
}

func (s *Store) changed(r Report) {
	if r.Err != nil {
		s.o.Logger.Error("the objects can't be followed", "error", r.Err)
	}
}

func (s *Store) faulted(faults []ruleset.Fault) {
	for _, f := range faults {
		if f.Problem != "" {
			s.o.Logger.Warn("the object is not accepted", "object", f.Object, "problem", f.Problem)
		}
	}
}

// Snapshot returns what the objects decide.
func (s *Store) Snapshot() *policy.Snapshot { return s.index.Snapshot() }

// Documents returns the accepted objects.
func (s *Store) Documents(context.Context) (*ruleset.Set, error) { return s.documents.current(), nil }

// FileFor returns how problems call a new token.
func (s *Store) FileFor(name string) (string, error) {
	id := idOf(name)
	if _, known := s.documents.current().File(id); !known && s.documents.isTaken(id) {
		return "", tokens.Refuse(tokens.NameTaken, "name", "an object that is not accepted has the name %s: expected another one", name)
	}
	return id, nil
}

func idOf(name string) string { return manifest.KindAPIToken + "/" + name }

// Exclusive lets one creation of this process at a time happen. What other processes create meanwhile, TokensOf counts.
func (s *Store) Exclusive(context.Context) (release func(), err error) {
	s.creating.Lock()
	return s.creating.Unlock, nil
}

// TokensOf returns the tokens of a user that are accepted, or not decided about yet, by the API server's own state. Those with
// a secret are the controller's.
func (s *Store) TokensOf(ctx context.Context, user string) ([]*manifest.APIToken, error) {
	list, err := s.apitokens.List(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("spec.user", user).String()})
	if err != nil {
		return nil, &tokens.UnavailableError{Err: fmt.Errorf("the tokens of the user can't be counted: %w", err)}
	}
	var held []*manifest.APIToken
	for i := range list.Items {
		live := &list.Items[i]
		_, secret, _ := unstructured.NestedFieldNoCopy(live.Object, "spec", "secret")
		if secret || s.documents.isRefused(idOf(live.GetName())) {
			continue
		}
		stored, err := s.stored(live)
		if err != nil {
			return nil, err
		}
		held = append(held, stored.Document.APIToken)
	}
	return held, nil
}

// Get reads a token from the API server.
func (s *Store) Get(ctx context.Context, name string) (*tokens.Stored, error) {
	live, err := s.apitokens.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, s.readError(name, err)
	}
	return s.stored(live)
}

// readError is why an object can't be read.
func (s *Store) readError(name string, err error) error {
	if apierrors.IsNotFound(err) || len(content.IsPathSegmentName(name)) > 0 {
		return &tokens.UnknownError{Name: name, Names: s.documents.current().TokenNames()}
	}
	return &tokens.UnavailableError{Err: fmt.Errorf("the token can't be read: %w", err)}
}

// stored is an object as a document.
func (s *Store) stored(live *unstructured.Unstructured) (*tokens.Stored, error) {
	m := s.o.manifestOf(manifest.KindAPIToken, live)
	annotations := s.o.annotationsOf(live)
	text, err := textOf(&m, annotations)
	if err != nil {
		return nil, err
	}
	doc, err := tokenIn(m.ID(), m.Name, text)
	if err != nil {
		return nil, err
	}
	return &tokens.Stored{Document: doc, File: m.ID(), Data: text, Revision: revisionOf(&m, annotations)}, nil
}

// revisionOf is the digest of what people and patgate write into an object.
func revisionOf(m *ruleset.Object, annotations []byte) tokens.Revision {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%s\n%s\n%s", m.UID, m.Spec, annotations)
	return tokens.Revision(hex.EncodeToString(h.Sum(nil)))
}

// Apply makes a change of a token's object, or creates it. It waits until Documents have the change.
func (s *Store) Apply(ctx context.Context, name string, was tokens.Revision, change *edit.Change) (tokens.Receipt, error) {
	live, err := s.apitokens.Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err) && change.Create != nil && was == "":
		return s.create(ctx, name, change)
	case err != nil:
		return tokens.Receipt{}, s.readError(name, err)
	}
	stored, err := s.stored(live)
	switch {
	case err != nil:
		return tokens.Receipt{}, err
	case change.Create != nil || stored.Revision != was:
		return tokens.Receipt{}, &tokens.ConflictError{File: stored.File}
	}
	text, err := change.Apply(stored.File, stored.Data, name)
	if err != nil {
		return tokens.Receipt{}, &tokens.RefusedError{Code: tokens.NotEditable, Reasons: []string{err.Error()}}
	}
	before, err := edit.Parse(stored.File, stored.Data, name)
	if err != nil {
		return tokens.Receipt{}, err
	}
	after, err := edit.Parse(stored.File, text, name)
	if err != nil {
		return tokens.Receipt{}, err
	}
	return s.write(ctx, live, &difference{before, after}, change.DryRun)
}

// create creates an object. A name that another process has taken meanwhile is a conflict, which server-side apply
// would not notice.
func (s *Store) create(ctx context.Context, name string, change *edit.Change) (tokens.Receipt, error) {
	text, err := change.Create.YAML()
	if err != nil {
		return tokens.Receipt{}, &tokens.RefusedError{Code: tokens.Invalid, Reasons: []string{err.Error()}}
	}
	p, err := edit.Parse(idOf(name), text, name)
	if err != nil {
		return tokens.Receipt{}, err
	}
	u := s.object(name)
	u.SetAnnotations(p.Annotations)
	u.Object["spec"] = p.Spec
	made, err := s.apitokens.Create(ctx, u, metav1.CreateOptions{FieldManager: Manager, FieldValidation: "Strict", DryRun: dryRun(change.DryRun)})
	if apierrors.IsAlreadyExists(err) {
		return tokens.Receipt{}, &tokens.ConflictError{File: idOf(name)}
	}
	if err != nil {
		return tokens.Receipt{}, writeError(name, err)
	}
	receipt := s.receipt(made)
	if change.DryRun {
		return receipt, nil
	}
	receipt.Undo = func(ctx context.Context) error { return s.remove(ctx, made) }
	s.follow(ctx, made)
	return receipt, nil
}

// object returns an object of the namespace without content.
func (s *Store) object(name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": manifest.APIVersion, "kind": manifest.KindAPIToken, "metadata": map[string]any{"name": name, "namespace": s.o.Home},
	}}
}

// remove deletes an object that is what it was when it was made.
func (s *Store) remove(ctx context.Context, made *unstructured.Unstructured) error {
	live, err := s.apitokens.Get(ctx, made.GetName(), metav1.GetOptions{})
	if err != nil {
		return err
	}
	if s.receipt(live).Revision != s.receipt(made).Revision {
		return &tokens.ConflictError{File: idOf(made.GetName())}
	}
	uid, version := live.GetUID(), live.GetResourceVersion()
	err = s.apitokens.Delete(ctx, made.GetName(), metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version}})
	if err != nil {
		return err
	}
	return s.awaitGone(ctx, made.GetName())
}

// awaitGone waits until a deleted token is in the documents no more.
func (s *Store) awaitGone(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, followWithin)
	defer cancel()
	if !s.published.await(ctx, func() bool { return !s.documents.isTaken(idOf(name)) }) {
		return ctx.Err()
	}
	return nil
}

func dryRun(dry bool) []string {
	if dry {
		return []string{metav1.DryRunAll}
	}
	return nil
}

func (s *Store) receipt(u *unstructured.Unstructured) tokens.Receipt {
	m := s.o.manifestOf(manifest.KindAPIToken, u)
	return tokens.Receipt{File: m.ID(), Revision: revisionOf(&m, s.o.annotationsOf(u))}
}

// follow waits until the documents have what was written.
func (s *Store) follow(ctx context.Context, written *unstructured.Unstructured) {
	s.mu.Lock()
	s.written = written.GetResourceVersion()
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, followWithin)
	defer cancel()
	s.Follows(ctx, s.o.Home, written.GetResourceVersion())
}

// Written returns the last version of the cluster that this process has written; empty: none.
func (s *Store) Written() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written
}

// writeError is why an object can't be written, as people may know it.
func writeError(name string, err error) error {
	var status apierrors.APIStatus
	switch {
	case apierrors.IsConflict(err):
		return &tokens.ConflictError{File: idOf(name)}
	case apierrors.IsInvalid(err), errors.As(err, &status) && strings.Contains(status.Status().Message, "ValidatingAdmissionPolicy"):
		return &tokens.RefusedError{Code: tokens.Invalid, Reasons: append([]string{"The cluster refuses it:"}, causes(err)...)}
	case apierrors.IsForbidden(err):
		return &tokens.UnavailableError{Err: fmt.Errorf("the management may not write tokens, expected the right to create and patch apitokens: %w", err)}
	}
	return &tokens.UnavailableError{Err: fmt.Errorf("the token can't be written: %w", err)}
}

// causes lists what the API server has against an object.
func causes(err error) (list []string) {
	var status apierrors.APIStatus
	if errors.As(err, &status) && status.Status().Details != nil {
		for _, c := range status.Status().Details.Causes {
			list = append(list, strings.TrimPrefix(c.Field+": "+c.Message, ": "))
		}
	}
	if len(list) == 0 {
		list = []string{err.Error()}
	}
	return list
}
