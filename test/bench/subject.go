package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/patgate/patgate/envoy"
)

// What is measured.
const (
	plainNoop = "no-op"
	tunedNoop = "tuned"
	bare      = "bare"
	full      = "patgate"
	peer      = "peer" // another server, by its command
)

// subject is a server to be measured, and how it is called.
type subject struct {
	name string
	kind string // one of those above
	via  string // tcp, unix, or envoy; http: a check over HTTP
	base string // the subject that it is compared with
	estate
	connections int    // how many the checks go over; 0: one
	transport   string // of patgate; "": its default
	command     string // of a peer
	slow        bool   // some checks take long
	slowCheck   *request

	server   *process
	envoy    *process // where via is envoy
	addr     string   // of the server
	front    string   // of Envoy, for clients
	requests []request
}

// programs are what is measured.
type programs struct {
	patgate string // the binary
	bare    string // extauthz's test binary, which serves without the check
	envoy   string
}

// sampleSize is how many of an estate's tokens are presented.
const sampleSize = 1_000

// garbage lets as much garbage gather as patgate's ballast does.
const garbage = "GOGC=2000"

// start starts the subject and waits until it answers.
func (s *subject) start(p programs, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	network := "tcp"
	if s.addr = freeAddr(); s.via == "unix" {
		network, s.addr = "unix", filepath.Join(dir, "checks.sock")
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	credentials := []credential{{path: "/rest/api/2/issue/P1-123"}}
	switch s.kind {
	case plainNoop:
		s.server, err = startProcess(nil, self, "noop", network, s.addr)
	case tunedNoop:
		s.server, err = startProcess([]string{garbage}, self, "noop", "-tuned", network, s.addr)
	case bare:
		s.server, err = startProcess([]string{garbage, "BENCH_NETWORK=" + network, "BENCH_ADDR=" + s.addr}, p.bare, "-test.run=^TestServeBare$", "-test.timeout=0")
	case peer:
		words := strings.Fields(strings.ReplaceAll(s.command, "{addr}", s.addr))
		s.server, err = startProcess(nil, words[0], words[1:]...)
	case full:
		credentials, err = s.startPatgate(p.patgate, filepath.Join(dir, "manifests"))
	}
	if err != nil {
		return err
	}
	s.requests = requests(credentials, s.kind == full)
	if err := s.server.await(5*time.Minute, s.probe); err != nil {
		return err
	}
	if s.via == "envoy" {
		return s.startEnvoy(p.envoy, dir)
	}
	return nil
}

func (s *subject) startPatgate(binary, manifests string) ([]credential, error) {
	credentials, err := s.write(manifests, sampleSize)
	if err == nil && s.slow {
		err = writeSlow(manifests)
	}
	if err != nil {
		return nil, err
	}
	listen := s.addr
	if s.via == "unix" {
		listen = "unix://" + s.addr
	}
	// A machine that others use too may let an event wait for longer than 200 ms. That
	// shows in the latencies; a refusal would end the measurement.
	args := []string{"serve", "--manifests", manifests, "--listen", listen, "--status-listen", freeAddr(), "--audit-wait", "10s", "--log-format", "json"}
	if s.via == "http" {
		// As Envoy's http_service asks: a check is the client's request.
		args = append(args, "--listen", freeAddr(), "--http-listen", s.addr, "--http-front", "envoy")
	}
	if s.transport != "" {
		args = append(args, "--transport", s.transport)
	}
	s.server, err = startProcess(nil, binary, args...)
	return credentials, err
}

// startEnvoy puts an Envoy before the server, in the configuration that users copy,
// except for its access log and its timeout: both are the same for every server.
func (s *subject) startEnvoy(binary, dir string) error {
	upstream, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go serveUpstream(upstream)
	s.front = freeAddr()
	config, err := envoy.Render(envoy.Addresses{Admin: freeAddr(), Clients: s.front, Upstream: upstream.Addr().String(), Patgate: s.addr})
	if err == nil {
		config, err = forBench(config)
	}
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "envoy.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return err
	}
	s.envoy, err = startProcess(nil, binary, "-c", file, "--disable-hot-restart", "--concurrency", "2", "--log-level", "error")
	if err != nil {
		return err
	}
	return s.envoy.await(time.Minute, s.probe)
}

// dial opens a link to the subject.
func (s *subject) dial() (link, error) {
	switch {
	case s.front != "":
		return dialHTTP(s.front, inFlight)
	case s.via == "http":
		return dialHTTP(s.addr, inFlight)
	case s.via == "unix":
		return dialGRPC("unix", s.addr)
	case s.connections > 1:
		return dialMany(s.connections, "tcp", s.addr)
	}
	return dialGRPC("tcp", s.addr)
}

// probe sends one check, and requires the right answer.
func (s *subject) probe() error { return s.ask(&s.requests[0]) }

// ask requests one decision.
func (s *subject) ask(r *request) error {
	l, err := s.dial()
	if err != nil {
		return err
	}
	defer l.close()
	result := make(chan error, 2+inFlight)
	go func() { result <- l.answers(func(_ sent, wrong error) { result <- wrong }) }()
	if err := l.send(r, sent{from: time.Now(), allow: r.allow}); err != nil {
		return err
	}
	if err := l.flush(); err != nil {
		return err
	}
	select {
	case err = <-result:
	case <-time.After(2 * time.Second):
		err = fmt.Errorf("no answer within 2 s")
	}
	return err
}

func (s *subject) stop() {
	if s.envoy != nil {
		s.envoy.stop()
	}
	if s.server != nil {
		s.server.stop()
	}
}

// forBench removes the access log from a configuration, which would cost as much as a
// check, and lets Envoy wait longer, because the measured machine is busy.
func forBench(config string) (string, error) {
	before, rest, found := strings.Cut(config, "          # What Envoy refuses by itself")
	_, after, ends := strings.Cut(rest, "          route_config:")
	if !found || !ends {
		return "", errors.New("envoy's configuration has no access log where it is looked for")
	}
	config = before + "          route_config:" + after
	for _, change := range [][2]string{
		{"timeout: 0.5s", "timeout: 10s"}, {"max_interval: 0.25s", "max_interval: 10s"}, {"- timeout: 0.3s", "- timeout: 10s"},
	} {
		if strings.Count(config, change[0]) != 1 {
			return "", fmt.Errorf("envoy's configuration has no single %q", change[0])
		}
		config = strings.Replace(config, change[0], change[1], 1)
	}
	return config, nil
}
