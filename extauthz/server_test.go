package extauthz

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

var secret = token.NewSecret("qt3sumg4gd8r47n98tcnmuarnfufviog")

// parts are a server's surroundings, each of which can be made to fail.
type parts struct {
	mu       sync.Mutex
	index    *policy.Index
	events   []*audit.Event
	decided  []policy.Reason
	faults   int
	recorded error  // what Record returns for an allow
	panicIn  string // snapshot, record, line or observe
	block    chan struct{}
}

func (p *parts) Snapshot() *policy.Snapshot {
	if p.panicIn == "snapshot" {
		panic("planted")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.index.Snapshot()
}

func (p *parts) Record(_ context.Context, e *audit.Event) error {
	if p.block != nil {
		<-p.block
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.panicIn == "record" && e.Decision == audit.Allow {
		panic(errors.New("planted"))
	}
	if p.panicIn == "line" && e.Path != "" {
		panic("planted")
	}
	p.events = append(p.events, e)
	if e.Decision == audit.Allow {
		return p.recorded
	}
	return nil
}

func (p *parts) Decided(d *policy.Decision, _ time.Duration) {
	if p.panicIn == "observe" {
		panic("planted")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.decided = append(p.decided, d.Reason)
}

func (p *parts) Faulted() { p.mu.Lock(); p.faults++; p.mu.Unlock() }

// newServer has one gate for everything and alice's unrestricted token.
func newServer(t testing.TB) (*Server, *parts) {
	t.Helper()
	p := &parts{index: policy.NewIndex()}
	schemes := policy.Schemes(0).With(policy.Basic).With(policy.Bearer)
	_, err := p.index.Replace(policy.Rows{
		Gates: []*policy.Gate{{
			Name: "jira", Hosts: []string{policy.AnyHost}, Prefixes: []string{""}, Schemes: schemes,
			Upstream: policy.NewUpstream("x-forwarded-user", "x-forwarded-groups", "x-patgate-token", "", false),
		}},
		Tokens: []*policy.Token{{Name: "ci", User: "alice", Digest: token.Sum(secret), Grant: policy.Grant{Unrestricted: true}}},
	}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return &Server{
		Index: p, Audit: p, Clock: NewClock(time.Now, func(time.Duration) {}), Observer: p, Logger: slog.New(slog.DiscardHandler),
	}, p
}

// request is a CheckRequest with these headers, as Envoy sends it raw.
func request(pairs ...string) *authv3.CheckRequest {
	http := &authv3.AttributeContext_HttpRequest{Method: "GET", Path: "/rest/", Host: "jira.example.com", HeaderMap: &corev3.HeaderMap{}}
	for i := 0; i+1 < len(pairs); i += 2 {
		http.HeaderMap.Headers = append(http.HeaderMap.Headers, &corev3.HeaderValue{Key: pairs[i], RawValue: []byte(pairs[i+1])})
	}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{Http: http}}}
}

func withToken() *authv3.CheckRequest { return request("authorization", "Bearer "+secret.Reveal()) }

// check calls the server as gRPC does: through the guard.
func check(s *Server, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	info := &grpc.UnaryServerInfo{FullMethod: authv3.Authorization_Check_FullMethodName}
	a := readAttributes(in)
	out, err := s.guard(context.Background(), in, info, func(ctx context.Context, _ any) (any, error) { return s.check(ctx, &a), nil })
	return decoded(out), err
}

// decoded is what Envoy reads in an answer; nil where it can't.
func decoded(out any) *authv3.CheckResponse {
	r, ok := out.(*reply)
	if !ok || r == nil {
		return nil
	}
	response := &authv3.CheckResponse{}
	if proto.Unmarshal(r.wire, response) != nil {
		return nil
	}
	return response
}

// encoded is an answer with the bytes of a response.
func encoded(response *authv3.CheckResponse) *reply {
	wire, err := proto.Marshal(response)
	if err != nil {
		panic(err)
	}
	return &reply{wire}
}

// refusal500 reports whether an answer is the refusal for an internal error.
func refusal500(out any) bool {
	r, _ := out.(*reply)
	return proper(r) && decoded(out).GetOkResponse() == nil && decoded(out).GetDeniedResponse().GetStatus().GetCode() == 500
}

func reasonOf(r *authv3.CheckResponse) string {
	return r.GetDynamicMetadata().GetFields()["reason"].GetStringValue()
}

func TestAllowAndRefuse(t *testing.T) {
	s, p := newServer(t)
	out, err := check(s, withToken())
	if err != nil || out.GetOkResponse() == nil || reasonOf(out) != "ok" {
		t.Errorf("%v, %v", out, err)
	}
	out, err = check(s, request())
	if err != nil || out.GetDeniedResponse().GetStatus().GetCode() != typev3.StatusCode_Unauthorized || reasonOf(out) != "no_credential" {
		t.Errorf("%v, %v", out, err)
	}
	if len(p.events) != 2 || p.events[0].Decision != audit.Allow || p.events[1].Decision != audit.Deny || p.faults != 0 {
		t.Errorf("%d events, %d faults", len(p.events), p.faults)
	}
	if p.events[0].ID == p.events[1].ID || len(p.events[0].ID) != 26 {
		t.Errorf("ids %s and %s", p.events[0].ID, p.events[1].ID)
	}
}

func TestTheZeroAnswerRefuses(t *testing.T) {
	var a answer
	if out := a.reply(); !refusal500(out) {
		t.Errorf("%v", decoded(out))
	}
	a.decision.Effect = policy.Allow // without a gate there is nothing to allow
	if out := a.reply(); !refusal500(out) {
		t.Errorf("%v", decoded(out))
	}
}

func TestEmptyRequestsAreRefused(t *testing.T) {
	s, p := newServer(t)
	for _, in := range []*authv3.CheckRequest{nil, {}, {Attributes: &authv3.AttributeContext{}},
		{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{}}}} {
		out, err := check(s, in)
		if err != nil || out.GetDeniedResponse().GetStatus().GetCode() != 400 || reasonOf(out) != "bad_target" {
			t.Errorf("%v: %v, %v", in, out, err)
		}
	}
	if len(p.events) != 4 {
		t.Errorf("%d events", len(p.events))
	}
}

func TestWithoutManifestsAllIsRefused(t *testing.T) {
	s, p := newServer(t)
	p.index = policy.NewIndex()
	if out, err := check(s, withToken()); err != nil || out.GetDeniedResponse().GetStatus().GetCode() != 503 || reasonOf(out) != "not_ready" {
		t.Errorf("%v, %v", out, err)
	}
}

// TestACheckWaitsForTheFirstManifests lets a check come before they are there.
func TestACheckWaitsForTheFirstManifests(t *testing.T) {
	s, p := newServer(t)
	loaded := make(chan struct{})
	ready := p.index
	s.Loaded, p.index = loaded, policy.NewIndex()
	answered := make(chan string)
	go func() {
		out, _ := check(s, withToken())
		answered <- reasonOf(out)
	}()
	for s.inFlight.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	p.mu.Lock()
	p.index = ready
	p.mu.Unlock()
	close(loaded)
	if got := <-answered; got != "ok" {
		t.Errorf("after the load: %s", got)
	}
	p.index, s.Loaded = policy.NewIndex(), make(chan struct{})
	if out, _ := check(s, withToken()); reasonOf(out) != "not_ready" {
		t.Errorf("without a load: %s", reasonOf(out))
	}
}

func TestAnAllowThatIsNotAuditedIsRefused(t *testing.T) {
	s, p := newServer(t)
	p.recorded = audit.ErrUnavailable
	out, err := check(s, withToken())
	if err != nil || out.GetDeniedResponse().GetStatus().GetCode() != 503 || reasonOf(out) != "audit_unavailable" {
		t.Errorf("%v, %v", out, err)
	}
	if len(p.events) != 1 || p.decided[0] != policy.AuditUnavailable {
		t.Errorf("%d events, counted %v", len(p.events), p.decided)
	}
}

func TestPanicsAreRefusals(t *testing.T) {
	for _, where := range []string{"snapshot", "record", "observe"} {
		s, p := newServer(t)
		p.panicIn = where
		out, err := check(s, withToken())
		if err != nil || out.GetDeniedResponse().GetStatus().GetCode() != 500 {
			t.Errorf("%s: %v, %v", where, out, err)
		}
		if p.faults == 0 || len(p.events) != 1 {
			t.Errorf("%s: %d faults, %d events", where, p.faults, len(p.events))
		}
		if where != "observe" && p.events[0].Reason != "internal" {
			t.Errorf("%s: the event records %s", where, p.events[0].Reason)
		}
	}
	s, p := newServer(t)
	s.Clock = NewClock(func() time.Time { panic("planted") }, nil)
	out, err := check(s, withToken())
	if err != nil || out.GetDeniedResponse().GetStatus().GetCode() != 500 || len(p.events) != 1 || p.events[0].Time.IsZero() {
		t.Errorf("the clock: %v, %v", out, err)
	}
}

// TestAPanicInDecodingIsARefusal decodes as gRPC does, which recovers from nothing.
func TestAPanicInDecodingIsARefusal(t *testing.T) {
	s, p := newServer(t)
	decode := func(in any) error { return newCodec().Unmarshal(mem.BufferSlice{nil}, in) }
	out, err := handleCheck(s, context.Background(), decode, s.guard)
	r := decoded(out)
	if err != nil || r.GetDeniedResponse().GetStatus().GetCode() != 500 || reasonOf(r) != "internal" {
		t.Errorf("%v, %v", r, err)
	}
	if p.faults != 1 || len(p.events) != 1 || p.events[0].Reason != "internal" {
		t.Errorf("%d faults, %d events", p.faults, len(p.events))
	}
}

// TestAnEventThatPanicsIsReplaced checks that the refusal after a panic has an event even if
// the event is what panics.
func TestAnEventThatPanicsIsReplaced(t *testing.T) {
	s, p := newServer(t)
	a := readAttributes(withToken())
	c := s.Check(context.Background(), &a, false)
	c.request.Header = panicky{}
	c.fault("planted")
	if out := decoded(c.finish(c.record(context.Background()))); reasonOf(out) != "internal" {
		t.Errorf("%v", out)
	}
	if len(p.events) != 1 || p.events[0].Reason != "internal" || p.events[0].ID != c.answer.id {
		t.Errorf("%+v", p.events)
	}
}

type panicky struct{}

func (panicky) Get(string) (string, int) { panic("planted") }

func (panicky) Len() int { panic("planted") }

func (panicky) At(int) (name, value string) { panic("planted") }

func TestTooManyAtOnceAreRefused(t *testing.T) {
	s, p := newServer(t)
	s.MaxInFlight = 2
	p.block = make(chan struct{})
	var wg sync.WaitGroup
	reasons := make(chan string, 3)
	for range 2 {
		wg.Go(func() {
			out, _ := check(s, withToken())
			reasons <- reasonOf(out)
		})
	}
	for s.inFlight.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	wg.Go(func() {
		out, _ := check(s, withToken())
		reasons <- reasonOf(out)
	})
	for s.inFlight.Load() < 3 {
		time.Sleep(time.Millisecond)
	}
	close(p.block)
	wg.Wait()
	close(reasons)
	count := map[string]int{}
	for r := range reasons {
		count[r]++
	}
	if count["ok"] != 2 || count["overloaded"] != 1 || s.inFlight.Load() != 0 {
		t.Errorf("%v, %d in flight", count, s.inFlight.Load())
	}
}
