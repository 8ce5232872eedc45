package lint

import (
	"slices"
	"strings"

	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/policy"
)

// registry warns of a gate that guards the paths of a container registry and advertises both
// schemes: docker and containerd then take the realm of Bearer for the URL of a token
// service, and never fall back to Basic.
func (l *linter) registry(d *manifest.Document, row *policy.Gate) {
	advertised := row.Challenges(l.now)
	if !advertised.Has(policy.Basic) || !advertised.Has(policy.Bearer) {
		return
	}
	if i := slices.IndexFunc(row.Prefixes, isRegistry); i >= 0 {
		l.warn(RegistryChallenge, d, spec("paths", i), "docker and containerd can't log in to a registry here: "+
			"the gate advertises bearer, whose realm they take for the URL of a token service")
	}
}

// isRegistry reports whether a guarded prefix is one of the distribution API.
func isRegistry(prefix string) bool {
	return strings.EqualFold(prefix, "/v2") || len(prefix) > 3 && strings.EqualFold(prefix[:4], "/v2/")
}
