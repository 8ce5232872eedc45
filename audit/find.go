package audit

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// MinID is the minimum number of characters of an id that find its event.
const MinID = 8

// FindDecision reads logs and returns the decision with an id, the last one where several have it; an empty
// id: the last decision of all. The beginning of an id will do, of at least MinID characters and in any case. It
// returns what the logs held too. Its error names what was looked for; for a log that is cut it is a *CutError,
// together with the decision that was found before the cut.
func FindDecision(inputs []Input, id string) (*Entry, ReadStats, error) {
	f := finder{id: strings.ToUpper(id), exact: id, ids: map[string]bool{}}
	var stats ReadStats
	var cut error
	for _, in := range inputs {
		r := NewReader(in.Name, in.Reader)
		err := f.read(r)
		stats.add(r.Stats())
		var c *CutError
		switch {
		case errors.As(err, &c):
			cut = errors.Join(cut, err)
		case err != nil:
			return nil, stats, err
		}
	}
	entry, err := f.result(stats)
	return entry, stats, errors.Join(err, cut)
}

// finder looks for one decision.
type finder struct {
	id, exact string
	found     *Entry
	whole     bool            // found has the whole id
	ids       map[string]bool // that begin with id
}

func (f *finder) read(r *Reader) error {
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		f.see(e)
	}
}

func (f *finder) see(e *Entry) {
	if e.Kind != Decision {
		return
	}
	whole := f.id == "" || strings.EqualFold(e.ID, f.id)
	begins := len(f.id) >= MinID && strings.HasPrefix(strings.ToUpper(e.ID), f.id)
	if !whole && (!begins || f.whole) {
		return
	}
	if f.id != "" && !whole && len(f.ids) < 3 {
		f.ids[e.ID] = true
	}
	entry := *e
	f.found, f.whole = &entry, whole
}

func (f *finder) result(stats ReadStats) (*Entry, error) {
	held := fmt.Sprintf("%d events and %d other lines were read", stats.Events, stats.Skipped)
	switch {
	case f.found != nil && !f.whole && len(f.ids) > 1:
		return nil, fmt.Errorf("several decisions begin with %s, expected more of its characters", f.exact)
	case f.found != nil:
		return f.found, nil
	case f.id == "" && stats.Events == 0:
		return nil, fmt.Errorf("no event of patgate in it, expected an audit log: one JSON object a line (%s)", held)
	case f.id == "":
		return nil, fmt.Errorf("no decision in it, expected an event whose kind is decision (%s)", held)
	case len(f.id) < MinID:
		return nil, fmt.Errorf("no decision %s in it, expected a whole id, or its first %d characters or more (%s)", f.exact, MinID, held)
	}
	return nil, fmt.Errorf("no decision %s in it, expected a log that has it (%s)", f.exact, held)
}
