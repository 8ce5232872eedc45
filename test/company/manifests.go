package company

import (
	"fmt"
	"strings"
	"time"
)

// Manifests are the company's manifests as they are at the end of the log, by file name.
func (c *Company) Manifests() map[string]string {
	files := map[string]string{"gates.yaml": gateManifests(), "groups.yaml": c.groupManifests()}
	const perFile = 200
	for at := 0; at < len(c.Tokens); at += perFile {
		var b strings.Builder
		for _, t := range c.Tokens[at:min(at+perFile, len(c.Tokens))] {
			b.WriteString(c.tokenManifest(t))
		}
		files[fmt.Sprintf("tokens-%03d.yaml", at/perFile)] = b.String()
	}
	return files
}

const header = "---\napiVersion: patgate.dev/v1alpha1\nkind: %s\nmetadata:\n  name: %s\nspec:\n"

func gateManifests() string {
	var b strings.Builder
	for _, name := range gates {
		fmt.Fprintf(&b, header, "Gate", name)
		fmt.Fprintf(&b, "  hosts: [%s.example.com]\n  schemes: [basic, bearer]\n  clientIP: {source: xff, trustedHops: 1}\n", name)
		if name == "tracker" {
			b.WriteString("  basicEnds: 2026-12-01T00:00:00Z\n")
		}
		b.WriteString("  groups: [everyone]\n")
	}
	return b.String()
}

func (c *Company) groupManifests() string {
	var b strings.Builder
	fmt.Fprintf(&b, header, "UserGroup", "everyone")
	b.WriteString("  members:\n")
	for _, p := range c.people {
		if p.left.IsZero() {
			fmt.Fprintf(&b, "  - %s\n", p.name)
		}
	}
	return b.String()
}

func (c *Company) tokenManifest(t *Token) string {
	var b strings.Builder
	fmt.Fprintf(&b, header, "APIToken", t.Name)
	fmt.Fprintf(&b, "  digest: %s\n", t.digest())
	if t.Canary {
		fmt.Fprintf(&b, "  issued: %s\n  canary: true\n", t.issued.Format(time.RFC3339))
		return b.String()
	}
	issued := t.issued
	if !t.rotated.IsZero() {
		issued = t.rotated
	}
	fmt.Fprintf(&b, "  user: %s\n  issued: %s\n  gates: [%s]\n", c.people[t.user].name, issued.Format(time.RFC3339), t.Needs[0].Gate)
	if !t.rotated.IsZero() {
		fmt.Fprintf(&b, "  previous:\n  - digest: %s\n    issued: %s\n    until: %s\n", (&Token{Name: t.Name + " older"}).digest(),
			t.issued.Format(time.RFC3339), t.rotated.AddDate(0, 0, overlap).Format(time.RFC3339))
	}
	b.WriteString("  limitTo: |\n")
	for _, area := range t.areas() {
		fmt.Fprintf(&b, "    %s\n", area)
	}
	return b.String()
}

// overlap is for how many days an older value stays good after a rotation.
const overlap = 7
