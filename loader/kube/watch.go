package kube

import (
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/patgate/patgate/ruleset"
)

// watched is a kind of objects in one namespace, or in all, and the watch of it.
type watched struct {
	source    *Source
	kind      string
	namespace string
	resource  schema.GroupVersionResource

	mu     sync.Mutex
	sign   time.Time // of the last sign of life
	open   bool      // the watch is
	failed *string   // the reason of the last failure that was logged; nil: none since the watch was open
	known  map[string]bool
}

// retry is the pause before a list or watch that failed: jittered, and short enough that a revocation counts within a
// second after the cluster is back.
func retry() *wait.Backoff {
	return &wait.Backoff{Duration: 50 * time.Millisecond, Cap: 400 * time.Millisecond, Factor: 2, Jitter: 1, Steps: 4}
}

// run lists and watches until ctx is done.
func (w *watched) run(ctx context.Context) {
	w.known = map[string]bool{}
	w.seen(false)
	r := cache.NewReflectorWithOptions(&cache.ListWatch{ListWithContextFunc: w.list, WatchFuncWithContext: w.watch}, nil, store{w}, cache.ReflectorOptions{
		Name: "patgate", TypeDescription: w.kind, Backoff: retry(),
	})
	r.RunWithContext(ctx)
}

// list asks for a page of the objects.
func (w *watched) list(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	l, err := w.source.client.Resource(w.resource).Namespace(w.namespace).List(ctx, o)
	if err != nil {
		w.failure(ctx, err)
		return nil, err
	}
	return cutAll(l), nil
}

// watch begins to watch. Objects are cut down before the Reflector keeps them.
func (w *watched) watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	in, err := w.source.client.Resource(w.resource).Namespace(w.namespace).Watch(ctx, o)
	if err != nil {
		w.failure(ctx, err)
		return nil, err
	}
	w.seen(true)
	return &following{watched: w, Interface: watch.Filter(in, func(e watch.Event) (watch.Event, bool) {
		if u, ok := e.Object.(*unstructured.Unstructured); ok && e.Type != watch.Error {
			e.Object = cut(u)
			w.seen(true)
		}
		return e, true
	})}, nil
}

// following is a watch that notes its end.
type following struct {
	watch.Interface
	watched *watched
	end     sync.Once
}

// Stop implements watch.Interface.
func (f *following) Stop() {
	f.end.Do(func() {
		f.watched.mu.Lock()
		f.watched.open = false
		f.watched.mu.Unlock()
	})
	f.Interface.Stop()
}

// seen notes a sign of life, and whether the watch is open.
func (w *watched) seen(open bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sign, w.open = w.source.o.Now(), open
	if open && w.failed != nil {
		w.source.o.Logger.Info("the cluster's objects are watched again", "kind", w.kind)
		w.failed = nil
	}
}

// failure logs why objects can't be listed or watched, once for each cause. What only people can change, such as
// rights, is asked for less often.
func (w *watched) failure(ctx context.Context, err error) {
	w.logFailure(err)
	if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsNotFound(err) {
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func (w *watched) logFailure(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open = false
	cause := string(apierrors.ReasonForError(err))
	if w.failed != nil && *w.failed == cause {
		return
	}
	w.failed = &cause
	w.source.o.Logger.Error("the cluster's objects can't be watched", "kind", w.kind, "namespace", w.namespace, "error", err.Error(),
		"since", w.source.o.Now().Sub(w.sign).Round(time.Millisecond).String())
}

func (w *watched) lastSign() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sign
}

func (w *watched) isOpen() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.open
}

// store hands on what a Reflector finds. It keeps only which objects there are.
type store struct{ *watched }

var _ cache.ReflectorStore = store{}

// Add implements cache.ReflectorStore.
func (s store) Add(raw any) error { return s.set(raw) }

// Update implements cache.ReflectorStore.
func (s store) Update(raw any) error { return s.set(raw) }

func (s store) set(raw any) error {
	o, ok := raw.(*object)
	if !ok {
		return fmt.Errorf("an object of type %T", raw)
	}
	m := o.manifest(s.kind)
	if o.DeletionTimestamp != nil && s.kind == "APIToken" {
		return s.delete(m) // it waits for finalizers, and has ended
	}
	s.known[m.ID()] = true
	s.source.queue.add(change{set: &m})
	return nil
}

// Delete implements cache.ReflectorStore.
func (s store) Delete(raw any) error {
	o, ok := raw.(*object)
	if !ok {
		return fmt.Errorf("an object of type %T", raw)
	}
	return s.delete(o.manifest(s.kind))
}

func (s store) delete(m ruleset.Object) error {
	delete(s.known, m.ID())
	s.source.queue.add(change{gone: m.ID()})
	return nil
}

// Replace implements cache.ReflectorStore.
func (s store) Replace(list []any, _ string) error {
	before := s.known
	s.watched.known = make(map[string]bool, len(list))
	for i, raw := range list {
		if err := s.set(raw); err != nil {
			return err
		}
		list[i] = nil
	}
	for id := range before {
		if !s.watched.known[id] {
			s.source.queue.add(change{gone: id})
		}
	}
	s.source.queue.add(change{listed: s.watched})
	return nil
}

// Resync implements cache.ReflectorStore.
func (store) Resync() error { return nil }
