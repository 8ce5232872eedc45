package extauthz

import (
	"context"
	"fmt"
	"runtime"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"

	"github.com/patgate/patgate/policy"
)

// guard is the outermost interceptor: whatever comes out of a check, Envoy gets a
// whole answer. A nil, empty or inconsistent one, an error and a panic all become a
// refusal; other services pass.
func (s *Server) guard(ctx context.Context, in any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (out any, err error) {
	if info.FullMethod != authv3.Authorization_Check_FullMethodName {
		return handler(ctx, in)
	}
	defer func() {
		if p := recover(); p != nil {
			s.Logger.Error("an answer panicked, the request is refused", "panic", panicText(p))
			out, err = s.refusal(), nil
		}
	}()
	out, err = handler(ctx, in)
	if r, ok := out.(*reply); err == nil && ok && proper(r) { // mutant: improper-answer
		return out, nil
	}
	s.Logger.Error("an improper answer was replaced by a refusal", "error", err)
	return s.refusal(), nil
}

// refusal is the answer to an internal error.
func (s *Server) refusal() *reply {
	s.Observer.Faulted()
	a := answer{id: newID()}
	a.decision.Refuse(policy.Internal)
	return a.reply()
}

// panicText names a panic without its value, unless that is the runtime's own.
func panicText(p any) string {
	if err, ok := p.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("a value of type %T", p)
}
