package extauthz

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// held is a context that lets a check begin costly work, and then holds it until it is
// opened: by then its caller has given up. It counts how many checks it holds.
type held struct {
	context.Context
	calls int
	holds chan<- struct{}
	open  <-chan struct{}
}

func (h *held) Err() error {
	if h.calls++; h.calls == 1 {
		return nil
	}
	h.holds <- struct{}{}
	<-h.open
	return context.DeadlineExceeded
}

// costly returns a server with a second token, whose patterns cost as much as a manifest may
// hold.
func costly(t *testing.T) *Server {
	t.Helper()
	s, p := newServer(t)
	pattern, err := policy.CompilePattern(`/([a-z]{0,110}[a-y]?){4}A0`)
	if err != nil {
		t.Fatal(err)
	}
	var rules []*policy.Rule
	for n := pattern.Instructions(); n <= policy.MaxLevel; n += pattern.Instructions() {
		rules = append(rules, &policy.Rule{Name: "costly", Path: pattern})
	}
	old := p.index.Snapshot()
	rows := policy.Rows{Gates: old.Gates(), Tokens: []*policy.Token{
		old.TokenByName("ci"),
		{Name: "costly", User: "bob", Digest: token.Sum(token.NewSecret("costly-value")), Grant: policy.Grant{Policies: []*policy.Policy{{Allow: rules}}}},
	}}
	if _, err := p.index.Replace(rows, time.Now()); err != nil {
		t.Fatal(err)
	}
	return s
}

// costlyCheck is one with the costly token and a path that none of its patterns matches.
func costlyCheck(ctx context.Context, s *Server) policy.Reason {
	in := request("authorization", "Bearer costly-value")
	in.Attributes.Request.Http.Path = "/" + strings.Repeat("x", 8000)
	a := readAttributes(in)
	defer s.leave()
	return s.Check(ctx, &a, s.enter()).answer.decision.Reason
}

// TestOneTokenLeavesProcessorsToOthers counts instead of timing: while one token's checks
// hold all that it may have, each further one is refused, and everybody else is answered.
func TestOneTokenLeavesProcessorsToOthers(t *testing.T) {
	s := costly(t)
	const refused = 20
	share := sharePerToken()
	holds, open, reasons := make(chan struct{}, share+refused), make(chan struct{}), make(chan policy.Reason, share+refused)
	for range share + refused {
		go func() { reasons <- costlyCheck(&held{Context: context.Background(), holds: holds, open: open}, s) }()
	}
	for held, over := 0, 0; held < share || over < refused; {
		select {
		case <-holds:
			if held++; held > share {
				close(open)
				t.Fatalf("%d checks of one token are evaluated at a time, want at most %d", held, share)
			}
		case reason := <-reasons:
			if over++; reason != policy.Overloaded {
				t.Errorf("a check beyond the token's share: %v", reason)
			}
		}
	}
	for range 100 {
		if out, err := check(s, withToken()); err != nil || out.GetOkResponse() == nil {
			t.Fatalf("another token: %v, %v", out, err)
		}
	}
	close(open)
	for range share {
		if reason := <-reasons; reason != policy.Overloaded {
			t.Errorf("a check past its deadline: %v", reason)
		}
	}
	if len(holds) != 0 || len(s.shares.held) != 0 {
		t.Errorf("%d more were evaluated, held: %v", len(holds), s.shares.held)
	}
	if reason := costlyCheck(context.Background(), s); reason != policy.NoRuleMatched {
		t.Errorf("alone: %v", reason)
	}
}

func TestRulesObeyTheDeadline(t *testing.T) {
	s := costly(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if reason := costlyCheck(ctx, s); reason != policy.Overloaded {
		t.Errorf("the caller has given up: %v", reason)
	}
}
