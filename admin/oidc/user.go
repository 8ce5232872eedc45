package oidc

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"

	coreos "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// emailClaim names a user where the identity provider has verified the address.
const emailClaim = "email"

// user finds out who has signed in. It returns errUnavailable where the provider can't be asked.
func (s *SignIn) user(ctx context.Context, f *flow, query url.Values) (string, error) {
	code, err := s.code(query)
	if err != nil {
		return "", err
	}
	p, err := s.provider.get(ctx)
	if err != nil {
		return "", err
	}
	secret, err := s.o.secret()
	if err != nil {
		return "", fmt.Errorf("%w: %w", errUnavailable, err)
	}
	ctx = s.provider.context(ctx)
	granted, err := p.config(&s.o, secret, f.Redirect).Exchange(ctx, code, oauth2.VerifierOption(f.Verifier))
	if err != nil {
		return "", exchangeError(err)
	}
	verified, claims, err := s.verify(ctx, p, f, granted)
	if err != nil {
		return "", err
	}
	user, err := s.claim(claims)
	if err != nil || user != "" {
		return user, err
	}
	return s.askUserInfo(ctx, p, granted, verified.Subject)
}

// code returns the code of the query, or why there is none.
func (s *SignIn) code(query url.Values) (string, error) {
	if issuers := query["iss"]; len(issuers) > 1 || len(issuers) == 1 && issuers[0] != s.o.Issuer { // RFC 9207
		return "", errors.New("another identity provider has answered, expected " + s.o.Issuer)
	}
	if refused := query.Get("error"); refused != "" {
		return "", fmt.Errorf("the identity provider refuses: %.80q", refused)
	}
	codes := query["code"]
	if len(codes) != 1 || codes[0] == "" {
		return "", errors.New("the identity provider has sent no code, expected one")
	}
	return codes[0], nil
}

// exchangeError distinguishes a refused code from a provider that does not answer.
func exchangeError(err error) error {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.Response != nil && refused.Response.StatusCode < 500 {
		reason := refused.ErrorCode
		if reason == "" {
			reason = refused.Response.Status
		}
		return fmt.Errorf("the identity provider does not take the code: %.80q", reason) // its body may repeat what was sent
	}
	return fmt.Errorf("%w: the code could not be exchanged", errUnavailable)
}

// verify checks the ID token of an answer: who signed it, for whom, until when, and for which sign-in.
func (s *SignIn) verify(ctx context.Context, p *configured, f *flow, granted *oauth2.Token) (*coreos.IDToken, map[string]json.RawMessage, error) {
	refuse := func(format string, args ...any) (*coreos.IDToken, map[string]json.RawMessage, error) {
		return nil, nil, fmt.Errorf("the identity provider's answer is not accepted: "+format, args...)
	}
	raw, _ := granted.Extra("id_token").(string)
	if raw == "" {
		return refuse("it has no ID token")
	}
	verified, err := p.Verifier(&coreos.Config{ClientID: s.o.ClientID, Now: s.o.Now}).Verify(ctx, raw)
	if err != nil {
		return refuse("%w", err)
	}
	var claims map[string]json.RawMessage
	var party string
	if err := verified.Claims(&claims); err != nil {
		return refuse("%w", err)
	}
	if text, has := claims["azp"]; has && json.Unmarshal(text, &party) != nil {
		return refuse("its azp is no text")
	}
	switch {
	case f.Nonce == "" || subtle.ConstantTimeCompare([]byte(verified.Nonce), []byte(f.Nonce)) != 1:
		return refuse("it has another nonce")
	case party != "" && party != s.o.ClientID:
		return refuse("it is for another client")
	case party == "" && slices.ContainsFunc(verified.Audience, func(a string) bool { return a != s.o.ClientID }):
		return refuse("it is for other clients too")
	case verified.Subject == "":
		return refuse("it has no subject")
	case verified.AccessTokenHash != "" && verified.VerifyAccessToken(granted.AccessToken) != nil:
		return refuse("its access token is another one")
	}
	return verified, claims, nil
}

// claim returns the user that claims name; empty where the claim is absent.
func (s *SignIn) claim(claims map[string]json.RawMessage) (string, error) {
	text, has := claims[s.o.UserClaim]
	if !has {
		return "", nil
	}
	var user string
	if json.Unmarshal(text, &user) != nil || user == "" {
		return "", fmt.Errorf("the claim %s is no text, expected the name of the user", s.o.UserClaim)
	}
	if s.o.UserClaim == emailClaim {
		var verified bool
		if json.Unmarshal(claims["email_verified"], &verified) != nil || !verified {
			return "", errors.New("the identity provider has not verified the address of the user, expected email_verified")
		}
	}
	return user, nil
}

// askUserInfo looks the claim up at the UserInfo endpoint, where the standard has it for this flow.
func (s *SignIn) askUserInfo(ctx context.Context, p *configured, granted *oauth2.Token, subject string) (string, error) {
	absent := fmt.Errorf("nothing says which user this is: the identity provider has no claim %s for them", s.o.UserClaim)
	if p.UserInfoEndpoint() == "" {
		return "", absent
	}
	if message := badURL(p.UserInfoEndpoint()); message != "" {
		return "", fmt.Errorf("%w: %s", errUnavailable, message)
	}
	info, err := p.UserInfo(ctx, oauth2.StaticTokenSource(granted))
	if err != nil {
		return "", fmt.Errorf("%w: UserInfo does not answer", errUnavailable)
	}
	if info.Subject != subject {
		return "", errors.New("the identity provider's answer is not accepted: UserInfo is of another subject")
	}
	var claims map[string]json.RawMessage
	if err := info.Claims(&claims); err != nil {
		return "", absent
	}
	user, err := s.claim(claims)
	if err == nil && user == "" {
		err = absent
	}
	return user, err
}
