package envoy

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// What a browser's page may do: calls from another origin, and upgraded connections.

// CORSMethods, CORSHeaders and CORSExposed are what pages of the allowed origins may
// send, and the response headers they may read besides the few that every page may.
const (
	CORSMethods = "GET, HEAD, POST, PUT, PATCH, DELETE"
	corsHeaders = "authorization, content-type, if-match, if-none-match, x-requested-with"
	CORSExposed = "x-patgate-id, x-patgate-token-expires, x-request-id, etag, location, retry-after, www-authenticate"
)

// CORSMethods, CORSHeaders and CORSExposed are what the templates see.
func (v view) CORSMethods() string { return CORSMethods }
func (v view) CORSExposed() string { return CORSExposed }

// CORSHeaders lists the headers that a page may send, with those that the gates read.
func (v view) CORSHeaders() string {
	names := []string{corsHeaders}
	for _, g := range v.Gates {
		if g.ActAsHeader != "" && !slices.Contains(names, g.ActAsHeader) {
			names = append(names, g.ActAsHeader)
		}
	}
	return strings.Join(names, ", ")
}

// upgradeToken is a protocol as Upgrade and Envoy's upgrade_type name it.
var upgradeToken = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// checkBrowsers checks the form of origins and upgrades.
func (s *Settings) checkBrowsers() error {
	var errs []error
	for _, origin := range s.CORSOrigins {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.ContainsAny(origin, "*\"") ||
			u.Scheme+"://"+u.Host != origin || strings.ToLower(origin) != origin {
			errs = append(errs, fmt.Errorf("%s: expected an origin as browsers write it, such as https://app.example.com", origin))
		}
	}
	for _, name := range s.Upgrades {
		if !upgradeToken.MatchString(name) || name == "connect" || name == "connect-udp" || name == "connect-ip" {
			errs = append(errs, fmt.Errorf("%s: expected the name of a protocol to upgrade to, such as websocket", name))
		}
	}
	return errors.Join(errs...)
}

func upgrades(names []string) string {
	list := make([]string, len(names))
	for i, name := range names {
		list[i] = fmt.Sprintf("{upgrade_type: %s}", name)
	}
	return strings.Join(list, ", ")
}

func origins(list []string) string {
	matchers := make([]string, len(list))
	for i, origin := range list {
		matchers[i] = fmt.Sprintf("{exact: %s}", quote(origin))
	}
	return strings.Join(matchers, ", ")
}
