package extauthz

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"

	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// A client of an MCP server ends its whole session where the answer to one call has a status of
// an error (the Go SDK does). A call that a rule on MCP refuses to the holder of a good token is
// therefore answered as the server would: by a JSON-RPC error for its id, with HTTP 200. Only Envoy
// over gRPC gets such an answer, for which 200 is no allow; every other refusal keeps its status.
//
// The body of those that a rule on MCP refuses with 403 (a notification, a batch, over HTTP) is a
// JSON-RPC error as well as a problem: so the Go SDK ends no session, since its version 1.8.

// refusedCallCode is the code of the JSON-RPC error. It lies outside the range that JSON-RPC and
// MCP keep for themselves, where clients give each code a meaning.
const refusedCallCode = http.StatusForbidden

// callErrorHead begins the body of such an answer.
var callErrorHead = []byte(`{"jsonrpc":"2.0","id":`)

// callError is a JSON-RPC response with an error.
type callError struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Error   callFault       `json:"error"`
}

// callFault is the error of a JSON-RPC response.
type callFault struct {
	Code    int        `json:"code"`
	Message string     `json:"message"`
	Data    *faultData `json:"data,omitempty"`
}

type faultData struct {
	Reason string `json:"reason"`
	ID     string `json:"id"`
}

// maxFault keeps a problem with a fault below 4 KiB.
const maxFault = 200

// refusesCall reports whether the answer is a JSON-RPC error with HTTP 200.
func (a *answer) refusesCall() bool {
	d := &a.decision
	return d.Call != "" && !a.overHTTP && d.Effect != policy.Allow && d.Status() == http.StatusForbidden
}

// status is the HTTP status that the client sees of a refusal; 0 for an allow.
func (a *answer) status() int {
	if a.refusesCall() {
		return http.StatusOK
	}
	return a.decision.Status()
}

// refusedCall appends the DeniedHttpResponse of a call to an MCP server.
func (a *answer) refusedCall(m message) message {
	m = m.httpStatus(http.StatusOK)
	m = m.header(deniedHeaders, "content-type", "application/json").header(deniedHeaders, "cache-control", "no-store")
	m = m.header(deniedHeaders, policy.HeaderID, a.id)
	if ends := a.decision.BasicEnds; !ends.IsZero() {
		m = m.header(deniedHeaders, policy.HeaderBasicEnds, ends.UTC().Format(time.RFC3339))
	}
	return m.text(deniedBody, a.callErrorBody())
}

func (a *answer) callErrorBody() string {
	reason := a.decision.Reason.String()
	message := cut(token.Mask(a.detail(reason)), maxDetail)
	e := callError{Version: "2.0", ID: json.RawMessage(a.decision.Call), Error: callFault{refusedCallCode, message, &faultData{reason, a.id}}}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(e); err != nil { // the id is JSON that was read before: it can't fail
		return ""
	}
	return b.String()
}
