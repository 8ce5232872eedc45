package server

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/loader/kube"
)

// statusHandler serves the status port: probes, metrics and the running revision.
func (s *Server) statusHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", index)
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /revision", s.revision)
	mux.Handle("GET /usage", fewAtATime(statusUsages, http.HandlerFunc(s.usage)))
	mux.Handle("GET /metrics", fewAtATime(statusMetrics, promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{})))
	return mux
}

// Limits of a request to the status port. Any host in the network may send requests there, and they must not fill the memory
// of the process that answers checks.
const (
	statusRead   = 5 * time.Second
	statusWrite  = 30 * time.Second // until a caller has read an answer
	statusIdle   = time.Minute
	statusHeader = 16 << 10

	statusUsages  = 4 // answers of /usage at a time: each lists all tokens that were used
	statusMetrics = 16
)

// newStatusServer returns the server of the status port.
func (s *Server) newStatusServer() *http.Server {
	return &http.Server{
		Handler: s.statusHandler(), ReadHeaderTimeout: statusRead, ReadTimeout: statusRead, WriteTimeout: statusWrite, IdleTimeout: statusIdle,
		MaxHeaderBytes: statusHeader, ErrorLog: slog.NewLogLogger(s.o.Logger.Handler(), slog.LevelDebug),
	}
}

// fewAtATime serves n callers of a page at a time, because its answer may be large. The others wait.
func fewAtATime(n int, page http.Handler) http.Handler {
	answers := make(chan struct{}, n)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case answers <- struct{}{}:
			defer func() { <-answers }()
			page.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	})
}

// statusIndex links relatively, so that it works behind the proxy of a Kubernetes API too.
const statusIndex = `<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>patgate</title>
<h1>patgate</h1>
<ul>
<li><a href="livez">livez</a>: the process runs
<li><a href="readyz">readyz</a>: manifests are loaded, and the server does not drain
<li><a href="revision">revision</a>: the running revision, and the last load
<li><a href="metrics">metrics</a>: for Prometheus
<li><a href="usage">usage</a>: how each token was used since the process started
</ul>
</html>
`

// index lists the pages of the status port.
func index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, statusIndex)
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	if why := s.cluster.unready(); why != "" {
		http.Error(w, "not ready: "+why, http.StatusServiceUnavailable)
		return
	}
	if !s.ready.Load() {
		http.Error(w, "not ready: no manifests are loaded, or the server drains", http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintln(w, "ok")
}

// revisionStatus is the answer of /revision.
type revisionStatus struct {
	Revision uint64    `json:"revision"`
	SHA256   string    `json:"sha256"`          // of all sources: of the last good load of files, and of objects
	Files    string    `json:"files,omitempty"` // of the files alone, where there are objects too
	Loaded   time.Time `json:"loaded"`
	LastLoad lastLoad  `json:"lastLoad"`

	Objects []kube.Running `json:"objects,omitempty"` // of a cluster: up to which version they run
}

// ofFiles is the sum of the files that a server runs.
func (r *revisionStatus) ofFiles() string { return cmp.Or(r.Files, r.SHA256) }

// lastLoad is the last load, which may have been rejected: counts and places, no texts and
// no names.
type lastLoad struct {
	OK       bool      `json:"ok"`
	Isolated int       `json:"isolated,omitempty"` // problems of tokens that are not accepted, while the others run
	Time     time.Time `json:"time"`
	SHA256   string    `json:"sha256"`
	Problems int       `json:"problems,omitempty"` // how many
	Places   []string  `json:"places,omitempty"`   // FILE:LINE:COLUMN of the first of them
	Refused  int       `json:"refused,omitempty"`  // tokens that a rejected load refused
	Kept     []keptDir `json:"kept,omitempty"`     // directories that keep their last good state
}

// keptDir is a directory that keeps its last good state.
type keptDir struct {
	Directory string    `json:"directory"`
	Loaded    time.Time `json:"loaded"`           // its last good state
	Stored    bool      `json:"stored,omitempty"` // by an earlier process, which --last-good kept
	Problems  int       `json:"problems"`
}

func (s *Server) revision(w http.ResponseWriter, _ *http.Request) {
	r := s.index.Snapshot().Revision()
	s.mu.Lock()
	last, when := s.last, s.when
	s.mu.Unlock()
	status := revisionStatus{
		Revision: r.Number, SHA256: fmt.Sprintf("%x", r.SHA256), Loaded: r.Loaded.UTC(),
		LastLoad: lastLoad{OK: !last.Rejected(), Time: when.UTC(), SHA256: fmt.Sprintf("%x", last.SHA256), Problems: len(last.Problems), Isolated: len(last.Isolated), Refused: len(last.RevokedEarly)},
	}
	if r.Files != r.SHA256 && r.Files != ([32]byte{}) {
		status.Files = fmt.Sprintf("%x", r.Files)
	}
	problems := slices.Concat(last.Problems, last.Isolated)
	for _, p := range problems[:min(len(problems), maxReported)] {
		status.LastLoad.Places = append(status.LastLoad.Places, place(p))
	}
	for i := range last.Kept {
		k := &last.Kept[i]
		status.LastLoad.Refused += len(k.RevokedEarly)
		status.LastLoad.Kept = append(status.LastLoad.Kept, keptDir{k.Origin, k.Since.UTC(), k.Stored, len(k.Problems)})
	}
	if s.cluster != nil {
		status.Objects = s.cluster.Running()
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(status)
}

// place returns the place of a problem. Only the audit log says what is wrong there: everyone who
// reaches the status port can read this.
func place(p diag.Problem) string {
	if p.Pos.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Pos.Line, p.Pos.Column)
}
