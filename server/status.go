package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// statusHandler serves the status port: probes, metrics and the running revision.
func (s *Server) statusHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /revision", s.revision)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}))
	return mux
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	if !s.ready.Load() {
		http.Error(w, "not ready: no manifests are loaded, or the server drains", http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintln(w, "ok")
}

// revisionStatus is what /revision tells.
type revisionStatus struct {
	Revision uint64    `json:"revision"`
	SHA256   string    `json:"sha256"` // of the files of the last good load
	Loaded   time.Time `json:"loaded"`
	LastLoad lastLoad  `json:"lastLoad"`
}

// lastLoad is the last load, which may have been rejected.
type lastLoad struct {
	OK       bool      `json:"ok"`
	Time     time.Time `json:"time"`
	SHA256   string    `json:"sha256"`
	Problems []string  `json:"problems,omitempty"` // the first of them
	Refused  []string  `json:"refused,omitempty"`  // tokens that a rejected load refused
}

func (s *Server) revision(w http.ResponseWriter, _ *http.Request) {
	r := s.index.Snapshot().Revision()
	s.mu.Lock()
	last, when := s.last, s.when
	s.mu.Unlock()
	status := revisionStatus{
		Revision: r.Number, SHA256: fmt.Sprintf("%x", r.SHA256), Loaded: r.Loaded.UTC(),
		LastLoad: lastLoad{OK: !last.Rejected(), Time: when.UTC(), SHA256: fmt.Sprintf("%x", last.SHA256), Refused: last.Narrowed},
	}
	for _, p := range last.Problems[:min(len(last.Problems), maxReported)] {
		status.LastLoad.Problems = append(status.LastLoad.Problems, p.String())
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(status)
}
