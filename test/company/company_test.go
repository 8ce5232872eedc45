package company

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/audit/report"
)

// small is a company that tests can read.
func small(seed uint64) *Company {
	return New(Options{Seed: seed, People: 60, Tokens: 200, Events: 20_000})
}

func logOf(t *testing.T, c *Company) string {
	t.Helper()
	var log bytes.Buffer
	if err := c.Log(&log); err != nil {
		t.Fatal(err)
	}
	return log.String()
}

func TestAnEqualSeedMakesAnEqualCompany(t *testing.T) {
	first, second, other := small(1), small(1), small(2)
	one, two, three := logOf(t, first), logOf(t, second), logOf(t, other)
	a, _ := json.Marshal(first.Manifests())
	b, _ := json.Marshal(second.Manifests())
	if one != two || !bytes.Equal(a, b) {
		t.Error("an equal seed makes another company")
	}
	if one == three {
		t.Error("another seed makes an equal log")
	}
}

// TestLogHoldsTheCompany finds in the log what the company has: it is whole, people left, values were rotated, clients
// broke, canaries were touched, and some tokens are not used.
func TestLogHoldsTheCompany(t *testing.T) {
	c := small(1)
	log := logOf(t, c)
	inputs := func() []audit.Input { return []audit.Input{{Name: "log", Reader: bytes.NewReader([]byte(log))}} }
	v, err := report.Verify(context.Background(), inputs(), nil, nil)
	if err != nil || !v.OK || v.Events < 15_000 || len(v.Instances) != 3*13 {
		t.Errorf("%v: %d events of %d processes, %v", err, v.Events, len(v.Instances), v.Broken)
	}
	s, err := report.Summarize(context.Background(), inputs(), &report.Filter{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	previous := int64(0)
	for _, token := range s.Tokens {
		previous += token.Previous
	}
	if s.Reasons["token_deactivated"] == 0 || s.Reasons["token_canary"] == 0 || len(s.Canaries) == 0 || len(s.Broken) == 0 || previous == 0 || len(s.Tokens) == len(c.Tokens) {
		t.Errorf("%v, %d canaries, %d broken clients, %d calls by older values, %d of %d tokens", s.Reasons, len(s.Canaries), len(s.Broken), previous, len(s.Tokens), len(c.Tokens))
	}
}
