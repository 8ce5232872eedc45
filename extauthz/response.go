package extauthz

import (
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// answer holds the parts of a CheckResponse. Its zero value is a refusal.
type answer struct {
	id       string
	revision uint64
	now      time.Time
	given    bool // the caller presented a credential

	overHTTP      bool   // the check did not come over gRPC
	authorization string // as the request has it; for answers over HTTP alone
	decision      policy.Decision
}

// reply is an encoded CheckResponse, made by answer.replyIn alone.
type reply struct{ wire []byte }

// reply makes the CheckResponse of a decision.
func (a *answer) reply() *reply {
	r := a.replyIn(nil)
	return &r
}

// typicalReply is for how many bytes there is room in a reply at first.
const typicalReply = 768

// replyIn makes the CheckResponse of a decision, in a buffer if there is one. No other code makes one: Envoy takes an
// empty one for an allow. It is written as bytes rather than as messages, which cost as
// much as all of the decision.
func (a *answer) replyIn(m message) reply {
	if m == nil {
		m = make(message, 0, typicalReply)
	}
	m = m[:0]
	if a.decision.Effect == policy.Allow && a.decision.Gate != nil { // mutant: allow-without-gate
		m, at := m.lengthOf(responseStatus, 0).open(responseOK)
		return reply{a.withMetadata(a.allowed(m).close(at))}
	}
	code := a.decision.Status()
	if code < 400 {
		code = policy.Internal.Status()
	}
	m, status := m.open(responseStatus)
	m, at := m.number(statusCode, uint64(grpcCode(code))).close(status).open(responseDenied)
	if a.refusesCall() {
		return reply{a.withMetadata(a.refusedCall(m).close(at))}
	}
	return reply{a.withMetadata(a.refused(m, code).close(at))}
}

// withMetadata appends the field with the metadata.
func (a *answer) withMetadata(m message) message {
	m, at := m.open(responseMetadata) // panic: compose
	return a.metadata(m).close(at)
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
		m = m.groups(up.GroupsHeader, d.Principal.Groups)
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

// groups appends the header with the names of a user's groups, which were checked when they were loaded.
func (m message) groups(header string, groups []*policy.Group) message {
	size := len(groups) - 1 // commas
	for _, g := range groups {
		size += len(g.Name)
	}
	m = m.headerHead(okHeaders, header, size, false)
	for i, g := range groups {
		if i > 0 {
			m = append(m, ',')
		}
		m = append(m, g.Name...)
	}
	return m.headerEnd(false)
}

// refusalHeaders are the headers of every refusal.
var refusalHeaders = message(nil).header(deniedHeaders, "content-type", "application/problem+json").header(deniedHeaders, "cache-control", "no-store")

// refused appends the DeniedHttpResponse. The headers of a 401 depend on the gate and the time
// alone, whatever is wrong with the credential.
func (a *answer) refused(m message, code int) message {
	m = m.httpStatus(code) // panic: refusal
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

// httpStatus appends the HttpStatus of a refusal.
func (m message) httpStatus(code int) message {
	return m.lengthOf(deniedStatus, protowire.SizeVarint(uint64(code))+1).number(httpCode, uint64(code))
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
	m = m.structNotEmpty("id", a.id).structText("decision", d.Effect.String()).structNotEmpty("reason", d.Reason.String())
	m = m.structNotEmpty("gate", gateName(d)).structNotEmpty("user", shown(user)).structNotEmpty("token", tokenName(d))
	return m.structNotEmpty("actor", shown(d.Principal.Actor)).structNumber("revision", float64(a.revision))
}

func (m message) structNotEmpty(name, text string) message {
	if text == "" {
		return m
	}
	return m.structText(name, text)
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
	if user == "" {
		return ""
	}
	return cut(token.Mask(utf8Text(user)), policy.MaxUser)
}
