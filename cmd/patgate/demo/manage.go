package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// madeToken is the token that the tour creates over REST.
const madeToken = "dashboard"

// restCall is one call of the management's API.
type restCall struct {
	method, path, body string
	status             int
	show               func(d *demo, answer map[string]any) (string, error) // what is worth a look
}

// manageSteps create a token over REST, use it, look at its refusal, and revoke it.
var manageSteps = []step{
	{learn: "People create their own tokens, over REST or on a page. The value is shown once.", page: "Atlassian", rest: &restCall{
		method: http.MethodPost, path: "/api/v1/tokens", body: `{"displayName":"Dashboard","limitTo":["[get]/rest/api/2/issue/JRA.*"]}`, status: http.StatusCreated, show: (*demo).created,
	}},
	{learn: "The new token works at once.", path: "/rest/api/2/issue/JRA-1", token: madeToken, bearer: true, status: 200, reason: "ok"},
	{learn: "It may do what it was given, and no more.", method: "DELETE", path: "/rest/api/2/issue/JRA-1", token: madeToken, bearer: true, status: 403, reason: "no_rule_matched"},
	{learn: "Its owner sees why a call was refused.", rest: &restCall{
		method: http.MethodGet, path: "/api/v1/tokens/" + madeToken + "/events", status: http.StatusOK, show: (*demo).lastRefusal,
	}},
	{learn: "They revoke it when it is needed no more.", page: "Kantega", rest: &restCall{
		method: http.MethodPost, path: "/api/v1/tokens/" + madeToken + ":revoke", status: http.StatusOK, show: (*demo).stateOf,
	}},
	{learn: "The next call is refused.", path: "/rest/api/2/issue/JRA-1", token: madeToken, bearer: true, status: 401, reason: "token_revoked"},
}

// curl returns the command that a user would type.
func (c *restCall) curl() string {
	parts := []string{"curl", `-H "Authorization: Bearer $ALICE"`}
	switch {
	case c.body != "":
		parts = append(parts, "--json '"+c.body+"'")
	case c.method != http.MethodGet:
		parts = append(parts, "-X "+c.method)
	}
	return strings.Join(append(parts, "$MANAGE"+c.path), " ")
}

// call sends it as alice.
func (d *demo) call(ctx context.Context, c *restCall) (note string, err error) {
	r, err := http.NewRequestWithContext(ctx, c.method, d.manage+c.path, strings.NewReader(c.body))
	if err != nil {
		return "", err
	}
	r.Header.Set("Authorization", "Bearer "+d.secrets["alice"])
	if c.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	client := http.Client{Timeout: 10 * time.Second}
	answer, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }()
	var body map[string]any
	if err := json.NewDecoder(io.LimitReader(answer.Body, 1<<20)).Decode(&body); err != nil {
		return "", err
	}
	text := fmt.Sprint(body["detail"])
	if answer.StatusCode == c.status {
		if text, err = c.show(d, body); err != nil {
			return "", err
		}
	}
	note = fmt.Sprintf("    %-24s | %s\n", fmt.Sprintf("%d %s", answer.StatusCode, http.StatusText(answer.StatusCode)), text)
	if answer.StatusCode != c.status {
		return note, fmt.Errorf("expected %d", c.status)
	}
	return note, nil
}

// created keeps the value of the new token, as the user would.
func (d *demo) created(answer map[string]any) (string, error) {
	value, _ := answer["value"].(string)
	if answer["name"] != madeToken || value == "" {
		return "", fmt.Errorf("expected a value of the token %s", madeToken)
	}
	d.secrets[madeToken] = value
	return fmt.Sprintf("name=%v value=$%s expires=%v inForce=%v", answer["name"], envName(madeToken), answer["expires"], answer["inForce"]), d.writeVariables()
}

// lastRefusal shows why the token's last call was refused.
func (d *demo) lastRefusal(answer map[string]any) (string, error) {
	items, _ := answer["items"].([]any)
	for _, item := range items {
		if call, _ := item.(map[string]any); call["decision"] == "deny" {
			return fmt.Sprintf("%v %v: %v", call["method"], call["path"], call["reason"]), nil
		}
	}
	return "", fmt.Errorf("expected a refused call among %d", len(items))
}

func (d *demo) stateOf(answer map[string]any) (string, error) {
	return fmt.Sprintf("name=%v state=%v inForce=%v", answer["name"], answer["state"], answer["inForce"]), nil
}

var loginLinks = regexp.MustCompile(`https?://\S+/login/link/\S+`)

// loginLink is the link that patgate prints at its start, with which alice signs in to the page.
func (d *demo) loginLink() string { return loginLinks.FindString(d.gateLog()) }
