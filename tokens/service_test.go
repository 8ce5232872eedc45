package tokens_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/policy"
	"github.com/patgate/patgate/token"
	"github.com/patgate/patgate/tokens"
	"github.com/patgate/patgate/tokens/storetest"
)

// office is a store with groups: alice creates two tokens of 30 days, bob none, root all.
func office() *storetest.Map {
	store := new(storetest.Map)
	store.Put("gate.yaml", strings.Replace(storetest.Gate, "{schemes", "{clientIP: {source: peer}, schemes", 1))
	store.Put("groups.yaml", group("users", "members: [alice], tokens: {create: true, max: 2, maxLifetime: 30d}")+"---\n"+
		group("readers", "members: [bob], tokens: {maxLifetime: 30d}")+"---\n"+group("admins", "members: [root], admin: true"))
	store.Put("policies.yaml", "apiVersion: patgate.dev/v1alpha1\nkind: TokenPolicy\nmetadata: {name: read}\nspec: {allow: [{methods: [GET]}]}\n---\n"+
		"apiVersion: patgate.dev/v1alpha1\nkind: TokenPolicy\nmetadata: {name: no-admin}\nspec: {deny: [{path: /admin}]}\n")
	return store
}

func actor(t *testing.T, s *tokens.Service, user string) tokens.Actor {
	t.Helper()
	if user == "" {
		return tokens.Actor{}
	}
	a, _, err := s.Actor(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// codeOf is the code of a refusal, or what else an error is.
func codeOf(err error) string {
	var refused *tokens.RefusedError
	var unknown *tokens.UnknownError
	var conflict *tokens.ConflictError
	switch {
	case err == nil:
		return "done"
	case errors.As(err, &refused):
		return string(refused.Code) + " " + refused.Field
	case errors.As(err, &unknown):
		return "unknown"
	case errors.As(err, &conflict):
		return "conflict"
	}
	return err.Error()
}

const day = 24 * time.Hour

// TestWhoMayCreate has each right, for each way to ask.
func TestWhoMayCreate(t *testing.T) {
	for name, c := range map[string]struct {
		actor string // empty: the command line
		admin bool   // --as-admin
		token edit.NewToken
		r     tokens.CreateRequest
		held  int
		want  string
	}{
		"for oneself":              {actor: "alice", token: edit.NewToken{User: "alice"}, want: "done"},
		"for another":              {actor: "alice", token: edit.NewToken{User: "carol"}, want: "no_right user"},
		"for any user":             {actor: "alice", token: edit.NewToken{AnyUser: true}, want: "no_right user"},
		"without the right":        {actor: "bob", token: edit.NewToken{User: "bob"}, want: "no_right user"},
		"in no group":              {actor: "carol", token: edit.NewToken{User: "carol"}, want: "no_right user"},
		"an admin for another":     {actor: "root", token: edit.NewToken{User: "carol"}, want: "done"},
		"an admin for any user":    {actor: "root", token: edit.NewToken{AnyUser: true}, want: "done"},
		"too many":                 {actor: "alice", token: edit.NewToken{User: "alice"}, held: 2, want: "too_many user"},
		"an admin beyond max":      {actor: "root", token: edit.NewToken{User: "alice"}, held: 2, want: "done"},
		"by hand":                  {token: edit.NewToken{User: "alice"}, want: "done"},
		"by hand, in no group":     {token: edit.NewToken{User: "carol"}, want: "done"},
		"by hand, any user":        {token: edit.NewToken{AnyUser: true}, want: "done"},
		"by hand, without a right": {token: edit.NewToken{User: "bob"}, want: "no_right user"},
		"by hand, too many":        {token: edit.NewToken{User: "alice"}, held: 2, want: "too_many user"},
		"as admin":                 {admin: true, token: edit.NewToken{User: "bob"}, want: "done"},
		"as admin, beyond max":     {admin: true, token: edit.NewToken{User: "alice"}, held: 2, want: "done"},
		"as admin, beyond the cap": {admin: true, token: edit.NewToken{User: "alice"}, r: tokens.CreateRequest{Lifetime: 31 * day}, want: "beyond_cap expires"},
		"beyond the cap":           {actor: "alice", token: edit.NewToken{User: "alice"}, r: tokens.CreateRequest{Lifetime: 31 * day}, want: "beyond_cap expires"},
		"without an end":           {actor: "alice", token: edit.NewToken{User: "alice"}, r: tokens.CreateRequest{Lifetime: policy.Forever}, want: "beyond_cap expires"},
		"clamped":                  {actor: "alice", token: edit.NewToken{User: "alice"}, r: tokens.CreateRequest{Lifetime: 31 * day, Clamp: true}, want: "done"},
		"an unknown policy":        {actor: "alice", token: edit.NewToken{User: "alice", Policies: []string{"raed"}}, want: "invalid spec.policies[0]"},
	} {
		var events []tokens.Event
		store := office()
		service := serviceOf(store, &events)
		for i := range c.held {
			store.Put(fmt.Sprintf("held-%d.yaml", i), strings.Replace(tokenNamed(fmt.Sprint("held-", i), ""), "2026-05-01", "2026-05-31", 1))
		}
		store.Put("dead.yaml", tokenNamed("dead", "  revoked: 2026-05-02T00:00:00Z\n"))
		c.r.Token, c.r.Actor, c.r.Via = c.token, actor(t, service, c.actor), tokens.ViaAPI
		c.r.Actor.Admin = c.r.Actor.Admin || c.admin
		c.r.Token.Name, c.r.Token.Unrestricted = "new", len(c.token.Policies) == 0
		made, err := service.Create(t.Context(), c.r)
		if got := codeOf(err); got != c.want {
			t.Errorf("%s: %s, want %s: %v", name, got, c.want, err)
			continue
		}
		if err != nil {
			if len(events) > 0 {
				t.Errorf("%s: %+v", name, events)
			}
			continue
		}
		if c.r.Clamp && !made.Expires.Equal(made.Issued.Add(30*day)) {
			t.Errorf("%s: until %v", name, made.Expires)
		}
		want := tokens.Event{Action: tokens.Created, Time: rotateAt, By: c.actor, Via: tokens.ViaAPI, Token: "new", User: c.token.User}
		if len(events) != 1 || fmt.Sprint(events[0]) != fmt.Sprint(want) {
			t.Errorf("%s: events %+v, want %+v", name, events, want)
		}
		wantAnnotations(t, store, made, c.actor, c.admin)
	}
}

// wantAnnotations checks that the manifest holds who created the token and how its value begins, and
// nothing else of the value.
func wantAnnotations(t *testing.T, store *storetest.Map, made *tokens.NewToken, by string, admin bool) {
	t.Helper()
	stored, err := store.Get(t.Context(), "new")
	if err != nil {
		t.Fatal(err)
	}
	if admin {
		by = "command line, as admin"
	}
	annotations, value := stored.Document.Metadata.Annotations, made.Secret.Reveal()
	if annotations[tokens.CreatedByAnnotation] != by || annotations[tokens.HintAnnotation] != value[:9] {
		t.Errorf("%v, want %s", annotations, by)
	}
	if strings.Contains(string(stored.Data), value[:10]) || strings.Contains(string(stored.Data), value[9:]) || stored.Document.APIToken.Digest.Sum != token.Sum(made.Secret) {
		t.Errorf("%s", stored.Data)
	}
}

// TestWhatATokenGrants has a token create others: they get no more than it has itself.
func TestWhatATokenGrants(t *testing.T) {
	for name, c := range map[string]struct {
		own   string // of the token that asks
		token edit.NewToken
		life  time.Duration
		want  string
	}{
		"the same policy":          {own: "policies: [read]", token: edit.NewToken{Policies: []string{"read"}}, want: "done"},
		"unrestricted":             {own: "policies: [read]", token: edit.NewToken{Unrestricted: true}, want: "beyond_grant unrestricted"},
		"unrestricted itself":      {own: "unrestricted: true", token: edit.NewToken{Unrestricted: true}, want: "done"},
		"a line of its own":        {own: "limitTo: '[get]/a'", token: edit.NewToken{LimitTo: []string{"[get]/a"}}, want: "done"},
		"another line":             {own: "limitTo: '[get]/a'", token: edit.NewToken{LimitTo: []string{"[get]/b"}}, want: "beyond_grant "},
		"a wider line":             {own: "limitTo: '[get]/a'", token: edit.NewToken{LimitTo: []string{"/a"}}, want: "beyond_grant "},
		"a policy, besides a line": {own: "limitTo: '[get]/a'", token: edit.NewToken{Policies: []string{"read"}}, want: "beyond_grant "},
		"without what denies":      {own: "policies: [no-admin], unrestricted: true", token: edit.NewToken{Unrestricted: true}, want: "beyond_grant "},
		"with what denies":         {own: "policies: [no-admin], unrestricted: true", token: edit.NewToken{Unrestricted: true, Policies: []string{"no-admin"}}, want: "done"},
		"for longer":               {own: "policies: [read], expires: 2026-06-02T00:00:00Z", token: edit.NewToken{Policies: []string{"read"}}, life: 3 * day, want: "beyond_grant expires"},
		"for less":                 {own: "policies: [read], expires: 2026-06-12T00:00:00Z", token: edit.NewToken{Policies: []string{"read"}}, life: 3 * day, want: "done"},
	} {
		store := office()
		store.Put("own.yaml", "apiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata: {name: own}\nspec: {user: alice, issued: 2026-05-20T00:00:00Z, digest: '"+
			token.Sum(token.NewSecret("own")).String()+"', "+c.own+"}\n")
		c.token.Name, c.token.User = "new", "alice"
		life := c.life
		if life == 0 {
			life = time.Hour
		}
		r := tokens.CreateRequest{Token: c.token, Lifetime: life, Request: tokens.Request{Actor: tokens.Actor{User: "alice", Token: "own"}}}
		if _, err := serviceOf(store, nil).Create(t.Context(), r); codeOf(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func field(key string, value any) edit.Field { return edit.Field{Key: key, Value: value} }

// TestUpdates has changes that narrow and that widen, by who asks.
func TestUpdates(t *testing.T) {
	const limited = "  policies: [read, no-admin]\n  gates: [g]\n  schemes: [bearer]\n  expires: 2026-06-20T00:00:00Z\n  clients: {allow: [10.0.0.0/8], deny: [10.1.0.0/16]}\n"
	at := func(text string) time.Time {
		when, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	for name, c := range map[string]struct {
		fields []edit.Field
		user   string // what alice gets
		admin  string // and root; empty: the same
	}{
		"another name":           {fields: []edit.Field{field("displayName", "CI")}, user: "done"},
		"a policy less":          {fields: []edit.Field{field("policies", []string{"read", "no-admin"})}, user: "done"},
		"what denies goes":       {fields: []edit.Field{field("policies", []string{"read"})}, user: "widens limits", admin: "done"},
		"a rule more":            {fields: []edit.Field{field("limitTo", "/a\n")}, user: "widens limits", admin: "done"},
		"every gate":             {fields: []edit.Field{field("gates", nil)}, user: "widens gates", admin: "done"},
		"every scheme":           {fields: []edit.Field{field("schemes", nil)}, user: "widens schemes", admin: "done"},
		"another scheme":         {fields: []edit.Field{field("schemes", []string{"basic"})}, user: "widens schemes", admin: "done"},
		"every client":           {fields: []edit.Field{field("clients", nil)}, user: "widens clients", admin: "done"},
		"a client range more":    {fields: []edit.Field{field("clients", map[string]any{"allow": []string{"10.0.0.0/8", "::/0"}, "deny": []string{"10.1.0.0/16"}})}, user: "widens clients", admin: "done"},
		"a range less denied":    {fields: []edit.Field{field("clients", map[string]any{"allow": []string{"10.0.0.0/8"}})}, user: "widens clients", admin: "done"},
		"an earlier end":         {fields: []edit.Field{field("expires", at("2026-06-10T00:00:00Z"))}, user: "done"},
		"a later end in the cap": {fields: []edit.Field{field("expires", at("2026-06-29T00:00:00Z"))}, user: "widens expires", admin: "done"},
		"an end beyond the cap":  {fields: []edit.Field{field("expires", at("2026-07-29T00:00:00Z"))}, user: "beyond_cap expires"},
		"no end":                 {fields: []edit.Field{field("expires", nil)}, user: "beyond_cap expires"},
		"another user":           {fields: []edit.Field{field("user", "bob")}, user: "not_editable user"},
		"another digest":         {fields: []edit.Field{field("digest", "x")}, user: "not_editable digest"},
		"a bad pattern":          {fields: []edit.Field{field("limitTo", "[get](\n")}, user: "invalid spec.limitTo[0]"},
		"unrestricted, policies": {fields: []edit.Field{field("unrestricted", true)}, user: "invalid spec.policies[0]"},
	} {
		for _, who := range []string{"alice", "root", "bob"} {
			store, events := office(), []tokens.Event{}
			text := strings.Replace(tokenNamed("ci", limited), "  unrestricted: true\n", "", 1)
			store.Put("ci.yaml", strings.Replace(text, "issued: 2026-05-01", "issued: 2026-05-31", 1))
			service := serviceOf(store, &events)
			_, err := service.Update(t.Context(), tokens.UpdateRequest{Request: tokens.Request{Actor: actor(t, service, who), Via: tokens.ViaPage}, Name: "ci", Fields: c.fields})
			want := c.user
			switch {
			case who == "root" && c.admin != "":
				want = c.admin
			case who == "bob" && !strings.HasPrefix(want, "not_editable"):
				want = "unknown"
			}
			if codeOf(err) != want {
				t.Errorf("%s by %s: %s, want %s: %v", name, who, codeOf(err), want, err)
			}
			if done := err == nil; done != (len(events) == 1) || done && (events[0].Action != tokens.Updated || !slices.Equal(events[0].Fields, []string{c.fields[0].Key}) || events[0].By != who) {
				t.Errorf("%s by %s: events %+v", name, who, events)
			}
		}
	}
}

// TestEndedTokenStaysEnded moves the end of a token that is past it.
func TestEndedTokenStaysEnded(t *testing.T) {
	store := office()
	store.Put("ci.yaml", tokenNamed("ci", "  expires: 2026-05-02T00:00:00Z\n"))
	service := serviceOf(store, nil)
	for _, who := range []string{"alice", "root", ""} {
		r := tokens.UpdateRequest{Request: tokens.Request{Actor: actor(t, service, who)}, Name: "ci", Fields: []edit.Field{field("expires", rotateAt.Add(time.Hour))}}
		if _, err := service.Update(t.Context(), r); codeOf(err) != "bad_state expires" {
			t.Errorf("%q: %v", who, err)
		}
	}
}

// TestSuspensions has users lift what they set, and administrators lift all.
func TestSuspensions(t *testing.T) {
	store := office()
	store.Put("ci.yaml", tokenNamed("ci", ""))
	service := serviceOf(store, nil)
	for i, step := range []struct {
		who       string
		suspended bool
		want      string
	}{
		{"alice", true, "done"}, {"alice", false, "done"}, {"root", true, "done"}, {"alice", false, "widens suspended"},
		{"alice", true, "done"}, {"alice", false, "widens suspended"}, {"root", false, "done"}, {"bob", true, "unknown"}, {"alice", true, "done"}, {"root", false, "done"},
		// who suspends it first does not keep others from doing so
		{"alice", true, "done"}, {"root", true, "done"}, {"alice", false, "widens suspended"}, {"root", false, "done"},
		{"alice", true, "done"}, {"", true, "done"}, {"alice", false, "widens suspended"}, {"", false, "done"},
		{"root", true, "done"}, {"", true, "done"}, {"root", false, "done"},
	} {
		_, err := service.Suspend(t.Context(), tokens.Request{Actor: actor(t, service, step.who)}, "ci", step.suspended)
		if codeOf(err) != step.want {
			t.Fatalf("step %d: %v, want %s", i, err, step.want)
		}
	}
	stored, err := store.Get(t.Context(), "ci")
	if err != nil || string(stored.Data) != tokenNamed("ci", "") {
		t.Errorf("%v: %s", err, stored.Data)
	}
}

// TestSuspensionsWrittenByHand has an annotation in the manifest of a token that is not suspended: it says who may lift no
// suspension that comes later.
func TestSuspensionsWrittenByHand(t *testing.T) {
	for _, by := range []string{"", "root"} {
		store := office()
		store.Put("ci.yaml", strings.Replace(tokenNamed("ci", ""), "metadata: {name: ci}", "metadata: {name: ci, annotations: {patgate.dev/suspended-by: alice}}", 1))
		service := serviceOf(store, nil)
		suspend := func(who string, suspended bool) string {
			_, err := service.Suspend(t.Context(), tokens.Request{Actor: actor(t, service, who)}, "ci", suspended)
			return codeOf(err)
		}
		if first, lifted := suspend(by, true), suspend("alice", false); first != "done" || lifted != "widens suspended" {
			t.Errorf("suspended by %q: %s, lifted by alice: %s", by, first, lifted)
		}
	}
}

// TestRevokeAnswersTheSame revokes a token twice, and others' never.
func TestRevokeAnswersTheSame(t *testing.T) {
	store, events := office(), []tokens.Event{}
	store.Put("ci.yaml", tokenNamed("ci", ""))
	service := serviceOf(store, &events)
	if _, err := service.Revoke(t.Context(), tokens.RevokeRequest{Request: tokens.Request{Actor: actor(t, service, "bob")}, Name: "ci"}); codeOf(err) != "unknown" {
		t.Error(err)
	}
	r := tokens.RevokeRequest{Request: tokens.Request{Actor: actor(t, service, "alice"), Via: tokens.ViaAPI}, Name: "ci", DryRun: true}
	if _, err := service.Revoke(t.Context(), r); err != nil || len(events) > 0 {
		t.Errorf("a dry run: %v, %v", err, events)
	}
	r.DryRun = false
	first, err := service.Revoke(t.Context(), r)
	if err != nil || first.Before || !first.Since.Equal(rotateAt.Truncate(time.Second)) {
		t.Errorf("%+v, %v", first, err)
	}
	again, err := service.Revoke(t.Context(), r)
	if err != nil || !again.Before || !again.Since.Equal(first.Since) || len(events) != 1 || events[0].Action != tokens.Revoked {
		t.Errorf("%+v, %v, %v", again, err, events)
	}
}

// TestRotateKeepsTheHint gives the new value's beginning to a token that has one.
func TestRotateKeepsTheHint(t *testing.T) {
	store, events := office(), []tokens.Event{}
	service := serviceOf(store, &events)
	by := tokens.Request{Actor: actor(t, service, "alice")}
	made, err := service.Create(t.Context(), tokens.CreateRequest{Request: by, Token: edit.NewToken{Name: "ci", User: "alice", Unrestricted: true}})
	if err != nil {
		t.Fatal(err)
	}
	rotated, err := service.Rotate(t.Context(), tokens.RotateRequest{Request: by, Name: "ci", Overlap: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	stored, err := store.Get(t.Context(), "ci")
	if hint := stored.Document.Metadata.Annotations[tokens.HintAnnotation]; err != nil || hint != rotated.Secret.Reveal()[:9] || hint == made.Secret.Reveal()[:9] {
		t.Errorf("%v: %s", err, stored.Data)
	}
	if len(events) != 2 || events[1].Action != tokens.Rotated {
		t.Errorf("%+v", events)
	}
}

// TestListAndDescribe shows users their own tokens, and administrators all.
func TestListAndDescribe(t *testing.T) {
	store := office()
	store.Put("ci.yaml", tokenNamed("ci", ""))
	store.Put("other.yaml", strings.Replace(tokenNamed("other", ""), "alice", "bob", 1))
	service := serviceOf(store, nil)
	for who, want := range map[string]string{"alice": "ci", "bob": "other", "carol": "", "root": "ci other", "": "ci other"} {
		list, err := service.List(t.Context(), actor(t, service, who), tokens.Query{})
		var names []string
		for _, l := range list {
			names = append(names, l.Name)
		}
		if err != nil || strings.Join(names, " ") != want {
			t.Errorf("%q: %v, %v, want %s", who, err, names, want)
		}
		view, err := service.Describe(t.Context(), actor(t, service, who), "ci", time.Time{})
		if sees := strings.HasPrefix(want, "ci"); sees != (err == nil) || sees && view.User != "alice" || !sees && codeOf(err) != "unknown" {
			t.Errorf("%q: %v, %v", who, view, err)
		}
	}
}

// TestBrokenManifests has changes beside documents that are broken: a caller is told so, and not that the request is wrong.
func TestBrokenManifests(t *testing.T) {
	store, events := office(), []tokens.Event{}
	store.Put("ci.yaml", tokenNamed("ci", ""))
	store.Put("broken.yaml", "kind: nonsense\n")
	service := serviceOf(store, &events)
	by := tokens.Request{Actor: tokens.Actor{User: "alice"}, Via: tokens.ViaAPI}
	for name, change := range map[string]func() error{
		"create": func() error {
			_, err := service.Create(t.Context(), tokens.CreateRequest{Request: by, Token: edit.NewToken{Name: "new", User: "alice", Unrestricted: true}})
			return err
		},
		"update": func() error {
			_, err := service.Update(t.Context(), tokens.UpdateRequest{Request: by, Name: "ci", Fields: []edit.Field{{Key: "displayName", Value: "x"}}})
			return err
		},
		"rotate": func() error {
			_, err := service.Rotate(t.Context(), tokens.RotateRequest{Request: by, Name: "ci"})
			return err
		},
	} {
		var broken *tokens.ProblemsError
		if err := change(); !errors.As(err, &broken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := service.Revoke(t.Context(), tokens.RevokeRequest{Request: by, Name: "ci"}); err != nil {
		t.Errorf("revoke: %v", err)
	}
}
