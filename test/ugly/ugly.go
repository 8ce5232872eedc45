// Package ugly makes files that are bad in every way that costs a reader time or memory: what
// a mistake or an attack puts next to good manifests.
package ugly

import (
	"fmt"
	"strings"
)

// File is one ugly file.
type File struct{ Name, Text string }

const (
	head  = "apiVersion: patgate.dev/v1alpha1\nkind: "
	token = head + "APIToken\nmetadata: {name: x}\nspec:\n"
	group = head + "UserGroup\nmetadata: {name: x}\nspec:\n"
)

// large is about as much as a file may have, and mount what a ConfigMap holds.
const (
	large = 4<<20 - 1024
	mount = 1 << 20
)

// fill repeats a text up to a size.
func fill(size int, text string) string { return strings.Repeat(text, max(1, size/len(text))) }

// each writes lines with their numbers, up to a size.
func each(size int, format string) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// Files returns the files, the same each time. A loader rejects each of them.
func Files() []File {
	return append(append(append(structures(), texts()...), documents()...), specs()...)
}

// structures are lists and maps without an end, in each other, and of many entries.
func structures() []File {
	var list []File
	for _, size := range []int{30_000, 100_000, 300_000, mount, large} {
		list = append(list, File{fmt.Sprintf("unclosed list of %d", size), token[:len(token)-1] + " [\n" + fill(size, "a,\n")})
	}
	return append(list,
		File{"unclosed list, half", token + "  user: [\n" + fill(200_000, "a,\n")},
		File{"unclosed map", token[:len(token)-1] + " {\n" + fill(180_000, "a: b,\n")},
		File{"deep lists", token + "  user: " + fill(mount, "[")},
		File{"deep lists, closed", token + "  user: " + fill(9_000, "[") + fill(9_000, "]") + "\n"},
		File{"deep maps", token + "  user: " + fill(mount, "{a: ")},
		File{"deep block lists", token + "  user:\n   " + fill(mount, "- ")},
		File{"deep indent", token + deep(1_500)},
		File{"deep foreign lists", fill(mount, "[")},
		File{"a flat list", group + "  members: [" + fill(large, "1,") + "1]\n"},
		File{"a list within the limit", group + "  members: [" + fill(390_000, "1,") + "1]\n"},
		File{"a block list", group + "  members:\n" + fill(large, "  - 1\n")},
		File{"100,000 keys", token + each(1_100_000, "  k%d: 1\n")},
		File{"60,000 keys", token + each(700_000, "  k%d: 1\n")},
		File{"keys of a foreign map", each(large, "k%d: 1\n")},
		File{"one key again", token + fill(450_000, "  user: a\n")},
		File{"question marks", fill(large, "? ")},
		File{"keys that are lists", fill(large, "? [a]\n: b\n")},
		File{"laughs", laughs()},
		File{"anchors", token + fill(large, "  a: &a [1]\n")},
		File{"aliases", group + "  members: &a [x]\n  policies:\n" + fill(large, "  - *a\n")},
	)
}

// deep is a map in a map, and so on.
func deep(levels int) string {
	var b strings.Builder
	for i := range levels {
		b.WriteString(strings.Repeat(" ", 2+i) + "a:\n")
	}
	return b.String()
}

// laughs is a list that is a billion times what it is.
func laughs() string {
	text := "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n"
	for i := range 12 {
		text += fmt.Sprintf("a%d: &a%d [%s*a%d]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*a%d, ", i), 9), i)
	}
	return text
}

// texts are long, unclosed, or no YAML at all.
func texts() []File {
	return []File{
		{"unclosed double quote", token + "  user: \"" + fill(large, "x y\n")},
		{"unclosed single quote", token + "  user: '" + fill(large, "xxxxxxxx\n")},
		{"unclosed quote of 100 KB", token + "  user: '" + fill(100_000, "xxxxxxxx\n")},
		{"a long line", token + "  user: " + fill(large, "x")},
		{"many words", token + "  user: " + fill(large, "x ")},
		{"a long key", token + "  " + fill(large, "k") + ": 1\n"},
		{"long keys", token + fill(large, "  "+strings.Repeat("k", 1000)+": 1\n")},
		{"a long foreign line", fill(large, "x")},
		{"a block text", token + "  limitTo: |\n" + fill(large, "    GET /\n")},
		{"a folded text", token + "  user: >\n" + fill(large, "    x\n\n")},
		{"comments", fill(large, "# x\n") + "a: 1\n"},
		{"comments of keys", token + fill(large, "  a: 1 # x\n")},
		{"comments in a list", group + "  members: [\n" + fill(390_000, "1, # x\n") + "]\n"},
		{"blank lines", token + fill(large, "\n") + "  a: [\n"},
		{"blanks", token + fill(large, " ") + "a: [\n"},
		{"tabs", token + fill(large, "\t")},
		{"carriage returns", strings.ReplaceAll(token+fill(large, "  a: 1\n"), "\n", "\r")},
		{"escapes", token + "  user: \"" + fill(large, "\\u0041")},
		{"colons", token + "  user: " + fill(large, ": ")},
		{"NULs", fill(large, "\x00")},
		{"no UTF-8", token + fill(large, "\xff\n")},
		{"no UTF-8 at the end", token + fill(large, "# x\n") + "\xff"},
		{"byte order marks", fill(large, "\ufeff")},
		{"directives", fill(large, "%TAG ! tag:example.com,2000:\n")},
		{"tags", fill(large, "!a ")},
		{"JSON without an end", fill(large, `{"a":[{"b":"c"},`)},
		{"too large", token + fill(5<<20, "# x\n")},
	}
}

// documents are very many.
func documents() []File {
	return []File{
		{"a megabyte of nothing", fill(mount, "---\na\n")},
		{"a megabyte of markers", fill(mount, "---\n") + "a"},
		{"junk within the limit", fill(19_990*6, "---\na\n")},
		{"broken ones", fill(19_990*6, "---\n[\n")},
		{"broken ones with a kind", fill(mount, "---\nkind: Gate\nmetadata: {name: x}\nspec: [\n")},
		{"broken ones of some size", fill(large, "---\n"+token+fill(20_000, "  a: 1\n")+"  b: [\n")},
		{"empty manifests", fill(mount, "---\n"+head+"Gate\n")},
		{"one name", fill(mount, "---\n"+head+"UserGroup\nmetadata: {name: x}\nspec: {members: []}\n")},
		{"20 problems each", fill(large, "---\n"+token+each(200, "  k%d: 1\n"))},
		{"misspelt fields", fill(large, "---\n"+head+"Gate\nmetadata: {name: x}\nspec: {hots: [a], shemes: [basic], pats: [/]}\n")},
	}
}

// specs are good YAML with much in it.
func specs() []File {
	const digest = "  digest: sha256:%064x\n  issued: 2026-05-01T00:00:00Z\n  user: alice\n"
	return []File{
		{"unknown policies", each(large, "---\n"+head+"APIToken\nmetadata: {name: x%[1]d}\nspec:\n"+digest+"  policies: [missing-policy-%[1]d]\n") +
			each(64, "---\n"+head+"TokenPolicy\nmetadata: {name: policy-%d}\nspec: {deny: [{path: /a}]}\n")},
		{"names to compare", each(mount, "---\n"+head+"TokenPolicy\nmetadata: {name: policy-with-quite-a-long-name-%d}\nspec: {deny: [{path: /a}]}\n") +
			each(mount, "---\n"+head+"UserGroup\nmetadata: {name: x%[1]d}\nspec: {members: [], policies: [pollicy-with-quite-a-lomg-name-%[1]d]}\n")},
		{"hosts and paths", head + "Gate\nmetadata: {name: x}\nspec:\n  hosts:\n" + each(500_000, "  - h%d.example.com\n") + "  paths:\n" + each(500_000, "  - /p%d\n")},
		{"gates of hosts and paths", each(mount, "---\n"+head+"Gate\nmetadata: {name: x%[1]d}\nspec: {hosts: ["+each(400, "h%d.example.com, ")+"a.example.com], paths: ["+each(400, "/p%d, ")+"/a]}\n")},
		{"tokens without a scheme in common", each(mount, "---\n"+head+"Gate\nmetadata: {name: x%[1]d}\nspec: {schemes: [bearer], hosts: [h%[1]d.example.com]}\n") +
			each(mount, "---\n"+head+"APIToken\nmetadata: {name: x%[1]d}\nspec:\n"+digest+"  schemes: [basic]\n  unrestricted: true\n")},
		{"large patterns", each(mount, "---\n"+head+"APIToken\nmetadata: {name: x%[1]d}\nspec:\n"+digest+"  allow: [{path: \"/%[1]d"+strings.Repeat("[a-z]{0,990}", 80)+"\"}]\n")},
		{"nested patterns", each(mount, "---\n"+head+"APIToken\nmetadata: {name: x%[1]d}\nspec:\n"+digest+"  allow: [{path: \"/%[1]d"+strings.Repeat("((a{0,10}){0,10}){0,10}", 40)+"\"}]\n")},
		{"bad patterns", each(large, "---\n"+head+"APIToken\nmetadata: {name: x%[1]d}\nspec:\n"+digest+"  allow: [{path: \"(%[1]d\"}]\n")},
		{"lines of rules", token + "  limitTo: |\n" + each(large, "    [get]/a%d[QueryParam::a==b]\n")},
	}
}
