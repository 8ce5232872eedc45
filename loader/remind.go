package loader

import "time"

// noteRejection records since when loads are rejected.
func (l *Loader) noteRejection(r *Report) {
	if !r.Rejected() {
		l.rejected = time.Time{}
		return
	}
	l.reported = time.Now()
	if l.rejected.IsZero() {
		l.rejected = l.reported
	}
}

// remind logs every Options.Remind that the manifests are still rejected: the person who
// changed them may not have noticed.
func (l *Loader) remind() {
	if l.rejected.IsZero() || time.Since(l.reported) < l.o.Remind {
		return
	}
	l.reported = time.Now()
	attributes := []any{}
	for _, p := range l.parts {
		if p.rejection.problems != nil {
			attributes = append(attributes, "directory", p.origin)
		}
	}
	l.o.Logger.Error("the manifests are still rejected, the last good revision stays", append(attributes, "for", time.Since(l.rejected).Round(time.Second).String())...)
}
