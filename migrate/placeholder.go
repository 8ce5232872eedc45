package migrate

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

const isPlaceholder = "its value is a placeholder, expected the value itself"

// placeholder finds a text that somebody wrote where a value belongs: one that says so, one of
// ordinary words about values, and one that repeats or counts. It may be wrong about a value of few
// different characters, which is too easily guessed anyhow.
func placeholder(value string) string {
	letters := strings.Map(keepAlphanumeric, value)
	switch {
	case admits(value), ofWords(value):
		return isPlaceholder
	case repeats(letters), counts(letters):
		return "its value repeats or counts characters: it is a placeholder or can be guessed, expected a random value"
	}
	return ""
}

// longWord is from how many characters on a word of saysSo does not occur in a random value by chance.
const longWord = 8

// admits reports whether a value says that it is a placeholder. A short word counts where it is a word by itself, or
// where the rest does not look random: base64 of 20 bytes holds one of them once in some hundred thousand values.
func admits(value string) bool {
	at := saysSo.FindStringIndex(value)
	if at == nil {
		return false
	}
	before, word, after := value[:at[0]], value[at[0]:at[1]], value[at[1]:]
	alone := !alphanumeric(before, word, len(before)-1, 0) && !alphanumeric(word, after, len(word)-1, 0)
	return len(word) >= longWord || alone || !looksRandom(before+after)
}

// alphanumeric reports whether a letter or digit at i of one text is followed by one at j of the next.
func alphanumeric(one, next string, i, j int) bool {
	is := func(c byte) bool { return keepAlphanumeric(rune(c)) >= 0 }
	return i >= 0 && j < len(next) && is(one[i]) && is(next[j])
}

// looksRandom reports whether a text changes between upper case, lower case and digits as often as random values do.
func looksRandom(text string) bool {
	const changes = 6
	n, last := 0, 0
	for _, r := range text {
		class := 0
		switch {
		case '0' <= r && r <= '9':
			class = 1
		case 'a' <= r && r <= 'z':
			class = 2
		case 'A' <= r && r <= 'Z':
			class = 3
		}
		if class != 0 && last != 0 && class != last {
			n++
		}
		if class != 0 {
			last = class
		}
	}
	return n >= changes
}

// saysSo are words that no random value has, but by chance.
var saysSo = regexp.MustCompile(`(?i)change[-_. ]?(me|this|it)|replace[-_. ]?(me|this|with|by)|fill[-_. ]?(me|this)?[-_. ]?in|place[-_. ]?holder|` +
	`example|your[-_. ]|[-_. ]your|insert[-_. ]|paste[-_. ]|put[-_. ](your|the|it)|enter[-_. ](your|the)|goes[-_. ]?here|[-_. ]here$|here[-_. ]|` +
	`to[-_. ]?be[-_. ]|dummy|sample|foo[-_. ]?bar|fixme|(^|[-_. ])(todo|tbd|fake|mock)([-_. ]|$)|p[a@4]ssw[o0]rd|` +
	`lorem|not[-_. ]?a?[-_. ]?(real|secret|valid)|do[-_. ]?not[-_. ]?(use|commit)|super[-_. ]?secret|top[-_. ]?secret|` +
	`(horse|battery|staple)[-_. ]?(horse|battery|staple)`)

// vocabulary are words that placeholders are made of.
var vocabulary = wordSet(`my your our the this that some is are was goes put set use must generate long
	api key keys apikey token tokens secret secrets password passwd pass pwd passphrase value values credential credentials cred auth access bearer basic
	client user username admin root name id string text random randomly generated very super top strong secure safe real
	test tests testing demo example sample dummy fake mock placeholder default foo bar baz qux todo tbd change changeme replace replaceme me please
	insert paste enter fill private public personal production prod staging dev development local service app application server
	hello world john doe jane lorem ipsum dolor sit amet abc xyz xxx yyy zzz letmein qwerty welcome
	hex base64 uuid encoded plain config env variable var github gitlab jira confluence envoy patgate kubernetes encrypted unknown empty none null`)

func wordSet(text string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(text) {
		set[w] = true
	}
	return set
}

// words cuts `my-secret`, `MySecret` and `MY_SECRET1` into words and numbers.
var words = regexp.MustCompile(`[A-Z]?[a-z]+|[A-Z]+|[0-9]+`)

// minRest is the minimum number of characters of a value besides ordinary words.
const minRest = 12

// ofWords reports whether a text is made of the vocabulary: half of it, or all but what is short,
// repeats or counts.
func ofWords(value string) bool {
	known, all, rest := 0, 0, ""
	for _, w := range words.FindAllString(value, -1) {
		all += len(w)
		if len(w) > 1 && vocabulary[strings.ToLower(w)] {
			known += len(w)
		} else {
			rest += strings.ToLower(w)
		}
	}
	return known > 2 && (2*known >= all || len(rest) < minRest || repeats(rest) || counts(rest))
}

func keepAlphanumeric(r rune) rune {
	if unicode.IsLetter(r) || unicode.IsDigit(r) {
		return unicode.ToLower(r)
	}
	return -1
}

// maxRun is the maximum number of equal characters in a row in a random value.
const maxRun = 7

// repeats reports whether a text has few different characters, a long run of one, or one part
// over and over.
func repeats(text string) bool {
	seen, run := map[byte]bool{}, 0
	for i := range len(text) {
		seen[text[i]] = true
		if i > 0 && text[i] == text[i-1] {
			run++
		} else {
			run = 1
		}
		if run > maxRun {
			return true
		}
	}
	if len(seen) <= 4 {
		return true
	}
	for period := 1; period <= len(text)/2; period++ {
		if text[period:] == text[:len(text)-period] {
			return true
		}
	}
	return false
}

// rows are the keys of a keyboard, row by row.
const rows = "qwertyuiopasdfghjklzxcvbnm"

// counts reports whether most characters follow the one before them, in either direction, in the
// alphabet, among digits or on a keyboard.
func counts(text string) bool {
	steps := 0
	for i := 1; i < len(text); i++ {
		if d := int(text[i]) - int(text[i-1]); d >= -1 && d <= 1 || neighbours(text[i-1], text[i]) || text[i-1:i+1] == "9a" || text[i-1:i+1] == "90" {
			steps++
		}
	}
	return 3*steps >= 2*len(text)
}

func neighbours(a, b byte) bool {
	i, j := strings.IndexByte(rows, a), strings.IndexByte(rows, b)
	return i >= 0 && j >= 0 && (j-i == 1 || i-j == 1)
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return strconv.Itoa(n) + " " + word + "s"
}
