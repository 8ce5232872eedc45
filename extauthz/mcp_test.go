package extauthz

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/codes"

	"github.com/patgate/patgate/policy"
)

const removeCall = `{"jsonrpc":"2.0","id":"a\"1","method":"tools/call","params":{"name":"delete_file"}}`

// mcpCheck is a check of a POST of a message by alice's token, which may call read_file.
func mcpCheck(t *testing.T, p *parts, body string) *authv3.CheckRequest {
	t.Helper()
	pattern, err := policy.CompilePattern("read_file")
	if err != nil {
		t.Fatal(err)
	}
	gateOf(t, p, func(_ *policy.Gate, tok *policy.Token) {
		tok.Grant = policy.Grant{Policies: []*policy.Policy{{Allow: []*policy.Rule{{Name: "agent", MCP: &policy.MCP{Tools: []*policy.Pattern{pattern}}}}}}}
	})
	in := request("authorization", "Bearer "+secret.Reveal(), "content-type", "application/json", "x-envoy-auth-partial-body", "false")
	http := in.GetAttributes().GetRequest().GetHttp()
	http.Method, http.RawBody, http.Size = "POST", []byte(body), int64(len(body))
	return in
}

// A refused call of a good token is answered for its id, with 200; its event is a refusal.
func TestRefusedCall(t *testing.T) {
	s, p := newServer(t)
	out, err := check(s, mcpCheck(t, p, removeCall))
	if err != nil {
		t.Fatal(err)
	}
	denied := out.GetDeniedResponse()
	if out.GetStatus().GetCode() != int32(codes.PermissionDenied) || denied.GetStatus().GetCode() != 200 || out.GetOkResponse() != nil {
		t.Fatalf("%v", out)
	}
	var answer struct {
		Version string `json:"jsonrpc"`
		ID      string
		Error   struct {
			Code    int
			Message string
			Data    map[string]string
		}
	}
	if err := json.Unmarshal([]byte(denied.GetBody()), &answer); err != nil {
		t.Fatal(err)
	}
	if answer.Version != "2.0" || answer.ID != `a"1` || answer.Error.Code != 403 || answer.Error.Data["reason"] != "no_rule_matched" ||
		len(answer.Error.Data["id"]) != 26 || !strings.Contains(answer.Error.Message, `Rule "agent"`) || strings.Contains(denied.GetBody(), "read_file") {
		t.Errorf("%s", denied.GetBody())
	}
	if e := p.events[0]; e.Decision != "deny" || e.Status != 200 || e.Reason != "no_rule_matched" || e.Unmatched != `mcp "tools"` {
		t.Errorf("the event is %+v", e)
	}
	for _, h := range denied.GetHeaders() {
		if h.GetHeader().GetKey() == "content-type" && h.GetHeader().GetValue() != "application/json" {
			t.Errorf("%v", h)
		}
	}
}

// wantProblem checks that a refusal is a problem, and one with 403 also a JSON-RPC error, whose id is that of the refusal.
func wantProblem(t *testing.T, name, body string, status int) {
	t.Helper()
	var p struct {
		Status             int
		Version            string `json:"jsonrpc"`
		Detail, Reason, ID string
		Error              *struct {
			Code    int
			Message string
		}
	}
	if err := json.Unmarshal([]byte(body), &p); err != nil || p.Status != status || p.Reason == "" || len(p.ID) != 26 {
		t.Errorf("%s: %v: %s", name, err, body)
	}
	switch {
	case status != 403:
		if p.Version != "" || p.Error != nil {
			t.Errorf("%s: %s", name, body)
		}
	case p.Version != "2.0" || p.Error == nil || p.Error.Code != 403 || p.Error.Message != p.Detail:
		t.Errorf("%s: %s", name, body)
	}
}

// Every other refusal keeps its status: of a call that was not understood, without an id, of a bad credential, over HTTP.
func TestOtherRefusalsOfCalls(t *testing.T) {
	s, p := newServer(t)
	for _, c := range []struct {
		name, body, authorization string
		status                    int
	}{
		{"a batch", "[" + removeCall + "]", "", 403}, {"a notification", `{"jsonrpc":"2.0","method":"notifications/cancelled"}`, "", 403},
		{"a bad credential", removeCall, "Bearer nope-nope-nope", 401}, {"no credential", removeCall, "-", 401},
	} {
		in := mcpCheck(t, p, c.body)
		list := in.GetAttributes().GetRequest().GetHttp().GetHeaderMap()
		switch c.authorization {
		case "":
		case "-":
			list.Headers = list.Headers[1:]
		default:
			list.Headers[0].RawValue = []byte(c.authorization)
		}
		out, err := check(s, in)
		if err != nil || int(out.GetDeniedResponse().GetStatus().GetCode()) != c.status {
			t.Errorf("%s: %v, %v, want %d", c.name, out, err, c.status)
		}
		wantProblem(t, c.name, out.GetDeniedResponse().GetBody(), c.status)
	}
	// 200 is proper only as the answer to a refused call.
	improper := answer{id: "x", decision: policy.Decision{Reason: policy.NoRuleMatched}}
	good := improper
	good.decision.Call = "1"
	wire := good.reply().wire
	if !proper(&reply{wire}) || proper(&reply{bytes.Replace(wire, []byte("jsonrpc"), []byte("jsonrpx"), 1)}) || !proper(improper.reply()) {
		t.Error("a refusal with 200 that is no answer to a call is proper")
	}
	in := readAttributes(mcpCheck(t, p, removeCall))
	in.front.asks = true
	c := s.Check(context.Background(), &in, false)
	if c.answer.decision.Call == "" || c.answer.status() != 403 || c.event.Status != 403 {
		t.Errorf("over HTTP: %+v", c.answer)
	}
}
