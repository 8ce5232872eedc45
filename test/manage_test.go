package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/patgate/patgate/loader/dir"
	"github.com/patgate/patgate/manifest"
	"github.com/patgate/patgate/token"
)

// managedOffice is manifests with a gate for the management, whose users are u0, u1 and so on, and root.
func managedOffice(t *testing.T, users int) (at string, values map[string]token.Secret) {
	t.Helper()
	at, values = t.TempDir(), map[string]token.Secret{}
	var names []string
	text := ""
	for i := range users + 1 {
		user := fmt.Sprint("u", i)
		if i == users {
			user = "root"
		}
		values[user] = token.Mint()
		names = append(names, user)
		text += fmt.Sprintf("---\napiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata: {name: of-%s}\nspec: {user: %s, unrestricted: true, issued: %s, digest: %s}\n",
			user, user, time.Now().UTC().Format(time.RFC3339), token.Sum(values[user]))
	}
	write(t, filepath.Join(at, "office.yaml"), `apiVersion: patgate.dev/v1alpha1
kind: Gate
metadata: {name: tokens}
spec: {hosts: ["*"], schemes: [bearer]}
---
apiVersion: patgate.dev/v1alpha1
kind: UserGroup
metadata: {name: admins}
spec: {members: [root], admin: true}
---
apiVersion: patgate.dev/v1alpha1
kind: UserGroup
metadata: {name: users}
spec: {members: [`+strings.Join(names, ", ")+`], tokens: {create: true, maxLifetime: 90d}}
`+text)
	if err := os.Mkdir(filepath.Join(at, "tokens"), 0o755); err != nil {
		t.Fatal(err)
	}
	return at, values
}

// manager is a process that manages tokens, and is killed and started again.
type manager struct {
	t    *testing.T
	args []string
	url  string
	cmd  *exec.Cmd
	out  bytes.Buffer
}

func startManager(t *testing.T, command, at string, flags ...string) *manager {
	t.Helper()
	address := freeAddr(t)
	m := &manager{t: t, url: "http://" + address}
	if command == "serve" {
		m.args = []string{"serve", "--manifests", at, "--listen", freeAddr(t), "--status-listen", freeAddr(t), "--drain-delay", "0s",
			"--manage-listen", address, "--manage-into", filepath.Join(at, "tokens"), "--manage-gate", "tokens"}
	} else {
		m.args = []string{"manage", "--manifests", at, "--listen", address, "--into", filepath.Join(at, "tokens"), "--gate", "tokens"}
	}
	m.args = append(m.args, flags...)
	m.start()
	t.Cleanup(m.kill)
	return m
}

func (m *manager) start() {
	m.cmd = exec.Command(binary, m.args...)
	m.cmd.Stdout, m.cmd.Stderr = &m.out, &m.out
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if answer, err := http.Get(m.url + "/api/v1/openapi.json"); err == nil {
			_ = answer.Body.Close()
			return
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("the management is not ready:\n%s", m.out.String())
		}
	}
}

func (m *manager) kill() {
	_ = m.cmd.Process.Kill()
	_ = m.cmd.Wait()
}

// sendTo sends a request of the API, and returns its status; 0 where there was no answer.
func sendTo(ctx context.Context, method, url string, value token.Secret, body string) (status int, answer map[string]any) {
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, nil
	}
	r.Header.Set("Authorization", "Bearer "+value.Reveal())
	r.Header.Set("Content-Type", "application/json")
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil
	}
	defer func() { _ = got.Body.Close() }()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		return 0, nil
	}
	_ = json.Unmarshal(text, &answer)
	return got.StatusCode, answer
}

// promises are what the management has answered.
type promises struct {
	mu       sync.Mutex
	created  map[string]string // the digests of new tokens, by name
	revoked  map[string]bool
	refused  map[int]int
	answered atomic.Int64
	pause    sync.RWMutex // is held while a process starts: it reads files at rest
}

// TestUsersAndKills has users create, rename and revoke tokens by two processes over one directory, of
// which each is killed in turn: every token that was promised is there, and every revocation holds.
func TestUsersAndKills(t *testing.T) {
	span := 6 * time.Second
	if text := os.Getenv("PATGATE_TEST_MANAGE_FOR"); text != "" {
		var err error
		if span, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	const users = 50
	at, values := managedOffice(t, users)
	managers := []*manager{startManager(t, "serve", at), startManager(t, "manage", at)}
	ctx, stop := context.WithTimeout(t.Context(), span)
	defer stop()
	p := &promises{created: map[string]string{}, revoked: map[string]bool{}, refused: map[int]int{}}
	var all sync.WaitGroup
	for i := range users {
		all.Go(func() { p.user(ctx, managers, values[fmt.Sprint("u", i)], i) })
	}
	kills := 0
	for ; ctx.Err() == nil; kills++ {
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
			m := managers[kills%2]
			m.kill() // amid requests
			p.pause.Lock()
			m.start()
			p.pause.Unlock()
		}
	}
	all.Wait()
	for _, m := range managers {
		m.kill()
	}
	t.Logf("%d created, %d revoked, %d answers, %d kills, refused %v", len(p.created), len(p.revoked), p.answered.Load(), kills, p.refused)
	if len(p.created) < 10 || len(p.revoked) < 5 {
		t.Errorf("too little was done")
	}
	p.hold(t, at)
}

// user acts as a person does, and records the promises.
func (p *promises) user(ctx context.Context, managers []*manager, value token.Secret, seed int) {
	random := rand.New(rand.NewPCG(uint64(seed), 1))
	for ctx.Err() == nil {
		p.once(ctx, managers, value, random)
	}
}

func (p *promises) once(ctx context.Context, managers []*manager, value token.Secret, random *rand.Rand) {
	p.pause.RLock()
	defer p.pause.RUnlock()
	url := managers[random.IntN(2)].url + "/api/v1/tokens"
	status, made := sendTo(context.WithoutCancel(ctx), "POST", url, value, `{"displayName": "Same name", "limitTo": ["[get]/rest/x"], "expiresIn": "7d"}`)
	p.note(status)
	if status != http.StatusCreated {
		return
	}
	name := made["name"].(string)
	p.mu.Lock()
	p.created[name] = token.Sum(token.NewSecret(made["value"].(string))).String()
	p.mu.Unlock()
	var changes sync.WaitGroup
	for _, m := range managers { // two changes of one token at once
		changes.Go(func() {
			_, _ = sendTo(context.WithoutCancel(ctx), "PATCH", m.url+"/api/v1/tokens/"+name, value, `{"description": "by `+m.args[0]+`"}`)
		})
	}
	defer changes.Wait()
	if random.IntN(2) == 0 {
		return
	}
	status, _ = sendTo(context.WithoutCancel(ctx), "POST", managers[random.IntN(2)].url+"/api/v1/tokens/"+name+":revoke", value, "")
	p.note(status)
	if status == http.StatusOK {
		p.mu.Lock()
		p.revoked[name] = true
		p.mu.Unlock()
	}
}

func (p *promises) note(status int) {
	p.answered.Add(1)
	if status >= 400 {
		p.mu.Lock()
		p.refused[status]++
		p.mu.Unlock()
	}
}

// hold checks that the directory holds every promise, and nothing half-written.
func (p *promises) hold(t *testing.T, at string) {
	set := dir.Load([]string{at})
	for _, problem := range set.Problems {
		t.Errorf("%s", problem)
	}
	for name, digest := range p.created {
		doc := set.Find(manifest.KindAPIToken, name)
		if doc == nil || doc.APIToken == nil || doc.APIToken.Digest.Sum.String() != digest {
			t.Errorf("the token %s was created, and is not in the directory", name)
		}
	}
	for name := range p.revoked {
		if doc := set.Find(manifest.KindAPIToken, name); doc == nil || doc.APIToken == nil || doc.APIToken.Revoked.IsZero() {
			t.Errorf("the token %s was revoked, and is not", name)
		}
	}
}
