package policy_test

import (
	"fmt"
	"time"

	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// noHeaders are the headers of a request that has none but its credential.
type noHeaders struct{}

func (noHeaders) Get(string) (string, int)    { return "", 0 }
func (noHeaders) Len() int                    { return 0 }
func (noHeaders) At(int) (name, value string) { return "", "" }

// Evaluate decides about a request by a snapshot: it has no clock and no network of its own.
func ExampleEvaluate() {
	value := token.NewSecret("a-value-of-the-ci-team-0123456789")
	path, err := policy.CompilePattern("/rest/.*")
	if err != nil {
		fmt.Println(err)
		return
	}
	read := &policy.Policy{Name: "read", Allow: []*policy.Rule{{Name: "read", Methods: []string{"GET"}, Path: path}}}
	index := policy.NewIndex()
	if _, err := index.Replace(policy.Rows{
		Gates: []*policy.Gate{{
			Name: "jira", Hosts: []string{"jira.example.com"}, Prefixes: []string{""}, Schemes: policy.Schemes(0).With(policy.Bearer),
		}},
		Policies: []*policy.Policy{read},
		Tokens:   []*policy.Token{{Name: "ci", User: "alice", Digest: token.Sum(value), Grant: policy.Grant{Policies: []*policy.Policy{read}}}},
	}, time.Now()); err != nil {
		fmt.Println(err)
		return
	}
	for _, method := range []string{"GET", "DELETE"} {
		d := policy.Evaluate(index.Snapshot(), &policy.Request{
			Time: time.Now(), Host: "jira.example.com", Method: method, Target: policy.NewTarget("/rest/api/2/myself"), Header: noHeaders{},
			Credential: policy.ParseAuthorization("Bearer a-value-of-the-ci-team-0123456789", 1),
		}, nil)
		fmt.Println(method, d.Effect, d.Reason)
	}
	// Output:
	// GET allow ok
	// DELETE deny no_rule_matched
}
