// Package company makes up a company and its audit log, equal for an equal seed: people in teams, tokens with more
// rights than they need, habits that drift, people who leave, rotations, canaries, clients that break. Tests,
// benchmarks and docs/evidence.md use it; `go run ./test/company/log` writes one.
package company

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Options of a company. Zero values mean the defaults.
type Options struct {
	Seed   uint64
	People int // default 2,000
	Tokens int // default 10,000
	Days   int // default 90
	Events int // about how many; default 1,000,000
}

// Company is a company with its tokens. Make one with New.
type Company struct {
	o      Options
	Start  time.Time
	teams  []team
	people []person
	Tokens []*Token
}

// teamSize is how many people are in a team, about.
const teamSize = 20

type team struct {
	name     string
	projects []string // of the tracker: keys
	repos    []string
}

type person struct {
	name string
	team int
	left time.Time // zero: did not leave
}

// Token is a token and what its client does.
type Token struct {
	Name   string
	user   int
	kind   kind
	issued time.Time

	Needs  []Need // what its client calls
	Excess []Need // what its rules allow beside that, without being called

	rotated time.Time // zero: never
	broken  bool      // its client calls what is refused, again and again
	Canary  bool
	Unused  bool
	clients []string
}

// kind is what a token is for.
type kind struct {
	name   string
	weight int // of its calls
	agent  string
	scheme string
}

var kinds = []kind{
	{"ci", 30, "curl/8.9.1", "bearer"},
	{"dashboard", 20, "Grafana/11.2", "bearer"},
	{"sync", 12, "python-requests/2.32", "basic"},
	{"script", 2, "Wget/1.24", "basic"},
	{"bot", 8, "node", "bearer"},
}

// Need is an operation, for the projects or repositories that a token works with.
type Need struct {
	operation
	values []string // for {project} or {repo}
	From   time.Time
	Until  time.Time // zero: it goes on
}

// operation is a kind of request. Its path has {project}, {repo}, {n} and {name}.
type operation struct {
	Gate, Method, path, Query string
	area                      string // a pattern that allows it and more, as people write them
}

var operations = []operation{
	{"tracker", "GET", "/rest/api/2/issue/{project}-{n}", "", `/rest/api/2/issue/.*`},
	{"tracker", "POST", "/rest/api/2/issue/{project}-{n}/comment", "", `/rest/api/2/issue/.*`},
	{"tracker", "PUT", "/rest/api/2/issue/{project}-{n}", "", `/rest/api/2/issue/.*`},
	{"tracker", "GET", "/rest/api/2/issue/{project}-{n}/transitions", "expand=transitions.fields", `/rest/api/2/issue/.*`},
	{"tracker", "POST", "/rest/api/2/issue/{project}-{n}/transitions", "", `/rest/api/2/issue/.*`},
	{"tracker", "DELETE", "/rest/api/2/issue/{project}-{n}", "", `/rest/api/2/issue/.*`},
	{"tracker", "GET", "/rest/api/2/project/{project}", "", `/rest/api/2/project.*`},
	{"tracker", "GET", "/rest/api/2/project/{project}/versions", "", `/rest/api/2/project.*`},
	{"tracker", "DELETE", "/rest/api/2/project/{project}", "", `/rest/api/2/project.*`},
	{"tracker", "GET", "/rest/api/2/search", "jql=project%3D{project}&maxResults=50", `/rest/api/2/.*`},
	{"tracker", "GET", "/rest/api/2/user", "username={name}", `/rest/api/2/.*`},
	{"tracker", "POST", "/rest/api/2/user", "", `/rest/api/2/.*`},
	{"code", "GET", "/repos/{repo}/commits/{hex}", "", `/repos/.*`},
	{"code", "GET", "/repos/{repo}/pulls", "state=open", `/repos/.*`},
	{"code", "POST", "/repos/{repo}/statuses/{hex}", "", `/repos/.*`},
	{"code", "GET", "/repos/{repo}/contents/README.md", "", `/repos/.*`},
	{"code", "PUT", "/repos/{repo}/pulls/{n}/merge", "", `/repos/.*`},
	{"code", "DELETE", "/repos/{repo}", "", `/repos/.*`},
	{"code", "GET", "/users/{name}", "", `/users/.*`},
	{"packages", "GET", "/v2/{repo}/manifests/{n}", "", `/v2/.*`},
	{"packages", "GET", "/v2/{repo}/blobs/{uuid}", "", `/v2/.*`},
	{"packages", "PUT", "/v2/{repo}/manifests/{n}", "", `/v2/.*`},
	{"packages", "DELETE", "/v2/{repo}/manifests/{n}", "", `/v2/.*`},
}

var gates = []string{"code", "packages", "tracker"}

// New makes up a company.
func New(o Options) *Company {
	set := func(to *int, value int) {
		if *to == 0 {
			*to = value
		}
	}
	set(&o.People, 2_000)
	set(&o.Tokens, 10_000)
	set(&o.Days, 90)
	set(&o.Events, 1_000_000)
	c := &Company{o: o, Start: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)}
	random := rand.New(rand.NewPCG(o.Seed, 1))
	for i := range max(1, o.People/teamSize) {
		t := team{name: fmt.Sprintf("team-%d", i+1)}
		for n := range 2 + random.IntN(3) {
			t.projects = append(t.projects, fmt.Sprintf("%c%c%c%d", 'A'+i%26, 'A'+i/26%26, 'A'+random.IntN(26), n+1))
			t.repos = append(t.repos, fmt.Sprintf("%s/%s-%d", t.name, words[random.IntN(len(words))], n+1))
		}
		c.teams = append(c.teams, t)
	}
	for i := range o.People {
		p := person{name: fmt.Sprintf("%s.%d", words[random.IntN(len(words))], i+1), team: i % len(c.teams)}
		if random.IntN(25) == 0 {
			p.left = c.day(10 + random.IntN(max(1, o.Days-10)))
		}
		c.people = append(c.people, p)
	}
	for i := range o.Tokens {
		c.Tokens = append(c.Tokens, c.newToken(random, i))
	}
	return c
}

var words = strings.Fields("amber birch cedar delta ember falcon garnet harbor indigo juniper kestrel lumen maple north onyx pine quartz river sable tern umber violet willow zephyr")

func (c *Company) day(n int) time.Time { return c.Start.AddDate(0, 0, n) }

// End is when the log ends.
func (c *Company) End() time.Time { return c.day(c.o.Days) }

// newToken makes a token with two to five needs, and rules that allow more.
func (c *Company) newToken(random *rand.Rand, i int) *Token {
	t := &Token{user: random.IntN(len(c.people)), kind: kinds[random.IntN(len(kinds))], issued: c.Start.AddDate(0, 0, -1-random.IntN(300))}
	t.Name = fmt.Sprintf("%s-%s-%d", words[random.IntN(len(words))], t.kind.name, i+1)
	gate := gates[random.IntN(len(gates))]
	var own []operation
	for _, op := range operations {
		if op.Gate == gate {
			own = append(own, op)
		}
	}
	random.Shuffle(len(own), func(a, b int) { own[a], own[b] = own[b], own[a] })
	team := &c.teams[c.people[t.user].team]
	values := team.projects
	if gate != "tracker" {
		values = team.repos
	}
	values = values[:1+random.IntN(len(values))]
	n := min(2+random.IntN(4), len(own)-1)
	for _, op := range own[:n] {
		t.Needs = append(t.Needs, Need{operation: op, values: values, From: c.Start})
	}
	c.drift(random, t)
	for _, op := range own[n:] {
		for _, need := range t.Needs {
			if allows(need.area, op) {
				t.Excess = append(t.Excess, Need{operation: op, values: values})
				break
			}
		}
	}
	for range 1 + random.IntN(3) {
		t.clients = append(t.clients, fmt.Sprintf("10.%d.%d.%d", random.IntN(64), random.IntN(250), 1+random.IntN(250)))
	}
	switch fate := random.IntN(100); {
	case fate == 0:
		t.Canary = true
	case fate < 8:
		t.Unused = true
	case fate < 11:
		t.broken = true
	case fate < 30:
		t.rotated = c.day(random.IntN(c.o.Days))
	}
	return t
}

// allows reports whether an area, which is a path and `.*`, allows an operation.
func allows(area string, op operation) bool {
	return strings.HasPrefix(op.path, strings.TrimSuffix(area, ".*"))
}

// drift lets one need of some tokens begin or end within the time of the log.
func (c *Company) drift(random *rand.Rand, t *Token) {
	need := &t.Needs[len(t.Needs)-1]
	switch random.IntN(5) {
	case 0:
		need.From = c.day(c.o.Days / 3)
	case 1:
		need.Until = c.day(2 * c.o.Days / 3)
	}
}

// Call is one request of a client.
type Call struct{ Gate, Method, Path, Query string }

// Call makes up a request of a need.
func (n *Need) Call(random *rand.Rand) Call {
	value := n.values[random.IntN(len(n.values))]
	fill := strings.NewReplacer("{project}", value, "{repo}", value, "{n}", fmt.Sprint(10+random.IntN(5000)), "{name}", words[random.IntN(len(words))],
		"{hex}", fmt.Sprintf("%08x%08x%08x%08x%08x", random.Uint32(), random.Uint32(), random.Uint32(), random.Uint32(), random.Uint32()),
		"{uuid}", fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", random.Uint32(), random.IntN(1<<16), random.IntN(1<<12), random.IntN(1<<12), random.Uint64()>>16))
	return Call{n.Gate, n.Method, fill.Replace(n.path), fill.Replace(n.Query)}
}

// areas are the patterns of a token's rules.
func (t *Token) areas() []string {
	var list []string
	for _, n := range t.Needs {
		if !slices.Contains(list, n.area) {
			list = append(list, n.area)
		}
	}
	return list
}

// digest returns the digest of a value that does not exist.
func (t *Token) digest() string {
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("company "+t.Name)))
}

// Believable reports whether the token has an ordinary life: it is used, its client works and its user stays.
func (c *Company) Believable(t *Token) bool {
	return !t.Canary && !t.Unused && !t.broken && c.people[t.user].left.IsZero() && t.kind.weight > 5
}
