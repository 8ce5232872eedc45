package controller

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/patgate/patgate/loader/kube"
	"github.com/patgate/patgate/usage"
)

// gates are the servers that enforce the objects. Each address that a name has is one of them.
type gates struct {
	urls   []*url.URL
	lookUp func(ctx context.Context, host string) ([]string, error) // the addresses of a name
	client *http.Client
	logger *slog.Logger
	moved  func() // is called when a server runs a newer version
	now    func() time.Time
	soon   chan struct{}

	asked   time.Time // when the names were looked up, by the goroutine of run alone, as what follows
	bases   []string
	unknown map[string]*replica // names that have no address

	mu       sync.Mutex
	replicas map[string]*replica  // by their base URLs
	none     time.Time            // since when there are no replicas
	used     map[string]time.Time // tokens by name
}

// replica is one server.
type replica struct {
	runs    map[string]uint64 // up to which version, by kind and namespace
	failure string            // why it is not known; empty: it is
	usage   *usage.Source

	held map[string]uint64 // the most that it ran, as of the last time it ran all of that
	at   time.Time         // that time; of one that has not answered: when it was first seen
}

// askTime limits how long a server may take to answer.
const askTime = time.Second

// newGates checks the URLs of the status ports.
func newGates(statusPorts []string, logger *slog.Logger) (*gates, error) {
	if len(statusPorts) == 0 {
		return nil, errors.New("no gate is named, expected the URL of a status port, such as http://patgate-headless:9192: a value is handed out once every gate knows it")
	}
	g := &gates{
		lookUp: net.DefaultResolver.LookupHost, client: &http.Client{Timeout: askTime}, logger: logger, now: time.Now, none: time.Now(),
		soon: make(chan struct{}, 1), moved: func() {}, replicas: map[string]*replica{}, used: map[string]time.Time{},
	}
	for _, text := range statusPorts {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("%s is not the URL of a status port, expected one such as http://patgate-headless:9192", text)
		}
		u.Path, u.RawQuery = strings.TrimSuffix(u.Path, "/"), ""
		g.urls = append(g.urls, u)
	}
	return g, nil
}

// The pauses between two looks at the servers: while something is not in force, and otherwise.
const (
	hurryPause  = 20 * time.Millisecond
	hurryFor    = 5 * time.Second
	slowerPause = time.Second
	idlePause   = 5 * time.Second
)

// run calls the servers until ctx is done.
func (g *gates) run(ctx context.Context) {
	var hurried time.Time
	for {
		if g.refresh(ctx) {
			g.moved()
		}
		pause := idlePause
		switch since := time.Since(hurried); {
		case since < hurryFor:
			pause = hurryPause
		case since < time.Minute:
			pause = slowerPause
		}
		select {
		case <-ctx.Done():
			return
		case <-g.soon:
			hurried = time.Now()
			continue
		case <-time.After(pause):
		}
	}
}

// hurry makes run call the servers at once, and often for a while.
func (g *gates) hurry() {
	select {
	case g.soon <- struct{}{}:
	default:
	}
}

// refresh fetches from each server what it runs, and reports whether that has changed.
func (g *gates) refresh(ctx context.Context) bool {
	bases, failures := g.resolved(ctx)
	found := make([]*replica, len(bases))
	var all sync.WaitGroup
	for i, base := range bases {
		all.Go(func() { found[i] = g.ask(ctx, base) })
	}
	all.Wait()
	now := map[string]*replica{}
	for i, base := range bases {
		now[base] = found[i]
	}
	maps.Copy(now, failures)
	return g.take(now)
}

// take takes in what the servers say, and reports whether one has moved.
func (g *gates) take(now map[string]*replica) (moved bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for base, r := range now {
		was := g.replicas[base]
		r.follows(was, g.now())
		if was == nil || was.failure != r.failure || !maps.Equal(was.runs, r.runs) {
			moved = true
		}
		if was == nil || was.failure != r.failure {
			g.log(base, r.failure)
		}
	}
	moved = moved || len(now) != len(g.replicas)
	if len(now) == 0 && len(g.replicas) > 0 {
		g.none = g.now()
	}
	g.replicas = now
	return moved
}

func (g *gates) log(base, failure string) {
	if failure != "" {
		g.logger.Warn("a gate does not report its revision", "address", base, "error", failure)
		return
	}
	g.logger.Info("a gate reports its revision", "address", base)
}

// resolved returns what resolve did within the last second, or does now.
func (g *gates) resolved(ctx context.Context) ([]string, map[string]*replica) {
	if time.Since(g.asked) > resolveEvery {
		g.bases, g.unknown = g.resolve(ctx)
		g.asked = time.Now()
	}
	return g.bases, g.unknown
}

// resolveEvery is the minimum time between two look-ups of the names.
const resolveEvery = time.Second

// resolve returns a URL for each address of each name, and the names that have none.
func (g *gates) resolve(ctx context.Context) (bases []string, failures map[string]*replica) {
	failures = map[string]*replica{}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	for _, u := range g.urls {
		if u.Scheme != "http" || net.ParseIP(u.Hostname()) != nil {
			bases = append(bases, u.String())
			continue
		}
		addresses, err := g.lookUp(ctx, u.Hostname())
		if err != nil {
			failures[u.String()] = &replica{failure: failureOf(err)}
			continue
		}
		for _, address := range addresses {
			own := *u
			own.Host = net.JoinHostPort(address, cmp.Or(u.Port(), "80"))
			bases = append(bases, own.String())
		}
	}
	slices.Sort(bases)
	return slices.Compact(bases), failures
}

// maxAnswer bounds the answer of a server.
const maxAnswer = 1 << 20

// ask fetches from a server up to which versions its objects run.
func (g *gates) ask(ctx context.Context, base string) *replica {
	objects, err := g.revision(ctx, base)
	if err != nil {
		return &replica{failure: failureOf(err)}
	}
	r := &replica{runs: map[string]uint64{}}
	for _, o := range objects {
		r.runs[o.Kind+"/"+o.Namespace] = number(o.ResourceVersion)
	}
	if len(r.runs) == 0 {
		r.failure = "it has no objects of the cluster yet, or does not follow them (--kubernetes)"
	}
	return r
}

func (g *gates) revision(ctx context.Context, base string) ([]kube.Running, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/revision", nil)
	if err != nil {
		return nil, err
	}
	answer, err := g.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("/revision answers %d, expected 200: is it the status port of patgate serve?", answer.StatusCode)
	}
	var status struct{ Objects []kube.Running }
	err = json.NewDecoder(io.LimitReader(answer.Body, maxAnswer)).Decode(&status)
	return status.Objects, err
}

// fetchUsage fetches from the servers how tokens were used.
func (g *gates) fetchUsage(ctx context.Context) {
	var sources []*usage.Source
	g.mu.Lock()
	for base, r := range g.replicas {
		if r.usage == nil && r.failure == "" {
			r.usage, _ = usage.NewSource(base, g.client) // a URL that was good for /revision
		}
		if r.usage != nil && r.failure == "" {
			sources = append(sources, r.usage)
		}
	}
	g.mu.Unlock()
	all := usage.Uses{}
	for _, s := range sources {
		if err := s.Fetch(ctx); err != nil {
			g.logger.Debug("the last use of tokens is unknown", "error", err)
		}
		s.AddTo(all)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for name, t := range all {
		if t.Last.After(g.used[name]) {
			g.used[name] = t.Last
		}
	}
}

// lastUsed returns when a token was last allowed something; zero: it is not known.
func (g *gates) lastUsed(name string) time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.used[name]
}
