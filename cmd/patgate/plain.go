package main

import (
	"regexp"
	"strings"
)

// translations rewrite the messages of Go and of libraries as patgate words its own: what is wrong, and what was expected.
// The first that matches a line counts.
var translations = []struct {
	pattern *regexp.Regexp
	plain   string
}{
	{regexp.MustCompile(`invalid argument "(.*)" for "(?:-\w, )?(--[\w-]+)" flag: time: missing unit in duration.*`),
		`$2 $1: a duration without a unit, expected one such as 200ms, 30s or 5m`},
	{regexp.MustCompile(`invalid argument "(.*)" for "(?:-\w, )?(--[\w-]+)" flag: time: unknown unit .*`),
		`$2 $1: a duration with an unknown unit, expected one such as 200ms, 30s or 5m`},
	{regexp.MustCompile(`invalid argument "(.*)" for "(?:-\w, )?(--[\w-]+)" flag: time: invalid duration .*`),
		`$2 $1: not a duration, expected one such as 200ms, 30s or 5m`},
	{regexp.MustCompile(`invalid argument "(.*)" for "(?:-\w, )?(--[\w-]+)" flag: strconv\.Parse(?:Int|Uint): .*value out of range`),
		`$2 $1: a number that is too large, expected a smaller one`},
	{regexp.MustCompile(`invalid argument "(.*)" for "(?:-\w, )?(--[\w-]+)" flag: strconv\.Parse(?:Int|Uint): .*`),
		`$2 $1: not a whole number, expected one such as 65536`},
	{regexp.MustCompile(`invalid argument "(.*)" for "(?:-\w, )?(--[\w-]+)" flag: strconv\.ParseBool: .*`),
		`$2 $1: expected true or false`},
	{regexp.MustCompile(`flag needs an argument: (?:'\w' in )?(-[\w-]+)`), `$1: the value is missing, expected one after it`},
	{regexp.MustCompile(`(?:open|stat|lstat|read) (\S.*): no such file or directory`), `$1: no such file, expected one that exists`},
	{regexp.MustCompile(`(?:open|stat|lstat) (\S.*): permission denied`), `$1: not readable, expected permission to read it`},
	{regexp.MustCompile(`(?:open|stat|lstat) (\S.*): not a directory`), `$1: a part of the path is a file, expected a directory`},
	{regexp.MustCompile(`read (\S.*): is a directory`), `$1: a directory, expected a file`},
	{regexp.MustCompile(`listen (?:tcp|unix) (\S+): bind: address already in use`), `$1: another process listens there, expected a free address`},
	{regexp.MustCompile(`listen (?:tcp|unix) (\S+): bind: permission denied`), `$1: no permission to listen there, expected a port from 1024 on, or the right to use it`},
	{regexp.MustCompile(`listen (?:tcp|unix) (\S+): bind: cannot assign requested address`), `$1: not an address of this machine, expected one of its own`},
	{regexp.MustCompile("error parsing regexp: (.*): `(.*)`"), `not a regular expression: $1: $2`},
}

// plainText translates one line of a message.
func plainText(line string) string {
	for _, t := range translations {
		if t.pattern.MatchString(line) {
			return sayOnce(t.pattern.ReplaceAllString(line, t.plain))
		}
	}
	return line
}

// sayOnce removes a value that follows itself, as in "--listen ADDR: ADDR: another process listens there".
func sayOnce(line string) string {
	parts := strings.Split(line, ": ")
	kept := parts[:1]
	for _, part := range parts[1:] {
		if before := " " + kept[len(kept)-1]; !strings.HasSuffix(before, " "+part) {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, ": ")
}
