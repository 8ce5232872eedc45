// Package report answers questions about a whole audit log: who called, what was refused, and whether anything is
// missing. It reads the log once, with audit.Scan.
package report

import (
	"strings"
	"time"

	"github.com/patgate/patgate/audit"
)

// Filter selects events. A field at its zero value selects all; an event is selected where every other field
// matches.
type Filter struct {
	User     string // the user, or who acted as one
	Token    string
	Gate     string
	Reason   string // of the decision, or of the refusal that an observing gate let through
	Decision string // allow or deny
	Path     string // the path begins with it
	Since    time.Time
	Until    time.Time // events before it
}

// Match reports whether an event is selected.
func (f *Filter) Match(l *audit.Logged) bool {
	switch {
	case f.User != "" && l.User != f.User && l.Actor != f.User,
		f.Token != "" && l.Token != f.Token,
		f.Gate != "" && l.Gate != f.Gate,
		f.Reason != "" && l.Reason != f.Reason && l.Shadow != f.Reason,
		f.Decision != "" && l.Decision != f.Decision,
		f.Path != "" && !strings.HasPrefix(l.Path, f.Path),
		!f.Since.IsZero() && l.Time.Before(f.Since),
		!f.Until.IsZero() && !l.Time.Before(f.Until):
		return false
	}
	return true
}
