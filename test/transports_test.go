package test

import (
	"context"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/patgate/patgate/extauthz"
)

// rawBytes sends bytes as they are, and receives messages.
type rawBytes struct{ encoding.CodecV2 }

func (rawBytes) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

// outcome is the result of a check by one transport, without what differs each time.
type outcome struct {
	id     string
	answer string
}

// decisionID is the form of an id.
var decisionID = regexp.MustCompile(`[A-Z2-7]{26}`)

// reasonIn is the reason in the metadata of an answer.
var reasonIn = regexp.MustCompile(`"reason":"\w+"`)

// askAll sends messages to a patgate, many at a time over a few connections.
func askAll(t *testing.T, p *patgate, messages [][]byte) []outcome {
	t.Helper()
	list := make([]outcome, len(messages))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		conn, err := grpc.NewClient(p.addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawBytes{encoding.GetCodecV2("proto")})))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		for range 16 {
			wg.Go(func() {
				for i := int(next.Add(1)) - 1; i < len(messages); i = int(next.Add(1)) - 1 {
					answer := &authv3.CheckResponse{}
					err := conn.Invoke(context.Background(), authv3.Authorization_Check_FullMethodName, messages[i], answer)
					if err != nil {
						list[i] = outcome{answer: status.Code(err).String()}
						continue
					}
					id := answer.GetDynamicMetadata().GetFields()["id"].GetStringValue()
					text, err := protojson.Marshal(answer)
					if err != nil {
						t.Error(err)
					}
					var plain any // protojson varies its blanks
					_ = json.Unmarshal(text, &plain)
					text, _ = json.Marshal(plain)
					list[i] = outcome{id, decisionID.ReplaceAllString(string(text), "ID")}
				}
			})
		}
	}
	wg.Wait()
	return list
}

// eventsByID returns the events of decisions without what differs each time.
func (p *patgate) eventsByID(t *testing.T) map[string]string {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	events := map[string]string{}
	for i, line := range p.lines {
		if p.events[i].Kind != "decision" {
			continue
		}
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		maps.DeleteFunc(fields, func(name string, _ any) bool {
			return name == "id" || name == "seq" || name == "instance" || name == "time" || name == "micros"
		})
		text, _ := json.Marshal(fields)
		events[p.events[i].ID] = string(text)
	}
	return events
}

// TestTransportsAgree sends the corpus, and 10,000 random calls, by both transports: the
// answers and the events are the same, except for ids and times.
func TestTransportsAgree(t *testing.T) {
	secrets := corpusSecrets()
	dir := corpusManifests(t, secrets)
	var messages [][]byte
	f := &templates{t, secrets}
	cases := readCorpus(t)
	for i := range cases {
		if cases[i].Raw != "" {
			continue
		}
		for _, raw := range []bool{false, true} {
			// In the order of their names: the map of headers is one.
			b, err := proto.MarshalOptions{Deterministic: true}.Marshal(cases[i].message(t, f).checkRequest(raw))
			if err != nil {
				t.Fatal(err)
			}
			messages = append(messages, b)
		}
	}
	corpus := len(messages)
	r := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		messages = append(messages, mutated(r, messages[:corpus]))
	}
	var outcomes [2][]outcome
	var events [2]map[string]string
	for i, name := range extauthz.Transports {
		p := startPatgate(t, filepath.Clean(dir), "--transport", name, "--audit-wait", "10s")
		outcomes[i] = askAll(t, p, messages)
		p.wantDecisions(len(messages))
		events[i] = p.eventsByID(t)
		p.holdsNo(secrets)
	}
	differ := 0
	for i := range messages {
		a, b := outcomes[0][i], outcomes[1][i]
		if a.answer == b.answer && events[0][a.id] == events[1][b.id] && a.id != "" {
			continue
		}
		if differ++; differ < 10 {
			t.Errorf("message %d:\n%s: %s\n%s\n%s: %s\n%s\n%.300q", i, extauthz.Transports[0], a.answer, events[0][a.id],
				extauthz.Transports[1], b.answer, events[1][b.id], messages[i])
		}
	}
	kinds := map[string]int{}
	for _, o := range outcomes[0] {
		kinds[reasonIn.FindString(o.answer)]++
	}
	t.Logf("%d calls, %d of them of the corpus; %d differ", len(messages), corpus, differ)
	if len(kinds) < 15 {
		t.Errorf("the calls are too much alike: %v", kinds)
	}
}

// mutated returns a message that was changed a little, or made of two.
func mutated(r *rand.Rand, messages [][]byte) []byte {
	m := append([]byte{}, messages[r.IntN(len(messages))]...)
	switch r.IntN(6) {
	case 0: // another text of the same length
		for range 1 + r.IntN(4) {
			m[r.IntN(len(m))] = byte(r.IntN(256))
		}
	case 1:
		m = m[:r.IntN(len(m))]
	case 2: // two messages are merged
		m = append(m, messages[r.IntN(len(messages))]...)
	case 3:
		at := r.IntN(len(m))
		m = append(m[:at:at], append([]byte{byte(r.IntN(256))}, m[at:]...)...)
	case 4: // another message's headers
		var a, b authv3.CheckRequest
		if proto.Unmarshal(m, &a) == nil && proto.Unmarshal(messages[r.IntN(len(messages))], &b) == nil {
			h := a.GetAttributes().GetRequest().GetHttp()
			h.HeaderMap, h.Headers = b.GetAttributes().GetRequest().GetHttp().GetHeaderMap(), b.GetAttributes().GetRequest().GetHttp().GetHeaders()
			m, _ = proto.MarshalOptions{Deterministic: true}.Marshal(&a)
		}
	}
	return m
}
