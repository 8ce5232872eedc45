// Package controller writes the status of a cluster's objects, and the values of tokens into Secrets. It follows the
// objects as a server does and decides about them with the same function. It reads from the servers' status ports which
// versions they run. It writes the status of objects, Events, and the Secrets that tokens name, and never a spec. If
// there are several controllers, the holder of a Lease writes.
package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/util/workqueue"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/loader/kube"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
)

// Manager is the name under which status is written.
const Manager = "patgate-controller"

// Recorder takes audit events.
type Recorder interface {
	Record(context.Context, *audit.Event) error
}

// Options of a Controller. Zero values mean the defaults, if there are any.
type Options struct {
	Kubeconfig   string   // a file; empty: $KUBECONFIG, the pod's service account, or ~/.kube/config
	Namespaces   []string // whose objects count; empty: all
	GateStatus   []string // URLs of the servers' status ports; each address of a name counts
	StatusListen string   // address of the probes; empty: none
	Lease        Lease
	Audit        Recorder
	Now          func() time.Time
	Logger       *slog.Logger
}

// Lease names the object for which controllers compete.
type Lease struct {
	Namespace string
	Name      string
	Identity  string        // of this process
	Duration  time.Duration // after which another controller may take it
}

// Controller is one controller. Make one with New.
type Controller struct {
	o        Options
	client   dynamic.Interface
	source   *kube.Source
	index    *policy.Index
	gates    *gates
	lease    *lease
	events   *recorder
	listener net.Listener // nil: no probes

	mu      sync.Mutex
	objects map[string]*object // by their IDs
	waiting map[string]bool    // the IDs of those that are not in force everywhere yet
	queue   queue              // nil: another controller writes
	lanes   *lanes             // of queue
	secrets int                // tokens that have one
}

// queue holds the IDs of objects that are to be looked at.
type queue = workqueue.TypedRateLimitingInterface[string]

// writers is the number of objects that are examined at a time.
const writers = 8

// requestsPerSecond bounds the requests to the API server.
const requestsPerSecond = 200

// New checks the options and returns a controller.
func New(o Options) (*Controller, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Controller{o: o, index: policy.NewIndex(), objects: map[string]*object{}, waiting: map[string]bool{}}
	var err error
	if c.gates, err = newGates(o.GateStatus, o.Logger); err != nil {
		return nil, err
	}
	c.gates.moved = c.recheckWaiting
	config, err := kube.Config(o.Kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = requestsPerSecond, 2*requestsPerSecond
	if c.client, err = dynamic.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("the Kubernetes client: %w", err)
	}
	c.source, err = kube.New(c.index, kube.Options{
		Kubeconfig: o.Kubeconfig, Namespaces: o.Namespaces, Now: o.Now, Logger: o.Logger, Observe: c.observe, Decided: c.decided,
	}, c.changed, func([]ruleset.Fault) {}) // the status of each says so
	if err != nil {
		return nil, err
	}
	c.lease = newLease(c.client, o.Lease, o.Now, o.Logger)
	c.events = newRecorder(c.client, &o)
	if o.StatusListen != "" {
		if c.listener, err = net.Listen("tcp", o.StatusListen); err != nil {
			return nil, fmt.Errorf("the status port: %w", err)
		}
	}
	return c, nil
}

// changed logs what can't happen: an object that is decided about, and whose row is refused.
func (c *Controller) changed(r kube.Report) {
	if r.Err != nil {
		c.o.Logger.Error("changes of objects could not be applied", "error", r.Err)
	}
}

// Run follows the objects until ctx is done, and writes while it holds the Lease.
func (c *Controller) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	failed := make(chan error, 1)
	ctx, stop := context.WithCancel(ctx)
	defer parts.Wait()
	defer stop()
	parts.Go(func() { c.source.Run(ctx) })
	parts.Go(func() { c.gates.run(ctx) })
	if c.listener != nil {
		parts.Go(func() { failed <- c.serveStatus(ctx) })
	}
	c.o.Logger.Info("following the cluster's objects", "lease", c.o.Lease.Namespace+"/"+c.o.Lease.Name, "identity", c.o.Lease.Identity)
	led := make(chan struct{})
	parts.Go(func() { defer close(led); c.lease.run(ctx, c.lead) })
	select {
	case err := <-failed:
		return err
	case <-led:
		return nil
	}
}

// lead writes until ctx is done.
func (c *Controller) lead(ctx context.Context) {
	select {
	case <-c.source.Up():
	case <-ctx.Done():
		return
	}
	l := newLanes()
	q := newQueue(l)
	c.mu.Lock()
	c.queue, c.lanes = q, l
	for id, o := range c.objects {
		o.pending = nil // of a time before
		c.examine(id)
	}
	c.mu.Unlock()
	var all sync.WaitGroup
	for range writers {
		all.Go(func() { c.work(ctx, q) })
	}
	all.Go(func() { c.sweep(ctx) })
	<-ctx.Done()
	c.mu.Lock()
	c.queue = nil
	c.mu.Unlock()
	q.ShutDown()
	all.Wait()
}

// work looks at objects until the queue is shut down.
func (c *Controller) work(ctx context.Context, q queue) {
	for {
		id, done := q.Get()
		if done {
			return
		}
		switch after, err := c.reconcile(ctx, id); {
		case ctx.Err() != nil:
		case errors.Is(err, errAgain):
			c.o.Logger.Debug("an object is checked again", "object", id, "because", masked(err))
			q.AddRateLimited(id)
		case err != nil:
			c.o.Logger.Warn("the status of an object could not be written, patgate will retry", "object", id, "error", masked(err))
			q.AddRateLimited(id)
		default:
			q.Forget(id)
			if after > 0 {
				q.AddAfter(id, after)
			}
		}
		q.Done(id)
	}
}

// examine lets an object be looked at, if this controller writes: soon if it has changed a moment ago.
func (c *Controller) examine(id string) {
	if c.queue == nil {
		return
	}
	o := c.objects[id]
	c.lanes.choose(id, o != nil && c.o.Now().Sub(o.changed) > recent)
	c.queue.Add(id)
}

// recent is for how long an object that has changed goes before others.
const recent = 10 * time.Second

// recheckWaiting looks again at objects that wait for the gates, once those have moved.
func (c *Controller) recheckWaiting() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range c.waiting {
		if o := c.objects[id]; o != nil && c.gates.inForce(o.kind, o.namespace, o.since).all() {
			c.examine(id)
		}
	}
}

// wait notes whether an object waits for the gates. They are asked often while it does so for the first time.
func (c *Controller) wait(id string, waits, first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !waits:
		delete(c.waiting, id)
	case !c.waiting[id]:
		c.waiting[id] = true
		if first {
			c.gates.hurry()
		}
	}
}
