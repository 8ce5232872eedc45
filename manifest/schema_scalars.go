package manifest

import (
	"fmt"
	"strings"

	"github.com/patgate/patgate/policy"
)

// The schemas of the types that have a form of their own. Their patterns are of the
// kind that Go and JavaScript read alike. A schema may take more than its decoder, and
// never less: FuzzSchema holds that.

const (
	namespaceSyntax = `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`

	nameSyntax = `[a-z0-9]([a-z0-9-]*[a-z0-9])?`
	// httpSyntax are the characters of a method (RFC 9110, section 5.6.2).
	httpSyntax = "[A-Za-z0-9!#$%&'*+.^_`|~-]"
	// headerSyntax are those of a header's name, but the underscore, which we refuse.
	headerSyntax  = "[A-Za-z0-9!#$%&'*+.^`|~-]"
	labelSyntax   = `[A-Za-z0-9_-]{1,63}`
	addressSyntax = `(\d{1,3}(\.\d{1,3}){3}%s|[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*%s)`
)

func texts(pattern string) *schema { return &schema{Type: "string", Pattern: pattern} }

func words(list ...string) *schema { return &schema{Type: "string", Enum: list} }

func (Name) schema() *schema {
	return &schema{Type: "string", Pattern: `^` + nameSyntax + `(\.` + nameSyntax + `)*$`, MaxLength: 253}
}

func (Ref) schema() *schema {
	return &schema{Type: "string", Pattern: `^(` + namespaceSyntax + `/)?` + nameSyntax + `(\.` + nameSyntax + `)*$`, MaxLength: 63 + 1 + 253}
}

func (Namespace) schema() *schema {
	return &schema{Type: "string", Pattern: `^` + namespaceSyntax + `$`}
}

func (User) schema() *schema {
	return &schema{Type: "string", Pattern: `^[^\s\x00-\x1f\x7f]([^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?$`, MaxLength: policy.MaxUser}
}

func (Time) schema() *schema { return texts(rfc3339.String()) }

func (Lifetime) schema() *schema {
	s := texts(`^(forever|(\d+y)?(\d+w)?(\d+d)?-?((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))*0?)$`)
	s.MinLength = 2
	s.Not = &schema{Pattern: `^[^1-9]*[^1-9r]$`} // nothing but zeros
	return s
}

func (Digest) schema() *schema { return texts(`^sha256:[0-9a-f]{64}$`) }

func (CIDR) schema() *schema {
	return texts(`^` + addresses(`(/([0-9]|[12][0-9]|3[0-2]))?`, `(/([0-9]{1,2}|1[01][0-9]|12[0-8]))?`) + `$`)
}

func (Address) schema() *schema { return texts(`^` + addresses("", "") + `$`) }

func (Scheme) schema() *schema { return words("basic", "bearer") }

func (Forwarded) schema() *schema {
	s := texts("^" + httpSyntax + "+$")
	s.MaxLength = 64
	return s
}

func (Contact) schema() *schema { return &schema{Type: "string", MinLength: 1, MaxLength: maxContact} }

func (Enforcement) schema() *schema { return words("enforce", "observe") }

func (Encoded) schema() *schema { return words(policy.EncodedTexts()...) }

func (Routing) schema() *schema { return words("exact", "caseInsensitive") }

func (Encoding) schema() *schema { return words("utf-8", "percent") }

func (FormBodies) schema() *schema { return words("merged", "separate") }

func (MediaType) schema() *schema {
	word := strings.Replace(httpSyntax, "*", "", 1) + `+`
	return texts(`^` + word + `/` + word + `$`)
}

func (Body) schema() *schema { return &schema{Type: "string"} }

func (Authorization) schema() *schema { return words("remove", "keep") }

func (AddressSource) schema() *schema { return words("peer", "xff", "header") }

func (Count) schema() *schema {
	least, most := 1, maxCount
	return &schema{Type: "integer", Minimum: &least, Maximum: &most}
}

func (Hops) schema() *schema {
	least, most := 0, maxHops
	return &schema{Type: "integer", Minimum: &least, Maximum: &most}
}

func (Method) schema() *schema { return texts(`^` + httpSyntax + `+$`) }

func (HeaderName) schema() *schema {
	return &schema{
		Type: "string", MinLength: 1, Not: &schema{Enum: notOurs},
		Pattern: `^` + headerSyntax + `+$`,
	}
}

func (Host) schema() *schema {
	return &schema{
		Type: "string", MaxLength: len("*.") + 253,
		Pattern: `^(\*|(\*\.)?(` + labelSyntax + `(\.` + labelSyntax + `)*|\[[0-9A-Fa-f:.]+\]))$`,
	}
}

func (Prefix) schema() *schema {
	s := texts(`^/[^*()|^$?#%;\\]*$`)
	s.Not = &schema{Pattern: `//|/\.{1,2}(/|$)`} // empty and dot segments
	return s
}

func (Pattern) schema() *schema {
	return &schema{Type: "string", MinLength: 1, MaxLength: policy.MaxPattern}
}

func (Parameters) schema() *schema { return conditionsByName() }

func (Nodes) schema() *schema { return conditionsByName() }

func conditionsByName() *schema {
	return &schema{Type: "object", MinKeys: 1, MaxKeys: policy.MaxKeys, Names: &schema{MinLength: 1}, Others: Pattern{}.schema()}
}

// Rules in the one-line form are a language that no schema knows.
func (Lines) schema() *schema { return texts(`[^ \t\r\n]`) }

func (RequestLine) schema() *schema { return texts(`^` + httpSyntax + `+ [^ ]+$`) }

func (Want) schema() *schema {
	list := []string{}
	for _, effect := range []policy.Effect{policy.Allow, policy.Deny} {
		list = append(list, effect.String())
		for _, reason := range policy.ReasonNames(effect) {
			list = append(list, effect.String()+" "+reason)
		}
	}
	return words(list...)
}

// addresses are those of both families, each with what may follow it.
func addresses(after4, after6 string) string { return fmt.Sprintf(addressSyntax, after4, after6) }
