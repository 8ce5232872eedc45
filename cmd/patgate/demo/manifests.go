package demo

import (
	_ "embed"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/patgate/patgate/token"
)

// gateAndGroups are the manifests that a team keeps in Git, next to the tokens.
//
//go:embed manifests.yaml
var gateAndGroups []byte

// demoTokens are the tokens of the tour: their names and specs.
func demoTokens(now time.Time) map[string]string {
	const all = "unrestricted: true  # patgate:accept unrestricted the rules are another token's part\n"
	at := func(days int) string { return now.AddDate(0, 0, days).UTC().Format(time.RFC3339) }
	return map[string]string{
		"alice":    "user: alice\nissued: " + at(-1) + "\n" + all,
		"ci":       "user: bob\nissued: " + at(-1) + "\nlimitTo: |  # patgate:accept leading-any as its vendor writes it\n  .*/rest/api/2/issue/JRA.*\n  [post].*/rest/api/2/issue/KANBAN-100/comment.*\n",
		"worklogs": "user: bob\nissued: " + at(-1) + "\nlimitTo: |  # patgate:accept leading-any,unescaped-dot as its vendor writes it\n  .*/rest/extender/1.0/worklog/.*[QueryParam::dateFrom==2018-.*][QueryParam::dateTo==2018-.*]\n",
		"filters":  "user: bob\nissued: " + at(-1) + "\nlimitTo: |  # patgate:accept leading-any as its vendor writes it\n  [post].*/rest/api/2/filter[JsonData::editable==false][JsonData::favourite==false]\n",
		"shared":   "anyUser: true  # patgate:accept any-user the tour shows one\nissued: " + at(-1) + "\nexpires: " + at(90) + "\n" + all,
		"stelin":   "user: stelin  # patgate:ignore deactivated the tour shows who has left the group\nissued: " + at(-1) + "\nexpires: " + at(90) + "\n" + all,
		"old":      "user: carl\nissued: " + at(-91) + "  # patgate:accept expired the cap is 90 days\n" + all,
		"office":   "user: alice\nissued: " + at(-1) + "\nclients: {allow: [10.20.0.0/16]}\n" + all,
	}
}

// writeManifests mints the tokens and writes the manifests.
func (d *demo) writeManifests() error {
	d.secrets = map[string]string{}
	dir := filepath.Join(d.dir, "manifests")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "jira.yaml"), gateAndGroups, 0o644); err != nil {
		return err
	}
	for name, spec := range demoTokens(time.Now()) {
		secret := token.Mint()
		d.secrets[name] = secret.Reveal()
		text := fmt.Sprintf("apiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata:\n  name: %s\nspec:\n  digest: %s\n%s",
			name, token.Sum(secret), indent(spec))
		if err := os.WriteFile(d.manifest(name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// writeVariables writes the URL and the tokens' values into a file for a shell, which only its owner reads.
func (d *demo) writeVariables() error {
	env := strings.Builder{}
	fmt.Fprintf(&env, "API=%s\nMANAGE=%s\n", d.url, d.manage)
	for _, name := range slices.Sorted(maps.Keys(d.secrets)) {
		fmt.Fprintf(&env, "%s=%s\n", envName(name), d.secrets[name])
	}
	return os.WriteFile(filepath.Join(d.dir, "tokens.env"), []byte(env.String()), 0o600)
}

// manifest is the file of a token.
func (d *demo) manifest(token string) string {
	return filepath.Join(d.dir, "manifests", token+".yaml")
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("  " + line)
	}
	return b.String()
}

// revoke sets `revoked` in a token's file, as a commit would.
func (d *demo) revoke(token string) error {
	text, err := os.ReadFile(d.manifest(token))
	if err != nil {
		return err
	}
	text = append(text, "  revoked: "+time.Now().UTC().Format(time.RFC3339)+"\n"...)
	return os.WriteFile(d.manifest(token), text, 0o644)
}
