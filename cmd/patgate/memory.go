package main

import (
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

// cgroupLimit is where a container's memory limit stands (cgroup v2).
const cgroupLimit = "/sys/fs/cgroup/memory.max"

// limitMemory has the garbage collector keep below nine tenths of the container's
// memory, unless GOMEMLIMIT says otherwise.
func limitMemory(l *slog.Logger, file string) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return
	}
	limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil { // "max": there is none
		return
	}
	debug.SetMemoryLimit(limit / 10 * 9)
	l.Debug("memory limit taken from the container", "bytes", limit)
}
