package extauthz

import (
	"crypto/rand"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/patgate/patgate/extauthz/httpfront"
	"github.com/patgate/patgate/policy"
)

// headerRemove names request headers that Envoy, and our script of HAProxy, take off.
const headerRemove = "x-envoy-auth-headers-to-remove"

// Headers in which nginx finds what it shows to the client: it passes on neither the body nor every status.
const (
	headerProblem = "x-patgate-problem"
	headerStatus  = "x-patgate-status"
)

func newRefusal() *answer {
	a := &answer{id: rand.Text()}
	a.decision.Refuse(policy.Internal)
	return a
}

// writeAnswer writes the answer of a check over HTTP. An allow is 200 without a body; everything else is a
// refusal.
func writeAnswer(w http.ResponseWriter, kind httpfront.Kind, a *answer) {
	h := w.Header()
	h.Set("cache-control", "no-store")
	h.Set(policy.HeaderID, a.id)
	if a.decision.Effect == policy.Allow && a.decision.Gate != nil {
		a.setAllowed(h, kind)
		h.Set("content-length", "0")
		w.WriteHeader(http.StatusOK)
		return
	}
	code := a.decision.Status()
	if code < 400 {
		code = policy.Internal.Status()
	}
	body := a.problemBody(code)
	a.setRefused(h, kind, code, body)
	w.WriteHeader(code)
	_, _ = w.Write([]byte(body))
}

// setAllowed sets the identity headers, and names the others for removal. Fronts that can't remove
// a header take it off where the answer has none.
func (a *answer) setAllowed(h http.Header, kind httpfront.Kind) {
	d := &a.decision
	up, identity := d.Gate.Upstream, d.Identity()
	set := func(name, value string) { h.Set(name, strings.ToValidUTF8(value, "\uFFFD")) }
	if identity != policy.NoIdentity {
		set(up.UserHeader, up.UserText(d.Principal.User))
		set(up.TokenHeader, d.Token.Name)
	}
	switch identity {
	case policy.UserGroups:
		set(up.GroupsHeader, groupNames(d.Principal.Groups))
	case policy.AssertedIdentity:
		set(policy.HeaderUserAsserted, "true")
	}
	consumed := identity != policy.NoIdentity && !up.KeepAuthorization
	if kind.Removes() {
		remove := append([]string{}, up.Remove(identity, consumed)...)
		for _, name := range d.Remove {
			if !sets(up, identity, name) {
				remove = append(remove, name)
			}
		}
		h.Set(headerRemove, strings.Join(remove, ","))
	} else if a.authorization != "" && !consumed {
		set("authorization", a.authorization)
	}
	if d.ExpiresSoon {
		h.Set(policy.HeaderTokenExpires, d.Expires.UTC().Format(time.RFC3339))
	}
	setBasicEnds(h, d.BasicEnds)
}

func setBasicEnds(h http.Header, ends time.Time) {
	if !ends.IsZero() {
		h.Set(policy.HeaderBasicEnds, ends.UTC().Format(time.RFC3339))
	}
}

// setRefused sets the headers of a refusal.
func (a *answer) setRefused(h http.Header, kind httpfront.Kind, code int, body string) {
	d := &a.decision
	h.Set("content-type", "application/problem+json")
	if d.Gate != nil {
		ends := d.BasicEnds
		if code == http.StatusUnauthorized {
			a.setChallenges(h, kind)
			if a.now.Before(d.Gate.BasicEnds) {
				ends = d.Gate.BasicEnds
			}
		}
		setBasicEnds(h, ends)
	}
	if !kind.ShowsBodies() {
		h.Set(headerStatus, strconv.Itoa(code))
		h.Set(headerProblem, asciiJSON(body))
	}
}

// setChallenges sets www-authenticate: one line where the front passes on the first alone.
func (a *answer) setChallenges(h http.Header, kind httpfront.Kind) {
	challenges := a.challenges()
	if !kind.ShowsBodies() {
		challenges = []string{strings.Join(challenges, ", ")}
	}
	for _, challenge := range challenges {
		h.Add("www-authenticate", challenge)
	}
}

// asciiJSON writes JSON so that it fits into a header: on one line, with escapes for what is not ASCII.
func asciiJSON(text string) string {
	var b strings.Builder
	for _, r := range strings.TrimSpace(text) {
		switch {
		case r < utf8.RuneSelf:
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			b.WriteString(escaped(high) + escaped(low))
		default:
			b.WriteString(escaped(r))
		}
	}
	return b.String()
}

func escaped(r rune) string {
	hex := strconv.FormatInt(int64(r), 16)
	return `\u` + strings.Repeat("0", 4-len(hex)) + hex
}
