package controller

import (
	"context"
	"log/slog"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// client-go's leaderelection needs the types of every API, which makes the binary 28 MB larger (44 to 72). This is its
// algorithm over one Lease: its holder renews it; another process takes it once it has not changed for its duration, by the
// taker's own clock; the holder stops before that time if it can't renew.

// lease is a competitor for a Lease.
type lease struct {
	client dynamic.ResourceInterface
	Lease
	now    func() time.Time
	logger *slog.Logger

	seen      string // the resourceVersion that was seen last
	unchanged time.Time
}

func newLease(client dynamic.Interface, o Lease, now func() time.Time, logger *slog.Logger) *lease {
	leases := schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}
	return &lease{client: client.Resource(leases).Namespace(o.Namespace), Lease: o, now: now, logger: logger}
}

// pause is the time between two tries, and between two renewals.
func (l *lease) pause() time.Duration { return l.Duration / 7 }

// run calls lead while this process holds the Lease, until ctx is done. It gives the Lease back at the end.
func (l *lease) run(ctx context.Context, lead func(context.Context)) {
	failing := false
	for ctx.Err() == nil {
		held, err := l.try(ctx)
		if err != nil && ctx.Err() == nil && !failing {
			l.logger.Error("the Lease can't be acquired, patgate will retry", "lease", l.Namespace+"/"+l.Name, "error", err)
		}
		failing = err != nil
		if held {
			l.logger.Info("this controller holds the Lease and writes", "identity", l.Identity)
			l.hold(ctx, lead)
			l.logger.Info("this controller no longer holds the Lease", "identity", l.Identity)
		}
		wait(ctx, l.pause())
	}
}

// hold leads until the Lease can't be renewed, or ctx is done.
func (l *lease) hold(ctx context.Context, lead func(context.Context)) {
	leading, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { defer close(ended); lead(leading) }()
	for renewed := l.now(); l.now().Sub(renewed) < l.Duration*2/3; {
		wait(ctx, l.pause())
		if ctx.Err() != nil {
			break
		}
		held, err := l.try(ctx)
		if held {
			renewed = l.now()
		} else if err == nil {
			break // another holds it
		}
	}
	stop()
	<-ended
	if ctx.Err() != nil {
		l.release()
	}
}

// try takes the Lease, or renews it, where that is due to this process.
func (l *lease) try(ctx context.Context) (held bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.Duration/3)
	defer cancel()
	u, err := l.client.Get(ctx, l.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = l.client.Create(ctx, l.filled(&unstructured.Unstructured{Object: map[string]any{}}, 0), metav1.CreateOptions{FieldManager: Manager})
		return err == nil, ignoreConflict(err)
	}
	if err != nil {
		return false, err
	}
	if u.GetResourceVersion() != l.seen {
		l.seen, l.unchanged = u.GetResourceVersion(), l.now()
	}
	holder, _, _ := unstructured.NestedString(u.Object, "spec", "holderIdentity")
	seconds, _, _ := unstructured.NestedInt64(u.Object, "spec", "leaseDurationSeconds")
	lasts := max(time.Duration(seconds)*time.Second, l.Duration)
	if holder != "" && holder != l.Identity && l.now().Sub(l.unchanged) < lasts {
		return false, nil
	}
	transitions, _, _ := unstructured.NestedInt64(u.Object, "spec", "leaseTransitions")
	if holder != l.Identity {
		transitions++
	}
	_, err = l.client.Update(ctx, l.filled(u, transitions), metav1.UpdateOptions{FieldManager: Manager})
	return err == nil, ignoreConflict(err)
}

// filled writes into a Lease that this process holds it.
func (l *lease) filled(u *unstructured.Unstructured, transitions int64) *unstructured.Unstructured {
	now := l.now().UTC().Format("2006-01-02T15:04:05.000000Z07:00")
	acquired := now
	if holder, _, _ := unstructured.NestedString(u.Object, "spec", "holderIdentity"); holder == l.Identity {
		acquired, _, _ = unstructured.NestedString(u.Object, "spec", "acquireTime")
	}
	u.SetAPIVersion("coordination.k8s.io/v1")
	u.SetKind("Lease")
	u.SetName(l.Name)
	u.SetNamespace(l.Namespace)
	u.Object["spec"] = map[string]any{
		"holderIdentity": l.Identity, "leaseDurationSeconds": max(int64((l.Duration+time.Second-1)/time.Second), 1),
		"acquireTime": acquired, "renewTime": now, "leaseTransitions": transitions,
	}
	return u
}

// release gives the Lease back, so that another controller need not wait.
func (l *lease) release() {
	ctx, cancel := context.WithTimeout(context.Background(), l.Duration/3)
	defer cancel()
	u, err := l.client.Get(ctx, l.Name, metav1.GetOptions{})
	if err != nil {
		return
	}
	if holder, _, _ := unstructured.NestedString(u.Object, "spec", "holderIdentity"); holder != l.Identity {
		return
	}
	_ = unstructured.SetNestedField(u.Object, "", "spec", "holderIdentity")
	_, _ = l.client.Update(ctx, u, metav1.UpdateOptions{FieldManager: Manager})
}

// ignoreConflict takes for no error that another process was faster.
func ignoreConflict(err error) error {
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
