package extauthz

import (
	"context"
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// BenchmarkCheck measures a whole check but for the transport and the audit's write, from the
// bytes of the request to those of the answer: ten rules of which the last matches, and
// another token each time.
func BenchmarkCheck(b *testing.B) {
	var rules []*policy.Rule
	for i := range 10 {
		p, err := policy.CompilePattern(fmt.Sprintf("/rest/api/2/issue%d?/[A-Z]+-\\d+", i))
		if err != nil {
			b.Fatal(err)
		}
		rules = append(rules, &policy.Rule{Name: fmt.Sprint("r", i), Methods: []string{"GET"}, Path: p})
	}
	grant := policy.Grant{Policies: []*policy.Policy{{Name: "p", Allow: rules}}}
	for _, tokens := range []int{1_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("tokens=%d", tokens), func(b *testing.B) {
			s, p := newServer(b)
			s.Audit = forgetful{}
			rows := policy.Rows{Gates: p.index.Snapshot().Gates(), Policies: grant.Policies}
			value := func(i int) token.Secret { return token.NewSecret(fmt.Sprint("a-value-of-some-length-", i)) }
			for i := range tokens {
				rows.Tokens = append(rows.Tokens, &policy.Token{Name: fmt.Sprint("t", i), User: "alice", Digest: token.Sum(value(i)), Grant: grant})
			}
			if _, err := p.index.Replace(rows, time.Now()); err != nil {
				b.Fatal(err)
			}
			var wires []mem.BufferSlice
			for i := range 997 {
				in := typicalRequest()
				for _, h := range in.Attributes.Request.Http.HeaderMap.Headers {
					if h.Key == "authorization" {
						h.RawValue = []byte("Bearer " + value(i*(tokens/997)).Reveal())
					}
				}
				wire, err := proto.Marshal(in)
				if err != nil {
					b.Fatal(err)
				}
				wires = append(wires, mem.BufferSlice{mem.SliceBuffer(wire)})
			}
			c := newCodec()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				in := new(incoming)
				if err := c.Unmarshal(wires[i%len(wires)], in); err != nil {
					b.Fatal(err)
				}
				if _, err := c.Marshal(s.check(context.Background(), &in.Attributes)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
