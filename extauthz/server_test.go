package extauthz

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
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

func TestWithoutManifestsNobodyPasses(t *testing.T) {
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
	c := &call{server: s, start: time.Now()}
	c.decide(context.Background(), &a, false)
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
