package test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/patgate/patgate/token"
)

// TestMemoryIsBounded gives patgate 100,000 tokens, a memory limit of 384 MiB, a thousand
// checks at a time with bodies as large as our Envoy sends them, and a reload under a lesser
// load. It must stay below 512 MiB (P9) and answer every check.
//
// What a body costs is its size, twice, for each check under way: with 1 MiB (the limit of
// --max-body-bytes, and not of our Envoy) a thousand at a time took 2.0 GiB. Headers cost the
// same: with 50 KiB of them next to each body it took 456 MiB.
func TestMemoryIsBounded(t *testing.T) { onBothTransports(t, testMemoryIsBounded) }

func testMemoryIsBounded(t *testing.T) {
	value := token.Mint().Reveal()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "m.yaml"), gateManifest+"---\n"+strings.Replace(tokenManifest("ci", value, ""), "unrestricted: true",
		"allow:\n  - methods: [POST]\n    path: /rest/.*\n    json: {a: \"1\"}", 1))
	manyTokens(t, dir, 100_000)
	t.Setenv("GOMEMLIMIT", "384MiB")
	p := startBinary(t, plainBinary(t), dir)
	t.Logf("loaded: %d MiB at most", p.peak()>>20)
	check := withBody(t, value, maxRequestBytes)
	answers := p.ask(t, check, 1000, 4000)
	t.Logf("%v: %d MiB at most", answers, p.peak()>>20)
	write(t, filepath.Join(dir, "more.yaml"), tokenManifest("more", token.Mint().Reveal(), ""))
	changed, reloaded := time.Now(), false
	for !reloaded && time.Since(changed) < 4*time.Minute {
		for reason, n := range p.ask(t, check, 10, 100) {
			answers[reason] += n
		}
		reloaded = p.metrics()["patgate_policy_revision"] == 2
	}
	t.Logf("%v, and a reload in %v: %d MiB at most", answers, time.Since(changed).Round(time.Millisecond), p.peak()>>20)
	if !reloaded {
		t.Error("no reload")
	}
	if answers["ok"] == 0 {
		t.Error("no check was allowed")
	}
	for reason := range answers {
		if reason != "ok" && reason != "overloaded" && reason != "audit_unavailable" {
			t.Errorf("an answer: %s", reason)
		}
	}
	if p.peak() > maxResident {
		t.Errorf("%d MiB, want at most %d", p.peak()>>20, maxResident>>20)
	}
}

// maxRequestBytes is how much of a body our Envoy sends.
const maxRequestBytes = 64 << 10

// withBody is a check of a JSON body of this size, as Envoy sends it.
func withBody(t *testing.T, value string, size int) []byte {
	t.Helper()
	r := (&message{method: "POST", target: "/rest/x", host: "h", headers: [][2]string{{"authorization", "Bearer " + value},
		{"content-type", "application/json"}}}).checkRequest(true)
	http := r.GetAttributes().GetRequest().GetHttp()
	http.HeaderMap.Headers = append(http.HeaderMap.Headers, &corev3.HeaderValue{Key: "x-envoy-auth-partial-body", RawValue: []byte("false")})
	const before, after = `{"a": 1, "b": "`, `"}`
	http.RawBody = []byte(before + strings.Repeat("x", size-len(before)-len(after)) + after)
	http.Size = int64(size)
	b, err := proto.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// manyTokens writes manifests of tokens that no one has.
func manyTokens(t *testing.T, dir string, n int) {
	t.Helper()
	const each = 1000
	for at := 0; at < n; at += each {
		var b strings.Builder
		for i := at; i < min(at+each, n); i++ {
			b.WriteString(tokenManifest(fmt.Sprintf("t%06d", i), fmt.Sprintf("a value of the test %d", i), ""))
		}
		write(t, filepath.Join(dir, fmt.Sprintf("tokens-%03d.yaml", at/each)), b.String())
	}
}

// peak is the most memory that the process has had resident, in bytes.
func (p *patgate) peak() int64 { return p.memory("VmHWM:") }

// memory reads a size from the process's status (proc(5)), in bytes.
func (p *patgate) memory(field string) int64 {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), field)
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return kib << 10
}

// ask sends a check n times, so many at a time over one connection, and counts the reasons
// of the answers.
func (p *patgate) ask(t *testing.T, check []byte, atOnce, n int) map[string]int {
	t.Helper()
	conn, err := grpc.NewClient(p.addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(sameBytes{encoding.GetCodecV2("proto"), mem.SliceBuffer(check)})))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answers := map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var sent atomic.Int64
	for range atOnce {
		wg.Go(func() {
			for sent.Add(1) <= int64(n) {
				answer, err := authv3.NewAuthorizationClient(conn).Check(context.Background(), nil)
				reason := answer.GetDynamicMetadata().GetFields()["reason"].GetStringValue()
				if err != nil {
					reason = err.Error()
				}
				mu.Lock()
				answers[reason]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return answers
}

// sameBytes sends the same message always, without a copy: a thousand of the largest ones
// would be the test's own memory.
type sameBytes struct {
	encoding.CodecV2
	message mem.SliceBuffer
}

func (s sameBytes) Marshal(any) (mem.BufferSlice, error) { return mem.BufferSlice{s.message}, nil }

// TestConnectionsTogetherAreBounded opens many connections that send a part of many messages and wait. Together they
// make the process take a quarter of its memory limit, and what a collection may leave to the next one; ordinary calls
// are answered meanwhile.
func TestConnectionsTogetherAreBounded(t *testing.T) {
	const limit, slack = 256 << 20, 24 << 20
	const connections, streams, part = 40, 190, 64 << 10 // 475 MiB
	value := token.Mint().Reveal()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "m.yaml"), gateManifest+"---\n"+tokenManifest("ci", value, ""))
	t.Setenv("GOMEMLIMIT", fmt.Sprint(limit))
	p := startBinary(t, plainBinary(t), dir)
	check := withBody(t, value, 1<<10)
	p.ask(t, check, 100, 20_000) // until as much garbage has gathered as may
	calm := p.peak()
	var open []*frames
	for range connections {
		f := dialFrames(t, p.addr)
		open = append(open, f)
		f.awaitSettings(t)
	}
	for _, f := range open {
		_ = f.SetDeadline(time.Now().Add(attackTime))
		for range streams {
			stream, _ := f.open()
			message := append([]byte{0, 0, 0, 0xff, 0xff}, make([]byte, part)...)
			for at := 0; at < len(message); at += 16 << 10 {
				_ = f.WriteData(stream, false, message[at:min(at+16<<10, len(message))])
			}
		}
	}
	if answers := p.ask(t, check, 10, 100); answers["ok"] != 100 {
		t.Errorf("ordinary calls meanwhile: %v", answers)
	}
	t.Logf("%d MiB before, %d at most", calm>>20, p.peak()>>20)
	if grown := p.peak() - calm; grown > limit/4+slack {
		t.Errorf("the connections took %d MiB, want at most a quarter of %d", grown>>20, limit>>20)
	}
	for _, f := range open {
		_ = f.Close()
	}
}
