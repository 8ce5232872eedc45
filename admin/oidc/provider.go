package oidc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	coreos "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// errUnavailable says that the identity provider could not be asked.
var errUnavailable = errors.New("the identity provider can't be asked")

// provider is the identity provider, whose configuration is fetched when it is first needed.
type provider struct {
	issuer string
	now    func() time.Time
	client *http.Client
	keys   *limited // the fetches of its keys

	mu    sync.Mutex
	known *configured // nil: not yet
	next  time.Time   // when it may be fetched again after a failure
	err   error       // of the last time
}

// configured is an identity provider as its configuration says.
type configured struct {
	*coreos.Provider
	style oauth2.AuthStyle // in which the client proves itself: one, so that a code is sent once
}

const (
	answerWithin = 8 * time.Second // an answer of the identity provider; a request to patgate has 10 s
	maxAnswer    = 1 << 20         // bytes of one
	askAgain     = 2 * time.Second // after a failure
)

func newProvider(o *Options) *provider {
	client := o.Client
	if client == nil {
		client = &http.Client{}
	}
	own := *client
	own.Timeout = answerWithin
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // what it publishes is where it says
	p := &provider{issuer: o.Issuer, now: o.Now, keys: &limited{now: o.Now}}
	own.Transport = &bounded{client.Transport, p.keys}
	p.client = &own
	return p
}

// get returns the identity provider, and fetches its configuration if necessary.
func (p *provider) get(ctx context.Context) (*configured, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.known != nil:
		return p.known, nil
	case p.err != nil && p.now().Before(p.next):
		return nil, p.err
	}
	found, err := p.ask(ctx)
	if err != nil {
		p.next, p.err = p.now().Add(askAgain), err
		return nil, err
	}
	p.known, p.err = found, nil
	return found, nil
}

func (p *provider) ask(ctx context.Context) (*configured, error) {
	found, err := coreos.NewProvider(coreos.ClientContext(ctx, p.client), p.issuer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnavailable, err)
	}
	var published struct {
		Keys   string   `json:"jwks_uri"`
		Styles []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err := found.Claims(&published); err != nil {
		return nil, fmt.Errorf("%w: %w", errUnavailable, err)
	}
	for _, address := range []string{found.Endpoint().AuthURL, found.Endpoint().TokenURL, published.Keys} {
		if message := badURL(address); message != "" {
			return nil, fmt.Errorf("%w: its configuration has an address that can't be used: %s", errUnavailable, message)
		}
	}
	p.keys.at(published.Keys)
	c := &configured{found, oauth2.AuthStyleInHeader} // the default of the standard
	if slices.Contains(published.Styles, "client_secret_post") && !slices.Contains(published.Styles, "client_secret_basic") {
		c.style = oauth2.AuthStyleInParams
	}
	return c, nil
}

// context is that of requests to the identity provider.
func (p *provider) context(ctx context.Context) context.Context {
	return coreos.ClientContext(ctx, p.client)
}

// config is that of a client of the identity provider.
func (c *configured) config(o *Options, secret, redirect string) *oauth2.Config {
	scopes := []string{coreos.ScopeOpenID, "profile"}
	if o.UserClaim == emailClaim {
		scopes = append(scopes, "email")
	}
	at := c.Endpoint()
	at.AuthStyle = c.style
	return &oauth2.Config{ClientID: o.ClientID, ClientSecret: secret, Endpoint: at, RedirectURL: redirect, Scopes: scopes}
}

// The fetches of keys that are allowed: a token with an unknown key, or a wrong signature, makes
// the library fetch them each time.
const (
	keyFetches = 4
	keyWindow  = time.Minute
)

// limited counts fetches of keys.
type limited struct {
	now func() time.Time

	mu    sync.Mutex
	url   string
	times []time.Time // of the last fetches
}

func (l *limited) at(url string) {
	l.mu.Lock()
	l.url = url
	l.mu.Unlock()
}

// allow reports whether a request may be sent.
func (l *limited) allow(url string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if url != l.url {
		return true
	}
	now := l.now()
	for len(l.times) > 0 && !now.Before(l.times[0].Add(keyWindow)) {
		l.times = l.times[1:]
	}
	if len(l.times) >= keyFetches {
		return false
	}
	l.times = append(l.times, now)
	return true
}

// bounded limits requests to the identity provider, and what is read of its answers.
type bounded struct {
	next http.RoundTripper // nil: the default one
	keys *limited
}

// RoundTrip implements http.RoundTripper.
func (b *bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	if !b.keys.allow(r.URL.String()) {
		return nil, fmt.Errorf("the keys of the identity provider were fetched %d times within %s", keyFetches, keyWindow)
	}
	next := b.next
	if next == nil {
		next = http.DefaultTransport
	}
	answer, err := next.RoundTrip(r)
	if err == nil {
		answer.Body = &limitedBody{io.LimitReader(answer.Body, maxAnswer), answer.Body}
	}
	return answer, err
}

type limitedBody struct {
	io.Reader
	io.Closer
}
