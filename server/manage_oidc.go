package server

import (
	"errors"

	"github.com/patgate/patgate/admin"
	"github.com/patgate/patgate/admin/oidc"
)

// OIDC is an identity provider with which people sign in to the management.
type OIDC struct {
	Issuer     string
	ClientID   string
	SecretFile string // of the client's secret
	UserClaim  string // that names the user; default preferred_username
	Redirect   string // URL of /callback, as browsers see it; default: by the Host of each request
}

// signIn returns what signs people in with the identity provider; nil: there is none.
func (o *ManageOptions) signIn(sessions *admin.Sessions, m *managed) (*oidc.SignIn, error) {
	c := &o.OIDC
	if c.Issuer == "" {
		if c.ClientID != "" || c.SecretFile != "" || c.Redirect != "" {
			return nil, &UsageError{o.Flags + "oidc-issuer: missing, expected the URL of the identity provider beside the other flags of OpenID Connect"}
		}
		return nil, nil
	}
	s, err := oidc.New(oidc.Options{
		Issuer: c.Issuer, ClientID: c.ClientID, SecretFile: c.SecretFile, UserClaim: c.UserClaim, Redirect: c.Redirect,
		Sessions: sessions, Secure: !o.plainLoopback(), Now: m.now, Logger: m.logger,
	})
	var bad *oidc.OptionError
	if errors.As(err, &bad) {
		return nil, &UsageError{o.Flags + "oidc-" + bad.Option + ": " + bad.Message}
	}
	return s, err
}
