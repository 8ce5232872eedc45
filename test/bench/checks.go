package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/patgate/patgate/envoy"
)

// inFlight is how many checks the closed loop keeps in flight.
const inFlight = 64

// plan is a run of `bench checks`.
type plan struct {
	programs
	rounds    int
	span      time.Duration
	rate      int            // of the open loop
	envoyRate int            // of the open loop through Envoy
	only      *regexp.Regexp // names of what is measured
	out       string
	plots     string
	page      string

	connections []int    // besides one
	transports  []string // of patgate, besides its default
	peer        string   // NAME=COMMAND of another server
}

func runChecks(args []string) error {
	f := flag.NewFlagSet("checks", flag.ExitOnError)
	var p plan
	f.StringVar(&p.patgate, "patgate", "bin/patgate", "the `binary` to measure")
	f.StringVar(&p.bare, "bare", "bin/bare", "the `binary` that serves without the check")
	f.IntVar(&p.rounds, "rounds", 7, "how often each server is measured")
	f.DurationVar(&p.span, "span", 2*time.Second, "how long a round takes")
	f.IntVar(&p.rate, "rate", 3000, "checks a second of the open loop")
	f.IntVar(&p.envoyRate, "envoy-rate", 1000, "requests a second of the open loop through Envoy")
	only := f.String("only", "", "measure what has a name that matches this `pattern`; no targets then")
	f.StringVar(&p.out, "o", "", "a `file` for all rounds, as JSON")
	f.StringVar(&p.plots, "plots", "", "a `directory` for the plots, as SVG")
	f.StringVar(&p.page, "page", "", "a `file` in Markdown whose tables between markers are written anew")
	connections := f.String("connections", "4,16", "measure with so many `connections` too")
	transports := f.String("transports", "", "measure patgate with these values of its --transport too: `names`, such as grpc")
	f.StringVar(&p.peer, "peer", "", "measure another server too, which allows GET /rest/api/2/issue/P1-123: `NAME=COMMAND`, in which {addr} is where it is to listen")
	_ = f.Parse(args)
	if name, command, ok := strings.Cut(p.peer, "="); p.peer != "" && (!ok || name == "" || strings.TrimSpace(command) == "") {
		return fmt.Errorf("-peer %s: expected NAME=COMMAND, such as opa=opa run … --set plugins.envoy_ext_authz_grpc.addr={addr}", p.peer)
	}
	if *transports != "" {
		p.transports = strings.Split(*transports, ",")
	}
	for _, text := range strings.FieldsFunc(*connections, func(r rune) bool { return r == ',' }) {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return fmt.Errorf("-connections %s: expected numbers, such as 4,16", *connections)
		}
		p.connections = append(p.connections, n)
	}
	var err error
	if p.only, err = regexp.Compile(*only); err != nil {
		return err
	}
	if p.programs.envoy, err = envoy.Binary(); err != nil {
		return err
	}
	return p.run()
}

// subjects are the servers to measure, in the order of the rounds: with each number of
// connections, and each of the transports.
func (p *plan) subjects() []*subject {
	small, large := estate{1, 1_000, 10}, estate{1, 100_000, 10_000}
	list := []*subject{
		{name: "no-op", kind: plainNoop, via: "tcp", base: "no-op"},
		{name: "no-op, tuned", kind: tunedNoop, via: "tcp", base: "no-op"},
		{name: "check taken out", kind: bare, via: "tcp", base: "no-op"},
		{name: "patgate", kind: full, via: "tcp", base: "no-op", estate: small},
		{name: "patgate, 100,000 tokens", kind: full, via: "tcp", base: "no-op", estate: large},
		{name: "patgate, HTTP", kind: full, via: "http", base: "no-op", estate: small},
		{name: "no-op, unix socket", kind: plainNoop, via: "unix", base: "no-op, unix socket"},
		{name: "patgate, unix socket", kind: full, via: "unix", base: "no-op, unix socket", estate: small},
		{name: "no-op, Envoy", kind: plainNoop, via: "envoy", base: "no-op, Envoy"},
		{name: "patgate, Envoy", kind: full, via: "envoy", base: "no-op, Envoy", estate: small},
	}
	for _, n := range p.connections {
		base := fmt.Sprintf("no-op, %d connections", n)
		list = append(list, &subject{name: base, kind: plainNoop, via: "tcp", base: base, connections: n},
			&subject{name: fmt.Sprintf("patgate, %d connections", n), kind: full, via: "tcp", base: base, estate: small, connections: n})
	}
	if name, command, ok := strings.Cut(p.peer, "="); ok {
		list = append(list, &subject{name: name, kind: peer, via: "tcp", base: "no-op", command: command},
			&subject{name: name + ", Envoy", kind: peer, via: "envoy", base: "no-op, Envoy", command: command})
	}
	list = append(list, &subject{name: besideSlow, kind: full, via: "tcp", estate: small, slow: true})
	var all []*subject
	for _, s := range list {
		all = append(all, s)
		for _, transport := range p.transports {
			if s.kind == full && s.via != "http" && !s.slow {
				other := *s
				other.name, other.transport = s.name+", "+transport, transport
				all = append(all, &other)
			}
		}
	}
	return all
}

func (p *plan) run() error {
	dir, err := os.MkdirTemp("", "patgate-bench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	list := slices.DeleteFunc(p.subjects(), func(s *subject) bool { return !p.only.MatchString(s.name) })
	for i, s := range list {
		fmt.Fprintf(os.Stderr, "starting %s\n", s.name)
		defer s.stop()
		if err := s.start(p.programs, filepath.Join(dir, fmt.Sprint(i))); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	var all []round
	for n := range p.rounds + 1 { // the first warms up
		for _, s := range list {
			rounds, err := p.measure(s, n)
			if err != nil {
				return err
			}
			if n > 0 {
				all = append(all, rounds...)
			}
		}
	}
	list = slices.DeleteFunc(list, func(s *subject) bool {
		if s.slow {
			s.stop()
		}
		return s.slow // it is a row of the targets alone
	})
	if err := p.write(list, all); err != nil {
		return err
	}
	fmt.Print(table(list, all))
	fmt.Print(targets(all))
	return nil
}

// measure makes a round of both loops.
func (p *plan) measure(s *subject, n int) (rounds []round, err error) {
	if s.slow {
		r, err := s.measureSlow(p.span)
		if err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", s.name, err, s.server.stderr.String())
		}
		r.Round = n
		fmt.Fprintf(os.Stderr, "round %d of %d: %-24s p99 %6.0f µs beside checks of %.1f ms, %6.0f before\n", n, p.rounds, s.name, r.P99, r.SlowMillis, r.CalmP99)
		return []round{r}, nil
	}
	rate := p.rate
	if s.via == "envoy" {
		rate = p.envoyRate
	}
	for _, loop := range []string{"closed", "open"} {
		r, err := s.measure(loop, p.span, rate)
		if err != nil {
			return nil, fmt.Errorf("%s, %s loop: %w\n%s", s.name, loop, err, s.server.stderr.String())
		}
		r.Round = n
		rounds = append(rounds, r)
		fmt.Fprintf(os.Stderr, "round %d of %d: %-24s %-6s %7.0f/s %6.1f µs CPU, p99 %6.0f µs\n", n, p.rounds, s.name, loop, r.Rate, r.CPUMicros, r.P99)
	}
	return rounds, nil
}

// write writes all rounds, and draws them.
func (p *plan) write(list []*subject, all []round) error {
	if p.out != "" {
		text, err := json.MarshalIndent(map[string]any{
			"cpus": runtime.NumCPU(), "go": runtime.Version(), "in_flight": inFlight, "open_rate": p.rate, "open_rate_envoy": p.envoyRate,
			"span": p.span.String(), "shares": shares, "rounds": all,
		}, "", " ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(p.out, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	if p.page != "" {
		if err := fillChecks(p.page, list, all); err != nil {
			return err
		}
	}
	if p.plots == "" {
		return nil
	}
	return writePlots(p.plots, list, all)
}
