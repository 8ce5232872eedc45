// Command bench measures what a check costs, against a no-op ext_authz server of plain
// grpc-go: on the same machine, in one run, round by round in turn, so that what is
// compared is the ratio of the two. Every decision is checked. `make bench` runs it.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

func main() {
	if len(os.Args) == 4 && os.Args[1] == "noop" {
		exitOn(serveNoop(os.Args[2], os.Args[3]))
		return
	}
	binary := flag.String("patgate", "bin/patgate", "the `binary` to measure")
	rounds := flag.Int("rounds", 5, "how often each server is measured")
	span := flag.Duration("span", 3*time.Second, "how long a round takes")
	rate := flag.Int("rate", 3000, "checks a second of the open loop")
	out := flag.String("o", "", "a `file` for all rounds, as JSON")
	flag.Parse()
	exitOn(bench(*binary, *rounds, *span, *rate, *out))
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// inFlight is how many checks the closed loop keeps on their way.
const inFlight = 64

// subject is a server to be measured.
type subject struct {
	name    string
	network string
	tokens  int // 0: the no-op
	server  *server
}

// round is one measurement of one subject.
type round struct {
	Subject   string  `json:"subject"`
	Loop      string  `json:"loop"` // closed or open
	Round     int     `json:"round"`
	Checks    int     `json:"checks"`
	Rate      float64 `json:"rate"`       // checks a second
	CPUMicros float64 `json:"cpu_micros"` // of the server, a check
	P50       float64 `json:"p50_micros"`
	P99       float64 `json:"p99_micros"`
	P999      float64 `json:"p999_micros"`
	Events    int     `json:"events,omitempty"`
}

func bench(binary string, rounds int, span time.Duration, rate int, out string) error {
	dir, err := os.MkdirTemp("", "patgate-bench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	subjects := []*subject{
		{name: "no-op", network: "tcp"},
		{name: "patgate, 1,000 tokens", network: "tcp", tokens: 1_000},
		{name: "patgate, 100,000 tokens", network: "tcp", tokens: 100_000},
		{name: "patgate, unix socket", network: "unix", tokens: 1_000},
	}
	for i, s := range subjects {
		fmt.Fprintf(os.Stderr, "starting %s\n", s.name)
		if s.server, err = start(binary, filepath.Join(dir, fmt.Sprint(i)), s); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		defer s.server.stop()
	}
	var all []round
	for n := range rounds + 1 { // the first warms up
		for _, s := range subjects {
			for _, loop := range []string{"closed", "open"} {
				r, err := s.measure(loop, span, rate)
				if err != nil {
					return fmt.Errorf("%s, %s loop: %w", s.name, loop, err)
				}
				if r.Round = n; n > 0 {
					all = append(all, r)
				}
				fmt.Fprintf(os.Stderr, "round %d of %d: %-24s %-6s %7.0f/s %6.1f µs CPU\n", n, rounds, s.name, loop, r.Rate, r.CPUMicros)
			}
		}
	}
	if out != "" {
		text, err := json.MarshalIndent(map[string]any{
			"cpus": runtime.NumCPU(), "go": runtime.Version(), "in_flight": inFlight, "open_rate": rate, "rounds": all,
		}, "", " ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(out, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	fmt.Print(table(subjects, all))
	return nil
}

// table shows the median of each subject's rounds, the spread, and its ratio to the
// no-op's of the same rounds.
func table(subjects []*subject, all []round) string {
	var b strings.Builder
	for _, loop := range []string{"closed", "open"} {
		fmt.Fprintf(&b, "\n%s loop; median (lowest to highest) of the rounds, and the ratio to the no-op\n", loop)
		fmt.Fprintf(&b, "%-24s | %-30s | %-26s | %-10s | %-10s | %s\n", "server", "checks a second", "CPU µs a check", "p50 µs", "p99 µs", "p99.9 µs")
		for _, s := range subjects {
			pick := func(value func(round) float64) []float64 {
				var list []float64
				for _, r := range all {
					if r.Subject == s.name && r.Loop == loop {
						list = append(list, value(r))
					}
				}
				return list
			}
			base := func(value func(round) float64) float64 {
				var list []float64
				for _, r := range all {
					if r.Subject == subjects[0].name && r.Loop == loop {
						list = append(list, value(r))
					}
				}
				return median(list)
			}
			show := func(value func(round) float64, spread bool) string {
				list := pick(value)
				m := median(list)
				text := fmt.Sprintf("%.0f", m)
				if spread {
					low, high := extremes(list)
					text += fmt.Sprintf(" (%.0f to %.0f)", low, high)
				}
				return text + fmt.Sprintf(" %.2fx", m/base(value))
			}
			fmt.Fprintf(&b, "%-24s | %-30s | %-26s | %-10s | %-10s | %s\n", s.name,
				show(func(r round) float64 { return r.Rate }, true), show(func(r round) float64 { return r.CPUMicros }, true),
				show(func(r round) float64 { return r.P50 }, false), show(func(r round) float64 { return r.P99 }, false),
				show(func(r round) float64 { return r.P999 }, false))
		}
	}
	return b.String()
}
