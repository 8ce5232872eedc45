package extauthz

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
)

// TestCallsAreNotMixed makes many checks over several connections, each of its own user and path, some cancelled, with an
// audit that is read slowly through a small pipe, so that many events are late. Memory of calls is used again
// all the time: every answer must be that of its check, and have the event with its id, user and path.
func TestCallsAreNotMixed(t *testing.T) { onBoth(t, testCallsAreNotMixed) }

func testCallsAreNotMixed(t *testing.T, transport string) {
	const users, rounds, connections = 48, 25, 4
	s, p := newServer(t)
	value := func(i int) token.Secret { return token.NewSecret(fmt.Sprint("a-value-of-some-length-", i)) }
	rows := policy.Rows{Gates: p.index.Snapshot().Gates()}
	for i := range users {
		rows.Tokens = append(rows.Tokens, &policy.Token{Name: fmt.Sprint("t", i), User: fmt.Sprint("u", i), Digest: token.Sum(value(i)), Grant: policy.Grant{Unrestricted: true}})
	}
	if _, err := p.index.Replace(rows, time.Now()); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	sink, err := audit.NewFile(w)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 4096); err != nil {
		t.Fatal(err)
	}
	log := audit.New(sink, audit.Options{Wait: time.Minute})
	s.Audit, s.Logger, s.Observer = log, slog.New(slog.DiscardHandler), unobserved{}
	_, first := serveOn(t, s, transport, TransportOptions{})
	events := make(chan map[string]map[string]any, 1)
	go func() { events <- readEvents(bufio.NewReaderSize(r, 512)) }()
	answers := make(chan answered, users*rounds)
	var wg sync.WaitGroup
	for c := range connections {
		conn := first
		if c > 0 {
			if conn, err = grpc.NewClient(first.Target(), grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
		}
		for user := c; user < users; user += connections {
			wg.Go(func() { askAs(authv3.NewAuthorizationClient(conn), user, rounds, value(user), answers) })
		}
	}
	wg.Wait()
	close(answers)
	if err := log.Close(context.Background()); err != nil {
		t.Error(err)
	}
	w.Close()
	checkAnswers(t, answers, <-events, users*rounds)
}

// answered is a check and its answer.
type answered struct {
	path, user string // user is empty where the token is unknown
	out        *authv3.CheckResponse
	err        error
}

// askAs makes the checks of one user: every third with an unknown token, every fourth cancelled soon.
func askAs(client authv3.AuthorizationClient, user, rounds int, secret token.Secret, answers chan<- answered) {
	for k := range rounds {
		a := answered{path: fmt.Sprintf("/rest/%d/%d/%s", user, k, strings.Repeat("x", user*k%300)), user: fmt.Sprint("u", user)}
		presented := secret.Reveal()
		if k%3 == 2 {
			presented, a.user = presented+"-unknown", ""
		}
		in := request("authorization", "Bearer "+presented)
		for i := range (user + k) % 40 {
			in.Attributes.Request.Http.HeaderMap.Headers = append(in.Attributes.Request.Http.HeaderMap.Headers, request(fmt.Sprint("x-", i), a.path).Attributes.Request.Http.HeaderMap.Headers...)
		}
		in.Attributes.Request.Http.Path = a.path
		ctx, cancel := context.Background(), func() {}
		if k%4 == 3 {
			ctx, cancel = context.WithTimeout(ctx, time.Duration(user)*20*time.Microsecond)
		}
		a.out, a.err = client.Check(ctx, in)
		cancel()
		answers <- a
	}
}

// readEvents reads events by their ids.
func readEvents(r *bufio.Reader) map[string]map[string]any {
	events := map[string]map[string]any{}
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return events
		}
		fields := map[string]any{}
		if json.Unmarshal(line, &fields) == nil {
			events[fmt.Sprint(fields["id"])] = fields
		}
	}
}

func checkAnswers(t *testing.T, answers <-chan answered, events map[string]map[string]any, want int) {
	t.Helper()
	n := 0
	for a := range answers {
		if n++; a.err != nil {
			continue // it was cancelled
		}
		fields := a.out.GetDynamicMetadata().GetFields()
		id, decision := fields["id"].GetStringValue(), "deny"
		headers := map[string]string{}
		for _, h := range a.out.GetOkResponse().GetHeaders() {
			headers[h.GetHeader().GetKey()] = h.GetHeader().GetValue()
		}
		event := events[id]
		if a.user != "" && event["reason"] != "audit_unavailable" { // cancelled while it waited, and yet answered
			decision = "allow"
		}
		if user, _ := event["user"].(string); user != a.user || event["path"] != a.path || event["decision"] != decision {
			t.Fatalf("%s of %q has the event %v", a.path, a.user, event)
		}
		if fields["decision"].GetStringValue() != decision || decision == "allow" && headers["x-forwarded-user"] != a.user || (a.out.GetOkResponse() != nil) != (decision == "allow") {
			t.Fatalf("%s of %q has the answer %v", a.path, a.user, a.out)
		}
	}
	if n != want {
		t.Errorf("%d answers, want %d", n, want)
	}
}
