//go:build bench

package extauthz

import (
	"net"
	"os"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/patgate/patgate/extauthz/wire"
	"github.com/patgate/patgate/policy"
)

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
	l, err := net.Listen(os.Getenv("BENCH_NETWORK"), os.Getenv("BENCH_ADDR"))
	if err != nil {
		t.Fatal(err)
	}
	server := wire.New(bareHandler{out.wire}, wire.Options{Method: authv3.Authorization_Check_FullMethodName})
	t.Fatal(server.Serve(l))
}

// bareHandler reads checks, and answers the same to all.
type bareHandler struct{ answer []byte }

// Decide implements wire.Handler.
func (h bareHandler) Decide(call wire.Call) wire.Decision {
	_ = readMessage(call.Message)
	return nil
}

// Refuse implements wire.Handler.
func (h bareHandler) Refuse() wire.Decision { return nil }

// Slow implements wire.Handler.
func (h bareHandler) Slow(int) bool { return false }

// NewBatch implements wire.Handler.
func (h bareHandler) NewBatch() wire.Batch { return &bareBatch{answer: h.answer} }

type bareBatch struct {
	answer  []byte
	streams []uint32
}

// Add implements wire.Batch.
func (b *bareBatch) Add(stream uint32, _ wire.Decision) { b.streams = append(b.streams, stream) }

// Size implements wire.Batch.
func (b *bareBatch) Size() int { return 0 }

// Commit implements wire.Batch.
func (b *bareBatch) Commit(answer wire.Answer) func(wire.Answer) {
	for _, id := range b.streams {
		answer(id, b.answer)
	}
	b.streams = b.streams[:0]
	return nil
}
