package controller

import (
	"context"
	"log/slog"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/util/flowcontrol"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/token"
)

// recorder writes Events about objects: as many as people read, also where very many objects change.
type recorder struct {
	client   dynamic.NamespaceableResourceInterface
	identity string
	now      func() time.Time
	logger   *slog.Logger
	limit    flowcontrol.RateLimiter
}

// The limits on Events.
const (
	eventsPerSecond = 10
	eventsAtOnce    = 200
	maxEventText    = 1024 // of the API server
	maxEventName    = 200
)

func newRecorder(client dynamic.Interface, o *Options) *recorder {
	return &recorder{
		client: client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "events"}), identity: o.Lease.Identity, now: o.Now, logger: o.Logger,
		limit: flowcontrol.NewTokenBucketRateLimiter(eventsPerSecond, eventsAtOnce),
	}
}

// transitions writes Events of what a new status says that the one before did not.
func (r *recorder) transitions(ctx context.Context, o *object, now *status) {
	was, is := o.status.condition(accepted), now.condition(accepted)
	switch changed := was == nil || was.Status != is.Status; {
	case changed && is.Status == "True":
		r.say(ctx, o, false, "Accepted", is.Message)
	case is.Status != "True" && (changed || was.Message != is.Message):
		r.say(ctx, o, true, "Rejected", is.Message)
	}
	if !o.status.is(expiresSoon) && now.is(expiresSoon) {
		r.say(ctx, o, true, "ExpiresSoon", now.condition(expiresSoon).Message)
	}
}

// say writes an Event. One that can't be written is left out: status says the same.
func (r *recorder) say(ctx context.Context, o *object, warns bool, reason, message string) {
	if !r.limit.TryAccept() {
		return
	}
	kind, at := "Normal", r.now().UTC().Format(time.RFC3339)
	if warns {
		kind = "Warning"
	}
	event := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Event", "type": kind, "reason": reason, "message": cut(token.Mask(message), maxEventText),
		"metadata":       map[string]any{"generateName": eventPrefix(o.name), "namespace": o.namespace},
		"involvedObject": map[string]any{"apiVersion": manifest.APIVersion, "kind": o.kind, "namespace": o.namespace, "name": o.name, "uid": o.uid, "resourceVersion": o.version},
		"source":         map[string]any{"component": Manager}, "reportingComponent": Manager, "reportingInstance": r.identity,
		"firstTimestamp": at, "lastTimestamp": at, "count": int64(1),
	}}
	if _, err := r.client.Namespace(o.namespace).Create(ctx, event, metav1.CreateOptions{FieldManager: Manager}); err != nil {
		r.logger.Debug("an Event could not be written", "object", o.id, "reason", reason, "error", err)
	}
}

// eventPrefix is how the names of an object's Events begin. No part of a name ends with a dash or a dot.
func eventPrefix(name string) string { return strings.TrimRight(cut(name, maxEventName), "-.") + "." }

// cut returns the beginning of a text, whole characters alone.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && text[most]&0xC0 == 0x80 {
		most--
	}
	return text[:most]
}
