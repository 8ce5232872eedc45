package controller

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// mostBytes is what the controller may keep of a token, beside what every follower of objects keeps.
const mostBytes = 1100

// TestMemoryOfAToken measures what is kept of a token whose status is written.
func TestMemoryOfAToken(t *testing.T) {
	const count = 10_000
	c := &Controller{o: Options{Now: func() time.Time { return day }}, objects: map[string]*object{}, waiting: map[string]bool{}}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for n := range count {
		s := status{ObservedGeneration: 1, State: "active"}
		for _, kind := range []string{accepted, ready, expiresSoon, revoked} {
			s.set(kind, true, "Reason"+kind, "a message about the condition "+kind, 1, day)
		}
		u := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "patgate.dev/v1alpha1", "kind": "APIToken", "spec": map[string]any{"user": fmt.Sprint("user-", n)},
			"metadata": map[string]any{"name": fmt.Sprint("token-", n), "namespace": "team", "resourceVersion": fmt.Sprint(n), "generation": int64(1), "uid": fmt.Sprintf("%036d", n)},
			"status":   s.fields(),
		}}
		id := fmt.Sprint("APIToken/team/token-", n)
		c.objects[id] = c.parse(id, u)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (after.HeapAlloc - before.HeapAlloc) / count
	t.Logf("%d bytes for a token", each)
	if each > mostBytes {
		t.Errorf("want at most %d", mostBytes)
	}
	runtime.KeepAlive(c)
}
