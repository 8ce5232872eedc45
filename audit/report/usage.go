package report

import (
	"context"
	"unique"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/usage"
)

// Usage reads logs and says how each token was used, by name; if rules is set, also which of its rules allowed the
// calls. Where a process reported more uses of a token than
// the logs have calls, its report counts. An error beside it says that a log is cut.
func Usage(ctx context.Context, inputs []audit.Input, rules bool, progress func(audit.ReadStats)) ([]usage.Token, audit.ReadStats, error) {
	all := newUsesSeen()
	work := func(entries []audit.Entry) *usesSeen {
		part := newUsesSeen()
		part.rules = rules
		for i := range entries {
			part.see(&entries[i].Logged)
		}
		return part
	}
	stats, err := audit.Scan(ctx, inputs, work, func(part *usesSeen, s audit.ReadStats) error {
		all.merge(part)
		if progress != nil {
			progress(s)
		}
		return nil
	})
	return all.total().List(), stats, err
}

// usesSeen collects the uses of tokens in logs.
type usesSeen struct {
	rules    bool                          // are counted, too
	calls    usage.Uses                    // counted from decisions
	counts   map[useKey]int64              // the calls again, by process
	reported map[processToken]*usage.Token // the last reports, which count from the start of a process
}

// processToken names a token in one process.
type processToken struct{ instance, token string }

// useKey names a kind of use of a token in one process.
type useKey struct {
	processToken
	scheme   string
	previous bool
}

func newUsesSeen() *usesSeen {
	return &usesSeen{calls: usage.Uses{}, counts: map[useKey]int64{}, reported: map[processToken]*usage.Token{}}
}

func (s *usesSeen) see(l *audit.Logged) {
	if t, ok := usage.Of(l); ok {
		if r, named := usage.RuleOf(l); named && s.rules {
			t.Rules = []usage.RuleUse{r}
		}
		s.calls.Add(&t)
		s.counts[useKey{processToken{l.Instance, l.Token}, l.Scheme, l.Previous}]++
	} else if t, ok := usage.Reported(l); ok {
		s.report(processToken{l.Instance, l.Token}, &t)
	}
}

// report keeps the report with the highest count.
func (s *usesSeen) report(key processToken, t *usage.Token) {
	if known := s.reported[key]; known == nil || t.Count > known.Count {
		s.reported[key] = t
	}
}

// merge adds what another part of the logs says. What is kept of it holds no line of the log.
func (s *usesSeen) merge(part *usesSeen) {
	for _, t := range part.calls {
		s.calls.Add(t)
	}
	for key, n := range part.counts {
		if _, known := s.counts[key]; !known {
			key.token = s.calls[key.token].Token
			key.instance, key.scheme = unique.Make(key.instance).Value(), unique.Make(key.scheme).Value()
		}
		s.counts[key] += n
	}
	for key, t := range part.reported {
		s.report(key, t)
	}
}

// total is all uses: the calls, and what processes report beyond the calls that the logs have.
func (s *usesSeen) total() usage.Uses {
	for key, t := range s.reported {
		more := *t
		more.Uses = nil
		for _, u := range t.Uses {
			if u.Count -= s.counts[useKey{key, u.Scheme, u.Previous}]; u.Count > 0 {
				more.Uses = append(more.Uses, u)
			}
		}
		if len(more.Uses) > 0 {
			s.calls.Add(&more)
		}
	}
	return s.calls
}
