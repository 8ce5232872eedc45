//go:build tools

// Package oauth2proxy pins oauth2-proxy, which `make test-oidc` builds and runs before the page.
package oauth2proxy

import _ "github.com/oauth2-proxy/oauth2-proxy/v7"
