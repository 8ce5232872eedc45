package check

import (
	"slices"
	"strings"

	"github.com/patgate/patgate/diag"
)

// provider is an extension provider of Istio for ext_authz.
type provider struct {
	name string
	body *node // its envoyExtAuthzGrpc or envoyExtAuthzHttp
	grpc bool
}

// takeProviders notes the providers of a MeshConfig. istiod passes over those of other
// kinds, such as for traces, when a policy names one.
func (c *checker) takeProviders(mesh *node) {
	c.kube.mesh = true
	for _, p := range mesh.get("extension_providers").elements() {
		name := p.get("name").str()
		if body := p.get("envoy_ext_authz_grpc"); body != nil {
			c.kube.providers = append(c.kube.providers, provider{name, body, true})
		} else if body := p.get("envoy_ext_authz_http"); body != nil {
			c.kube.providers = append(c.kube.providers, provider{name, body, false})
		}
	}
}

// checkProviders requires policies to name providers that are there, and those that ask
// patgate to send it bodies where rules read them.
func (c *checker) checkProviders() {
	if !c.kube.mesh {
		return
	}
	for _, spec := range c.kube.custom {
		c.providerName(spec)
	}
	_, why := c.gates.readsBodies()
	if why == "" || slices.ContainsFunc(c.authz, func(a *authz) bool { return a.part && a.body.get("with_request_body") != nil }) {
		return
	}
	for _, p := range c.ourProviders() {
		if p.grpc && p.body.get("include_request_body_in_check") == nil {
			c.find(BodyMissing, p.body.missing("include_request_body_in_check"), "is missing: %s", why)
		}
	}
}

// providerName requires the provider of a CUSTOM policy to be there.
func (c *checker) providerName(spec *node) {
	name := spec.get("provider", "name").str()
	var known []string
	for _, p := range c.kube.providers {
		known = append(known, p.name)
	}
	at, wrong := spec.missing("provider", "name"), "there is no extension provider "+name+" that is for ext_authz"
	switch {
	case name == "":
		wrong = "no extension provider is named"
	case slices.Contains(known, name):
		return
	case len(known) > 0:
		wrong += " (" + diag.Suggest(name, known) + ")"
	}
	c.find(UnknownProvider, at, "%s: every request that the policy matches is refused", wrong)
}

// ourProviders returns the providers that call patgate: those whose name or service is
// called so, or all where none is.
func (c *checker) ourProviders() []provider {
	other := func(p provider) bool {
		return !strings.Contains(p.name, "patgate") && !strings.Contains(p.body.get("service").str(), "patgate")
	}
	if ours := slices.DeleteFunc(slices.Clone(c.kube.providers), other); len(ours) > 0 {
		return ours
	}
	return c.kube.providers
}
