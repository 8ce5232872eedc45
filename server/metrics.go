package server

import (
	"maps"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/patgate/patgate/loader"
	"github.com/patgate/patgate/policy"
)

// metrics are the metrics that the status port exposes to Prometheus. No user, token, path or address is ever a
// label: their number is unbounded, and their names are confidential.
type metrics struct {
	registry   *prometheus.Registry
	decisions  *prometheus.CounterVec
	counters   atomic.Pointer[map[counted]prometheus.Counter] // of decisions, those in use
	shadows    *prometheus.CounterVec
	duration   prometheus.Histogram
	faults     prometheus.Counter
	clockSteps prometheus.Counter
	revived    prometheus.Counter
	loads      *prometheus.CounterVec
	loadOK     prometheus.Gauge
	loadTime   prometheus.Gauge
	kept       prometheus.Gauge
	failures   *failures
	handshakes prometheus.Counter
}

func newMetrics(s *Server) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		failures: newFailures(s.clock.Now, s.o.Logger),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "patgate_decisions_total", Help: "Checks answered, by gate, decision and reason.",
		}, []string{"gate", "decision", "reason"}),
		shadows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "patgate_shadow_refusals_total", Help: "Refusals that an observing gate let through, by gate and reason.",
		}, []string{"gate", "reason"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "patgate_check_duration_seconds", Help: "Time from the CheckRequest to the answer, its audit event written.",
			Buckets: []float64{50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1},
		}),
		faults: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "patgate_check_faults_total", Help: "Panics and improper answers that became refusals.",
		}),
		clockSteps: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "patgate_clock_steps_total", Help: "Steps of the clock back by more than an hour, which were followed.",
		}),
		handshakes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "patgate_tls_handshake_failures_total", Help: "TLS handshakes of the port for checks that failed.",
		}),
		revived: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "patgate_tokens_revived_total", Help: "Tokens that changed manifests let live longer than before: revoked is gone, or the end is later.",
		}),
		loads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "patgate_policy_reloads_total", Help: "Loads of changed manifests, by result.",
		}, []string{"result"}),
		loadOK: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "patgate_policy_reload_success", Help: "1 if all of the last load runs, 0 if it was rejected, or a directory of it, and the last good state stays.",
		}),
		kept: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "patgate_manifests_kept", Help: "Directories that keep their last good state, because their manifests can't be loaded.",
		}),
		loadTime: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "patgate_policy_reload_success_timestamp_seconds", Help: "When manifests were loaded the last time with success.",
		}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "patgate_build_info", Help: "1, with the version as a label.",
		ConstLabels: prometheus.Labels{"version": s.o.Version, "goversion": runtime.Version()},
	})
	build.Set(1)
	m.registry.MustRegister(m.decisions, m.shadows, m.duration, m.faults, m.clockSteps, m.handshakes, m.revived, m.loads, m.loadOK, m.loadTime, m.kept, build,
		&stateCollector{server: s}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Decided implements extauthz.Observer.
func (m *metrics) Decided(d *policy.Decision, took time.Duration) {
	gate := "" // panic: metrics
	if d.Gate != nil {
		gate = d.Gate.Name
	}
	m.counterOf(gate, d).Inc()
	if d.Shadowed {
		m.shadows.WithLabelValues(gate, d.Shadow.String()).Inc()
	}
	if (d.Effect == policy.Deny || d.Shadowed) && failed(d) {
		m.failures.add(d.Client)
	}
	m.duration.Observe(took.Seconds())
}

// counted holds the labels of the count of decisions.
type counted struct {
	gate   string
	effect policy.Effect
	reason policy.Reason
}

// counterOf returns the counter of a decision. Readers share a map that does not change, which is quicker to read than
// that of Prometheus; who finds a counter missing publishes another map.
func (m *metrics) counterOf(gate string, d *policy.Decision) prometheus.Counter {
	known, key := m.counters.Load(), counted{gate, d.Effect, d.Reason}
	if known != nil {
		if counter := (*known)[key]; counter != nil {
			return counter
		}
	}
	counter, next := m.decisions.WithLabelValues(gate, d.Effect.String(), d.Reason.String()), map[counted]prometheus.Counter{}
	if known != nil {
		next = maps.Clone(*known)
	}
	next[key] = counter
	m.counters.CompareAndSwap(known, &next)
	return counter
}

// Faulted implements extauthz.Observer.
func (m *metrics) Faulted() { m.faults.Inc() }

func (m *metrics) loaded(r *loader.Report) {
	m.kept.Set(float64(len(r.Kept)))
	m.revived.Add(float64(len(r.Revived)))
	if r.Loaded {
		m.loads.WithLabelValues("loaded").Inc()
		m.loadTime.SetToCurrentTime()
	}
	if r.Rejected() {
		m.loads.WithLabelValues("rejected").Inc()
		m.loadOK.Set(0)
		return
	}
	m.loadOK.Set(1)
}

// stateCollector computes at a scrape what follows from the running revision, the
// clock and the audit.
type stateCollector struct {
	server *Server

	mu       sync.Mutex
	counted  time.Time
	revision uint64
	tokens   [policy.StateCount]int
}

// countEvery is how long a count of the tokens by state holds: with a million of them
// it takes a while.
const countEvery = 10 * time.Second

var (
	tokensDesc   = prometheus.NewDesc("patgate_tokens", "Tokens by state.", []string{"state"}, nil)
	revisionDesc = prometheus.NewDesc("patgate_policy_revision", "The running revision; it counts changes since the start.", nil, nil)
	queuedDesc   = prometheus.NewDesc("patgate_audit_queue_length", "Audit events that wait to be written.", nil, nil)
	writtenDesc  = prometheus.NewDesc("patgate_audit_events_total", "Audit events written.", nil, nil)
	lostDesc     = prometheus.NewDesc("patgate_audit_lost_total", "Audit events that were never written.", nil, nil)
	stalledDesc  = prometheus.NewDesc("patgate_audit_stalled", "1 while the audit's reader takes nothing.", nil, nil)
	failingDesc  = prometheus.NewDesc("patgate_failing_clients", "Client addresses (of IPv6: /64) with 10 or more failed credentials within the last minute.", nil, nil)
	expiryDesc   = prometheus.NewDesc("patgate_certificate_expiry_timestamp_seconds", "When the first certificate of a TLS file expires.", []string{"file"}, nil)
	mostDesc     = prometheus.NewDesc("patgate_client_failures_max", "The most failed credentials that one client address had within the last minute.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c *stateCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{tokensDesc, revisionDesc, queuedDesc, writtenDesc, lostDesc, stalledDesc, failingDesc, mostDesc, expiryDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *stateCollector) Collect(ch chan<- prometheus.Metric) {
	snapshot := c.server.index.Snapshot()
	for state, n := range c.count(snapshot) {
		ch <- prometheus.MustNewConstMetric(tokensDesc, prometheus.GaugeValue, float64(n), policy.State(state).String())
	}
	ch <- prometheus.MustNewConstMetric(revisionDesc, prometheus.GaugeValue, float64(snapshot.Revision().Number))
	a := c.server.audit.Stats()
	ch <- prometheus.MustNewConstMetric(queuedDesc, prometheus.GaugeValue, float64(a.Queued))
	ch <- prometheus.MustNewConstMetric(writtenDesc, prometheus.CounterValue, float64(a.Written))
	ch <- prometheus.MustNewConstMetric(lostDesc, prometheus.CounterValue, float64(a.Lost))
	for _, e := range c.server.certificates.ends() {
		ch <- prometheus.MustNewConstMetric(expiryDesc, prometheus.GaugeValue, float64(e.ends.Unix()), e.file)
	}
	stalled := 0.0
	if a.Stalled {
		stalled = 1
	}
	ch <- prometheus.MustNewConstMetric(stalledDesc, prometheus.GaugeValue, stalled)
	clients, most := c.server.metrics.failures.state()
	ch <- prometheus.MustNewConstMetric(failingDesc, prometheus.GaugeValue, float64(clients))
	ch <- prometheus.MustNewConstMetric(mostDesc, prometheus.GaugeValue, float64(most))
}

func (c *stateCollector) count(s *policy.Snapshot) [policy.StateCount]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.server.clock.Now()
	if c.revision == s.Revision().Number && now.Sub(c.counted) < countEvery && !c.counted.IsZero() {
		return c.tokens
	}
	c.revision, c.counted, c.tokens = s.Revision().Number, now, [policy.StateCount]int{}
	for t := range s.Tokens {
		c.tokens[s.State(t, now)]++
	}
	return c.tokens
}
