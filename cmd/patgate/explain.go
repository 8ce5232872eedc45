package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/explain"
	"github.com/patgate/patgate/extauthz"
	"github.com/patgate/patgate/loader/dir"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/server"
	"github.com/patgate/patgate/token"
)

// explainFlags describe a request.
type explainFlags struct {
	manifests                      []string
	method, url, gate              string
	token, tokenFile, user, scheme string
	client, body, at, output       string
	headers                        []string
	eventFiles                     []string
	eventID, checkJSON             string
}

func newExplain(s streams) *cobra.Command {
	var f explainFlags
	cmd := &cobra.Command{
		Use:   "explain --url URL [DIR...]",
		Short: "Explain a decision about a request, rule by rule",
		Long: "Explain evaluates a request as the server does, and prints which gate and rules applied, what matched and\n" +
			"which part of a rule failed, each with its file:line. --token names a token; explain makes up its value.\n" +
			"--token-file reads a real value. It exits with 0 if the request is allowed, and with 1 if it is not.\n" +
			"\n" +
			"--event explains a decision of an audit log, in any form that clusters deliver: plain, `kubectl logs\n" +
			"--prefix`, container runtime, wrapped in JSON, gzip or zstd. If the manifests now decide differently, the\n" +
			"first line says so and the exit code is 1. --header and --body add what an event does not record.",
		Example: "  patgate explain manifests --method POST --url https://jira.example.com/rest/api/2/issue --token ci-bot\n" +
			"  kubectl logs deploy/patgate --prefix | patgate explain manifests --event - --id 4DLDQ7JH",
		RunE: func(_ *cobra.Command, dirs []string) error {
			s.colored()
			return f.run(s, dirs)
		},
	}
	l := cmd.Flags()
	manifestsFlag(cmd, &f.manifests)
	l.StringVar(&f.method, "method", "GET", "the request's `method`")
	l.StringVar(&f.url, "url", "", "the request's `URL`, or its path alone: then the host is the first gate's")
	l.StringVar(&f.gate, "gate", "", "`name` of the gate that Envoy's route names (default: by host and path)")
	l.StringVar(&f.token, "token", "", "`name` of the token that is presented")
	l.StringVar(&f.tokenFile, "token-file", "", "`file` with the value that is presented, - for stdin")
	l.StringVar(&f.user, "user", "", "the `user` that is presented with it (default: the token's)")
	l.StringVar(&f.scheme, "scheme", "", "basic or bearer (default: the first `scheme` that gate and token take)")
	l.StringVar(&f.client, "client", "", "the client's `address`, already chosen by the gate's clientIP")
	l.StringArrayVar(&f.headers, "header", nil, "a `header` such as x-on-behalf-of:bob; may repeat")
	l.StringVar(&f.body, "body", "", "`file` with the body, - for stdin")
	l.StringVar(&f.at, "at", "", "`time` of the request: 2027-01-31T12:00:00Z, 2027-01-31 or +90d (default: now)")
	l.StringArrayVar(&f.eventFiles, "event", nil, "explain the last decision of an audit log, a `file` or - for stdin; may repeat")
	l.StringVar(&f.eventID, "id", "", "of --event: the decision with this `id`, or its first 8 characters or more")
	l.StringVar(&f.checkJSON, "check-request", "", "explain a CheckRequest, as JSON in a `file` or - for stdin")
	outputFlag(cmd, &f.output)
	return cmd
}

func (f *explainFlags) run(s streams, given []string) error {
	if err := checkOutput(f.output); err != nil {
		return err
	}
	if err := f.check(); err != nil {
		return err
	}
	now, err := f.time()
	if err != nil {
		return err
	}
	dirs, err := manifestsOf(f.manifests, given)
	if err != nil {
		return err
	}
	set := dir.Load(dirs)
	rows, problems := set.Rows, set.Problems
	if len(problems) > 0 {
		return &server.ManifestsError{Problems: problems}
	}
	switch {
	case len(f.eventFiles) > 0:
		return f.event(s, rows, now)
	case f.checkJSON != "":
		return f.checkRequest(s, rows, now)
	}
	q, err := f.question(s, rows, now)
	if err != nil {
		return err
	}
	e, err := explain.Answer(rows, q)
	if err != nil {
		return usageError{err}
	}
	return f.print(s, e)
}

// check requires one thing to explain, given in one way.
func (f *explainFlags) check() error {
	asked := 0
	for _, given := range []bool{f.url != "", len(f.eventFiles) > 0, f.checkJSON != ""} {
		if given {
			asked++
		}
	}
	stdin := 0
	for _, file := range append([]string{f.tokenFile, f.body, f.checkJSON}, f.eventFiles...) {
		if file == "-" {
			stdin++
		}
	}
	switch {
	case asked != 1:
		return usageError{fmt.Errorf("expected one of --url URL, --event FILE and --check-request FILE")}
	case f.token != "" && f.tokenFile != "":
		return usageError{fmt.Errorf("expected one of --token NAME and --token-file FILE")}
	case stdin > 1:
		return usageError{fmt.Errorf("expected at most one `-`: stdin can be read once")}
	case f.eventID != "" && len(f.eventFiles) == 0:
		return usageError{fmt.Errorf("--id belongs to --event, expected a log that has the decision")}
	case f.checkJSON != "" && (f.body != "" || len(f.headers) > 0), f.url == "" && f.token+f.tokenFile+f.user+f.scheme+f.client+f.gate != "":
		return usageError{fmt.Errorf("the event or CheckRequest says what the request is, expected no other flag about it but --at, and with --event --header and --body")}
	}
	return nil
}

// time returns when the request is made; zero where no flag says it.
func (f *explainFlags) time() (time.Time, error) {
	if f.at == "" {
		return time.Time{}, nil
	}
	return parseAt(f.at)
}

// question puts the flags into one.
func (f *explainFlags) question(s streams, rows policy.Rows, at time.Time) (*explain.Request, error) {
	q := &explain.Request{Now: at, Method: f.method, Token: f.token, User: f.user, Gate: f.gate}
	if at.IsZero() {
		q.Now = time.Now()
	}
	var err error
	if q.TLS, q.Host, q.Target, err = splitURL(f.url); err != nil {
		return nil, err
	}
	if q.Host == "" && strings.HasPrefix(f.url, "/") {
		q.Host = explain.FirstHost(rows)
	}
	if f.client != "" {
		if q.Client, err = netip.ParseAddr(f.client); err != nil || q.Client.Zone() != "" {
			return nil, usageError{fmt.Errorf("--client %s: expected an address such as 192.0.2.7 or 2001:db8::1", f.client)}
		}
	}
	if q.Scheme, err = parseScheme(f.scheme); err != nil {
		return nil, err
	}
	if q.Header, err = f.header(); err != nil {
		return nil, err
	}
	if f.tokenFile != "" {
		value, err := readValue(s, f.tokenFile)
		if err != nil {
			return nil, err
		}
		q.Value = value
	}
	if f.body != "" {
		if q.Body, err = readInput(s, f.body); err != nil {
			return nil, err
		}
	}
	return q, nil
}

// header reads the values of --header.
func (f *explainFlags) header() (map[string][]string, error) {
	header := map[string][]string{}
	for _, h := range f.headers {
		name, value, ok := strings.Cut(h, ":")
		name = strings.ToLower(strings.TrimSpace(name))
		switch {
		case !ok || name == "":
			return nil, usageError{fmt.Errorf("--header: expected NAME:VALUE")}
		case name == "authorization":
			return nil, usageError{fmt.Errorf("--header authorization: others can see a command line, expected --token NAME, or --token-file FILE for a value")}
		}
		header[name] = append(header[name], strings.TrimSpace(value))
	}
	return header, nil
}

// splitURL takes a URL apart without changing a byte of its path and query: what is
// ambiguous in it must reach the evaluation.
func splitURL(url string) (tls bool, host, target string, err error) {
	rest, secure := strings.CutPrefix(url, "https://")
	if !secure {
		var plain bool
		if rest, plain = strings.CutPrefix(url, "http://"); !plain {
			if !strings.HasPrefix(url, "/") {
				return false, "", "", usageError{fmt.Errorf("--url %s: expected one that begins with https://, http:// or /", token.Mask(url))}
			}
			secure, rest = true, url
		}
	}
	if strings.Contains(rest, "#") {
		return false, "", "", usageError{fmt.Errorf("--url: a `#` and what follows never reaches a server, expected a URL without it")}
	}
	if strings.HasPrefix(url, "/") {
		return secure, "", rest, nil
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	host, target = rest[:end], rest[end:]
	switch {
	case strings.Contains(host, "@"):
		return false, "", "", usageError{fmt.Errorf("--url: expected no user and password in it, but --token NAME, or --token-file FILE and --user USER")}
	case host == "":
		return false, "", "", usageError{fmt.Errorf("--url %s: expected a host", token.Mask(url))}
	case !strings.HasPrefix(target, "/"):
		target = "/" + target // as clients send it
	}
	return secure, host, target, nil
}

func parseScheme(name string) (policy.Scheme, error) {
	switch name {
	case "":
		return policy.NoScheme, nil
	case policy.Basic.String():
		return policy.Basic, nil
	case policy.Bearer.String():
		return policy.Bearer, nil
	}
	return policy.NoScheme, usageError{fmt.Errorf("--scheme %s: %s", name, diag.Suggest(name, []string{"basic", "bearer"}))}
}

// maxInput is the maximum number of bytes that are read of a file.
const maxInput = 64 << 20

// readInput reads a file, or stdin for `-`.
func readInput(s streams, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(s.in, maxInput))
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, usageError{err}
	}
	return data, nil
}

// readValue reads a token's value; one line's end is not part of it.
func readValue(s streams, name string) (token.Secret, error) {
	data, err := readInput(s, name)
	if err != nil {
		return token.Secret{}, err
	}
	text, cut := strings.CutSuffix(string(data), "\n")
	if cut {
		text = strings.TrimSuffix(text, "\r")
	}
	if text == "" {
		return token.Secret{}, usageError{fmt.Errorf("--token-file %s: no value in it, expected one", name)}
	}
	return token.NewSecret(text), nil
}

// checkRequest explains what Envoy would ask, read as the server reads it.
func (f *explainFlags) checkRequest(s streams, rows policy.Rows, at time.Time) error {
	data, err := readInput(s, f.checkJSON)
	if err != nil {
		return err
	}
	if at.IsZero() {
		at = time.Now()
	}
	r, err := extauthz.ParseRequest(data, at)
	if err != nil {
		return usageError{fmt.Errorf("--check-request %s: expected a CheckRequest as JSON: %w", f.checkJSON, err)}
	}
	e, err := explain.AnswerRequest(rows, r)
	if err != nil {
		return err
	}
	return f.print(s, e)
}

// print writes the explanation. A refused request is an answer of no.
func (f *explainFlags) print(s streams, e *explain.Explanation) error {
	if f.output == outputJSON {
		if err := json.NewEncoder(s.out).Encode(e); err != nil {
			return err
		}
	} else if _, err := io.WriteString(s.out, e.Text()); err != nil {
		return err
	}
	if !e.Allowed() {
		return errSaid
	}
	return nil
}
