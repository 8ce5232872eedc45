package test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/patgate/patgate/token"
)

// corpusHost is the host of every request of the corpus.
const corpusHost = "app.example"

// corpusCases is the number of cases, so that a lost one is noticed.
const corpusCases = 179 + 927

// corpusCase is a request and its expected results.
type corpusCase struct {
	Name     string
	Level    string
	Proto    string
	Method   string
	Target   string
	Headers  [][2]string
	SourceIP string `yaml:"source_ip"`
	Body     string
	BodyB64  string `yaml:"body_b64"`
	Raw      string
	Expect   yaml.Node
	Why      string
	Refs     []string
}

// expectation is the expected result of a request in one profile.
type expectation struct {
	Verdict          string
	Status           yaml.Node         // a list, or `reject`
	UpstreamAbsent   []string          `yaml:"upstream_absent"`
	UpstreamPresent  map[string]string `yaml:"upstream_present"`
	HeadersPresent   []string          `yaml:"headers_present"`
	BodyEmpty        bool              `yaml:"body_empty"`
	Uniform          string
	UpstreamRequests int `yaml:"upstream_requests"`
	Statuses         []int
	GRPCStatus       []int `yaml:"grpc_status"`

	isGRPC bool // the client is told by grpc-status, in an answer of status 200
}

// readCorpus reads every case, strictly: a field that the runner does not know would be
// an expectation that no layer checks.
func readCorpus(t *testing.T) []corpusCase {
	t.Helper()
	files, err := filepath.Glob("corpus/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var cases []corpusCase
	for _, name := range files {
		if filepath.Base(name) == "manifests.yaml" {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var f struct {
			Format, Category, Split string
			Cases                   []corpusCase
		}
		d := yaml.NewDecoder(bytes.NewReader(text))
		d.KnownFields(true)
		if err := d.Decode(&f); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		cases = append(cases, f.Cases...)
	}
	if len(cases) != corpusCases {
		t.Fatalf("%d cases, want %d", len(cases), corpusCases)
	}
	return cases
}

// expected returns the expectation of a profile. Without encode_raw_headers, that of
// `sanitized` counts where there is one.
func (c *corpusCase) expected(t *testing.T, profile string, raw bool) expectation {
	t.Helper()
	var each map[string]yaml.Node
	if err := c.Expect.Decode(&each); err != nil {
		t.Fatalf("%s: %v", c.Name, err)
	}
	node := c.Expect
	if n, ok := each[profile]; ok {
		node = n
	}
	if n, ok := each["sanitized"]; ok && !raw {
		node = n
	}
	text, err := yaml.Marshal(&node)
	if err != nil {
		t.Fatal(err)
	}
	var e expectation
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&e); err != nil || e.Verdict == "" {
		t.Fatalf("%s: %v", c.Name, err)
	}
	e.isGRPC = slices.ContainsFunc(c.Headers, func(h [2]string) bool { return h == [2]string{"content-type", "application/grpc"} })
	return e
}

// accepts reports whether a status is one that the expectation lists.
func (e *expectation) accepts(status int) bool {
	var list []int
	if e.Status.Decode(&list) == nil && len(list) > 0 {
		return slices.Contains(list, status)
	}
	return e.Status.Value != "reject" || status == 0 || status >= 400
}

// corpusSecrets makes up the values of the corpus's tokens: every second one is minted,
// the others come from elsewhere.
func corpusSecrets() map[string]string {
	secrets := map[string]string{"UNKNOWN": token.Mint().Reveal()}
	for i := 1; i <= 19; i++ {
		secrets[fmt.Sprintf("T%d", i)] = token.Mint().Reveal()
		if i%2 == 0 {
			secrets[fmt.Sprintf("T%d", i)] = "pat" + strings.ReplaceAll(token.Mint().Reveal(), "_", "")
		}
	}
	return secrets
}

// corpusManifests writes the corpus's policies into a directory.
func corpusManifests(t *testing.T, secrets map[string]string) string {
	t.Helper()
	text, err := os.ReadFile("corpus/manifests.yaml")
	if err != nil {
		t.Fatal(err)
	}
	filled := os.Expand(string(text), func(name string) string {
		if name == "100-DAYS-AGO" {
			return time.Now().AddDate(0, 0, -100).UTC().Format(time.RFC3339)
		}
		value, ok := secrets[name]
		if !ok {
			return "${" + name + "}"
		}
		return digestOf(value)
	})
	dir := t.TempDir()
	write(t, filepath.Join(dir, "manifests.yaml"), filled)
	return dir
}

// templates fills in the corpus's templates.
type templates struct {
	t       *testing.T
	secrets map[string]string
}

var (
	template  = regexp.MustCompile(`\$\{([^}]*)\}`)
	tokenName = regexp.MustCompile(`@(T\d+)`)
)

// fill turns text into bytes and replaces its templates.
func (f *templates) fill(s string) string {
	var b strings.Builder
	done := 0
	for _, m := range template.FindAllStringSubmatchIndex(s, -1) {
		b.WriteString(asBytes(s[done:m[0]]))
		b.WriteString(f.expression(s[m[2]:m[3]]))
		done = m[1]
	}
	b.WriteString(asBytes(s[done:]))
	return b.String()
}

// asBytes turns each character below U+0100 into that byte.
func asBytes(s string) string {
	var b []byte
	for _, r := range s {
		if r < 256 {
			b = append(b, byte(r))
		} else {
			b = append(b, string(r)...)
		}
	}
	return string(b)
}

func (f *templates) expression(text string) string {
	parts := strings.Split(text, "|")
	switch parts[0] {
	case "IDHEADER":
		return "x-forwarded-user"
	case "UNKNOWN":
		return f.secrets["UNKNOWN"]
	}
	value := strings.NewReplacer(`\0`, "\x00", `\n`, "\n", `\r`, "\r").Replace(parts[0])
	value = tokenName.ReplaceAllStringFunc(value, func(name string) string { return f.secrets[name[1:]] })
	for _, fn := range parts[1:] {
		value = f.apply(fn, value)
	}
	return value
}

func (f *templates) apply(fn, s string) string {
	switch fn {
	case "b64":
		return base64.StdEncoding.EncodeToString([]byte(s))
	case "b64latin1":
		return base64.StdEncoding.EncodeToString([]byte(asBytes(s)))
	case "b64url":
		return base64.URLEncoding.EncodeToString([]byte(s))
	case "b64nopad_bad":
		return strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(s)), "=")
	case "upper":
		return strings.ToUpper(s)
	case "lower":
		return strings.ToLower(s)
	case "drop1":
		return s[:len(s)-1]
	case "flip":
		if s[len(s)-1] == 'a' {
			return s[:len(s)-1] + "b"
		}
		return s[:len(s)-1] + "a"
	case "b64bits": // with an unused bit set: another spelling of the same bytes
		text := []byte(base64.StdEncoding.EncodeToString([]byte(s)))
		i := bytes.IndexByte(text, '=') - 1
		if i < 0 {
			return "AAB=" // a length without unused bits
		}
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
		text[i] = alphabet[strings.IndexByte(alphabet, text[i])+1]
		return string(text)
	case "rev":
		b := []byte(s)
		slices.Reverse(b)
		return string(b)
	case "hex":
		return hex.EncodeToString([]byte(s))
	case "pct":
		var b strings.Builder
		for i := range len(s) {
			fmt.Fprintf(&b, "%%%02X", s[i])
		}
		return b.String()
	}
	f.t.Fatalf("the template function %s is unknown", fn)
	return ""
}

// message is the case's request, except for raw cases.
func (c *corpusCase) message(t *testing.T, f *templates) *message {
	m := &message{method: f.fill(c.Method), target: f.fill(c.Target), host: corpusHost, body: c.bytes(t)}
	for _, h := range c.Headers {
		m.headers = append(m.headers, [2]string{f.fill(h[0]), f.fill(h[1])})
	}
	m.headers = append(m.headers, [2]string{"X-Forwarded-For", c.SourceIP})
	return m
}

var letters = regexp.MustCompile(`^@A\*(\d+)$`)

func (c *corpusCase) bytes(t *testing.T) []byte {
	if c.BodyB64 != "" {
		b, err := base64.StdEncoding.DecodeString(c.BodyB64)
		if err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		return b
	}
	if m := letters.FindStringSubmatch(c.Body); m != nil {
		n, _ := strconv.Atoi(m[1])
		return bytes.Repeat([]byte("A"), n)
	}
	return []byte(c.Body)
}
