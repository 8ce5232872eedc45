package main

import (
	"bufio"
	"context"
	"os"
	"path/filepath"
	"testing"
)

// TestFollowRotation reads on where a log is renamed and made anew, and where it is emptied.
func TestFollowRotation(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit.jsonl")
	write := func(flag int, text string) {
		t.Helper()
		f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|flag, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	write(os.O_TRUNC, "one\n")
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	grows := &growing{ctx: ctx, name: name, file: file}
	lines := make(chan string)
	go func() {
		defer close(lines)
		defer grows.close()
		for in := bufio.NewScanner(grows); in.Scan(); {
			if in.Text() != "" {
				lines <- in.Text()
			}
		}
	}()
	want := func(text string) {
		t.Helper()
		if got := <-lines; got != text {
			t.Fatalf("%q, want %q", got, text)
		}
	}
	want("one")
	write(os.O_APPEND, "two\n")
	want("two")
	write(os.O_APPEND, "cut")
	if err := os.Rename(name, name+".1"); err != nil {
		t.Fatal(err)
	}
	write(os.O_EXCL, "a third line\n")
	want("cut")
	want("a third line")
	write(os.O_TRUNC, "four\n")
	want("four")
	write(os.O_APPEND, "five\n")
	want("five")
	stop()
	if more, open := <-lines; open {
		t.Errorf("after the end: %q", more)
	}
}
