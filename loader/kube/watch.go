package kube

import (
	"context"
	"errors"
	"strconv"
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

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/ruleset"
)

// watched is a kind of objects in one namespace, or in all, and the watch of it.
type watched struct {
	source    *Source
	kind      string
	namespace string
	optional  bool // without the right to it, patgate does without it
	resource  schema.GroupVersionResource

	objects sync.Mutex     // held while what follows is read or written
	turn    int            // counts lists and watches: what an older one still says is not heard
	known   map[string]int // the IDs of all objects, and the last list that held each
	lists   int            // counts lists
	listing bool           // a list is under way
	streams bool           // the list under way, or the last one, is the beginning of a watch
	version uint64         // of the last event, where those that come are younger; 0: they may have any order

	mu     sync.Mutex
	sign   time.Time // of the last sign of life
	failed *string   // the reason of the last failure that was logged; nil: none since the watch was open
}

// retry is the pause before a list or watch that failed: jittered, and short enough that a revocation counts within a
// second after the cluster is back.
func retry() *wait.Backoff {
	return &wait.Backoff{Duration: 50 * time.Millisecond, Cap: 200 * time.Millisecond, Factor: 2, Jitter: 1, Steps: 3}
}

// run lists and watches until ctx is done.
func (w *watched) run(ctx context.Context) {
	w.known = map[string]int{}
	w.sign = w.source.o.Now()
	r := cache.NewReflectorWithOptions(&cache.ListWatch{ListWithContextFunc: w.list, WatchFuncWithContext: w.watch}, nil, store{w}, cache.ReflectorOptions{
		Name: "patgate", TypeDescription: w.kind, Backoff: retry(),
	})
	r.WatchListPageSize = page
	r.RunWithContext(ctx)
}

// page is how many objects an answer holds where they are listed in pages: all at once may be several hundred MiB.
const page = 500

// list asks for a page of the objects, and hands them on. An API server that is asked for a version which it may have in its
// cache answers with all objects, whatever the limit says.
func (w *watched) list(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	if o.Continue == "" {
		w.begin(true, false, 0)
		if o.Limit > 0 {
			o.ResourceVersion, o.ResourceVersionMatch = "", ""
		}
	}
	l, err := w.source.client.Resource(w.resource).Namespace(w.namespace).List(ctx, o)
	if err != nil {
		w.failure(ctx, err)
		return nil, err
	}
	w.objects.Lock()
	defer w.objects.Unlock()
	for i := range l.Items {
		w.set(&l.Items[i])
		l.Items[i].Object = nil
	}
	return &stubs{ListMeta: metav1.ListMeta{
		ResourceVersion: l.GetResourceVersion(), Continue: l.GetContinue(), RemainingItemCount: l.GetRemainingItemCount(),
	}}, nil
}

// watch begins to watch. Objects are handed on as they arrive; the Reflector sees their versions alone.
func (w *watched) watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	in, err := w.open(ctx, o)
	if err != nil {
		return nil, err
	}
	w.seen()
	streams := o.SendInitialEvents != nil && *o.SendInitialEvents
	version := versionOf(o.ResourceVersion)
	if streams {
		version = 0
	}
	turn := w.begin(streams, streams, version)
	return watch.Filter(in, func(e watch.Event) (watch.Event, bool) {
		u, ok := e.Object.(*unstructured.Unstructured)
		switch {
		case e.Type == watch.Error:
			e.Object = w.ended(ctx, e.Object)
		case !ok:
		case w.event(turn, e.Type, u):
			e.Object = stubOf(u)
		default:
			e = watch.Event{Type: watch.Error, Object: &apierrors.NewResourceExpired("events came in another order than they happened").ErrStatus}
		}
		return e, true
	}), nil
}

// ended returns the error that ends a watch as one after which a Reflector goes on where it was: after others it lists all objects.
// Only where the API server has forgotten that version there is no other way.
func (w *watched) ended(ctx context.Context, status runtime.Object) runtime.Object {
	err := apierrors.FromObject(status)
	if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
		return status
	}
	w.logFailure(ctx, err)
	return &apierrors.NewTooManyRequests(err.Error(), 0).ErrStatus
}

// open asks for a watch until there is an answer. A Reflector that is told of a cut would list all objects again; one that
// waits goes on where it was.
func (w *watched) open(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	for pause := retry(); ; {
		in, err := w.source.client.Resource(w.resource).Namespace(w.namespace).Watch(ctx, o)
		if err == nil {
			return in, nil
		}
		w.failure(ctx, err)
		if answered := apierrors.APIStatus(nil); errors.As(err, &answered) || ctx.Err() != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause.Step()):
		}
	}
}

// versionOf reads the version of an object, or of a list; 0: it is none that can be compared.
func versionOf(text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// begin begins a list or a watch. A list finds all objects anew. What a watch says from a version on is younger than that.
func (w *watched) begin(lists, streams bool, version uint64) (turn int) {
	w.objects.Lock()
	defer w.objects.Unlock()
	if w.version = version; lists {
		w.lists, w.listing, w.streams = w.lists+1, true, streams
	}
	w.turn++
	return w.turn
}

// event hands on what a watch says. It returns false for what is older than what the watch has said before, which might
// undo a revocation.
func (w *watched) event(turn int, what watch.EventType, u *unstructured.Unstructured) bool {
	w.objects.Lock()
	defer w.objects.Unlock()
	if turn != w.turn {
		return true
	}
	if !w.inOrder(u) {
		w.source.o.Logger.Error("the cluster's objects are listed again: events arrived out of order", "kind", w.kind)
		return false
	}
	w.seen()
	switch what {
	case watch.Added, watch.Modified:
		w.set(u)
	case watch.Deleted:
		w.delete(u)
	case watch.Bookmark:
		if w.streams && u.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true" {
			w.listed(u.GetResourceVersion())
			w.version = versionOf(u.GetResourceVersion())
		} else if !w.listing {
			w.add(u, change{})
		}
	}
	return true
}

// inOrder notes the version of an event. While a watch begins with a list, objects come in any order.
func (w *watched) inOrder(u *unstructured.Unstructured) bool {
	version := versionOf(u.GetResourceVersion())
	if w.version == 0 || version == 0 {
		return true
	}
	if version < w.version {
		return false
	}
	w.version = version
	return true
}

// set hands on an object that there is.
func (w *watched) set(u *unstructured.Unstructured) {
	if w.kind == kindNamespace {
		w.note(u.GetName())
		w.add(u, change{namespace: u.GetName(), labels: nonNil(u.GetLabels())})
		return
	}
	if u.GetDeletionTimestamp() != nil && w.kind == manifest.KindAPIToken {
		w.delete(u) // it waits for finalizers, and has ended
		return
	}
	m := w.source.o.manifestOf(w.kind, u)
	w.note(m.ID())
	w.observe(m.ID(), u)
	w.add(u, change{set: &m, annotations: w.source.o.annotationsOf(u)})
}

// note records that there is an object, for the end of a list.
func (w *watched) note(id string) {
	w.known[id] = w.lists
}

// delete hands on that an object is gone.
func (w *watched) delete(u *unstructured.Unstructured) {
	id := u.GetName()
	if w.kind != kindNamespace {
		id = (&ruleset.Object{Kind: w.kind, Namespace: w.source.o.seenAs(u.GetNamespace()), Name: id}).ID()
	}
	w.forget(id, u)
}

// forget hands on that an object is gone; u is what was said of it, if anything.
func (w *watched) forget(id string, u *unstructured.Unstructured) {
	delete(w.known, id)
	if w.kind == kindNamespace {
		w.add(u, change{namespace: id})
		return
	}
	w.observe(id, nil)
	w.add(u, change{gone: id})
}

// listed ends a list of this version: what it did not hold is gone.
func (w *watched) listed(version string) {
	for id, list := range w.known {
		if list != w.lists {
			w.forget(id, nil)
		}
	}
	w.listing = false
	w.source.queue.add(change{listed: w, of: w, version: version})
}

// seen notes a sign of life.
func (w *watched) seen() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sign = w.source.o.Now()
	if w.failed != nil {
		w.source.o.Logger.Info("the cluster's objects are watched again", "kind", w.kind)
		w.failed = nil
	}
}

// failure logs why objects can't be listed or watched, once for each cause. What only people can change, such as
// rights, is asked for less often.
func (w *watched) failure(ctx context.Context, err error) {
	w.logFailure(ctx, err)
	if w.optional && apierrors.IsForbidden(err) {
		w.source.queue.add(change{listed: w})
	}
	if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsNotFound(err) {
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// logFailure logs why objects can't be watched, once for each cause. That patgate ends is none.
func (w *watched) logFailure(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
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

// store is what a Reflector believes to keep the objects in.
type store struct{ *watched }

var _ cache.ReflectorStore = store{}

// Add implements cache.ReflectorStore.
func (store) Add(any) error { return nil }

// Update implements cache.ReflectorStore.
func (store) Update(any) error { return nil }

// Delete implements cache.ReflectorStore.
func (store) Delete(any) error { return nil }

// Replace implements cache.ReflectorStore: the list is complete. A list that came as a stream has said so itself.
func (s store) Replace(_ []any, version string) error {
	s.objects.Lock()
	defer s.objects.Unlock()
	if !s.streams {
		s.listed(version)
	}
	return nil
}

// Resync implements cache.ReflectorStore.
func (store) Resync() error { return nil }
