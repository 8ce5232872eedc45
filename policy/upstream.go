package policy

import (
	"fmt"
	"strings"
)

// Headers that patgate itself names, at every gate.
const (
	HeaderID           = "x-patgate-id"
	HeaderUserAsserted = "x-patgate-user-asserted"
	HeaderTokenExpires = "x-patgate-token-expires"
	HeaderBasicEnds    = "x-patgate-basic-ends"
)

// overrideMethod are the headers by which some upstreams take another method than
// the request's; overrideURL those by which they take another target.
var (
	overrideMethod = []string{"x-http-method-override", "x-http-method", "x-method-override"}
	overrideURL    = []string{"x-original-url", "x-rewrite-url"}
)

// Upstream is how an allowed request identifies its caller to the upstream. Make one with
// NewUpstream.
type Upstream struct {
	UserHeader        string
	GroupsHeader      string
	TokenHeader       string
	KeepAuthorization bool
	PercentUsers      bool // names of users are percent-encoded

	odd    bool // a name does not fold to itself
	remove [IdentityCount][2][]string
}

// Identity is the identity of the caller that an allowed request carries to the upstream.
type Identity uint8

// The identities. What one does not set, it removes.
const (
	NoIdentity       Identity = iota // anonymous, forwarded, observed
	UserIdentity                     // user, token
	UserGroups                       // user, groups, token
	AssertedIdentity                 // user as presented, token; never groups
	IdentityCount                    // how many there are
)

// NewUpstream prepares the lists of headers to remove: every header that the gate names
// and this request does not get. Other spellings are removed where a request has them
// (Decision.Remove). actAs may be empty.
func NewUpstream(user, groups, tokenName, actAs string, keepAuthorization bool) *Upstream {
	u := &Upstream{UserHeader: user, GroupsHeader: groups, TokenHeader: tokenName, KeepAuthorization: keepAuthorization}
	u.odd = !isPlainName(user) || !isPlainName(groups) || !isPlainName(tokenName)
	always := append(append([]string{}, overrideMethod...), overrideURL...)
	if actAs != "" {
		always = append(always, actAs)
	}
	unset := [IdentityCount][]string{
		NoIdentity:       {user, groups, tokenName, HeaderUserAsserted},
		UserIdentity:     {groups, HeaderUserAsserted},
		UserGroups:       {HeaderUserAsserted},
		AssertedIdentity: {groups},
	}
	for i := range unset {
		list := append(append([]string{}, unset[i]...), always...)
		u.remove[i][0] = list[:len(list):len(list)]
		u.remove[i][1] = append(list[:len(list):len(list)], "authorization")
	}
	return u
}

// Remove returns the headers to take off an allowed request. The caller must not
// change the list.
func (u *Upstream) Remove(i Identity, authorization bool) []string {
	if authorization {
		return u.remove[i][1]
	}
	return u.remove[i][0]
}

// UserText writes a user's name as the upstream gets it: in UTF-8, or with an escape for
// each byte outside printable ASCII and for `%`.
func (u *Upstream) UserText(user string) string {
	if !u.PercentUsers || !strings.ContainsFunc(user, isEscaped) {
		return user
	}
	var b strings.Builder
	for i := range len(user) {
		if c := user[i]; isEscaped(rune(c)) {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func isEscaped(r rune) bool { return r < ' ' || r > '~' || r == '%' }
