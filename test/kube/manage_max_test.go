//go:build kube

package kube

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/patgate/patgate/token"
)

// TestTwoManagementsCountTogether lets a user create tokens in two processes at the same time, again and again: they never hold more
// than `tokens.max`, and what is created too much is revoked before its value is given out.
func TestTwoManagementsCountTogether(t *testing.T) {
	ns := newNamespace(t)
	installKinds(t, ns)
	value := token.Mint()
	ns.apply(strings.Replace(office(value), ", maxLifetime: 30d", "", 1) + "---\n" + tokenOf("own", 5, "unrestricted: true, gates: [g, tokens]"))
	both := []*manager{startManager(ns, t, ns.c.token, value).up(), startManager(ns, t, ns.c.token, value).up()}
	alice := token.NewSecret(valueOf(5))
	const most = 3 // of office
	given := 0
	for round := range 10 {
		var all sync.WaitGroup
		var mu sync.Mutex
		for i := range 3 * len(both) {
			all.Go(func() {
				status, v := both[i%len(both)].ask("POST", "/api/v1/tokens", fmt.Sprintf(`{"displayName": "r%d n%d", "unrestricted": true}`, round, i), alice)
				mu.Lock()
				defer mu.Unlock()
				if status == http.StatusCreated {
					given++
				} else if v["reason"] != "too_many" {
					t.Errorf("%d: %v", status, v)
				}
			})
		}
		all.Wait()
		held := 0
		for _, o := range ns.list("apitokens") {
			if o.text("spec", "user") != "alice" || o.text("spec", "revoked") != "" {
				continue
			}
			if held++; o.text("metadata", "name") != "own" {
				ns.revoke(o.text("metadata", "name"))
			}
		}
		if held > most {
			t.Errorf("round %d: alice holds %d tokens, and may hold %d", round, held, most)
		}
		for _, m := range both { // they know the revocations
			ns.until(startTimeout, "the revocations are known", func() bool {
				v := m.must(http.StatusOK, "GET", "/api/v1/tokens?user=alice&state=active", "")
				return fmt.Sprint(v["total"]) == "1"
			})
		}
	}
	if given == 0 {
		t.Error("no token was created")
	}
	t.Logf("%d tokens were given out", given)
}
