package server

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/loader"
	"github.com/patgate/patgate/loader/kube"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/ruleset"
)

// KubernetesOptions are those of a server that follows the objects of a cluster.
type KubernetesOptions struct {
	Kubeconfig string   // a file; empty: $KUBECONFIG, the pod's service account, or ~/.kube/config
	Namespaces []string // whose objects count; empty: all
}

// cluster is the source of a server's objects.
type cluster struct {
	*kube.Source
	o     *Options
	stale atomic.Bool // nothing was heard of the cluster for MaxStale
}

// newCluster returns the source that the options name, or nil where they name none.
func (s *Server) newCluster() (*cluster, error) {
	o := s.o.Kubernetes
	if o == nil {
		return nil, nil
	}
	source, err := kube.New(s.index, kube.Options{
		Kubeconfig: o.Kubeconfig, Namespaces: o.Namespaces, Now: s.o.Now, Logger: s.o.Logger,
	}, s.objectsChanged, s.objectsFaulted)
	if err != nil {
		return nil, &UsageError{"Kubernetes: " + err.Error()}
	}
	c := &cluster{Source: source, o: &s.o}
	s.metrics.registry.MustRegister(c)
	return c, nil
}

// follow runs the source, and watches its age.
func (c *cluster) follow(ctx context.Context, s *Server) {
	if c == nil {
		return
	}
	if c.o.MaxStale > 0 {
		go c.checkAge(ctx, s)
	}
	c.Run(ctx)
}

// checkAge notes whether the objects are stale.
func (c *cluster) checkAge(ctx context.Context, s *Server) {
	tick := time.NewTicker(min(c.o.MaxStale/10, time.Second))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		age := c.Age()
		if stale := age > c.o.MaxStale; c.stale.Swap(stale) != stale {
			if stale {
				s.o.Logger.Error("the cluster's objects are stale", "age", age.Round(time.Second).String(), "refusing", c.o.StaleDeny)
			} else {
				s.o.Logger.Info("the cluster's objects are up to date again")
			}
		}
	}
}

// unready returns why the cluster keeps the server from being ready; empty: it does not.
func (c *cluster) unready() string {
	if c == nil {
		return ""
	}
	select {
	case <-c.Up():
	default:
		return "the cluster's objects are not listed yet"
	}
	if c.stale.Load() {
		return fmt.Sprintf("nothing was heard of the cluster for %s", c.Age().Round(time.Second))
	}
	return ""
}

// revisions hands out the running revision, and none while objects are stale and that must deny.
type revisions struct {
	*policy.Index
	cluster *cluster
}

var noRevision = policy.NewIndex().Snapshot()

// Snapshot implements extauthz.Snapshots.
func (r revisions) Snapshot() *policy.Snapshot {
	if r.cluster != nil && r.cluster.o.StaleDeny && r.cluster.stale.Load() {
		return noRevision
	}
	return r.Index.Snapshot()
}

// objectsChanged writes and logs what became of changed objects.
func (s *Server) objectsChanged(r kube.Report) {
	report := loader.Report{Change: r.Change, Loaded: r.Err == nil, SHA256: r.SHA256, Files: r.Objects, Revived: r.Revived, Err: r.Err, Took: r.Took, Applied: r.Took}
	s.metrics.loaded(&report)
	if r.Err != nil {
		s.rejected(&report)
		return
	}
	s.running(&report)
	s.revived(&report)
}

// objectsFaulted writes an event for each object that is not accepted.
func (s *Server) objectsFaulted(faults []ruleset.Fault) {
	for i, f := range faults {
		switch {
		case f.Problem == "":
			s.o.Logger.Info("the object is accepted again or was deleted", "object", f.Object)
			continue
		case i < maxReported:
			s.o.Logger.Error("the object is not accepted", "object", f.Object, "problem", f.Problem, "kept", f.Kept)
		}
		e := &audit.Event{
			Time: s.o.Now(), Kind: audit.PolicyRejected, Severity: audit.Notice, Revision: s.index.Snapshot().Revision().Number,
			Source: f.Object, Problems: []string{f.Problem}, Count: 1, Detail: "not accepted",
		}
		if f.Kept {
			e.Detail = "the object keeps its last good version"
		}
		_ = s.audit.Record(context.Background(), e)
	}
}

var (
	ageDesc      = prometheus.NewDesc("patgate_source_age_seconds", "Time since the watch of the cluster's objects was last known to be alive.", nil, nil)
	acceptedDesc = prometheus.NewDesc("patgate_objects_not_accepted", "Objects of the cluster that are not accepted as they are, by kind.", []string{"kind"}, nil)
)

// Describe implements prometheus.Collector.
func (c *cluster) Describe(ch chan<- *prometheus.Desc) { ch <- ageDesc; ch <- acceptedDesc }

// Collect implements prometheus.Collector.
func (c *cluster) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(ageDesc, prometheus.GaugeValue, c.Age().Seconds())
	for kind, n := range c.NotAccepted() {
		ch <- prometheus.MustNewConstMetric(acceptedDesc, prometheus.GaugeValue, float64(n), kind)
	}
}
