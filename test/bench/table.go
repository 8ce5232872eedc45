package main

import (
	"fmt"
	"slices"
	"strings"
)

// values picks a number out of each round of a subject.
func values(all []round, subject, loop string, value func(round) float64) []float64 {
	var list []float64
	for _, r := range all {
		if r.Subject == subject && r.Loop == loop {
			list = append(list, value(r))
		}
	}
	return list
}

// ratios divides a subject's number by another's of the same round: the machine's other load
// in that minute is in both.
func ratios(all []round, subject, base, loop string, value func(round) float64) []float64 {
	a, b := values(all, subject, loop, value), values(all, base, loop, value)
	list := make([]float64, 0, len(a))
	for i := range min(len(a), len(b)) {
		list = append(list, a[i]/b[i])
	}
	return list
}

func rateOf(r round) float64  { return r.Rate }
func cpuOf(r round) float64   { return r.CPUMicros }
func envoyOf(r round) float64 { return r.EnvoyMicros }
func p50Of(r round) float64   { return r.P50 }
func p99Of(r round) float64   { return r.P99 }
func p999Of(r round) float64  { return r.P999 }

// table shows the median of each subject's rounds, the spread, and the median of its
// ratios to the no-op's of the same rounds.
func table(subjects []*subject, all []round) string {
	var b strings.Builder
	for _, loop := range []string{"closed", "open"} {
		fmt.Fprintf(&b, "\n%s loop: median (lowest to highest) of the rounds, and median of the ratios to the no-op's of the same rounds\n", loop)
		const row = "%-24s | %-32s | %-26s | %-10s | %-15s | %-15s | %s\n"
		fmt.Fprintf(&b, row, "server", "checks a second", "CPU µs a check", "Envoy's", "p50 µs", "p99 µs", "p99.9 µs")
		for _, s := range subjects {
			show := func(value func(round) float64, spread bool) string {
				list := values(all, s.name, loop, value)
				text := fmt.Sprintf("%.0f", median(list))
				if spread {
					text += fmt.Sprintf(" (%.0f to %.0f)", slices.Min(list), slices.Max(list))
				}
				return text + fmt.Sprintf(" %.2fx", median(ratios(all, s.name, s.base, loop, value)))
			}
			through := ""
			if s.via == "envoy" {
				through = show(envoyOf, false)
			}
			fmt.Fprintf(&b, row, s.name, show(rateOf, true), show(cpuOf, true), through, show(p50Of, false), show(p99Of, false), show(p999Of, false))
		}
	}
	return b.String()
}

func bothOf(r round) float64 { return r.CPUMicros + r.EnvoyMicros }

// target is a bound on a ratio of two subjects of the same rounds; without a base, on a value.
type target struct {
	what, subject, base, loop string
	value                     func(round) float64
	target                    float64
	most                      bool // an upper bound
}

var checkTargets = []target{
	{"CPU a check, one connection, against the no-op", "patgate", "no-op", "closed", cpuOf, 0.35, true},
	{"checks a second, one connection, against the no-op", "patgate", "no-op", "closed", rateOf, 2.5, false},
	{"CPU a check, 16 connections, against the no-op", "patgate, 16 connections", "no-op, 16 connections", "closed", cpuOf, 0.42, true},
	{"CPU a check behind Envoy, against the no-op", "patgate, Envoy", "no-op, Envoy", "closed", cpuOf, 0.55, true},
	{"CPU of Envoy and server together, against the no-op's", "patgate, Envoy", "no-op, Envoy", "closed", bothOf, 0.9, true},
	{"p99 of the open loop, against the no-op", "patgate", "no-op", "open", p99Of, 1, true},
	{"CPU with 100,000 tokens and 10,000 policies, against 1,000 and 10", "patgate, 100,000 tokens", "patgate", "closed", cpuOf, 1.15, true},
	{"p99 of other checks on the connection of decisions that take 20 ms", besideSlow, "", "slow", millisOf, 3, true},
}

// besideSlow is the subject whose checks go over the connection of slow ones.
const besideSlow = "patgate, beside slow checks"

func millisOf(r round) float64 { return r.P99 / 1e3 }

func (t *target) measured(all []round) []float64 {
	if t.base == "" {
		return values(all, t.subject, t.loop, t.value)
	}
	return ratios(all, t.subject, t.base, t.loop, t.value)
}

// unit is that of the measured numbers.
func (t *target) unit() string {
	if t.base == "" {
		return " ms"
	}
	return "x"
}

func (t *target) bound() string {
	if t.most {
		return "at most"
	}
	return "at least"
}

func (t *target) verdict(list []float64) string {
	if m := median(list); m == t.target || m < t.target == t.most {
		return "reached"
	}
	return "not reached"
}

// targets compares the rounds with the targets.
func targets(all []round) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\ntargets, by the median of the ratios of the same rounds (lowest to highest)\n")
	for _, t := range checkTargets {
		if list := t.measured(all); len(list) > 0 {
			fmt.Fprintf(&b, "%-68s %.2f%s (%.2f to %.2f), wanted %s %.2f%s: %s\n", t.what, median(list), t.unit(), slices.Min(list), slices.Max(list), t.bound(), t.target, t.unit(), t.verdict(list))
		}
	}
	return b.String()
}
