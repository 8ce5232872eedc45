package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/loader"
	"github.com/patgate/patgate/policy"
)

// Manage runs the management alone, for servers that follow the same manifests.
type Manage struct {
	*management
	loader  *loader.Loader  // of files
	objects *managedObjects // nil: tokens are files
	audit   *audit.Log
	logger  *slog.Logger
	nudge   chan struct{}
	last    loader.Report
	started bool
}

// NewManage checks the options and binds the listener. Of Options it needs Manifests, MaxManifests,
// Audit, Logger and Manage.
func NewManage(o Options) (*Manage, error) {
	withDefaults(&o)
	switch none := len(o.Manifests) == 0 || slices.Contains(o.Manifests, ""); {
	case o.Kubernetes != nil && len(o.Manifests) > 0:
		return nil, &UsageError{"--manifests and --kubernetes are both given, expected one: tokens are files or objects"}
	case o.Kubernetes == nil && none:
		return nil, &UsageError{"no manifests, expected --manifests DIR, or --kubernetes"}
	}
	sink, err := auditSink(&o)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	m := &Manage{logger: o.Logger, nudge: make(chan struct{}, 1)}
	m.audit = audit.New(sink, audit.Options{Overflow: o.AuditOverflow, Wait: o.AuditWait, Instance: instance(o.AuditChain != nil), Now: o.Now, Logger: o.Logger, Chain: o.AuditChain})
	if o.Kubernetes != nil {
		return m.ofObjects(&o)
	}
	index := policy.NewIndex()
	o.Loader.LastGood, o.Loader.Logger, o.Loader.Now = o.LastGood, o.Logger, o.Now
	o.Loader.Documents = true
	m.loader = loader.New(index, sources(&o), m.loaded, o.Loader)
	m.management, err = newManagement(o.Manage, &managed{o.Manifests, index, m.audit, m.loader, o.Now, o.Logger, nil, nil, nil})
	return m, err
}

// ofObjects makes the management one of objects.
func (m *Manage) ofObjects(o *Options) (*Manage, error) {
	var err error
	if m.objects, err = newManagedObjects(o, nil, nil); err != nil {
		return nil, err
	}
	m.management, err = newManagement(o.Manage, &managed{nil, nil, m.audit, nil, o.Now, o.Logger, nil, nil, m.objects})
	return m, err
}

// Addr returns where the management is.
func (m *Manage) Addr() net.Addr { return m.listener.Addr() }

// Reload looks at the manifests at once.
func (m *Manage) Reload() {
	select {
	case m.nudge <- struct{}{}:
	default: // one is pending
	}
}

// loaded is called for each load. The servers that follow the manifests write its events.
func (m *Manage) loaded(r loader.Report) {
	m.last = r
	for _, p := range r.Problems {
		if m.started {
			m.logger.Error("manifests rejected", "problem", p.String())
		}
	}
}

// load makes the first load of the manifests.
func (m *Manage) load(ctx context.Context) error {
	if err := m.loader.Load(ctx); err != nil {
		return errors.Join(err, m.listener.Close())
	}
	if r := &m.last; r.Rejected() {
		return errors.Join(r.Err, &ManifestsError{r.Problems}, m.listener.Close())
	}
	m.started = true
	return nil
}

// Run answers requests until ctx is done. It returns a *ManifestsError where the manifests can't be
// loaded at the start.
func (m *Manage) Run(ctx context.Context) error {
	background, halt := context.WithCancel(context.Background())
	defer halt()
	loaded := make(chan struct{})
	if m.objects != nil {
		go func() { defer close(loaded); m.objects.Run(background) }()
		if !m.objects.listed(ctx) {
			halt()
			<-loaded
			return errors.Join(m.listener.Close(), m.audit.Close(context.Background()))
		}
	} else {
		if err := m.load(ctx); err != nil {
			return err
		}
		go func() { defer close(loaded); m.loader.Run(background, m.nudge) }()
	}
	go m.usage.follow(background)
	noticed := make(chan struct{})
	go func() { defer close(noticed); m.notices.run(background) }()
	failed := make(chan error, 1)
	go func() { failed <- m.serve() }()
	m.announce(m.logger)
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.Background(), manageTime)
	defer cancel()
	m.stop(end)
	halt()
	<-loaded
	<-noticed
	return errors.Join(err, m.audit.Close(end))
}
