package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// scaled is the cost of a number of tokens.
type scaled struct {
	Tokens   int      `json:"tokens"`
	Policies int      `json:"policies"`
	MiB      float64  `json:"manifests_mib"`
	Load     float64  `json:"load_seconds"` // from the start of the process until it allows the first check
	LoadCPU  float64  `json:"load_cpu_seconds"`
	Resident float64  `json:"resident_mib"` // when what the load left behind is given back
	Peak     float64  `json:"peak_mib"`     // until then
	Changes  []change `json:"changes"`
	Settled  float64  `json:"resident_after_changes_mib"`
	Highest  float64  `json:"peak_after_changes_mib"`
}

// change is a reload under load: what changed, and the calls meanwhile.
type change struct {
	What    string  `json:"what"`
	InForce float64 `json:"in_force_millis,omitempty"` // from the file's rename until a check is refused
	Loaded  float64 `json:"loaded_millis"`             // from the file's rename until the server said so
	Applied float64 `json:"applied_millis"`            // of that, from when the files were read
	CPU     float64 `json:"cpu_millis"`                // of the process meanwhile, its checks' included
	Checks  int     `json:"checks"`
	Failed  int     `json:"failed"`
	Wrong   string  `json:"wrong,omitempty"` // what was wrong with the last of those
	P50     float64 `json:"p50_micros"`
	P99     float64 `json:"p99_micros"`
	Longest float64 `json:"longest_micros"`
	CalmP50 float64 `json:"calm_p50_micros"` // of as many checks before
	CalmP99 float64 `json:"calm_p99_micros"`
}

// scaleRun is a run of `bench scale`.
type scaleRun struct {
	binary string
	rate   int
	rounds int
}

func runScale(args []string) error {
	f := flag.NewFlagSet("scale", flag.ExitOnError)
	var r scaleRun
	f.StringVar(&r.binary, "patgate", "bin/patgate", "the `binary` to measure")
	f.IntVar(&r.rate, "rate", 500, "checks a second meanwhile")
	f.IntVar(&r.rounds, "rounds", 3, "how often each change is made")
	sizes := f.String("tokens", "100000,1000000", "how many tokens, a `list`")
	policies := f.Int("policies", 1_000, "how many policies")
	out := f.String("o", "", "a `file` for the result, as JSON")
	page := f.String("page", "", "a `file` in Markdown whose table between markers is written anew")
	_ = f.Parse(args)
	var all []scaled
	var failed error
	for size := range strings.SplitSeq(*sizes, ",") {
		n, err := strconv.Atoi(size)
		if err != nil {
			return err
		}
		s, err := r.measure(estate{1, n, *policies})
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%d tokens: %w", n, err))
		}
		all = append(all, s) // what was measured before counts
	}
	if *out != "" {
		text, err := json.MarshalIndent(map[string]any{"cpus": runtime.NumCPU(), "go": runtime.Version(), "rate": r.rate, "sizes": all}, "", " ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(*out, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	fmt.Print(scaleTable(all))
	if *page != "" && failed == nil {
		failed = fill(*page, "scale", scalePage(all))
	}
	return failed
}

func (r *scaleRun) measure(e estate) (out scaled, err error) {
	dir, err := os.MkdirTemp("", "patgate-scale")
	if err != nil {
		return out, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s := &subject{name: "patgate", kind: full, via: "tcp", estate: e, addr: freeAddr()}
	manifests := filepath.Join(dir, "manifests")
	fmt.Fprintf(os.Stderr, "writing %d tokens\n", e.tokens)
	credentials, err := s.write(manifests, sampleSize)
	if err != nil {
		return out, err
	}
	victims, credentials := credentials[:r.rounds], credentials[r.rounds:]
	s.requests = requests(credentials, true)
	out = scaled{Tokens: e.tokens, Policies: e.policies, MiB: float64(sizeOf(manifests)) / (1 << 20)}
	start := time.Now()
	s.server, err = startProcess(nil, r.binary, "serve", "--manifests", manifests, "--listen", s.addr,
		"--status-listen", freeAddr(), "--audit-wait", "10s", "--log-format", "json")
	if err != nil {
		return out, err
	}
	defer s.stop()
	if err := s.server.await(10*time.Minute, s.probe); err != nil {
		return out, err
	}
	out.Load, out.LoadCPU = time.Since(start).Seconds(), s.server.cpu().Seconds()
	if err := s.server.await(10*time.Minute, func() error {
		if !strings.Contains(s.server.stderr.String(), `"msg":"serving"`) {
			return fmt.Errorf("it does not say that it serves")
		}
		return nil
	}); err != nil {
		return out, err
	}
	out.Resident, out.Peak = s.server.memory()
	fmt.Fprintf(os.Stderr, "loaded in %.1f s, %.1f s CPU, %.0f MiB resident, %.0f at most\n", out.Load, out.LoadCPU, out.Resident, out.Peak)
	for i := range r.rounds {
		c, err := r.revoke(s, manifests, &victims[i])
		if err != nil {
			return out, fmt.Errorf("revocation: %w", err)
		}
		out.Changes = append(out.Changes, c)
		if c, err = r.touch(s, manifests, i); err != nil {
			return out, fmt.Errorf("reload: %w", err)
		}
		out.Changes = append(out.Changes, c)
		for _, do := range []func(*subject, string, int) (change, error){r.join, r.host, r.other} {
			if c, err = do(s, manifests, i); err != nil {
				return out, fmt.Errorf("reload: %w", err)
			}
			out.Changes = append(out.Changes, c)
		}
	}
	out.Settled, out.Highest = s.server.memory()
	return out, nil
}

func sizeOf(dir string) (size int64) {
	_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, _ error) error {
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			size += info.Size()
		}
		return nil
	})
	return size
}

// replace changes a file as a whole, by a rename.
func replace(file string, edit func([]byte) []byte) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	next := filepath.Join(filepath.Dir(file), ".next")
	if err := os.WriteFile(next, edit(text), 0o600); err != nil {
		return err
	}
	return os.Rename(next, file)
}

// revoke revokes one token under load, and waits until it is refused.
func (r *scaleRun) revoke(s *subject, manifests string, victim *credential) (change, error) {
	c := change{What: "a token is revoked"}
	request := newRequest(victim.path, "Bearer "+victim.secret.Reveal(), true)
	if err := s.ask(&request); err != nil {
		return c, fmt.Errorf("%s before its revocation: %w", victim.name, err)
	}
	request.allow = false
	err := r.underLoad(s, &c, func() error {
		err := replace(filepath.Join(manifests, victim.file), func(text []byte) []byte {
			name := []byte("  name: " + victim.name + "\nspec:\n")
			return bytes.Replace(text, name, append(name, "  revoked: 2026-01-01T00:00:00Z\n"...), 1)
		})
		if err != nil {
			return err
		}
		renamed := time.Now()
		err = untilRefused(s, &request)
		c.InForce = micros(time.Since(renamed)) / 1e3
		return err
	})
	return c, err
}

// join adds a member to a group under load.
func (r *scaleRun) join(s *subject, manifests string, i int) (change, error) {
	c := change{What: "a member joins"}
	err := r.underLoad(s, &c, func() error {
		return replace(filepath.Join(manifests, fileOf("teams", 0)), func(text []byte) []byte {
			return bytes.Replace(text, []byte("\n  members:\n"), fmt.Appendf(nil, "\n  members:\n  - joined-%d\n", i), 1)
		})
	})
	return c, err
}

// touch changes the policies of a file a little under load: tokens are led to the new ones.
func (r *scaleRun) touch(s *subject, manifests string, i int) (change, error) {
	c := change{What: "a policy changes"}
	err := r.underLoad(s, &c, func() error {
		return replace(filepath.Join(manifests, fileOf("policies", 0)), func(text []byte) []byte {
			return bytes.Replace(text, []byte("\nspec:\n  allow:\n"), fmt.Appendf(nil, "\nspec:\n  allow:\n  - path: /round/%d\n", i), 1)
		})
	})
	return c, err
}

// untilRefused repeats a check until it is refused.
func untilRefused(s *subject, request *request) error {
	l, err := dialLasting("tcp", s.addr)
	if err != nil {
		return err
	}
	defer l.close()
	result := make(chan error, 1)
	go func() { _ = l.answers(func(_ sent, wrong error) { result <- wrong }) }()
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); time.Sleep(500 * time.Microsecond) {
		if err = l.send(request, sent{from: time.Now()}); err == nil {
			err = l.flush()
		}
		if err != nil {
			return err
		}
		if err = <-result; err == nil {
			return nil
		}
	}
	return err
}

// judge separates the answers before a change from those during it.
func (m *measurement) judge(c *change, from, until time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var before, during []answer
	for _, a := range m.answers {
		switch {
		case a.from.Before(from):
			before = append(before, a)
		case a.from.Before(until):
			during = append(during, a)
		}
	}
	c.Checks, c.Failed = len(m.answers), m.failed
	if m.wrong != nil {
		c.Wrong = m.wrong.Error()
	}
	calm, curve := curve(before), curve(during)
	c.CalmP50, c.CalmP99 = calm[2], calm[7]
	c.P50, c.P99 = curve[2], curve[7]
	for _, a := range during {
		c.Longest = max(c.Longest, micros(a.took))
	}
}

// loadLine is the server's log line about a load.
type loadLine struct {
	Msg     string `json:"msg"`
	Applied string `json:"applied"`
}

const loadedMessage = "manifests loaded"

// applied is in milliseconds.
func (l loadLine) applied() float64 {
	d, _ := time.ParseDuration(l.Applied)
	return micros(d) / 1e3
}

// loads are the server's log lines about its loads, good and bad.
func (s *subject) loads() (list []loadLine) {
	for line := range strings.Lines(s.server.stderr.String()) {
		var l loadLine
		if json.Unmarshal([]byte(line), &l) == nil && (l.Msg == loadedMessage || strings.HasPrefix(l.Msg, "manifests rejected")) {
			list = append(list, l)
		}
	}
	return list
}

func scaleTable(all []scaled) string {
	var b strings.Builder
	const load = "%-10s | %-10s | %-12s | %-12s | %-12s | %-14s | %s\n"
	fmt.Fprintf(&b, load, "tokens", "manifests", "load", "its CPU", "resident", "at most", "after changes, at most")
	for _, s := range all {
		fmt.Fprintf(&b, load, fmt.Sprint(s.Tokens), fmt.Sprintf("%.0f MiB", s.MiB), fmt.Sprintf("%.1f s", s.Load), fmt.Sprintf("%.1f s", s.LoadCPU),
			fmt.Sprintf("%.0f MiB", s.Resident), fmt.Sprintf("%.0f MiB", s.Peak), fmt.Sprintf("%.0f, %.0f MiB", s.Settled, s.Highest))
	}
	const row = "%-10s | %-20s | %-14s | %-12s | %-22s | %-10s | %-18s | %-12s | %s\n"
	fmt.Fprintf(&b, "\n"+row, "tokens", "change under load", "in force after", "loaded after", "of that, after reading", "CPU", "p99 µs, and before", "longest µs", "calls failed")
	for _, s := range all {
		for _, c := range s.Changes {
			force := ""
			if c.InForce > 0 {
				force = fmt.Sprintf("%.0f ms", c.InForce)
			}
			fmt.Fprintf(&b, row, fmt.Sprint(s.Tokens), c.What, force, fmt.Sprintf("%.0f ms", c.Loaded), fmt.Sprintf("%.1f ms", c.Applied),
				fmt.Sprintf("%.0f ms", c.CPU), fmt.Sprintf("%.0f, %.0f %.2fx", c.P99, c.CalmP99, c.P99/c.CalmP99), fmt.Sprintf("%.0f", c.Longest),
				fmt.Sprintf("%d of %d", c.Failed, c.Checks))
		}
	}
	return b.String()
}
