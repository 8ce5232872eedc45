// Package kube keeps a policy.Index in step with the objects of a Kubernetes cluster. Only this package and controller
// import client-go. The dynamic client's Reflectors list the objects, watch them, resume a watch that was cut, and list
// again if it can't be resumed. Objects are reduced to their manifests as they arrive, and ruleset.Objects decides
// about each of them.
package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
)

// Options of a Source. Zero values mean the defaults.
type Options struct {
	Kubeconfig string   // a file; empty: $KUBECONFIG, the pod's service account, or ~/.kube/config
	Namespaces []string // whose objects count; empty: all
	Home       string   // the one whose tokens are managed; its objects have no namespace then; empty: none
	Now        func() time.Time
	Logger     *slog.Logger

	Observe func(Observed)           // gets each version of an object, in their order; default: none
	Decided func([]ruleset.Decision) // gets what was decided about objects, once it runs; default: none
}

// Report is the result of applying changes of objects.
type Report struct {
	Change  policy.Change
	SHA256  [32]byte // of all objects
	Objects int
	Revived []policy.Revived
	Took    time.Duration
	Err     error // an internal error: the changes don't run
}

// Source follows the objects of a cluster. Make one with New.
type Source struct {
	o       Options
	client  dynamic.Interface
	index   *policy.Index
	report  func(Report)
	faulted func([]ruleset.Fault)

	queue              queue
	objects            *ruleset.Objects
	watches            []*watched
	labels, usedLabels map[string]map[string]string // of namespaces, by name
	up                 chan struct{}                // closed once all objects were listed and run
	documents          *documents                   // of Home; nil: none are kept

	silent atomic.Bool // the last request had no answer

	reached map[*watched]string // the versions up to which changes were taken, by the goroutine of apply alone

	published signal // told when what runs has changed

	mu          sync.Mutex
	notAccepted map[string]int
	running     []Running
}

// New returns a source of the cluster that the options name. It calls report for each change, and faulted with the objects
// that are not accepted, or are again, each from one goroutine at a time.
func New(index *policy.Index, o Options, report func(Report), faulted func([]ruleset.Fault)) (*Source, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	klog.SetSlogLogger(slog.New(quiet{o.Logger.Handler()}))
	config, err := Config(o.Kubeconfig)
	if err != nil {
		return nil, err
	}
	s := &Source{
		o: o, index: index, report: report, faulted: faulted, labels: map[string]map[string]string{}, reached: map[*watched]string{}, objects: ruleset.NewObjects(), up: make(chan struct{}),
		queue: queue{news: make(chan struct{}, 1)},
	}
	s.objects.Track = o.Decided != nil
	config.QPS, config.Burst = -1, 0 // the API server limits its clients itself
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return answerRecorder{next, s} })
	if s.client, err = dynamic.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("the Kubernetes client: %w", err)
	}
	if o.Home != "" {
		s.documents, s.objects.Track = newDocuments(), true
	}
	for _, k := range manifest.ObjectKinds {
		for _, namespace := range o.namespacesOf(k.Kind) {
			resource := schema.GroupVersionResource{Group: group, Version: version, Resource: k.Plural}
			s.watches = append(s.watches, &watched{source: s, kind: k.Kind, namespace: namespace, resource: resource})
		}
	}
	s.notAccepted = s.objects.NotAccepted()
	if len(o.Namespaces) == 0 {
		s.watches = append(s.watches, s.watchNamespaces())
	}
	return s, nil
}

// namespacesOf lists the namespaces whose objects of a kind are followed; an empty one is all of them.
func (o *Options) namespacesOf(kind string) []string {
	switch {
	case o.Home != "" && kind == manifest.KindAPIToken:
		return []string{o.Home}
	case len(o.Namespaces) == 0:
		return []string{""}
	}
	return o.Namespaces
}

const group, version = "patgate.dev", "v1alpha1"

// OwnNamespace is that of the context of the kubeconfig, or of the pod's service account.
func OwnNamespace(kubeconfig string) string {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	namespace, _, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).Namespace()
	if err != nil {
		return metav1.NamespaceDefault
	}
	return namespace
}

// Config says where the cluster is, and who asks.
func Config(kubeconfig string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, errors.New("no Kubernetes cluster is configured: expected a kubeconfig file, $KUBECONFIG, or a pod's service account")
	}
	if err != nil {
		return nil, fmt.Errorf("the Kubernetes configuration: %w", err)
	}
	config.UserAgent = "patgate"
	return config, nil
}

// answerRecorder notes whether the API server answers: client-go asks again for a while before it says that it does not.
type answerRecorder struct {
	next   http.RoundTripper
	source *Source
}

// RoundTrip implements http.RoundTripper.
func (n answerRecorder) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := n.next.RoundTrip(r)
	if r.Context().Err() != nil {
		return answer, err
	}
	if err != nil {
		err = errors.New(err.Error()) // client-go asks again itself after a second if it sees what it is
	}
	if silent := err != nil; n.source.silent.Swap(silent) != silent {
		if silent {
			n.source.o.Logger.Error("the cluster does not answer, and the last known objects stay in force", "error", err.Error())
		} else {
			n.source.o.Logger.Info("the cluster answers again")
		}
	}
	return answer, err
}

// quiet logs what client-go logs as debugging: what is wrong with a watch is said once. What client-go says at a higher
// verbosity than that, such as the bodies of requests, may hold values of Secrets and is never logged.
type quiet struct{ slog.Handler }

// Enabled implements slog.Handler.
func (q quiet) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelDebug && q.Handler.Enabled(ctx, slog.LevelDebug)
}

// Handle implements slog.Handler.
func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	r.Level = slog.LevelDebug
	return q.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(attrs)} }

// WithGroup implements slog.Handler.
func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name)} }

// Up is closed once all objects were listed and run.
func (s *Source) Up() <-chan struct{} { return s.up }

// Run follows the objects until ctx is done.
func (s *Source) Run(ctx context.Context) {
	var loops sync.WaitGroup
	for _, w := range s.watches {
		loops.Go(func() { w.run(ctx) })
	}
	s.apply(ctx)
	loops.Wait()
}

// Age returns since when nothing is known of the cluster: the time since the quietest of the watches last said
// something. Where nothing changes, an API server sends a bookmark every two minutes or so.
func (s *Source) Age() time.Duration {
	var oldest time.Duration
	now := s.o.Now()
	for _, w := range s.watches {
		if !w.optional {
			oldest = max(oldest, now.Sub(w.lastSign()))
		}
	}
	return oldest
}

// NotAccepted counts the objects that are not accepted, by kind.
func (s *Source) NotAccepted() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.notAccepted
}
