package policy_test

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// header1 is the credential of one Authorization header.
func header1(value string) policy.Credential { return policy.ParseAuthorization(value, 1) }

// forwarding is a world whose gate forwards Basic, Bearer and two further schemes.
func forwarding(t *testing.T) *world {
	w := newWorld(t)
	w.gate.ForwardUnknown = w.gate.Schemes
	w.gate.ForwardOther = []string{"oauth", "jwt"}
	return w
}

// TestNoTokenIsForwarded presents values of tokens in forms that are no token, at a gate
// that forwards what is none.
func TestNoTokenIsForwarded(t *testing.T) {
	w := forwarding(t)
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	minted := token.Mint().Reveal() // of no row: a token that was deleted before the start
	for _, value := range []string{minted, secret.Reveal()} {
		for name, presented := range map[string]policy.Credential{
			"a blank before it":      basic("bob", " "+value),
			"in quotes":              basic("bob", `"`+value+`"`),
			"a scheme before it":     basic("bob", "Bearer "+value),
			"in base64":              basic("bob", b64(value)),
			"as Basic in base64":     basic("bob", b64("alice:"+value)),
			"behind a second user":   basic("bob", "alice:"+value),
			"as the user":            basic(value, "x"),
			"in the user":            basic("x "+value, "x"),
			"Bearer, in base64":      bearer(strings.TrimRight(b64(value), "=")),
			"Bearer, as Basic":       bearer(b64("alice:" + value)),
			"another scheme, quoted": header1(`OAuth oauth_token="` + value + `", oauth_version="1.0"`),
			"another scheme, base64": header1("JWT " + b64("alice:"+value)),
		} {
			w.want(name, request(with(presented)), policy.TokenUnknown)
		}
	}
	w.want("a minted value with text before it", request(with(basic("bob", "x"+minted+"y"))), policy.TokenUnknown)
	w.want("percent-encoded", request(with(basic("bob", strings.Replace(minted, "_", "%5f", 1)))), policy.TokenUnknown)
	w.want("a password", request(with(basic("bob", "his patg_ own"))), policy.Forwarded)
	w.want("a token in another scheme", request(with(header1("JWT "+secret.Reveal()))), policy.SchemeDenied)
	w.token.Revoked = true
	w.want("revoked, in base64", request(with(basic("bob", b64(secret.Reveal())))), policy.TokenUnknown)
	w.token.Canary = true
	w.want("a canary in another scheme", request(with(header1("JWT "+secret.Reveal()))), policy.TokenCanary)
}

// TestForwardedSchemes presents schemes that are neither Basic nor Bearer, and values
// that are longer than tokens.
func TestForwardedSchemes(t *testing.T) {
	w := forwarding(t)
	long := strings.Repeat("a", 12<<10)
	for name, c := range map[string]struct {
		value  string
		reason policy.Reason
		detail string
	}{
		"a scheme that is forwarded":     {"JWT aGVhZA.cGF5.c2ln", policy.Forwarded, ""},
		"in other letters":               {"jwt aGVhZA.cGF5.c2ln", policy.Forwarded, ""},
		"commas":                         {`OAuth oauth_token="x", oauth_nonce="y",oauth_version="1.0"`, policy.Forwarded, ""},
		"one that is not":                {"Negotiate YII=", policy.BadCredential, "the scheme is neither basic nor bearer, and not forwarded"},
		"two headers, joined":            {"JWT a.b.c,Basic Ym9iOmE=", policy.BadCredential, "a comma, as between two headers that were joined"},
		"a blank after the comma":        {"JWT a.b.c, bearer x", policy.BadCredential, "a comma, as between two headers that were joined"},
		"of the same scheme":             {"OAuth a=b,OAUTH c=d", policy.BadCredential, "a comma, as between two headers that were joined"},
		"of the other forwarded scheme":  {"OAuth a=b, jwt x", policy.BadCredential, "a comma, as between two headers that were joined"},
		"a comma and an unknown word":    {"OAuth a=b, negotiate x", policy.Forwarded, ""},
		"a comma and a scheme alone":     {"OAuth a=b, basic", policy.Forwarded, ""},
		"Basic joined with a forwarded":  {"Basic Ym9iOmE=,JWT x", policy.BadCredential, "a comma, as between two headers that were joined"},
		"no value":                       {"JWT ", policy.BadCredential, "no value after the scheme"},
		"no scheme":                      {"aGVhZA.cGF5.c2ln", policy.BadCredential, "no scheme and space before the value"},
		"12 KiB":                         {"Bearer " + long, policy.Forwarded, ""},
		"12 KiB of another scheme":       {"JWT " + long, policy.Forwarded, ""},
		"12 KiB, malformed":              {"Bearer " + long + "!", policy.BadCredential, "a character that a credential of this scheme never has"},
		"12 KiB with a minted value":     {"JWT " + long + "." + token.Mint().Reveal(), policy.TokenUnknown, ""},
		"12 KiB with a minted in base64": {"Bearer " + long + base64.RawURLEncoding.EncodeToString([]byte(token.Mint().Reveal())), policy.TokenUnknown, ""},
	} {
		if d := w.want(name, request(with(header1(c.value))), c.reason); d.Detail != c.detail {
			t.Errorf("%s: detail %q, want %q", name, d.Detail, c.detail)
		}
	}
	w.want("two headers", request(with(policy.ParseAuthorization("JWT a.b.c,JWT d.e.f", 2))), policy.BadCredential)
	w.gate.ForwardUnknown = policy.Schemes(0).With(policy.Basic)
	if d := w.want("12 KiB where Bearer is not forwarded", request(with(header1("Bearer "+long))), policy.BadCredential); d.Detail != "longer than 4 KiB" {
		t.Errorf("detail %q", d.Detail)
	}
	w.gate.ForwardUnknown, w.gate.ForwardOther = 0, nil
	w.want("where nothing is forwarded", request(with(header1("JWT a.b.c"))), policy.BadCredential)
}

// TestDetailOfBadCredentials checks that each cause has its own detail, which holds no part of
// the value.
func TestDetailOfBadCredentials(t *testing.T) {
	w := newWorld(t)
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	seen := map[string]bool{}
	for value, want := range map[string]string{
		"":                         "the header is empty",
		"hunter2hunter2":           "no scheme and space before the value",
		"Bearer\thunter2hunter2":   "no scheme and space before the value",
		"hunter2 hunter2":          "the scheme is neither basic nor bearer, and not forwarded",
		"Basic":                    "no value after the scheme",
		"Bearer hunter2,hunter2":   "a comma, as between two headers that were joined",
		"Bearer hunter2!":          "a character that a credential of this scheme never has",
		"Basic hunter2":            "not padded standard base64",
		"Basic " + b64("zo\xeb:x"): "not UTF-8",
		"Basic " + b64("hunter2"):  "no colon between user and password",
		"Basic " + b64(":hunter2"): "an empty user",
		"Basic " + b64("hunter2:"): "an empty password",
		"Basic " + b64("a:hunt\n"): "a control character",
		"Bearer patg_hunter2":      "the value is mistyped or cut off: its checksum is wrong",
	} {
		d := w.want(value, request(with(header1(value))), policy.BadCredential)
		if d.Detail != want {
			t.Errorf("%q: detail %q, want %q", value, d.Detail, want)
		}
		if strings.Contains(d.Detail, "hunter2") {
			t.Errorf("%q is in the detail", value)
		}
		seen[d.Detail] = true
	}
	if len(seen) < 13 {
		t.Errorf("%d different causes", len(seen))
	}
	d := w.want("a bad target", request(target("/a/../b")), policy.BadTarget)
	if d.Detail != "a dot segment: '.' at offset 3" {
		t.Errorf("detail %q", d.Detail)
	}
	if d := w.want("a good request", request(), policy.OK); d.Detail != "" {
		t.Errorf("detail %q", d.Detail)
	}
}

// TestHiddenTokens puts values of tokens into headers, and checks that every allow removes the headers
// that would hand them to the API.
func TestHiddenTokens(t *testing.T) {
	w := forwarding(t)
	w.gate.Anonymous = &policy.Grant{Unrestricted: true}
	minted := token.Mint().Reveal()
	h := headers{
		"private-token": {minted}, "x-api-key": {secret.Reveal()}, "x-auth": {"Token " + secret.Reveal()}, "x-quoted": {`"` + secret.Reveal() + `"`},
		"x-wrapped": {"Basic " + base64.StdEncoding.EncodeToString([]byte("alice:"+minted))},
		"x-twice":   {"harmless, harmless", minted},
		"cookie":    {"s=" + minted}, "authorization": {"Bearer " + minted}, ":path": {"/" + minted}, "x-other": {"not a token at all"},
	}
	want := []string{"private-token", "x-api-key", "x-auth", "x-quoted", "x-twice", "x-wrapped"}
	observing := func(r *policy.Request) { r.Credential = bearer(token.Mint().Reveal()) }
	for name, r := range map[string]*policy.Request{
		"ok": request(), "anonymous": request(anonymous()), "forwarded": request(with(basic("bob", "his own password"))), "shadowed": request(observing),
	} {
		w.gate.Observe = name == "shadowed"
		r.Header = h
		d := w.ask(r)
		slices.Sort(d.Remove)
		if d.Effect != policy.Allow || !slices.Equal(d.Remove, want) {
			t.Errorf("%s: %v, removed %v, want %v", name, d.Reason, d.Remove, want)
		}
	}
	w.gate.Observe = false
	r := request(with(bearer(token.Mint().Reveal())))
	r.Header = h
	if d := w.want("a refusal", r, policy.TokenUnknown); d.Remove != nil {
		t.Errorf("a refusal removes %v", d.Remove)
	}
}

func TestChallenges(t *testing.T) {
	basicOnly, bearerOnly := policy.Schemes(0).With(policy.Basic), policy.Schemes(0).With(policy.Bearer)
	both := basicOnly | bearerOnly
	ended := now.Add(-1)
	for name, c := range map[string]struct {
		gate policy.Gate
		want policy.Schemes
	}{
		"by default all":                  {policy.Gate{Schemes: both}, both},
		"those that are listed":           {policy.Gate{Schemes: both, Challenge: basicOnly}, basicOnly},
		"none left: all of the gate":      {policy.Gate{Schemes: basicOnly, Challenge: bearerOnly}, basicOnly},
		"past basicEnds":                  {policy.Gate{Schemes: both, BasicEnds: ended}, bearerOnly},
		"past basicEnds, basic alone":     {policy.Gate{Schemes: basicOnly, BasicEnds: ended}, basicOnly},
		"past basicEnds, basic is listed": {policy.Gate{Schemes: both, BasicEnds: ended, Challenge: basicOnly}, both},
	} {
		if got := c.gate.Challenges(now); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// FuzzForwarded plants a minted value in every credential that could be forwarded, and
// checks that none of them is.
func FuzzForwarded(f *testing.F) {
	f.Add("JWT ", "", uint8(0))
	f.Add("Basic ", ":", uint8(1))
	f.Add("OAuth a=", `"`, uint8(2))
	minted := token.Mint().Reveal()
	x := policy.NewIndex()
	all := policy.Schemes(0).With(policy.Basic).With(policy.Bearer)
	if _, err := x.Replace(policy.Rows{Gates: []*policy.Gate{{
		Name: "g", Hosts: []string{policy.AnyHost}, Prefixes: []string{""}, Schemes: all, ForwardUnknown: all, ForwardOther: []string{"oauth", "jwt"},
		Upstream: policy.NewUpstream("u", "g", "t", "", false),
	}}}, now); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, before, after string, form uint8) {
		inner := minted
		if form&1 != 0 {
			inner = base64.StdEncoding.EncodeToString([]byte(before + minted + after))
		}
		text := before + inner + after
		if scheme, rest, ok := strings.Cut(before, " "); ok && strings.EqualFold(scheme, "basic") {
			text = scheme + " " + base64.StdEncoding.EncodeToString([]byte(rest+inner+after))
		}
		r := request(with(policy.ParseAuthorization(text, 1)))
		if d := policy.Evaluate(x.Snapshot(), r, nil); d.Reason == policy.Forwarded {
			t.Errorf("%q is forwarded", strings.ReplaceAll(text, minted, "VALUE"))
		}
	})
}
