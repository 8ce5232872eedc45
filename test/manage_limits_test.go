package test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestLimitsHoldForTwoProcesses has a user create tokens by two processes over one directory at once:
// they get as many as they may hold, and one of a name where names are to differ.
func TestLimitsHoldForTwoProcesses(t *testing.T) {
	at, values := managedOffice(t, 2)
	office := filepath.Join(at, "office.yaml")
	text, err := os.ReadFile(office)
	if err != nil {
		t.Fatal(err)
	}
	write(t, office, strings.Replace(string(text), "maxLifetime: 90d", "maxLifetime: 90d, max: 5", 1))
	managers := []*manager{startManager(t, "serve", at), startManager(t, "manage", at)}
	atOnce := func(user, path, body string) (made int64) {
		var count atomic.Int64
		var all sync.WaitGroup
		for i := range 12 {
			all.Go(func() {
				sent := strings.ReplaceAll(body, "##", fmt.Sprint(i))
				if status, answer := sendTo(t.Context(), "POST", managers[i%2].url+path, values[user], sent); status == http.StatusCreated {
					count.Add(1)
				} else if status != http.StatusBadRequest && status != http.StatusConflict {
					t.Errorf("%d %v", status, answer)
				}
			})
		}
		all.Wait()
		return count.Load()
	}
	if made := atOnce("u0", "/api/v1/tokens", `{"displayName": "token ##", "limitTo": ["[get]/rest/x"], "expiresIn": "7d"}`); made != 4 {
		t.Errorf("beside the one that they have, %d tokens are made, want 4", made)
	}
	if made := atOnce("u1", "/rest/pat/latest/tokens", `{"name": "the same", "expirationDuration": 5}`); made != 1 {
		t.Errorf("%d tokens of one name are made, want 1", made)
	}
}
