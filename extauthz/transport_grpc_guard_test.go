package extauthz

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// TestGuard hands the guard every answer that Envoy would take for something else.
func TestGuard(t *testing.T) {
	s, p := newServer(t)
	ok := &rpcstatus.Status{Code: 0}
	refused := &rpcstatus.Status{Code: 7}
	deniedWith := func(code int32) *authv3.CheckResponse_DeniedResponse {
		return &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{Status: &typev3.HttpStatus{Code: typev3.StatusCode(code)}}}
	}
	okResponse := &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{HeadersToRemove: []string{"authorization"}}}
	good := encoded(&authv3.CheckResponse{Status: ok, HttpResponse: okResponse})
	for name, out := range map[string]*authv3.CheckResponse{
		"empty":                    {},
		"no status":                {HttpResponse: okResponse},
		"OK without OkResponse":    {Status: ok},
		"OK with DeniedResponse":   {Status: ok, HttpResponse: deniedWith(403)},
		"refused with OkResponse":  {Status: refused, HttpResponse: okResponse},
		"refused without response": {Status: refused},
		"refused without a status": {Status: refused, HttpResponse: &authv3.CheckResponse_DeniedResponse{}},
		"refused with 200":         {Status: refused, HttpResponse: deniedWith(200)},
		"refused with 302":         {Status: refused, HttpResponse: deniedWith(302)},
		"refused with 429":         {Status: refused, HttpResponse: deniedWith(429)},
		"an error response":        {Status: refused, HttpResponse: &authv3.CheckResponse_ErrorResponse{}},
	} {
		if got, err := guarded(s, func() (any, error) { return encoded(out), nil }); err != nil || !refusal500(got) {
			t.Errorf("%s: %v, %v", name, decoded(got), err)
		}
	}
	for name, handler := range map[string]func() (any, error){
		"an error":          func() (any, error) { return nil, errors.New("x") },
		"both":              func() (any, error) { return good, errors.New("x") },
		"an untyped":        func() (any, error) { return nil, nil },
		"another type":      func() (any, error) { return &authv3.CheckResponse{}, nil },
		"a panic":           func() (any, error) { panic("planted") },
		"a nil in disguise": func() (any, error) { return (*reply)(nil), nil },
		"no bytes":          func() (any, error) { return &reply{}, nil },
		"broken bytes":      func() (any, error) { return &reply{good.wire[:len(good.wire)-1]}, nil },
		"both answers": func() (any, error) {
			denied := encoded(&authv3.CheckResponse{HttpResponse: deniedWith(403)})
			return &reply{append(append([]byte{}, good.wire...), denied.wire...)}, nil
		},
	} {
		if got, err := guarded(s, handler); err != nil || !refusal500(got) {
			t.Errorf("%s: %v, %v", name, decoded(got), err)
		}
	}
	if p.faults != 20 {
		t.Errorf("%d faults were counted", p.faults)
	}
	if got, err := guarded(s, func() (any, error) { return good, nil }); err != nil || got != good {
		t.Errorf("a proper answer: %v, %v", got, err)
	}
}

func guarded(s *Server, handler func() (any, error)) (any, error) {
	info := &grpc.UnaryServerInfo{FullMethod: authv3.Authorization_Check_FullMethodName}
	return s.guard(context.Background(), nil, info, func(context.Context, any) (any, error) { return handler() })
}

// TestOneFileMakesAnswers keeps the construction of answers in one place.
func TestOneFileMakesAnswers(t *testing.T) {
	files, err := filepath.Glob("../*/*.go")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || name == "../extauthz/response.go" {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, made := range []string{"CheckResponse{", "CheckResponse_OkResponse{", "new(authv3.CheckResponse", "reply{", "new(reply)"} {
			if strings.Contains(made, "reply") && !strings.HasPrefix(name, "../extauthz/") {
				continue // the type is not exported
			}
			if strings.Contains(string(text), made) {
				t.Errorf("%s makes an answer: %s", name, made)
			}
		}
	}
}

func TestMetadataHoldsNoValue(t *testing.T) {
	s, _ := newServer(t)
	value := token.Mint().Reveal()
	out, _ := check(s, request("authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(value+":x-oauth-basic"))))
	if text := out.String(); strings.Contains(text, value[5:]) || !strings.Contains(text, "patg_REDACTED") {
		t.Errorf("%s", text)
	}
}

func TestProblemsAreBounded(t *testing.T) {
	long := strings.Repeat("\x01\"é", 5000)
	a := answer{id: "ABCDEFGHIJKLMNOPQRSTUVWXYZ", decision: policy.Decision{Reason: policy.NoRuleMatched, Gate: &policy.Gate{Name: "g"},
		Rule: &policy.Rule{Name: long}, Failed: policy.PartQuery, PartName: long}}
	body := decoded(a.reply()).GetDeniedResponse().GetBody()
	var p problem
	if err := json.Unmarshal([]byte(body), &p); err != nil || len(body) > 4096 {
		t.Errorf("%d bytes, %v", len(body), err)
	}
}

func TestClock(t *testing.T) {
	at := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	system := at
	var steps []time.Duration
	c := NewClock(func() time.Time { return system }, func(back time.Duration) { steps = append(steps, back) })
	for _, step := range []struct {
		system, want time.Duration // after at
	}{
		{0, 0}, {time.Second, time.Second}, {0, time.Second}, {-59 * time.Minute, time.Second},
		{2 * time.Second, 2 * time.Second}, {2*time.Second - time.Hour, 2 * time.Second},
		{time.Second - time.Hour, time.Second - time.Hour}, {2*time.Second - time.Hour, 2*time.Second - time.Hour},
		{48 * time.Hour, 48 * time.Hour}, {0, 0},
	} {
		system = at.Add(step.system)
		if got := c.Now().Sub(at); got != step.want {
			t.Errorf("system at %v: %v, want %v", step.system, got, step.want)
		}
	}
	if len(steps) != 2 || steps[1] != 48*time.Hour {
		t.Errorf("steps reported: %v", steps)
	}
}

// FuzzCheckRequest checks that any message gets an explicit answer and an event.
func FuzzCheckRequest(f *testing.F) {
	for _, in := range []*authv3.CheckRequest{withToken(), request(), {}, request("authorization", "Basic x", "x-forwarded-for", ",")} {
		b, err := proto.Marshal(in)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	s, p := newServer(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		in := &authv3.CheckRequest{}
		if proto.Unmarshal(b, in) != nil {
			return
		}
		p.events, p.faults = nil, 0
		out, err := check(s, in)
		if err != nil || !proper(encoded(out)) || p.faults != 0 || len(p.events) != 1 {
			t.Fatalf("%v, %v, %d faults, %d events", out, err, p.faults, len(p.events))
		}
		if _, err := proto.Marshal(out); err != nil {
			t.Fatalf("the answer can't be sent: %v", err)
		}
		if out.GetOkResponse() != nil && !strings.Contains(string(b), secret.Reveal()) {
			t.Fatalf("allowed without the value: %v", in)
		}
	})
}
