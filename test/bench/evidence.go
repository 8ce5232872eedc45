package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/patgate/patgate/test/company"
)

// reading is one command that reads a log, and what it may take.
type reading struct {
	Command string  `json:"command"`
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu_seconds"`
	Peak    float64 `json:"peak_mib"`

	args  []string
	limit time.Duration // of a million events, on two processors
}

// maxReading is how much memory a command may take, in MiB.
const maxReading = 512

func runEvidence(args []string) error {
	f := flag.NewFlagSet("evidence", flag.ExitOnError)
	binary := f.String("patgate", "bin/patgate", "the `binary` to measure")
	events := f.Int("events", 1_000_000, "how many events the log has, about")
	out := f.String("o", "", "a `file` for the result, as JSON")
	_ = f.Parse(args)
	dir, err := os.MkdirTemp("", "patgate-evidence-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	log, manifests := filepath.Join(dir, "audit.jsonl"), filepath.Join(dir, "manifests")
	if err := writeCompany(company.New(company.Options{Seed: 1, Events: *events}), log, manifests); err != nil {
		return err
	}
	list := []reading{
		{Command: "audit verify", args: []string{"audit", "verify", "--log", log}, limit: 5 * time.Second},
		{Command: "usage", args: []string{"usage", "--log", log, "-o", "json"}, limit: 10 * time.Second},
		{Command: "audit summary", args: []string{"audit", "summary", "--log", log, "-o", "json"}, limit: 10 * time.Second},
		{Command: "replay", args: []string{"replay", "--log", log, "--manifests", manifests, "-o", "json"}, limit: 10 * time.Second},
		{Command: "suggest", args: []string{"suggest", "--log", log, "--manifests", manifests, "-o", "json"}},
	}
	var slow error
	for i := range list {
		if err := list[i].measure(*binary); err != nil {
			return err
		}
		slow = errors.Join(slow, list[i].tooMuch(*events))
	}
	if *out != "" {
		text, err := json.MarshalIndent(map[string]any{"cpus": runtime.NumCPU(), "go": runtime.Version(), "events": *events, "readings": list}, "", " ")
		if err != nil {
			return err
		}
		slow = errors.Join(os.WriteFile(*out, append(text, '\n'), 0o644), slow)
	}
	return slow
}

func writeCompany(c *company.Company, log, manifests string) error {
	if err := os.MkdirAll(manifests, 0o755); err != nil {
		return err
	}
	for name, text := range c.Manifests() {
		if err := os.WriteFile(filepath.Join(manifests, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	f, err := os.Create(log)
	if err != nil {
		return err
	}
	b := bufio.NewWriterSize(f, 1<<20)
	return errors.Join(c.Log(b), b.Flush(), f.Close())
}

// measure runs the command once. What it prints is not of interest.
func (r *reading) measure(binary string) error {
	cmd := exec.Command(binary, r.args...)
	cmd.Stderr = os.Stderr
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", r.Command, err)
	}
	r.Seconds, r.CPU = time.Since(start).Seconds(), (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		r.Peak = float64(usage.Maxrss) / 1024
	}
	fmt.Printf("%-14s %6.1f s, %6.1f s CPU, %5.0f MiB\n", r.Command, r.Seconds, r.CPU, r.Peak)
	return nil
}

// tooMuch compares with the limits, which are for two processors.
func (r *reading) tooMuch(events int) error {
	limit := r.limit.Seconds() * float64(events) / 1_000_000
	switch {
	case r.limit > 0 && r.CPU > 2*limit:
		return fmt.Errorf("%s: %.1f s of CPU, expected at most %.1f", r.Command, r.CPU, 2*limit)
	case r.limit > 0 && r.Peak > maxReading:
		return fmt.Errorf("%s: %.0f MiB, expected at most %d", r.Command, r.Peak, maxReading)
	}
	return nil
}
