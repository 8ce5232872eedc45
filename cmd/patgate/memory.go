package main

import (
	"errors"
	"log/slog"
	"os"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
)

// The files with a container's memory limit (cgroup v2) and with the machine's memory.
const (
	cgroupLimit   = "/sys/fs/cgroup/memory.max"
	machineMemory = "/proc/meminfo"
)

// growth is how much garbage may gather, in per cent of what is in use, before it is
// collected. A check makes much garbage and keeps little; with Go's own 100,
// collecting took a fifth of a check's time.
const growth = 400

// ballastFor is the size of memory that is never touched, and so takes none, while the
// collector counts it as in use: how much garbage may gather does not sink with how little a
// small set of manifests needs. Without it a thousand tokens had garbage collected some
// fifteen times a second, for a tenth of a check's time. It is a thirty-second part of the
// limit, 16 MiB at the most; garbage of four times that may gather.
func ballastFor(limit int64) int64 { return min(16<<20, limit/32) }

// tuneMemory lets garbage gather as far as there is memory: up to nine tenths of the
// container's limit, or to a quarter of the machine's memory where there is none.
// GOMEMLIMIT and GOGC have the last word. The ballast is to be kept for as long as it is to count.
func tuneMemory(l *slog.Logger, cgroup, machine string) (ballast []byte) {
	limit, err := containerMemory(cgroup)
	if err == nil {
		limit = limit / 10 * 9
	} else if limit, err = totalMemory(machine); err == nil {
		limit /= 4
	} else {
		return nil // unknown: Go's own settings are made for that
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(growth)
		ballast = make([]byte, ballastFor(limit))
	}
	l.Debug("memory", "limit", limit, "GOMEMLIMIT", os.Getenv("GOMEMLIMIT"), "GOGC", os.Getenv("GOGC"))
	return ballast
}

func containerMemory(file string) (int64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64) // "max": there is none
}

var memTotal = regexp.MustCompile(`(?m)^MemTotal: *(\d+) kB$`)

func totalMemory(file string) (int64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	m := memTotal.FindSubmatch(text)
	if m == nil {
		return 0, errors.New("no MemTotal")
	}
	kib, err := strconv.ParseInt(string(m[1]), 10, 54)
	return kib << 10, err
}
