//go:build bench

package extauthz

import (
	"context"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/patgate/patgate/policy"
)

// unobserved is an observer that counts nothing.
type unobserved struct{}

func (unobserved) Decided(*policy.Decision, time.Duration) {}
func (unobserved) Faulted()                                {}

// TestServeBare is no test but a server for `make bench`: our transport, which reads each
// check as ever and answers the same allow, without a decision and without the audit. What
// it costs less than patgate is what the check costs. It serves until it is killed.
func TestServeBare(t *testing.T) {
	allow := answer{id: "ABCDEFGHIJKLMNOPQRSTUVWXYZ", decision: policy.Decision{
		Effect: policy.Allow, Reason: policy.OK, Token: &policy.Token{Name: "token-123"},
		Gate:      &policy.Gate{Name: "jira", Upstream: policy.NewUpstream("x-forwarded-user", "x-forwarded-groups", "x-patgate-token", "", false)},
		Principal: policy.Principal{User: "user-123", Groups: []*policy.Group{{Name: "everyone"}, {Name: "team-1"}}},
	}}
	out := allow.reply()
	service.Methods = []grpc.MethodDesc{{MethodName: "Check", Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		in := new(incoming)
		if err := decode(in); err != nil {
			return nil, err
		}
		return out, nil
	}}}
	l, err := net.Listen(os.Getenv("BENCH_NETWORK"), os.Getenv("BENCH_ADDR"))
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{
		Index: policy.NewIndex(), Audit: forgetful{}, Clock: NewClock(time.Now, func(time.Duration) {}),
		Observer: unobserved{}, Logger: slog.New(slog.DiscardHandler),
	}
	transport, err := NewTransport(s, TransportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Fatal(transport.Serve(l))
}
