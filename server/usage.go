package server

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/patgate/patgate/admin"
	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/usage"
)

// usageEvery is the interval of the events that say how tokens were used, and of requests to other servers.
const usageEvery = time.Minute

// seen returns what is called for each decision.
func (s *Server) seen() func(*policy.Decision, *audit.Event) {
	if s.recent == nil {
		return s.counters.Seen
	}
	return func(d *policy.Decision, e *audit.Event) {
		s.counters.Seen(d, e)
		s.recent.Seen(d, e)
	}
}

// reportUsage writes the events of the tokens that were used, each minute until ctx is done.
func (s *Server) reportUsage(ctx context.Context) {
	ticker := time.NewTicker(s.o.UsageEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.writeUsage(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// writeUsage writes an event for each token that was used since its last one. What could not be written before
// ctx is done comes with the next.
func (s *Server) writeUsage(ctx context.Context) {
	_ = s.counters.Report(func(t *usage.Token) error {
		client, _ := netip.ParseAddr(t.LastClient)
		e := &audit.Event{
			Time: s.o.Now(), Kind: audit.TokenUsage, Severity: audit.Info, Revision: s.index.Snapshot().Revision().Number,
			Token: t.Token, User: t.User, Gate: t.LastGate, Scheme: t.LastScheme, Client: client, Count: int(t.Count), Uses: t.Uses,
		}
		if t.BasicEnds != nil {
			e.BasicEnds = *t.BasicEnds
		}
		return s.audit.RecordLater(ctx, e)
	})
}

// usage answers with the tokens that were used since the process started, a line of JSON each: all, or those that
// changed after the cursor of a line of this instance.
func (s *Server) usage(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	after, err := strconv.ParseUint(cmp.Or(query.Get("after"), query.Get("cursor"), "0"), 10, 64)
	if err != nil {
		http.Error(w, "after: expected the cursor of a line, a number", http.StatusBadRequest)
		return
	}
	if query.Get("instance") != s.instance {
		after = 0
	}
	w.Header().Set("Content-Type", "application/jsonl")
	w.Header().Set("Cache-Control", "no-store")
	lines := json.NewEncoder(w)
	for _, entry := range s.counters.List(after) {
		if lines.Encode(usage.Line{Instance: s.instance, Entry: entry}) != nil {
			return
		}
	}
}

// usageView holds the uses of tokens that the management knows: in this process, and at other servers.
type usageView struct {
	own     *usage.Counters // nil: no decisions are made here
	servers *servers
	others  []*usage.Source // by the URLs of servers
}

// newUsageView follows the usage at the status ports of other servers.
func newUsageView(own *usage.Counters, servers *servers) (*usageView, error) {
	v := &usageView{own: own, servers: servers}
	for _, port := range servers.urls {
		source, err := usage.NewSource(port, http.DefaultClient)
		if err != nil {
			return nil, &UsageError{err.Error()}
		}
		v.others = append(v.others, source)
	}
	return v, nil
}

// follow calls the other servers at once and then each minute, until ctx is done. One that does not answer is called
// again.
func (v *usageView) follow(ctx context.Context) {
	ticker := time.NewTicker(usageEvery)
	defer ticker.Stop()
	for len(v.others) > 0 {
		v.fetch(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// fetch calls each address of the other servers.
func (v *usageView) fetch(ctx context.Context) {
	var all sync.WaitGroup
	for i, source := range v.others {
		addresses, err := v.servers.addresses(ctx, v.servers.urls[i])
		if err != nil {
			continue
		}
		all.Go(func() {
			for _, address := range addresses {
				_ = source.FetchAt(ctx, address, clientAt(address))
			}
		})
	}
	all.Wait()
}

// rules returns the uses of a token's rules, in Rules and OtherRules.
func (v *usageView) rules(name string) usage.Token {
	all := usage.Token{Token: name}
	if v.own != nil {
		own := v.own.Rules(name)
		all.Merge(&own)
	}
	for _, source := range v.others {
		if t := source.Token(name); t != nil {
			all.Merge(t)
		}
	}
	return all
}

// used returns the last use of a token; nil: it was not used.
func (v *usageView) used(name string) *admin.Used {
	all := usage.Uses{}
	if v.own != nil {
		if t := v.own.Token(name); t != nil {
			all.Add(t)
		}
	}
	for _, source := range v.others {
		if t := source.Token(name); t != nil {
			all.Add(t)
		}
	}
	return admin.UsedBy(all[name])
}
