package extauthz

import (
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// answer is what a CheckResponse is made of. Its zero value makes a refusal.
type answer struct {
	id       string
	revision uint64
	now      time.Time
	given    bool // the caller presented a credential
	problem  string
	decision policy.Decision
}

// response makes the CheckResponse of a decision. No other code makes one: Envoy takes
// an empty one for an allow.
func (a *answer) response() *authv3.CheckResponse {
	r := &authv3.CheckResponse{DynamicMetadata: a.metadata()}
	if a.decision.Effect == policy.Allow && a.decision.Gate != nil {
		r.Status = &status.Status{Code: int32(codes.OK)}
		r.HttpResponse = &authv3.CheckResponse_OkResponse{OkResponse: a.allowed()}
		return r
	}
	code := a.decision.Status()
	if code < 400 {
		code = policy.Internal.Status()
	}
	r.Status = &status.Status{Code: int32(grpcCode(code))}
	r.HttpResponse = &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
		Status:  &typev3.HttpStatus{Code: typev3.StatusCode(code)},
		Headers: a.refusalHeaders(code),
		Body:    a.problemBody(code),
	}}
	return r
}

// grpcCode is the code of a refusal, none of which is OK.
func grpcCode(status int) codes.Code {
	switch status {
	case 400:
		return codes.InvalidArgument
	case 401:
		return codes.Unauthenticated
	case 403:
		return codes.PermissionDenied
	case 503:
		return codes.Unavailable
	}
	return codes.Internal
}

// allowed tells the upstream who calls, and removes whatever the client said of it.
func (a *answer) allowed() *authv3.OkHttpResponse {
	d := &a.decision
	up, identity := d.Gate.Upstream, d.Identity()
	consumed := identity != policy.NoIdentity && !up.KeepAuthorization
	ok := &authv3.OkHttpResponse{
		Headers:              []*corev3.HeaderValueOption{set(policy.HeaderID, a.id)},
		HeadersToRemove:      up.Remove(identity, consumed),
		ResponseHeadersToAdd: []*corev3.HeaderValueOption{set(policy.HeaderID, a.id)},
	}
	if identity != policy.NoIdentity {
		ok.Headers = append(ok.Headers, set(up.UserHeader, d.Principal.User), set(up.TokenHeader, d.Token.Name))
	}
	switch identity {
	case policy.UserGroups:
		ok.Headers = append(ok.Headers, set(up.GroupsHeader, groupNames(d.Principal.Groups)))
	case policy.AssertedIdentity:
		ok.Headers = append(ok.Headers, set(policy.HeaderUserAsserted, "true"))
	}
	if d.ExpiresSoon {
		ok.ResponseHeadersToAdd = append(ok.ResponseHeadersToAdd, set(policy.HeaderTokenExpires, d.Expires.UTC().Format(time.RFC3339)))
	}
	if !d.BasicEnds.IsZero() {
		ok.ResponseHeadersToAdd = append(ok.ResponseHeadersToAdd, set(policy.HeaderBasicEnds, d.BasicEnds.UTC().Format(time.RFC3339)))
	}
	return ok
}

func groupNames(groups []*policy.Group) string {
	names := make([]string, len(groups))
	for i, g := range groups {
		names[i] = g.Name
	}
	return strings.Join(names, ",")
}

// refusalHeaders go to the client. Those of a 401 depend on the gate and the time
// alone, whatever is wrong with the credential.
func (a *answer) refusalHeaders(code int) []*corev3.HeaderValueOption {
	h := []*corev3.HeaderValueOption{
		set("content-type", "application/problem+json"),
		set("cache-control", "no-store"),
		set(policy.HeaderID, a.id),
	}
	d := &a.decision
	if d.Gate == nil {
		return h
	}
	if code == 401 {
		for i, challenge := range a.challenges() {
			h = append(h, set("www-authenticate", challenge))
			if i > 0 {
				h[len(h)-1].AppendAction = corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD
			}
		}
	}
	ends := d.BasicEnds
	if code == 401 && a.given && a.now.Before(d.Gate.BasicEnds) {
		ends = d.Gate.BasicEnds // for Bearer too: every such 401 is the same
	}
	if !ends.IsZero() {
		h = append(h, set(policy.HeaderBasicEnds, ends.UTC().Format(time.RFC3339)))
	}
	return h
}

// challenges returns a www-authenticate value for each scheme that the gate takes now.
func (a *answer) challenges() []string {
	var list []string
	gate := a.decision.Gate
	takes := gate.Challenges(a.now)
	if takes.Has(policy.Basic) {
		list = append(list, `Basic realm="`+gate.Name+`", charset="UTF-8"`)
	}
	if takes.Has(policy.Bearer) {
		challenge := `Bearer realm="` + gate.Name + `"`
		if a.given {
			challenge += `, error="invalid_token"`
		}
		list = append(list, challenge)
	}
	return list
}

// set overwrites a header, never appends.
func set(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: name, Value: value},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}

// metadata is the dynamic metadata of both outcomes, for Envoy's access log and for
// later filters.
func (a *answer) metadata() *structpb.Struct {
	d := &a.decision
	fields := map[string]*structpb.Value{
		"id":       structpb.NewStringValue(a.id),
		"decision": structpb.NewStringValue(d.Effect.String()),
		"reason":   structpb.NewStringValue(d.Reason.String()),
		"revision": structpb.NewNumberValue(float64(a.revision)),
	}
	user := d.Principal.User
	if d.Effect == policy.Allow && d.Identity() == policy.NoIdentity {
		user = "" // nothing proves it, and a later filter might take it for proven
	}
	for name, value := range map[string]string{
		"gate": gateName(d), "token": tokenName(d), "user": shown(user), "actor": shown(d.Principal.Actor),
	} {
		if value != "" {
			fields[name] = structpb.NewStringValue(value)
		}
	}
	return &structpb.Struct{Fields: fields}
}

func gateName(d *policy.Decision) string {
	if d.Gate == nil {
		return ""
	}
	return d.Gate.Name
}

func tokenName(d *policy.Decision) string {
	if d.Token == nil {
		return ""
	}
	return d.Token.Name
}

// shown is a user's name as it may leave in metadata: sendable, and without a value that
// stands in its place by mistake.
func shown(user string) string {
	return cut(token.Mask(strings.ToValidUTF8(user, "\uFFFD")), policy.MaxUser)
}

// proper reports whether Envoy will understand a response as what it says: an OK with
// its OkResponse, or a refusal with a DeniedResponse of 4xx or 5xx but for 429, which
// gRPC clients take for a reason to try again.
func proper(r *authv3.CheckResponse) bool {
	if r.GetStatus() == nil {
		return false
	}
	if r.GetStatus().GetCode() == int32(codes.OK) {
		return r.GetOkResponse() != nil
	}
	code := int(r.GetDeniedResponse().GetStatus().GetCode())
	return code >= 400 && code < 600 && code != 429
}
