package demo

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// step is one request of the tour, and its expected outcome.
type step struct {
	learn  string // what the step shows, in one sentence
	page   string // the product page that the idea comes from
	method string // GET by default
	path   string
	user   string // Basic, where token or password are set
	token  string // whose value is sent
	raw    string // a credential that is no token's value, as it is typed
	bearer bool
	base64 bool // the Bearer value encoded, as it must not be
	body   string
	status int
	reason string
	revoke string    // before the request, set `revoked` in this token's file
	rest   *restCall // in place of all that: a call of the management's API
}

// steps are the tour.
var steps = []step{
	{learn: "A token takes the place of the password, with Basic.", page: "Kantega", path: "/rest/api/2/issue/JRA-1", user: "alice", token: "alice", status: 200, reason: "ok"},
	{learn: "It also goes as Bearer, without a user name.", page: "Red Hat", path: "/rest/api/2/issue/JRA-1", token: "alice", bearer: true, status: 200, reason: "ok"},
	{learn: "A Bearer token is sent as it is: in base64 it is another, unknown token.", page: "Red Hat", path: "/rest/api/2/issue/JRA-1", token: "alice", bearer: true, base64: true, status: 401, reason: "token_unknown"},
	{learn: "Passwords no longer work: only tokens do.", page: "Atlassian", path: "/rest/api/2/issue/JRA-1", user: "alice", raw: "my-password", status: 401, reason: "token_unknown"},
	{learn: "A token works for its own user alone.", page: "Extender", path: "/rest/api/2/issue/JRA-1", user: "bob", token: "alice", status: 401, reason: "user_mismatch"},
	{learn: "A token for any user takes the name that Basic gives.", page: "Extender", path: "/rest/api/2/issue/JRA-1", user: "bob", token: "shared", status: 200, reason: "ok"},
	{learn: "limitTo says what a token may do: this one may comment on KANBAN-100.", page: "Extender", method: "POST", path: "/rest/api/2/issue/KANBAN-100/comment", user: "bob", token: "ci", body: `{"body":"Comment text"}`, status: 200, reason: "ok"},
	{learn: "What no rule allows is refused: the same token may not delete the issue.", page: "Extender", method: "DELETE", path: "/rest/api/2/issue/KANBAN-100", user: "bob", token: "ci", status: 403, reason: "no_rule_matched"},
	{learn: "A rule can read the query: worklogs of 2018 pass.", page: "Extender", path: "/rest/extender/1.0/worklog/all?dateFrom=2018-01-01&dateTo=2018-12-01", user: "bob", token: "worklogs", status: 200, reason: "ok"},
	{learn: "Every value of a repeated parameter counts: a second one does not slip in.", page: "Extender", path: "/rest/extender/1.0/worklog/all?dateFrom=2018-01-01&dateFrom=1999-01-01&dateTo=2018-12-01", user: "bob", token: "worklogs", status: 403, reason: "no_rule_matched"},
	{learn: "A rule can read the JSON body: a favourite is refused.", page: "Extender", method: "POST", path: "/rest/api/2/filter", user: "bob", token: "filters", body: `{"favourite":true,"editable":false}`, status: 403, reason: "no_rule_matched"},
	{learn: "A policy of the Gate bounds every token, an unrestricted one too.", path: "/rest/api/2/user?username=bob", user: "alice", token: "alice", status: 403, reason: "rule_denied"},
	{learn: "Who leaves the group loses their tokens: stelin left.", page: "Kantega", path: "/rest/api/2/issue/JRA-1", user: "stelin", token: "stelin", status: 401, reason: "token_deactivated"},
	{learn: "A group caps lifetimes: 90 days at most, and this is day 91.", page: "Kantega", path: "/rest/api/2/issue/JRA-1", user: "carl", token: "old", status: 401, reason: "token_expired"},
	{learn: "A token can be bound to addresses: this one to the office's.", page: "Kantega", path: "/rest/api/2/issue/JRA-1", user: "alice", token: "office", status: 403, reason: "client_denied"},
	{learn: "Without a credential, callers may do what the Gate's anonymous rules allow.", page: "Atlassian", path: "/rest/api/2/serverInfo", status: 200, reason: "anonymous"},
	manageSteps[0], manageSteps[1], manageSteps[2], manageSteps[3], manageSteps[4], manageSteps[5],
	{learn: "A revocation counts as soon as its file is written.", page: "Ativo", path: "/rest/api/2/issue/JRA-1", token: "alice", bearer: true, status: 401, reason: "token_revoked", revoke: "alice"},
}

// tour sends requests step by step, and shows for each what a user would type, what Envoy
// answered, and what patgate wrote of it.
func (d *demo) tour(ctx context.Context) error {
	d.printf("A sample API behind Envoy, and patgate as its gate: API=%s\n"+
		"The page where alice manages her tokens, and its API: MANAGE=%s\n"+
		"She signs in once, within 10 minutes: %s\n"+
		"Each step has one thing to learn, the request, and below it Envoy's answer | patgate's audit event.\n"+
		"In brackets is the product whose page describes the same.\n\n", d.url, d.manage, d.loginLink())
	wrong, enter := 0, d.enter()
	for i, s := range steps {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		title := s.learn
		if s.page != "" {
			title += " (" + s.page + ")"
		}
		d.printf("%2d. %s\n    $ %s\n", i+1, title, s.curl())
		note, err := d.take(ctx, &s)
		if err != nil {
			wrong++
			d.printf("    DIFFERS: %v\n", err)
		}
		d.printf("%s\n", note)
		if i+1 < len(steps) {
			enter(ctx)
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d steps: %w", wrong, len(steps), ErrDiffers)
	}
	d.printf("%d steps, all as described.\n", len(steps))
	return nil
}

// enter returns what waits for the next line of o.Enter. It does not wait where there is none,
// and no longer once the input has ended.
func (d *demo) enter() func(context.Context) {
	if d.o.Enter == nil {
		return func(context.Context) {}
	}
	lines := make(chan struct{})
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(d.o.Enter); s.Scan(); {
			lines <- struct{}{}
		}
	}()
	ended := false
	return func(ctx context.Context) {
		if ended {
			return
		}
		d.printf("    [Enter for the next step] ")
		select {
		case _, more := <-lines:
			ended = !more
		case <-ctx.Done():
		}
		d.printf("\n")
	}
}

// take sends the request of one step and compares the outcome with the expected one.
func (d *demo) take(ctx context.Context, s *step) (note string, err error) {
	if s.rest != nil {
		return d.call(ctx, s.rest)
	}
	var begun time.Time
	if s.revoke != "" {
		if err := d.revoke(s.revoke); err != nil {
			return "", err
		}
		begun = time.Now()
	}
	for {
		answer, err := d.ask(ctx, s)
		if err != nil {
			return "", err
		}
		e, err := d.events.await(ctx, answer.Header.Get("x-patgate-id"))
		if err != nil {
			return "", err
		}
		if s.revoke != "" && answer.StatusCode == http.StatusOK && time.Since(begun) < 5*time.Second {
			continue // the file was written a moment ago: try again
		}
		note := fmt.Sprintf("    %-24s | %s\n", fmt.Sprintf("%d %s", answer.StatusCode, http.StatusText(answer.StatusCode)), e.reasonOf())
		if s.revoke != "" {
			note += fmt.Sprintf("    %-24s | refused %v after its file was written\n", "", time.Since(begun).Round(time.Millisecond))
		}
		if answer.StatusCode != s.status || e.Reason != s.reason {
			return note, fmt.Errorf("expected %d and the reason %s", s.status, s.reason)
		}
		return note, nil
	}
}

// reasonOf returns the part of an event with the reason.
func (e *event) reasonOf() string {
	text := e.Decision + " " + e.Reason
	for _, part := range []struct{ name, value string }{
		{"user", e.User}, {"token", e.Token}, {"policy", e.Policy}, {"rule", e.Rule}, {"client", e.Client},
	} {
		if part.value != "" && (part.name != "client" || e.Reason == "client_denied") {
			text += " " + part.name + "=" + part.value
		}
	}
	if e.UserAsserted {
		text += " (asserted)"
	}
	return fmt.Sprintf("%s %dµs", text, e.Micros)
}

// ask sends the request of a step through Envoy.
func (d *demo) ask(ctx context.Context, s *step) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, s.methodOrGet(), d.url+s.path, strings.NewReader(s.body))
	if err != nil {
		return nil, err
	}
	value := s.raw
	if s.token != "" {
		value = d.secrets[s.token]
	}
	if s.base64 {
		value = base64.StdEncoding.EncodeToString([]byte(value))
	}
	switch {
	case s.bearer:
		r.Header.Set("Authorization", "Bearer "+value)
	case value != "":
		r.SetBasicAuth(s.user, value)
	}
	if s.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	client := http.Client{Timeout: 10 * time.Second}
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	_, err = io.Copy(io.Discard, answer.Body)
	return answer, err
}

func (s *step) methodOrGet() string {
	if s.method == "" {
		return http.MethodGet
	}
	return s.method
}

// curl returns the command that a user would type, with the API's URL and the token in variables.
func (s *step) curl() string {
	if s.rest != nil {
		return s.rest.curl()
	}
	parts := []string{"curl"}
	if s.method != "" && s.body == "" { // -d makes a POST
		parts = append(parts, "-X "+s.method)
	}
	value := s.raw
	if s.token != "" {
		value = "$" + envName(s.token)
	}
	switch {
	case s.base64:
		parts = append(parts, `-H "Authorization: Bearer $(printf %s `+value+` | base64)"`)
	case s.bearer:
		parts = append(parts, `-H "Authorization: Bearer `+value+`"`)
	case value != "":
		parts = append(parts, "-u "+s.user+":"+value)
	}
	if s.body != "" {
		parts = append(parts, "-H 'Content-Type: application/json' -d '"+s.body+"'")
	}
	target := "$API" + s.path
	if strings.ContainsAny(target, "?&") {
		target = `"` + target + `"`
	}
	return strings.Join(append(parts, target), " ")
}
