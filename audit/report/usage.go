package report

import (
	"context"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/usage"
)

// Usage reads logs and says how each token was used, by name. Where a process reported more uses of a token than
// the logs have calls, its report counts. An error beside it says that a log is cut.
func Usage(ctx context.Context, inputs []audit.Input, progress func(audit.ReadStats)) ([]usage.Token, audit.ReadStats, error) {
	all := usesSeen{}
	work := func(entries []audit.Entry) usesSeen {
		part := usesSeen{}
		for i := range entries {
			part.see(&entries[i].Logged)
		}
		return part
	}
	stats, err := audit.Scan(ctx, inputs, work, func(part usesSeen, s audit.ReadStats) error {
		all.merge(part)
		if progress != nil {
			progress(s)
		}
		return nil
	})
	return all.total().List(), stats, err
}

// usesSeen is what logs say about the uses of tokens, by process.
type usesSeen map[string]*instanceUses

type instanceUses struct {
	calls    usage.Uses // counted from decisions
	reported usage.Uses // the last reports, which count from the start of the process
}

func (s usesSeen) of(instance string) *instanceUses {
	i := s[instance]
	if i == nil {
		i = &instanceUses{usage.Uses{}, usage.Uses{}}
		s[instance] = i
	}
	return i
}

func (s usesSeen) see(l *audit.Logged) {
	if l.Kind == audit.Decision {
		if l.Decision == audit.Allow && l.Shadow == "" && l.Token != "" {
			t, _ := usage.Of(l)
			s.of(l.Instance).calls.Add(&t)
		}
		return
	}
	if t, ok := usage.Reported(l); ok {
		s.of(l.Instance).report(&t)
	}
}

// report keeps the report with the highest count.
func (i *instanceUses) report(t *usage.Token) {
	if known := i.reported[t.Token]; known == nil || t.Count > known.Count {
		i.reported[t.Token] = t
	}
}

func (s usesSeen) merge(part usesSeen) {
	for name, from := range part {
		to := s.of(name)
		for _, t := range from.calls {
			to.calls.Add(t)
		}
		for _, t := range from.reported {
			to.report(t)
		}
	}
}

// total puts the processes together.
func (s usesSeen) total() usage.Uses {
	all := usage.Uses{}
	for _, i := range s {
		for name, t := range i.calls {
			if r := i.reported[name]; r == nil || r.Count <= t.Count {
				all.Add(t)
			}
		}
		for name, r := range i.reported {
			if t := i.calls[name]; t == nil || r.Count > t.Count {
				all.Add(r)
			}
		}
	}
	return all
}
