package main

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/patgate/patgate/token"
)

// estate is a made-up company: its users, teams, policies and tokens, in the proportions
// that such companies have. The same seed makes the same files, byte for byte.
type estate struct {
	seed     uint64
	tokens   int
	policies int
}

// The proportions of an estate.
const (
	tokensPerUser = 4     // on average; a few users have many
	usersPerTeam  = 200   // each user is in one team, and in a group of everyone
	projects      = 1_000 // that tokens' own rules name
	perFile       = 100   // documents a file: what one team changes

	perGroup = 100_000 // users in one of the groups that hold all of them: a document has a limit
)

func (e estate) users() int { return max(1, e.tokens/tokensPerUser) }

// credential is a token that works: its value, and a path that its policy allows by the
// last of its rules.
type credential struct {
	name   string
	secret token.Secret
	path   string
	file   string // that holds its manifest, below the directory
}

// write writes the estate's manifests into a directory, and returns some of its tokens,
// evenly spread.
func (e estate) write(dir string, sample int) ([]credential, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := e.writeFile(filepath.Join(dir, "gate.yaml"), func(w io.Writer) {
		document(w, "Gate", "jira", "spec:\n  hosts: [jira.example.com]\n  schemes: [basic, bearer]\n  groups:\n")
		for g := 0; g*perGroup < e.users(); g++ {
			_, _ = fmt.Fprintf(w, "  - everyone-%d\n", g)
		}
	}); err != nil {
		return nil, err
	}
	if err := e.writeGroups(dir); err != nil {
		return nil, err
	}
	if err := e.split(dir, "policies", e.policies, e.policy); err != nil {
		return nil, err
	}
	var list []credential
	every := max(1, e.tokens/max(1, sample))
	err := e.split(dir, "tokens", e.tokens, func(w io.Writer, i int) {
		c := e.token(w, i)
		if c != nil && i/every >= len(list) {
			c.file = fileOf("tokens", i)
			list = append(list, *c)
		}
	})
	return list, err
}

// fileOf is the file that holds the document of a number.
func fileOf(kind string, i int) string {
	return filepath.Join(kind, fmt.Sprintf("%05d.yaml", i/perFile))
}

// split writes documents into as many files as they need.
func (e estate) split(dir, kind string, n int, write func(w io.Writer, i int)) error {
	if err := os.MkdirAll(filepath.Join(dir, kind), 0o700); err != nil {
		return err
	}
	for at := 0; at < n; at += perFile {
		if err := e.writeFile(filepath.Join(dir, fileOf(kind, at)), func(w io.Writer) {
			for i := at; i < min(n, at+perFile); i++ {
				write(w, i)
			}
		}); err != nil {
			return err
		}
	}
	return nil
}

func (e estate) writeFile(name string, write func(io.Writer)) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	write(w)
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

func document(w io.Writer, kind, name, rest string) {
	_, _ = fmt.Fprintf(w, "---\napiVersion: patgate.dev/v1alpha1\nkind: %s\nmetadata:\n  name: %s\n%s", kind, name, rest)
}

// random returns the random numbers of one object, independent of all others.
func (e estate) random(kind uint64, i int) *rand.Rand {
	return rand.New(rand.NewPCG(e.seed, kind<<40|uint64(i)))
}

const (
	ofPolicies = iota + 1
	ofTokens
)

func (e estate) writeGroups(dir string) error {
	teams := (e.users() + usersPerTeam - 1) / usersPerTeam
	if err := e.split(dir, "teams", teams, func(w io.Writer, t int) {
		document(w, "UserGroup", fmt.Sprintf("team-%d", t), "spec:\n  members:\n")
		for u := t * usersPerTeam; u < min(e.users(), (t+1)*usersPerTeam); u++ {
			_, _ = fmt.Fprintf(w, "  - user-%d\n", u)
		}
	}); err != nil {
		return err
	}
	for g := 0; g*perGroup < e.users(); g++ {
		if err := e.writeFile(filepath.Join(dir, fmt.Sprintf("everyone-%d.yaml", g)), func(w io.Writer) {
			document(w, "UserGroup", fmt.Sprintf("everyone-%d", g), "spec:\n  tokens: {create: true, maxLifetime: forever}\n  members:\n")
			for u := g * perGroup; u < min(e.users(), (g+1)*perGroup); u++ {
				_, _ = fmt.Fprintf(w, "  - user-%d\n", u)
			}
		}); err != nil {
			return err
		}
	}
	return nil
}

// policy writes a policy of ten rules, of which the last one matches. Some have
// conditions on a parameter or a node of the body.
func (e estate) policy(w io.Writer, p int) {
	r := e.random(ofPolicies, p)
	document(w, "TokenPolicy", fmt.Sprintf("policy-%d", p), "spec:\n  allow:\n")
	for i := range 9 {
		_, _ = fmt.Fprintf(w, "  - methods: [GET]\n    path: /rest/api/2/filter%d/[A-Z]+-\\d+\n", i)
		switch r.IntN(10) {
		case 0:
			_, _ = fmt.Fprintf(w, "    query: {from: \"20\\\\d\\\\d-.*\"}\n")
		case 1:
			_, _ = fmt.Fprintf(w, "    json: {editable: \"false\"}\n")
		}
	}
	_, _ = fmt.Fprintf(w, "  - methods: [GET]\n    path: /rest/api/2/issue/P%d-\\d+\n", p)
}

// token writes a token, and returns it where it works.
func (e estate) token(w io.Writer, i int) *credential {
	r := e.random(ofTokens, i)
	user := int(float64(e.users()) * r.Float64() * r.Float64()) // few have many
	p := r.IntN(e.policies)
	c := &credential{
		name: fmt.Sprintf("token-%d", i), secret: token.NewSecret(e.value(i, "")),
		path: fmt.Sprintf("/rest/api/2/issue/P%d-123", p),
	}
	day := time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, r.IntN(1500))
	at := func(days int) string { return day.AddDate(0, 0, days).Format(time.RFC3339) }
	document(w, "APIToken", c.name, fmt.Sprintf("spec:\n  user: user-%d\n  digest: %s\n  issued: %s\n  policies: [policy-%d]\n",
		user, token.Sum(c.secret), at(0), p))
	works := true
	switch n := r.IntN(100); {
	case n < 30:
		_, _ = fmt.Fprintf(w, "  expires: %s\n", at(50_000))
	case n < 35:
		_, _ = fmt.Fprintf(w, "  expires: %s\n", at(90))
		works = false
	case n < 37:
		_, _ = fmt.Fprintf(w, "  revoked: %s\n", at(30))
		works = false
	case n < 38:
		_, _ = fmt.Fprint(w, "  suspended: true\n")
		works = false
	}
	if r.IntN(10) == 0 {
		_, _ = fmt.Fprintf(w, "  allow:\n  - methods: [GET]\n    path: /rest/api/2/project/P%d/.*\n", r.IntN(projects))
	}
	if r.IntN(20) == 0 {
		_, _ = fmt.Fprintf(w, "  limitTo: |\n    [post].*/rest/api/2/issue/P%d-\\d+/comment\n", r.IntN(projects))
	}
	if r.IntN(20) == 0 {
		_, _ = fmt.Fprintf(w, "  previous:\n  - digest: %s\n    issued: %s\n    until: %s\n",
			token.Sum(token.NewSecret(e.value(i, "previous"))), at(-90), at(1))
	}
	if r.IntN(10) == 0 {
		_, _ = fmt.Fprint(w, "  schemes: [bearer]\n  gates: [jira]\n")
	}
	if !works {
		return nil
	}
	return c
}

// value is a token's value: no one's secret, but as long as one.
func (e estate) value(i int, which string) string {
	return fmt.Sprintf("bench%x", sha256.Sum256(fmt.Appendf(nil, "%d %d %s", e.seed, i, which)))[:41]
}
