package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/patgate/patgate/token"
)

// server is a process under measurement.
type server struct {
	cmd      *exec.Cmd
	addr     string
	requests []request
	events   atomic.Int64 // lines of audit that were read
	stderr   bytes.Buffer
}

// start starts a subject's server and waits until it answers.
func start(binary, dir string, s *subject) (*server, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	v := &server{addr: freeAddr()}
	if s.network == "unix" {
		v.addr = filepath.Join(dir, "checks.sock")
	}
	if s.tokens == 0 {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		v.cmd = exec.Command(self, "noop", s.network, v.addr)
		v.requests = requests([]token.Secret{token.Mint()}, false)
	} else {
		secrets, err := writeManifests(filepath.Join(dir, "manifests"), s.tokens)
		if err != nil {
			return nil, err
		}
		v.requests = requests(secrets, true)
		listen := v.addr
		if s.network == "unix" {
			listen = "unix://" + v.addr
		}
		v.cmd = exec.Command(binary, "serve", "--manifests", filepath.Join(dir, "manifests"), "--listen", listen, "--status-listen", freeAddr())
	}
	v.cmd.Stderr = &v.stderr
	out, err := v.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := v.cmd.Start(); err != nil {
		return nil, err
	}
	go v.read(out)
	return v, v.await(s.network)
}

// read reads the audit as a log collector does that keeps up.
func (v *server) read(out io.Reader) {
	r := bufio.NewReaderSize(out, 1<<20)
	for {
		chunk, err := r.Peek(1)
		if err != nil {
			return
		}
		chunk, _ = r.Peek(max(r.Buffered(), len(chunk)))
		v.events.Add(int64(bytes.Count(chunk, []byte("\n"))))
		_, _ = r.Discard(len(chunk))
	}
}

// await waits until the server answers a check as it must.
func (v *server) await(network string) error {
	var err error
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = v.probe(network); err == nil {
			return nil
		}
	}
	return fmt.Errorf("no answer: %w\n%s", err, v.stderr.String())
}

func (v *server) probe(network string) error {
	c, err := dial(network, v.addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.conn.Close() }()
	result := make(chan error, 2)
	go func() { result <- c.answers(func(_ sent, wrong error) { result <- wrong }) }()
	if err := c.send(v.requests[0].message, sent{time.Now(), v.requests[0].allow}); err != nil {
		return err
	}
	if err := c.flush(); err != nil {
		return err
	}
	return <-result
}

func (v *server) stop() {
	_ = v.cmd.Process.Signal(syscall.SIGKILL)
	_ = v.cmd.Wait()
}

// cpu is the time that the process used, from its /proc/PID/stat.
func (v *server) cpu() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", v.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100 on every Linux
}

func freeAddr() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "127.0.0.1:0"
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// writeManifests writes a gate, ten policies with ten rules each, and tokens that each
// name one of them. It returns some of the tokens' values.
func writeManifests(dir string, tokens int) ([]token.Secret, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	var b strings.Builder
	b.WriteString("apiVersion: patgate.dev/v1alpha1\nkind: Gate\nmetadata: {name: jira}\nspec:\n  schemes: [basic, bearer]\n  groups: [everyone]\n")
	b.WriteString("---\napiVersion: patgate.dev/v1alpha1\nkind: UserGroup\nmetadata: {name: everyone}\nspec:\n  members: [alice]\n")
	for p := range 10 {
		fmt.Fprintf(&b, "---\napiVersion: patgate.dev/v1alpha1\nkind: TokenPolicy\nmetadata: {name: p%d}\nspec:\n  allow:\n", p)
		for r := range 10 { // the last one matches
			fmt.Fprintf(&b, "  - methods: [GET]\n    path: /rest/api/2/%s%d/[A-Z]+-\\d+\n", []string{"filter", "issue"}[r/9], r)
		}
	}
	var sample []token.Secret
	for i := range tokens {
		secret := token.Mint()
		if i%max(1, tokens/1000) == 0 {
			sample = append(sample, secret)
		}
		fmt.Fprintf(&b, "---\napiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata: {name: t%d}\nspec:\n  user: alice\n  digest: %s\n  issued: 2026-01-01T00:00:00Z\n  policies: [p%d]\n",
			i, token.Sum(secret), i%10)
	}
	return sample, os.WriteFile(filepath.Join(dir, "manifests.yaml"), []byte(b.String()), 0o600)
}

// requests are checks of about 1 KiB with these values, each as gRPC frames it. Where
// policies are asked, every tenth is one that they refuse.
func requests(secrets []token.Secret, policies bool) []request {
	var list []request
	for i, secret := range secrets {
		path, allow := "/rest/api/2/issue9/JRA-123?fields=summary", true
		if policies && i%10 == 9 {
			path, allow = "/rest/api/2/user?username=bob", false
		}
		message, err := proto.Marshal(checkRequest(path, "Bearer "+secret.Reveal()))
		if err != nil {
			panic(err) // a constant but for the value
		}
		framed := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
		list = append(list, request{append(framed, message...), allow})
	}
	return list
}

// checkRequest is a check as Envoy sends it of a client library's call.
func checkRequest(path, authorization string) *authv3.CheckRequest {
	peer := func(addr string, port uint32) *authv3.AttributeContext_Peer {
		return &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address: addr, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
		}}}}
	}
	var headers []*corev3.HeaderValue
	for _, h := range [][2]string{
		{":authority", "jira.example.com"}, {":path", path}, {":method", "GET"}, {":scheme", "https"}, {"authorization", authorization},
		{"user-agent", "python-requests/2.34.2"}, {"accept", "application/json"}, {"accept-encoding", "gzip, deflate, br"},
		{"accept-language", "en-US,en;q=0.9"}, {"cache-control", "no-cache"}, {"content-type", "application/json"},
		{"x-forwarded-for", "203.0.113.7"}, {"x-forwarded-proto", "https"}, {"x-request-id", "5f0b1c2e-8d1f-4f64-9a0e-111122223333"},
		{"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, {"x-envoy-external-address", "203.0.113.7"},
		{"x-team", "platform"}, {"x-client-version", "4.1.7"}, {"referer", "https://jira.example.com/browse/JRA-123"}, {"x-trace", "abcdef0123456789"},
	} {
		headers = append(headers, &corev3.HeaderValue{Key: h[0], RawValue: []byte(h[1])})
	}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: peer("203.0.113.7", 51234), Destination: peer("10.1.2.4", 8443),
		Request: &authv3.AttributeContext_Request{Time: timestamppb.New(time.Unix(1780000000, 123456000)), Http: &authv3.AttributeContext_HttpRequest{
			Id: "1234567890123456789", Method: "GET", Path: path, Host: "jira.example.com", Scheme: "https", Protocol: "HTTP/1.1",
			HeaderMap: &corev3.HeaderMap{Headers: headers},
		}},
		MetadataContext: &corev3.Metadata{}, RouteMetadataContext: &corev3.Metadata{},
	}}
}
