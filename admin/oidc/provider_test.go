package oidc_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// grant is a sign-in at the test's identity provider.
type grant struct{ challenge, nonce, redirect string }

// idp is an identity provider that can be made to lie. It keeps to the standard otherwise.
type idp struct {
	*httptest.Server
	key    *rsa.PrivateKey
	claims func(map[string]any)           // changes the ID token
	info   map[string]any                 // what UserInfo says
	sign   func(head, body string) string // the ID token; default RS256 with the key
	answer func(map[string]any)           // changes the answer of the token endpoint
	config func(map[string]any)           // changes the configuration
	back   func(url.Values)               // changes what comes back with the browser
	paths  map[string]http.HandlerFunc    // in place of what is there
	posted bool                           // takes the client's secret in the body
	fetch  atomic.Int64                   // of keys
	mu     sync.Mutex
	codes  map[string]grant
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func newIDP(t *testing.T) *idp {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &idp{key: key, codes: map[string]grant{}, info: map[string]any{"sub": "1"}, paths: map[string]http.HandlerFunc{}}
	p.sign = p.rs256
	mux := http.NewServeMux()
	for path, f := range map[string]http.HandlerFunc{
		"/.well-known/openid-configuration": p.configuration, "/keys": p.keys, "/authorize": p.authorize, "/token": p.token, "/userinfo": p.userinfo,
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			if other := p.paths[path]; other != nil {
				other(w, r)
				return
			}
			f(w, r)
		})
	}
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func (p *idp) write(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func (p *idp) configuration(w http.ResponseWriter, _ *http.Request) {
	c := map[string]any{
		"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
		"userinfo_endpoint": p.URL + "/userinfo", "id_token_signing_alg_values_supported": []string{"RS256"},
	}
	if p.config != nil {
		p.config(c)
	}
	p.write(w, c)
}

func (p *idp) keys(w http.ResponseWriter, _ *http.Request) {
	p.fetch.Add(1)
	p.write(w, map[string]any{"keys": []any{map[string]any{
		"kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256", "n": b64(p.key.N.Bytes()), "e": b64(big.NewInt(int64(p.key.E)).Bytes()),
	}}})
}

// authorize signs in any user, and sends them back with a code.
func (p *idp) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("code_challenge_method") != "S256" || q.Get("response_type") != "code" || q.Get("client_id") != "patgate" || q.Get("nonce") == "" {
		http.Error(w, "bad request: "+r.URL.RawQuery, http.StatusBadRequest)
		return
	}
	code := rand.Text()
	p.mu.Lock()
	p.codes[code] = grant{q.Get("code_challenge"), q.Get("nonce"), q.Get("redirect_uri")}
	p.mu.Unlock()
	back := url.Values{"code": {code}, "state": {q.Get("state")}}
	if p.back != nil {
		p.back(back)
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+back.Encode(), http.StatusFound)
}

// token exchanges a code once.
func (p *idp) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	g, ok := p.codes[r.FormValue("code")]
	delete(p.codes, r.FormValue("code"))
	p.mu.Unlock()
	id, secret, basic := r.BasicAuth()
	secret, _ = url.QueryUnescape(secret) // RFC 6749, 2.3.1
	if !basic && p.posted {
		id, secret = r.FormValue("client_id"), r.FormValue("client_secret")
	}
	proof := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	if !ok || b64(proof[:]) != g.challenge || r.FormValue("redirect_uri") != g.redirect || id != "patgate" || secret != "the+secret" {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": "invalid_grant"})
		return
	}
	claims := map[string]any{
		"iss": p.URL, "sub": "1", "aud": "patgate", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(),
		"nonce": g.nonce, "preferred_username": "alice",
	}
	if p.claims != nil {
		p.claims(claims)
	}
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	body, _ := json.Marshal(claims)
	answer := map[string]any{"access_token": "access", "token_type": "Bearer", "expires_in": 60, "id_token": p.sign(`{"alg":"RS256","kid":"1"}`, string(body))}
	if p.answer != nil {
		p.answer(answer)
	}
	p.write(w, answer)
}

func (p *idp) userinfo(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer access" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	p.write(w, p.info)
}

func (p *idp) rs256(head, body string) string { return signed(p.key, head, body) }

func signed(key *rsa.PrivateKey, head, body string) string {
	text := b64([]byte(head)) + "." + b64([]byte(body))
	sum := sha256.Sum256([]byte(text))
	signature, _ := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	return text + "." + b64(signature)
}
