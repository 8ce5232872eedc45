package server

import (
	"context"
	"fmt"
	"time"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/loader"
)

// maxReported is the maximum number of problems in the event of a rejected load.
const maxReported = 20

// loaded is called for each load: it updates the log, the metrics and the audit.
func (s *Server) loaded(r loader.Report) {
	s.mu.Lock()
	s.last, s.when = r, s.o.Now()
	s.mu.Unlock()
	s.metrics.loaded(&r)
	if s.cluster != nil && r.Loaded {
		s.cluster.Recheck()
	}
	switch {
	case r.Loaded:
		s.running(&r)
		s.isolated(&r)
	case len(r.Kept) == 0:
		s.rejected(&r)
	}
	for i := range r.Kept {
		if r.Kept[i].New {
			s.kept(&r, &r.Kept[i])
		}
	}
	s.revived(&r)
}

// running writes and logs the event of a load that became active.
func (s *Server) running(r *loader.Report) {
	e := s.loadEvent(r)
	if names := r.Change.Names; names != nil {
		e.AddedNames, e.ChangedNames, e.RemovedNames = names.Added, names.Changed, names.Removed
	}
	s.o.Logger.Info("manifests loaded", "revision", r.Change.Revision, "files", r.Files,
		"added", r.Change.Added, "changed", r.Change.Changed, "removed", r.Change.Removed, "took", r.Took.Round(time.Millisecond).String(), "applied", r.Applied.Round(time.Microsecond).String())
	_ = s.audit.Record(context.Background(), e) // only an allow can fail
}

// isolated writes the event of tokens that are not accepted while the others run, and logs the first of their problems.
func (s *Server) isolated(r *loader.Report) {
	if len(r.Isolated) == 0 {
		return
	}
	e := s.rejectedEvent(r, r.Isolated, nil)
	e.Detail = "the tokens are not accepted, and the others run"
	_ = s.audit.Record(context.Background(), e)
	for _, p := range r.Isolated[:min(len(r.Isolated), maxReported)] {
		s.o.Logger.Error("the token is not accepted", "problem", p.String())
	}
}

// loadEvent begins the event of a load.
func (s *Server) loadEvent(r *loader.Report) *audit.Event {
	return &audit.Event{
		Time: s.o.Now(), Kind: audit.PolicyLoaded, Severity: audit.Info, Revision: r.Change.Revision,
		SHA256: fmt.Sprintf("%x", r.SHA256), Added: r.Change.Added, Changed: r.Change.Changed, Removed: r.Change.Removed,
	}
}

// maxRevived bounds the events about tokens that one load revives, as a group's longer
// maxLifetime does with those of all its members. The metric counts all.
const maxRevived = 1_000

// revived writes an event for each token that a load lets live longer than before.
func (s *Server) revived(r *loader.Report) {
	for _, v := range r.Revived[:min(len(r.Revived), maxRevived)] {
		s.o.Logger.Warn("a token is valid for longer than before", "token", v.Token, "because", v.How.String(), "source", v.Source.String())
		_ = s.audit.Record(context.Background(), &audit.Event{
			Time: s.o.Now(), Kind: audit.TokenRevived, Severity: audit.Alert, Revision: r.Change.Revision,
			Token: v.Token, User: v.User, Source: v.Source.String(), Problems: []string{v.How.String()},
		})
	}
}

// rejected writes the event of a rejected load, and logs its first problems: `patgate check`
// prints all. Run returns the problems of the first load, so they are not logged.
func (s *Server) rejected(r *loader.Report) {
	e := s.rejectedEvent(r, r.Problems, r.RevokedEarly)
	if r.Err != nil {
		e.Problems = append(e.Problems, r.Err.Error())
	}
	if r.Err != nil || r.Faulted {
		e.Severity = audit.Alert
	}
	_ = s.audit.Record(context.Background(), e)
	if !s.ready.Load() {
		return
	}
	for _, p := range r.Problems[:min(len(r.Problems), maxReported)] {
		s.o.Logger.Error("manifests rejected", "problem", p.String())
	}
	if r.Err != nil {
		s.o.Logger.Error("the manifests could not be applied", "error", r.Err)
	}
	s.o.Logger.Error("the last good revision stays", refusedTokens([]any{"revision", r.Change.Revision, "problems", len(r.Problems)}, r.RevokedEarly)...)
}

// kept writes the event of a directory that keeps its last good state, and logs its first problems.
func (s *Server) kept(r *loader.Report, k *loader.Kept) {
	e := s.rejectedEvent(r, k.Problems, k.RevokedEarly)
	e.Source, e.Detail = k.Origin, "the directory keeps its last good state"
	if k.Stored {
		e.Detail = "the directory keeps its last good state, which was stored at " + k.Since.UTC().Format(time.RFC3339)
	}
	_ = s.audit.Record(context.Background(), e)
	for _, p := range k.Problems[:min(len(k.Problems), maxReported)] {
		s.o.Logger.Error("manifests rejected", "directory", k.Origin, "problem", p.String())
	}
	s.o.Logger.Error("the directory keeps its last good state", refusedTokens([]any{
		"directory", k.Origin, "loaded", k.Since.UTC().Format(time.RFC3339), "stored", k.Stored, "revision", r.Change.Revision, "problems", len(k.Problems),
	}, k.RevokedEarly)...)
}

// rejectedEvent begins the event of manifests that don't run.
func (s *Server) rejectedEvent(r *loader.Report, problems []diag.Problem, revokedEarly []string) *audit.Event {
	e := &audit.Event{
		Time: s.o.Now(), Kind: audit.PolicyRejected, Severity: audit.Notice, Revision: r.Change.Revision,
		SHA256: fmt.Sprintf("%x", r.SHA256), Tokens: revokedEarly, Count: len(problems),
	}
	for _, p := range problems[:min(len(problems), maxReported)] {
		e.Problems = append(e.Problems, p.String())
	}
	return e
}

func refusedTokens(attributes []any, revokedEarly []string) []any {
	if len(revokedEarly) > 0 {
		return append(attributes, "narrowed_tokens", revokedEarly)
	}
	return attributes
}
