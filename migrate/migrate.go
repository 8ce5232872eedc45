// Package migrate converts the tokens of other products into manifests. Their values become digests and are never
// written. A token that can't be converted without granting more is refused.
package migrate

import (
	"fmt"
	"strings"
	"time"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/token"
)

// Imported is one token of a source: its manifest, or why it is refused.
type Imported struct {
	Token   edit.NewToken
	From    string   // what the source calls it
	Pos     diag.Pos // where it is in the file
	Notes   []string // what its owner should know
	Refused string   // why it can't be carried over, every reason; empty where it can
	LeftOut bool     // it is refused because it is no token: the others may come over without it

	texts []string // that are written or shown, and must hold no value
}

func (i *Imported) note(format string, args ...any) {
	i.Notes = append(i.Notes, fmt.Sprintf(format, args...))
}

// refuse adds a reason.
func (i *Imported) refuse(format string, args ...any) {
	if i.Refused != "" {
		i.Refused += "; "
	}
	i.Refused += fmt.Sprintf(format, args...)
}

// Source reads the tokens of another product out of a file.
type Source func(data []byte, now time.Time) ([]Imported, error)

// Sources are the products that can be read, by their names.
var Sources = map[string]Source{
	"extender":      Extender,
	"envoy-gateway": EnvoyGateway,
	"authorino":     Authorino,
}

// setValue sets the digest of a value, unless clients can't present that value.
func (i *Imported) setValue(value string) {
	if problem := valueProblem(value); problem != "" {
		i.refuse("%s", problem)
		return
	}
	if strings.IndexFunc(value, notToken68) >= 0 {
		i.Token.Schemes = []string{"basic"}
		i.note("its value holds characters that Bearer does not carry: it can be presented with Basic alone")
	}
	i.Token.Digest = token.Sum(token.NewSecret(value))
}

// finish refuses the tokens of a source that can't be imported unchanged, and names the
// others. A value that appears in a text, its own token's or another's, would be written
// and shown; one that no client can present in its token's scheme is of no use.
func finish(list []Imported, values []string) []Imported {
	for n := range list {
		i := &list[n]
		text := strings.ToLower(strings.Join(i.texts, "\n"))
		for _, value := range values {
			if len(value) >= minShown && strings.Contains(text, strings.ToLower(value)) {
				*i = Imported{From: "token", Pos: i.Pos, Refused: "a value is in its label, user or rules: take it for leaked, and make new tokens"}
			}
		}
		if strings.Contains(i.Token.User, ":") {
			i.refuse("its user holds a colon, which Basic can't carry, expected another user")
		}
		if encrypted(i.Token.User) != "" || template(i.Token.User) != "" {
			i.refuse("its user is encrypted or a template, expected a user's name: decrypt or render the file first")
		}
	}
	setNames(list)
	return list
}

// minShown is the least length of a value that is searched for in texts: shorter ones are
// ordinary words, and refused in any case.
const minShown = 8

// notToken68 reports whether a Bearer credential can't contain a character (RFC 6750).
func notToken68(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._~+/=", r))
}

// maxName is the maximum length of a manifest's name here: that of a Kubernetes label.
const maxName = 63

// nameOf makes a Kubernetes name of any text.
func nameOf(text string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(text) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			b.WriteRune(r)
		} else if s := b.String(); s != "" && !strings.HasSuffix(s, "-") {
			b.WriteByte('-')
		}
	}
	name := b.String()
	name = strings.Trim(name[:min(len(name), maxName)], "-")
	if name == "" {
		return "token"
	}
	return name
}

// setNames names each token after what its source calls it, and no two alike.
func setNames(list []Imported) {
	taken := map[string]bool{}
	for i := range list {
		base := nameOf(list[i].From)
		name := base
		for n := 2; taken[name] || name == "kustomization"; n++ { // kustomize's own file
			suffix := fmt.Sprintf("-%d", n)
			name = strings.Trim(base[:min(len(base), maxName-len(suffix))], "-") + suffix
		}
		taken[name] = true
		list[i].Token.Name = name
		if name != list[i].From {
			list[i].Token.DisplayName = list[i].From
		}
	}
}

// unrestricted lets a token do all that its user may, as its source did.
func (i *Imported) unrestricted() {
	i.Token.Unrestricted = true
	i.note("it is unrestricted, as it was: limit it with policies or limitTo")
}
