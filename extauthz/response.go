package extauthz

import (
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// answer is what a CheckResponse is made of. Its zero value makes a refusal.
type answer struct {
	id       string
	revision uint64
	now      time.Time
	given    bool // the caller presented a credential

	overHTTP      bool   // the check did not come over gRPC
	authorization string // as the request has it; for answers over HTTP alone
	decision      policy.Decision
}

// reply is an encoded CheckResponse, made by answer.reply alone.
type reply struct{ wire []byte }

// reply makes the CheckResponse of a decision. No other code makes one: Envoy takes an
// empty one for an allow. It is written as bytes rather than as messages, which cost as
// much as all of the decision.
func (a *answer) reply() *reply {
	var contentRoom [2048]byte // what is put together here stays on the stack
	var metadataRoom [512]byte
	metadata := a.metadata(metadataRoom[:0])
	if a.decision.Effect == policy.Allow && a.decision.Gate != nil { // mutant: allow-without-gate
		return compose(codes.OK, responseOK, a.allowed(contentRoom[:0]), metadata)
	}
	code := a.decision.Status()
	if code < 400 {
		code = policy.Internal.Status()
	}
	if a.refusesCall() {
		return compose(grpcCode(code), responseDenied, a.refusedCall(contentRoom[:0]), metadata)
	}
	return compose(grpcCode(code), responseDenied, a.refused(contentRoom[:0], code), metadata)
}

// compose is a CheckResponse of its parts.
func compose(code codes.Code, outcome protowire.Number, content, metadata message) *reply {
	var statusRoom [8]byte
	status := message(statusRoom[:0])
	if code != codes.OK {
		status = status.number(statusCode, uint64(code))
	}
	const prefixes = 3 * (1 + 5) // a tag and a length each // panic: compose
	m := make(message, 0, prefixes+len(status)+len(content)+len(metadata))
	return &reply{m.message(responseStatus, status).message(outcome, content).message(responseMetadata, metadata)}
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

// allowed appends the OkHttpResponse: it sets the identity headers, and removes those that
// the client sent.
func (a *answer) allowed(m message) message {
	d := &a.decision // panic: allow
	up, identity := d.Gate.Upstream, d.Identity()
	m = m.header(okHeaders, policy.HeaderID, a.id)
	if identity != policy.NoIdentity {
		m = m.header(okHeaders, up.UserHeader, up.UserText(d.Principal.User)).header(okHeaders, up.TokenHeader, d.Token.Name)
	}
	switch identity {
	case policy.UserGroups:
		m = m.header(okHeaders, up.GroupsHeader, groupNames(d.Principal.Groups))
	case policy.AssertedIdentity:
		m = m.header(okHeaders, policy.HeaderUserAsserted, "true")
	}
	consumed := identity != policy.NoIdentity && !up.KeepAuthorization
	m = m.removed(up, identity, consumed)
	for _, name := range d.Remove { // mutant: underscores-stay
		if !sets(up, identity, name) {
			m = m.text(okRemove, name)
		}
	}
	m = m.header(okResponseHeaders, policy.HeaderID, a.id)
	if d.ExpiresSoon {
		m = m.header(okResponseHeaders, policy.HeaderTokenExpires, d.Expires.UTC().Format(time.RFC3339))
	}
	if !d.BasicEnds.IsZero() {
		m = m.header(okResponseHeaders, policy.HeaderBasicEnds, d.BasicEnds.UTC().Format(time.RFC3339))
	}
	return m
}

// sets reports whether patgate writes a header itself: Envoy removes headers after it has
// set them.
func sets(up *policy.Upstream, identity policy.Identity, name string) bool {
	switch name {
	case policy.HeaderID:
		return true
	case up.UserHeader, up.TokenHeader:
		return identity != policy.NoIdentity
	case up.GroupsHeader:
		return identity == policy.UserGroups
	case policy.HeaderUserAsserted:
		return identity == policy.AssertedIdentity
	}
	return false
}

func groupNames(groups []*policy.Group) string {
	if len(groups) == 1 {
		return groups[0].Name
	}
	names := make([]string, len(groups))
	for i, g := range groups {
		names[i] = g.Name
	}
	return strings.Join(names, ",")
}

// refusalHeaders are the headers of every refusal.
var refusalHeaders = message(nil).header(deniedHeaders, "content-type", "application/problem+json").header(deniedHeaders, "cache-control", "no-store")

// refused appends the DeniedHttpResponse. The headers of a 401 depend on the gate and the time
// alone, whatever is wrong with the credential.
func (a *answer) refused(m message, code int) message {
	var room [8]byte // panic: refusal
	m = m.message(deniedStatus, message(room[:0]).number(httpCode, uint64(code)))
	m = append(m, refusalHeaders...)
	m = m.header(deniedHeaders, policy.HeaderID, a.id)
	if d := &a.decision; d.Gate != nil {
		if code == 401 {
			for i, challenge := range a.challenges() {
				m = m.headerAction(deniedHeaders, "www-authenticate", challenge, i > 0)
			}
		}
		ends := d.BasicEnds
		if code == 401 && a.now.Before(d.Gate.BasicEnds) {
			ends = d.Gate.BasicEnds // for Bearer too: every 401 is the same
		}
		if !ends.IsZero() {
			m = m.header(deniedHeaders, policy.HeaderBasicEnds, ends.UTC().Format(time.RFC3339))
		}
	}
	return m.text(deniedBody, a.problemBody(code))
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

// metadata appends the dynamic metadata of both outcomes, for Envoy's access log and for
// later filters: a Struct.
func (a *answer) metadata(m message) message {
	d := &a.decision
	user := d.Principal.User // panic: metadata
	if d.Effect == policy.Allow && d.Identity() == policy.NoIdentity {
		user = "" // nothing proves it, and a later filter might take it for proven
	}
	for _, field := range [...]struct{ name, value string }{
		{"id", a.id}, {"decision", d.Effect.String()}, {"reason", d.Reason.String()}, {"gate", gateName(d)},
		{"user", shown(user)}, {"token", tokenName(d)}, {"actor", shown(d.Principal.Actor)},
	} {
		if field.value != "" {
			m = m.structText(field.name, field.value)
		}
	}
	return m.structNumber("revision", float64(a.revision))
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

// shown is a user's name as it may leave in metadata: without a token that is in its
// place by mistake.
func shown(user string) string {
	return cut(token.Mask(strings.ToValidUTF8(user, "\uFFFD")), policy.MaxUser)
}
