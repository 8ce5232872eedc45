//go:build kube

package kube

import (
	"context"
	"strings"
	"testing"
	"time"

	source "github.com/patgate/patgate/loader/kube"
	"github.com/patgate/patgate/tokens/storetest"
)

// openStore starts a store of the tokens of a namespace, which follows the API server until the test ends.
func openStore(t *testing.T, ns *namespace) *source.Store {
	t.Helper()
	store, err := source.NewStore(source.Options{Kubeconfig: ns.c.kubeconfig, Namespaces: []string{ns.name}, Home: ns.name})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); store.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	select {
	case <-store.Up():
	case <-time.After(20 * time.Second):
		t.Fatal("the objects are not listed")
	}
	return store
}

// brokenGroup is an object that is admitted, and that patgate does not accept.
const brokenGroup = "apiVersion: patgate.dev/v1alpha1\nkind: UserGroup\nmetadata: {name: broken}\nspec: {members: [eve], policies: [none]}\n"

// TestStoreOfObjects runs what every store of tokens must do on objects of the API server.
func TestStoreOfObjects(t *testing.T) {
	storetest.RunUnique(t, func(t *testing.T) (storetest.Store, func(name, text string)) {
		ns := newNamespace(t)
		installKinds(t, ns)
		store := openStore(t, ns)
		return store, func(name, text string) { ns.putAside(store, name, text) }
	})
}

// putAside writes an object as somebody else would, and waits until the store has seen it. A text that is no object
// stands for one that patgate does not accept; a comment, for an annotation.
func (ns *namespace) putAside(store *source.Store, name, text string) {
	ns.t.Helper()
	if text == "[\n" {
		text = brokenGroup
	}
	kind, _, comments := strings.Cut(text, "# by somebody else")
	if comments {
		ns.kubectl("annotate", "pat", strings.TrimPrefix(name, "APIToken/"), "patgate.dev/comment=by somebody else")
	} else {
		ns.pipe(kind, "apply", "--server-side", "-f", "-")
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		set, err := store.Documents(context.Background())
		if err != nil {
			ns.t.Fatal(err)
		}
		seen := len(set.Gates) > 0
		switch {
		case text == brokenGroup:
			seen = len(set.Problems) > 0
		case comments:
			data, _ := set.File(name)
			seen = strings.Contains(string(data), "by somebody else")
		}
		if seen {
			return
		}
		if time.Now().After(deadline) {
			ns.t.Fatalf("the store does not see %s", name)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
