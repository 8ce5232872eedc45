package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// fill puts a text between the markers of a section of a page: `<!-- bench NAME -->` and `<!-- end -->`.
func fill(page, section, text string) error {
	data, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	begin := "<!-- bench " + section + " -->\n"
	before, rest, found := strings.Cut(string(data), begin)
	_, after, ended := strings.Cut(rest, "<!-- end -->")
	if !found || !ended {
		return fmt.Errorf("%s: expected the markers %s and <!-- end -->", page, strings.TrimSpace(begin))
	}
	return os.WriteFile(page, []byte(before+begin+text+"<!-- end -->"+after), 0o644)
}

// fillChecks writes the results of `bench checks` into a page.
func fillChecks(page string, subjects []*subject, all []round) error {
	if err := fill(page, "checks", checksPage(subjects, all)); err != nil {
		return err
	}
	return fill(page, "targets", targetsPage(all))
}

// checksPage is the table of servers, as Markdown.
func checksPage(subjects []*subject, all []round) string {
	var b strings.Builder
	fmt.Fprintln(&b, "| server | CPU µs a check | checks a second | p99, closed loop | p99, open loop |\n|---|---|---|---|---|")
	for _, s := range subjects {
		cell := func(loop string, value func(round) float64, unit string, scale float64) string {
			list := values(all, s.name, loop, value)
			text := fmt.Sprintf("%.2fx", median(ratios(all, s.name, s.base, loop, value)))
			if s.name == s.base {
				text = "1"
			}
			return fmt.Sprintf("%s (%s to %s%s)", text, figure(slices.Min(list)*scale), figure(slices.Max(list)*scale), unit)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", s.name, cell("closed", cpuOf, "", 1), cell("closed", rateOf, "", 1),
			cell("closed", p99Of, " ms", 1e-3), cell("open", p99Of, " ms", 1e-3))
	}
	return b.String()
}

// figure writes a number with as many digits as say something.
func figure(v float64) string {
	if v < 10 {
		return fmt.Sprintf("%.1f", v)
	}
	text := fmt.Sprintf("%.0f", v)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// targetsPage is the table of targets, as Markdown.
func targetsPage(all []round) string {
	var b strings.Builder
	fmt.Fprintln(&b, "| target | wanted | measured | |\n|---|---|---|---|")
	for _, t := range checkTargets {
		list := t.measured(all)
		if len(list) == 0 {
			continue
		}
		fmt.Fprintf(&b, "| %s | %s %.2f%s | %.2f%s (%.2f to %.2f) | %s |\n", t.what, t.bound(), t.target, t.unit(), median(list), t.unit(), slices.Min(list), slices.Max(list), t.verdict(list))
	}
	return b.String()
}

// scalePage is the table of `bench scale`, as Markdown: a column for each size.
func scalePage(all []scaled) string {
	var b strings.Builder
	row := func(what string, cell func(s *scaled) string) {
		fmt.Fprintf(&b, "| %s |", what)
		for i := range all {
			fmt.Fprintf(&b, " %s |", cell(&all[i]))
		}
		fmt.Fprintln(&b)
	}
	row("", func(s *scaled) string { return figure(float64(s.Tokens)) + " tokens" })
	fmt.Fprintln(&b, "|---"+strings.Repeat("|---", len(all))+"|")
	row("manifests", func(s *scaled) string { return fmt.Sprintf("%.0f MiB", s.MiB) })
	row("load, and its CPU", func(s *scaled) string { return fmt.Sprintf("%.1f s, %.1f s", s.Load, s.LoadCPU) })
	row("resident after it, at most during it", func(s *scaled) string { return fmt.Sprintf("%.0f MiB, %.0f MiB", s.Resident, s.Peak) })
	row("resident after the changes below, at most during them", func(s *scaled) string { return fmt.Sprintf("%.0f MiB, %.0f MiB", s.Settled, s.Highest) })
	for _, what := range []string{"a token is revoked", "a policy changes", "a member joins", "a gate changes"} {
		of := func(format string, value func(c *change) float64) func(s *scaled) string {
			return func(s *scaled) string {
				var list []float64
				for i := range s.Changes {
					if s.Changes[i].What == what {
						list = append(list, value(&s.Changes[i]))
					}
				}
				if len(list) == 0 {
					return ""
				}
				return fmt.Sprintf(format, slices.Min(list), slices.Max(list))
			}
		}
		row(what+": in force, after the files were read", of("%.1f to %.1f ms", func(c *change) float64 { return c.Applied }))
		row("– after the file's rename, all in all", of("%.0f to %.0f ms", func(c *change) float64 { return c.Loaded }))
		row("– p99 of checks meanwhile, against before", of("%.1fx to %.1fx", func(c *change) float64 { return c.P99 / c.CalmP99 }))
		row("– calls that failed", of("%.0f to %.0f", func(c *change) float64 { return float64(c.Failed) }))
	}
	row("p99 of checks while another process computes, against before", func(s *scaled) string {
		var list []float64
		for i := range s.Changes {
			if c := &s.Changes[i]; c.What == "another process computes" {
				list = append(list, c.P99/c.CalmP99)
			}
		}
		return fmt.Sprintf("%.1fx to %.1fx", slices.Min(list), slices.Max(list))
	})
	return b.String()
}
