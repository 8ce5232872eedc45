// Package server is a complete patgate process: the listener for checks, the manifests and their reload, the audit, the
// management API and the status port. `patgate serve`, `patgate manage`, the demo and tests start it.
package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/patgate/patgate/admin"
	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/extauthz"
	"github.com/patgate/patgate/extauthz/httpfront"
	"github.com/patgate/patgate/loader"
	"github.com/patgate/patgate/loader/dir"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/usage"
)

// Server is a running patgate. Make one with New.
type Server struct {
	o            Options
	listener     net.Listener
	status       net.Listener
	index        *policy.Index
	counters     usage.Counters // of the tokens' uses
	instance     string         // names the process
	audit        *audit.Log
	recent       *admin.Recent // nil: tokens are not managed here
	manage       *management   // nil: tokens are not managed here
	transport    extauthz.Transport
	front        *listening      // checks over HTTP; nil: none
	loader       *loader.Loader  // nil: no directories
	cluster      *cluster        // nil: no objects
	objects      *managedObjects // whose tokens are managed; nil: none
	metrics      *metrics
	clock        *extauthz.Clock
	certificates *certificates // nil: no TLS
	handshakes   reminder
	nudge        chan struct{}
	up           chan struct{} // closed when the first manifests are there
	ready        atomic.Bool

	mu   sync.Mutex
	last loader.Report // the last load, good or not
	when time.Time
}

// New checks the options and binds the listeners. It returns a *UsageError for options
// that can't be followed.
func New(o Options) (*Server, error) {
	withDefaults(&o)
	if err := checkOptions(&o); err != nil {
		return nil, err
	}
	s := &Server{o: o, index: policy.NewIndex(), nudge: make(chan struct{}, 1), up: make(chan struct{}), instance: instance(o.AuditChain != nil)}
	certs, err := newCertificates(&o)
	if err != nil {
		return nil, err
	}
	sink, err := auditSink(&o)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	if s.listener, err = listen(o.Listen); err != nil {
		return nil, &ListenError{"Listen", o.Listen, err}
	}
	if s.status, err = listen(o.StatusListen); err != nil {
		_ = s.listener.Close()
		return nil, &ListenError{"StatusListen", o.StatusListen, err}
	}
	bound := []net.Listener{s.listener, s.status}
	if o.HTTPListen != "" {
		l, err := listen(o.HTTPListen)
		if err != nil {
			return nil, errors.Join(&ListenError{"HTTPListen", o.HTTPListen, err}, closeAll(bound))
		}
		s.front = &listening{listener: l}
		bound = append(bound, l)
	}
	s.audit = audit.New(sink, audit.Options{
		Overflow: o.AuditOverflow, Wait: o.AuditWait, Instance: s.instance, Now: o.Now, Logger: o.Logger, Chain: o.AuditChain,
	})
	s.clock = extauthz.NewClock(o.Now, s.clockStepped)
	s.certificates = certs
	s.metrics = newMetrics(s)
	if o.Manage != nil {
		s.recent = new(admin.Recent)
	}
	if err := s.build(); err != nil {
		return nil, errors.Join(err, closeAll(bound))
	}
	return s, nil
}

// build makes what needs the listeners and the audit: the source of objects, the transports, the loader and the
// management.
func (s *Server) build() (err error) {
	if s.cluster, err = s.newCluster(); err != nil {
		return err
	}
	if err := s.newTransports(); err != nil {
		return err
	}
	o := &s.o
	o.Loader.IsolateTokens = o.IsolateTokens
	o.Loader.LastGood, o.Loader.Logger, o.Loader.Now = o.LastGood, o.Logger, o.Now
	o.Loader.Documents = o.Manage != nil
	if len(o.Manifests) > 0 {
		s.loader = loader.New(s.index, sources(o), s.loaded, o.Loader)
	}
	if o.Manage == nil {
		return nil
	}
	if s.cluster != nil && !o.managesFiles() {
		if s.objects, err = newManagedObjects(o, s.cluster, s.index); err != nil {
			return err
		}
	}
	s.manage, err = newManagement(o.Manage, &managed{o.Manifests, s.index, s.audit, s.loader, o.Now, o.Logger, s.recent, &s.counters, s.objects})
	return err
}

// newTransports makes the transport for Envoy, and the one for checks over HTTP if it has a listener.
func (s *Server) newTransports() (err error) {
	o := &s.o
	checks := &extauthz.Server{
		Index: revisions{s.index, s.cluster}, Audit: s.audit, Clock: s.clock, Observer: s.metrics, Logger: o.Logger, MaxInFlight: int64(o.MaxInFlight), Loaded: s.up,
		HandshakeFailed: s.handshakeFailed, Seen: s.seen(),
	}
	s.transport, err = extauthz.NewTransport(checks, extauthz.TransportOptions{
		Name: o.Transport, MaxBody: o.MaxBody, MaxHeader: o.MaxHeader, MaxReceive: o.MaxReceive, TLS: s.certificates.config(),
	})
	if err == nil && s.front != nil {
		s.front.transport = extauthz.NewFront(checks, extauthz.FrontOptions{
			Kind: httpfront.Kind(o.HTTPFront), MaxBody: o.MaxBody, MaxReceive: o.MaxReceive, TLS: speaking(s.certificates.config(), "http/1.1"),
		})
	}
	return err
}

// sources lists what manifests come from.
func sources(o *Options) []loader.Source {
	return []loader.Source{&dir.Source{Roots: o.Manifests, MaxBytes: o.MaxManifests, Logger: o.Logger, Singles: o.Manage != nil}}
}

// auditSink returns the sink of the audit, in the configured form.
func auditSink(o *Options) (audit.Sink, error) {
	file, err := audit.NewFile(o.Audit)
	if err != nil || !o.AuditReadable {
		return file, err
	}
	terminal := audit.NewTerminal(file)
	if o.AuditColored {
		terminal.Colored()
	}
	return terminal, nil
}

// Addr returns where checks are answered.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// HTTPAddr returns where checks over HTTP are answered, or nil.
func (s *Server) HTTPAddr() net.Addr {
	if s.front == nil {
		return nil
	}
	return s.front.listener.Addr()
}

// ManageAddr returns where tokens are managed, or nil.
func (s *Server) ManageAddr() net.Addr {
	if s.manage == nil {
		return nil
	}
	return s.manage.listener.Addr()
}

// StatusAddr returns where the status port is.
func (s *Server) StatusAddr() net.Addr { return s.status.Addr() }

// Reload looks at the manifests at once.
func (s *Server) Reload() {
	select {
	case s.nudge <- struct{}{}:
	default: // one is on its way
	}
}

// Run loads the manifests and answers checks until ctx is done, then drains. It
// returns a *ManifestsError where the manifests can't be loaded at the start, and an
// error where audit events were lost.
func (s *Server) Run(ctx context.Context) error {
	statusServer := s.newStatusServer()
	failed := make(chan error, 4)
	go func() { failed <- s.transport.Serve(s.listener) }()
	if s.front != nil {
		go func() { failed <- s.front.transport.Serve(s.front.listener) }()
	}
	go func() { failed <- statusServer.Serve(s.status) }()
	defer func() { _ = statusServer.Close() }()

	background, halt := context.WithCancel(context.Background())
	var loops sync.WaitGroup
	defer loops.Wait()
	defer halt()
	loops.Go(func() { s.cluster.follow(background, s) })
	if err := s.start(ctx); err != nil {
		return errors.Join(err, s.stop(0))
	}
	if s.loader != nil {
		loops.Go(func() { s.loader.Run(background, s.nudge) })
	}
	loops.Go(func() { s.reportUsage(background) })
	if s.manage != nil {
		loops.Go(func() { s.manageTokens(background, failed) })
	}
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	delay := s.o.DrainDelay
	if err != nil || errors.Is(context.Cause(ctx), ErrNow) {
		delay = 0
	}
	return errors.Join(err, s.stop(delay))
}

// manageTokens serves the management once its objects are known, and does what belongs to it until ctx is done.
func (s *Server) manageTokens(ctx context.Context, failed chan<- error) {
	var loops sync.WaitGroup
	defer loops.Wait()
	if s.objects != nil {
		loops.Go(func() { s.objects.Run(ctx) })
	}
	if !s.objects.listed(ctx) {
		return
	}
	loops.Go(func() { s.manage.usage.follow(ctx) })
	loops.Go(func() { s.manage.notices.run(ctx) })
	go func() { failed <- s.manage.serve() }()
	s.manage.announce(s.o.Logger)
}

// start makes the first load and reports that the server is ready.
func (s *Server) start(ctx context.Context) error {
	if s.loader != nil {
		if err := s.startLoader(ctx); err != nil {
			return err
		}
	}
	if s.cluster != nil {
		select {
		case <-s.cluster.Up():
		case <-ctx.Done():
			return nil
		}
	}
	close(s.up)
	s.ready.Store(true)
	s.setServing(true)
	if s.front != nil {
		s.o.Logger.Info("serving checks over HTTP", "address", s.HTTPAddr().String(), "front", s.o.HTTPFront)
	}
	s.o.Logger.Info("serving", "checks", s.Addr().String(), "status", s.StatusAddr().String(), "manifests", s.o.Manifests)
	return nil
}

// startLoader makes the first load of the directories.
func (s *Server) startLoader(ctx context.Context) error {
	if err := s.loader.Load(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	r := s.last
	s.mu.Unlock()
	if r.Err != nil {
		return r.Err
	}
	if !r.Loaded {
		return &ManifestsError{r.Problems}
	}
	return nil
}

// stop reports that the server goes, waits until callers have seen it, and lets what is
// under way end.
func (s *Server) stop(delay time.Duration) error {
	s.ready.Store(false)
	s.setServing(false)
	if delay > 0 {
		s.o.Logger.Info("draining", "delay", delay.String())
		time.Sleep(delay)
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.o.DrainGrace)
	defer cancel()
	if s.manage != nil {
		s.manage.stop(ctx)
	}
	s.stopChecks(ctx)
	flush, cancelFlush := context.WithTimeout(context.Background(), min(s.o.DrainGrace, flushGrace))
	defer cancelFlush()
	s.writeUsage(flush)
	return s.audit.Close(flush)
}

// flushGrace limits how long writing the last audit events may take.
const flushGrace = 5 * time.Second

// clockStepped is called when the system's clock went back further than requests may
// be spared of.
func (s *Server) clockStepped(back time.Duration) {
	s.metrics.clockSteps.Inc()
	s.o.Logger.Error("the clock went back by more than an hour, patgate uses the new time", "by", back)
	_ = s.audit.Record(context.Background(), &audit.Event{
		Time: s.o.Now(), Kind: audit.ClockStepped, Severity: audit.Alert, Revision: s.index.Snapshot().Revision().Number,
		Problems: []string{fmt.Sprintf("the clock went back by %v", back)},
	})
}
