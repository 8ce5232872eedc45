package lint

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

func TestIncluded(t *testing.T) {
	for _, c := range []struct {
		pattern string
		others  []string
		want    bool
	}{
		{`/a`, []string{`/a`}, true},
		{`/a`, []string{`/.*`}, true},
		{`/.*`, []string{`/a`}, false},
		{`/rest/issue/JRA-\d+`, []string{`/rest/issue/.*`}, true},
		{`/rest/issue/JRA-\d+`, []string{`.*/issue/[A-Z]+-[0-9]+`}, true},
		{`/rest/issue/[A-Z]+-\d+`, []string{`/rest/issue/JRA-\d+`}, false},
		{`(?:a|b)`, []string{`a`, `b`}, true},
		{`(?:a|b|c)`, []string{`a`, `b`}, false},
		{`a{2,5}`, []string{`a{2}`, `a{3,}`}, true},
		{`a{2,5}`, []string{`a{3,}`}, false},
		{`[a-f]+`, []string{`[a-c]*`, `[d-f]*`}, false},
		{`[a-f]+`, []string{`[a-f]*`}, true},
		{`.*`, []string{`(?s:.*)`}, true},
		{`(?s:.*)`, []string{`.*`}, false},
		{`(?i:abc)`, []string{`[aA][bB][cC]`}, true},
		{`[aA]bc`, []string{`(?i:ABC)`}, true},
		{`é+`, []string{`[à-ü]+`}, true},
		{`^a$`, []string{`a`}, true},
		{`a`, []string{`^a$`}, true},
		{`a\b`, []string{`a\b`}, false}, // not proven
		{`a`, nil, false},
		{`[^\x00-\x{10FFFF}]`, nil, true}, // it matches nothing
		{`(`, []string{`.*`}, false},
	} {
		if got := Included(c.pattern, c.others...); got != c.want {
			t.Errorf("%s in %s: %v", c.pattern, c.others, got)
		}
	}
	if !Disjoint(`/a/\d+`, `/a/[a-z]+`) || Disjoint(`/a/.*`, `.*/b`) {
		t.Error("Disjoint")
	}
}

// TestIncludedAgainstTexts compares with all short texts of a small alphabet, for patterns at random.
func TestIncludedAgainstTexts(t *testing.T) {
	var texts []string
	for n := range 6 {
		for i := range 1 << (2 * n) {
			var b strings.Builder
			for at := range n {
				b.WriteByte("ab/."[i>>(2*at)&3])
			}
			texts = append(texts, b.String())
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	atoms := strings.Fields(`a b / . \. [ab] [^a] a* b+ (?:a|/b) (?:ab)? .* [a-b]{1,2}`)
	pattern := func() string {
		var b strings.Builder
		for range 1 + random.IntN(4) {
			b.WriteString(atoms[random.IntN(len(atoms))])
		}
		return b.String()
	}
	proven := 0
	for range 3000 {
		p, one, two := pattern(), pattern(), pattern()
		match := func(p string) *regexp.Regexp { return regexp.MustCompile(fmt.Sprintf(`\A(?:%s)\z`, p)) }
		a, b, c := match(p), match(one), match(two)
		want := true
		for _, text := range texts {
			want = want && (!a.MatchString(text) || b.MatchString(text) || c.MatchString(text))
		}
		got := Included(p, one, two)
		if got && !want {
			t.Fatalf("%s is not in %s and %s", p, one, two)
		}
		if want && !got && !strings.Contains(p, "*") && !strings.Contains(p, "+") && !strings.ContainsAny(p, ".^") {
			t.Fatalf("%s is in %s and %s", p, one, two)
		}
		if got {
			proven++
		}
	}
	if proven < 50 {
		t.Errorf("%d inclusions were proven", proven)
	}
}
