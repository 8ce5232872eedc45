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
	loader  *loader.Loader
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
	if len(o.Manifests) == 0 || slices.Contains(o.Manifests, "") {
		return nil, &UsageError{"no manifests, expected --manifests DIR"}
	}
	sink, err := auditSink(&o)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	m := &Manage{logger: o.Logger, nudge: make(chan struct{}, 1)}
	m.audit = audit.New(sink, audit.Options{Overflow: o.AuditOverflow, Wait: o.AuditWait, Instance: instance(o.AuditChain != nil), Now: o.Now, Logger: o.Logger, Chain: o.AuditChain})
	index := policy.NewIndex()
	o.Loader.LastGood, o.Loader.Logger, o.Loader.Now = o.LastGood, o.Logger, o.Now
	o.Loader.Documents = true
	m.loader = loader.New(index, sources(&o), m.loaded, o.Loader)
	m.management, err = newManagement(o.Manage, &managed{o.Manifests, index, m.audit, m.loader, o.Now, o.Logger, nil, nil})
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

// Run answers requests until ctx is done. It returns a *ManifestsError where the manifests can't be
// loaded at the start.
func (m *Manage) Run(ctx context.Context) error {
	if err := m.loader.Load(ctx); err != nil {
		return errors.Join(err, m.listener.Close())
	}
	if r := &m.last; r.Rejected() {
		return errors.Join(r.Err, &ManifestsError{r.Problems}, m.listener.Close())
	}
	m.started = true
	background, halt := context.WithCancel(context.Background())
	loaded := make(chan struct{})
	go func() { defer close(loaded); m.loader.Run(background, m.nudge) }()
	go m.usage.follow(background)
	noticed := make(chan struct{})
	go func() { defer close(noticed); m.notices.run(background) }()
	failed := make(chan error, 1)
	go func() { failed <- m.serve() }()
	m.logger.Info("managing tokens", "address", m.url())
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
