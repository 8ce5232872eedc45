package report

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/patgate/patgate/audit"
)

// TokenUsage says how one token was used. A refused call is no use, nor one that enforcing would refuse.
type TokenUsage struct {
	Token        string     `json:"token"`
	User         string     `json:"user"` // in person, of its last call
	Count        int64      `json:"count"`
	First        time.Time  `json:"first"`
	Last         time.Time  `json:"last"`
	LastClient   string     `json:"lastClient,omitempty"`
	LastScheme   string     `json:"lastScheme,omitempty"`
	PreviousLast *time.Time `json:"previousLast,omitempty"` // an older value was used
	BasicLast    *time.Time `json:"basicLast,omitempty"`
	BasicEnds    *time.Time `json:"basicEnds,omitempty"` // at the gate of the last call by basic
}

// Usage reads logs and says how each token was used, by name. An error beside it says that a log is cut.
func Usage(ctx context.Context, inputs []audit.Input, progress func(audit.ReadStats)) ([]TokenUsage, audit.ReadStats, error) {
	all := map[string]*TokenUsage{}
	work := func(entries []audit.Entry) map[string]*TokenUsage {
		part := map[string]*TokenUsage{}
		for i := range entries {
			if l := &entries[i].Logged; l.Kind == audit.Decision && l.Decision == audit.Allow && l.Shadow == "" && l.Token != "" {
				addUsage(part, usageOf(l))
			}
		}
		return part
	}
	stats, err := audit.Scan(ctx, inputs, work, func(part map[string]*TokenUsage, s audit.ReadStats) error {
		for _, u := range part {
			addUsage(all, u)
		}
		if progress != nil {
			progress(s)
		}
		return nil
	})
	list := make([]TokenUsage, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, *all[name])
	}
	return list, stats, err
}

// usageOf is the usage by one call.
func usageOf(l *audit.Logged) *TokenUsage {
	u := &TokenUsage{Token: l.Token, User: l.User, Count: 1, First: l.Time, Last: l.Time, LastClient: l.Client, LastScheme: l.Scheme}
	if l.Actor != "" {
		u.User = l.Actor
	}
	if l.Previous {
		u.PreviousLast = &l.Time
	}
	if l.Scheme == "basic" {
		u.BasicLast = &l.Time
		if !l.BasicEnds.IsZero() {
			u.BasicEnds = &l.BasicEnds
		}
	}
	return u
}

// addUsage adds what was seen elsewhere of the same token.
func addUsage(all map[string]*TokenUsage, o *TokenUsage) {
	u := all[o.Token]
	if u == nil {
		all[o.Token] = o
		return
	}
	u.Count += o.Count
	u.First = earlier(u.First, o.First)
	if o.Last.After(u.Last) {
		u.Last, u.User, u.LastClient, u.LastScheme = o.Last, o.User, o.LastClient, o.LastScheme
	}
	if o.PreviousLast != nil && (u.PreviousLast == nil || o.PreviousLast.After(*u.PreviousLast)) {
		u.PreviousLast = o.PreviousLast
	}
	if o.BasicLast != nil && (u.BasicLast == nil || o.BasicLast.After(*u.BasicLast)) {
		u.BasicLast, u.BasicEnds = o.BasicLast, o.BasicEnds
	}
}
