package loader_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/patgate/patgate/token"
)

// wanderer changes a directory at random.
type wanderer struct {
	t       *testing.T
	dir     string
	random  *rand.Rand
	files   map[string][]string // their documents
	good    map[string][]string // as they were when they ran last
	made    int
	digests []token.Digest
	last    string // what was changed
}

const (
	wanderHead  = "apiVersion: patgate.dev/v1alpha1\nkind: "
	wanderGate  = wanderHead + "Gate\nmetadata: {name: jira}\nspec: {schemes: [basic, bearer], forwardUnknown: [basic], policies: [p3], groups: [staff]}\n"
	wanderGroup = wanderHead + "UserGroup\nmetadata: {name: staff}\nspec: {members: [u0, u1, u2], policies: [p2, p3], tokens: {create: true, maxLifetime: 300d}}\n"
	wanderWiki  = wanderHead + "Gate\nmetadata: {name: wiki}\nspec: {schemes: [basic, bearer], hosts: [wiki.example.com], clientIP: {source: peer}}\n"
	wanderTeam  = wanderHead + "UserGroup\nmetadata: {name: a-team}\nspec: {members: [u1, u3]}\n"
)

func (w *wanderer) begin() {
	w.files["gate.yaml"] = []string{wanderGate}
	w.files["gates-more.yaml"] = []string{wanderWiki}
	w.files["groups.yaml"] = []string{wanderGroup, wanderTeam}
	w.files["policies.yaml"] = []string{w.policy(0), w.policy(1), w.policy(2)}
	w.files["policies-more.yaml"] = []string{w.policy(3), strings.Replace(w.policy(0), "name: p0", "name: ranged", 1) + "    clients: [10.0.0.0/8]\n"}
	for i := range 4 {
		for range 3 {
			w.files[fmt.Sprintf("tokens-%d.yaml", i)] = append(w.files[fmt.Sprintf("tokens-%d.yaml", i)], w.token())
		}
	}
}

func (w *wanderer) policy(i int) string {
	return fmt.Sprintf("%sTokenPolicy\nmetadata: {name: p%d}\nspec:\n  allow:\n  - path: /%d/.*\n", wanderHead, i, w.random.IntN(5))
}

// wanderValue is the value that a token had when it was made.
func wanderValue(n int) string { return fmt.Sprintf("a value of no token %d", n) }

func (w *wanderer) token() string {
	w.made++
	d := token.Sum(token.NewSecret(wanderValue(w.made)))
	w.digests = append(w.digests, d)
	own := ""
	switch w.random.IntN(11) {
	case 0:
		own = "  allow:\n  - path: /own/.*\n"
	case 1:
		own = "  actAs: [\"a{900}\"]\n"
	case 2:
		own = "  limitTo: \"/own/b{700}\"\n"
	case 3:
		own = "  gates: [wiki]\n"
	case 4:
		own = "  gates: [jira, wiki]\n  schemes: [bearer]\n"
	case 5:
		own = "  schemes: [basic]\n"
	case 6:
		own = "  allow:\n  - path: /own/.*\n    clients: [10.0.0.0/8]\n  gates: [wiki]\n"
	case 7:
		d := w.digests[len(w.digests)-1]
		return fmt.Sprintf("%sAPIToken\nmetadata: {name: t%d}\nspec: {anyUser: true, digest: %s, issued: 2026-01-01T00:00:00Z, policies: [p%d]}\n", wanderHead, w.made, d, w.random.IntN(2))
	}
	return fmt.Sprintf("%sAPIToken\nmetadata: {name: t%d}\nspec:\n  user: u%d\n  digest: %s\n  issued: 2026-01-01T00:00:00Z\n  policies: [p%d]\n%s",
		wanderHead, w.made, w.random.IntN(4), d, w.random.IntN(2), own)
}

// write makes the directory hold these files and no others.
func (w *wanderer) write() {
	there, err := filepath.Glob(filepath.Join(w.dir, "*.yaml"))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, name := range there {
		if _, kept := w.files[filepath.Base(name)]; !kept {
			if err := os.Remove(name); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	for name, docs := range w.files {
		text := []byte(strings.Join(docs, "---\n"))
		if old, err := os.ReadFile(filepath.Join(w.dir, name)); err == nil && string(old) == string(text) {
			continue
		}
		if err := os.WriteFile(filepath.Join(w.dir, name), text, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
}

// pick returns a file, mostly one of tokens.
func (w *wanderer) pick() string {
	names := slices.Sorted(maps.Keys(w.files))
	for range 3 {
		if name := names[w.random.IntN(len(names))]; strings.HasPrefix(name, "tokens") {
			return name
		}
	}
	return names[w.random.IntN(len(names))]
}

// loaded mostly goes back to the last good files after a load was rejected.
func (w *wanderer) loaded(rejected bool) {
	switch {
	case !rejected:
		w.good = maps.Clone(w.files)
	case w.random.IntN(4) > 0:
		w.files = maps.Clone(w.good)
	}
}

// change makes one or a few changes.
func (w *wanderer) change() {
	w.last = ""
	kinds := []func(){w.changePolicies, w.changeGroups, w.changeGates, w.changeTokens}
	if w.random.IntN(4) > 0 {
		kinds[w.random.IntN(len(kinds))]()
		return
	}
	for i := range kinds { // several at once
		if w.random.IntN(2) == 0 {
			kinds[i]()
		}
	}
}

// changed returns what kind of files the last change was about.
func (w *wanderer) changed() string {
	var kinds []string
	for kind, name := range map[string]string{"policies": " of policies", "groups": " of groups", "gates": " of gate", "tokens": " of tokens"} {
		if strings.Contains(w.last, name) {
			kinds = append(kinds, kind)
		}
	}
	if len(kinds) == 1 {
		return kinds[0]
	}
	return "several"
}

// changeTokens changes one or two files, mostly of tokens.
func (w *wanderer) changeTokens() {
	for range 1 + w.random.IntN(2) {
		name := w.pick()
		docs := slices.Clone(w.files[name])
		what := w.random.IntN(16)
		w.last += fmt.Sprintf("change %d of %s; ", what, name)
		if len(docs) == 0 {
			what = 1
		}
		at := 0
		if len(docs) > 0 {
			at = w.random.IntN(len(docs))
		}
		put := func(old, new string) { docs[at] = strings.Replace(docs[at], old, new, 1) }
		switch what {
		case 0: // one goes
			docs = slices.Delete(docs, at, at+1)
		case 1, 2: // one comes
			docs = append(docs, w.token())
		case 3:
			put("spec:\n", "spec:\n  revoked: 2026-02-01T00:00:00Z\n")
		case 4:
			put("spec:\n", "spec:\n  suspended: true\n")
		case 5: // the name of another, which may be gone
			if _, name, ok := strings.Cut(docs[at], "{name: "); ok && strings.HasPrefix(name, "t") {
				name, _, _ = strings.Cut(name, "}")
				put("{name: "+name, fmt.Sprintf("{name: t%d", 1+w.random.IntN(w.made)))
			}
		case 6:
			put("policies: [p0]", "policies: [p1]")
		case 7: // a value is rotated to one that may stand elsewhere
			put("  issued:", fmt.Sprintf("  previous:\n  - {digest: %s, issued: 2025-01-01T00:00:00Z, until: 2027-01-01T00:00:00Z}\n  issued:",
				w.digests[w.random.IntN(len(w.digests))]))
		case 8: // moves to another file
			if to := w.pick(); to != name {
				w.files[to] = append(slices.Clone(w.files[to]), docs[at])
				docs = slices.Delete(docs, at, at+1)
			}
		case 9: // addresses at a gate that does not say where they come from, and not any more
			if strings.Contains(docs[at], "clients:") {
				put("  clients: {allow: [10.0.0.0/8]}\n", "")
			} else {
				put("spec:\n", "spec:\n  clients: {allow: [10.0.0.0/8]}\n")
			}
		case 10:
			put("policies: [p", "policies: [x")
		case 11: // mended
			put("policies: [x", "policies: [p")
		case 12: // a comment, which moves what comes after it
			put(wanderHead, "# a comment\n"+wanderHead)
		case 13: // the value of another, which may be gone
			if _, digest, ok := strings.Cut(docs[at], "  digest: "); ok {
				digest, _, _ = strings.Cut(digest, "\n")
				put(digest, w.digests[w.random.IntN(len(w.digests))].String())
			}
		case 14: // a whole file goes
			delete(w.files, name)
			continue
		case 15: // all is good again
			w.files = map[string][]string{}
			w.begin()
			continue
		}
		w.files[name] = docs
		if len(docs) == 0 && strings.HasPrefix(name, "tokens") {
			delete(w.files, name)
		}
	}
}

// changePolicies changes rules of a policy: mostly so that what names it stays good.
func (w *wanderer) changePolicies() {
	docs := slices.Clone(w.files["policies.yaml"])
	if len(docs) == 0 {
		return
	}
	what, at := w.random.IntN(9), w.random.IntN(len(docs))
	w.last += fmt.Sprintf("change %d of policies.yaml; ", what)
	put := func(old, new string) { docs[at] = strings.Replace(docs[at], old, new, 1) }
	switch what {
	case 0, 1:
		put("  allow:\n", fmt.Sprintf("  allow:\n  - path: /more/%d\n", w.random.IntN(9)))
	case 2:
		put("spec:\n", "spec:\n  deny:\n  - path: /never\n")
	case 3: // it grants nothing any more, or again
		if strings.Contains(docs[at], "  allow:\n") {
			docs[at] = strings.Replace(docs[at], "  allow:\n", "  deny:\n", 1)
		} else {
			put("  deny:\n", "  allow:\n")
		}
	case 4:
		put("  allow:\n", "  allow:\n  - path: /ranged\n    clients: [10.0.0.0/8]\n")
	case 5: // too much together with what some tokens have of their own, and not any more
		if heavy := strings.Repeat("  - path: /c{950}\n", 10); strings.Contains(docs[at], heavy) {
			put(heavy, "")
		} else {
			put("  allow:\n", "  allow:\n"+heavy)
		}
	case 6: // one comes
		w.made++
		docs = append(docs, strings.Replace(w.policy(0), "name: p0", fmt.Sprintf("name: more%d", w.made), 1))
	case 7: // one goes, which tokens may name
		docs = slices.Delete(docs, at, at+1)
	case 8: // one moves
		w.files["policies-more.yaml"] = append(slices.Clone(w.files["policies-more.yaml"]), docs[at])
		docs = slices.Delete(docs, at, at+1)
	}
	w.files["policies.yaml"] = docs
}

// changeGroups changes groups: mostly their members.
func (w *wanderer) changeGroups() {
	docs := slices.Clone(w.files["groups.yaml"])
	if len(docs) == 0 {
		return
	}
	what, at := w.random.IntN(9), w.random.IntN(len(docs))
	w.last += fmt.Sprintf("change %d of groups.yaml; ", what)
	put := func(old, new string) { docs[at] = strings.Replace(docs[at], old, new, 1) }
	user := fmt.Sprintf("u%d", w.random.IntN(5))
	switch what {
	case 0, 1: // one joins
		put("members: [", "members: ["+user+", ")
	case 2: // one leaves
		put(user+", ", "")
	case 3:
		put("maxLifetime: 300d", "maxLifetime: 900d")
	case 4:
		put("maxLifetime: 900d", "maxLifetime: 300d")
	case 5:
		put("members: [", fmt.Sprintf("policies: [p%d], members: [", w.random.IntN(4)))
	case 6: // one comes
		w.made++
		docs = append(docs, strings.Replace(wanderTeam, "a-team", fmt.Sprintf("z-team%d", w.made), 1))
	case 7: // one goes
		docs = slices.Delete(docs, at, at+1)
	case 8: // ranges that come with a group's policies
		put("members: [", "policies: [ranged], members: [")
	}
	w.files["groups.yaml"] = docs
}
