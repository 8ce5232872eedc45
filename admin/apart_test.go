package admin_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/patgate/patgate/admin"
	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/token"
	"github.com/patgate/patgate/tokens"
	"github.com/patgate/patgate/tokens/storetest"
)

// withApart is a store that keeps the tokens of a second one apart, as the store of a cluster does.
type withApart struct {
	*storetest.Map
	apart *storetest.Map
}

func (s withApart) Apart(ctx context.Context) (map[string]tokens.Apart, error) {
	set, err := s.apart.Documents(ctx)
	found := map[string]tokens.Apart{}
	for _, doc := range set.Tokens {
		found[doc.Key()] = tokens.Apart{Document: doc, State: "active", Secret: doc.Key()}
	}
	return found, err
}

func (s withApart) of(ctx context.Context, name string) *storetest.Map {
	if _, err := s.apart.Get(ctx, name); err == nil {
		return s.apart
	}
	return s.Map
}

func (s withApart) Get(ctx context.Context, name string) (*tokens.Stored, error) {
	return s.of(ctx, name).Get(ctx, name)
}

func (s withApart) Apply(ctx context.Context, name string, was tokens.Revision, change *edit.Change) (tokens.Receipt, error) {
	return s.of(ctx, name).Apply(ctx, name, was, change)
}

// TestATokenIsListedOnce has a token that has just become one of the documents, and is still kept apart.
func TestATokenIsListedOnce(t *testing.T) {
	apart := new(storetest.Map)
	g := newRig(t, func(o *admin.Options) { o.Service.Store = withApart{o.Service.Store.(*storetest.Map), apart} })
	g.put("own", "  user: alice\n  unrestricted: true\n")
	apart.Put("own.yaml", g.Store.Text()[strings.Index(g.Store.Text(), "own.yaml\n")+len("own.yaml\n"):])
	if list := read(t, g.do(as{header: "alice"}, "GET", "/api/v1/tokens", "")); len(list["items"].([]any)) != 1 {
		t.Errorf("%v", list)
	}
}

// TestTokensApartAreRevokedWithTheOthers revokes the tokens of a user who left, of a group and by their names. A controller makes
// the value of one of them.
func TestTokensApartAreRevokedWithTheOthers(t *testing.T) {
	for _, which := range []string{`"user": "leaver"`, `"group": "users"`, `"names": ["robot", "own"]`} {
		apart := new(storetest.Map)
		g := newRig(t, func(o *admin.Options) {
			store := o.Service.Store.(*storetest.Map)
			o.Service.Store = withApart{store, apart}
		})
		user := "leaver"
		if strings.Contains(which, "group") {
			user = "alice"
		}
		g.put("own", "  user: "+user+"\n  unrestricted: true\n")
		apart.Put("robot.yaml", fmt.Sprintf("apiVersion: patgate.dev/v1alpha1\nkind: APIToken\nmetadata: {name: robot}\nspec:\n  digest: %s\n  issued: 2026-05-01T00:00:00Z\n  user: %s\n  unrestricted: true\n",
			token.Sum(token.Mint()), user))
		root := as{header: "root"}
		found := read(t, g.do(root, "POST", "/api/v1/tokens:revoke", "{"+which+`, "dryRun": true}`))
		if fmt.Sprint(found["names"]) != "[own robot]" {
			t.Errorf("%s: a dry run finds %v", which, found)
			continue
		}
		people, err := g.Handler.People(t.Context(), &admin.Caller{User: "root", Actor: tokens.Actor{User: "root", Admin: true}})
		if i := slices.IndexFunc(people, func(p admin.Person) bool { return p.User == user }); err != nil || i < 0 || people[i].Live != 2 {
			t.Errorf("%s: %+v, %v: want 2 live tokens of %s", which, people, err, user)
		}
		if got := read(t, g.do(root, "POST", "/api/v1/tokens/robot:rotate", "")); got["reason"] != "not_editable" {
			t.Errorf("rotated: %v", got)
		}
		read(t, g.do(root, "POST", "/api/v1/tokens:revoke", "{"+which+`, "expect": 2}`))
		if !strings.Contains(g.Store.Text(), "revoked:") || !strings.Contains(apart.Text(), "revoked:") {
			t.Errorf("%s: not all are revoked:\n%s%s", which, g.Store.Text(), apart.Text())
		}
		if again := read(t, g.do(root, "POST", "/api/v1/tokens:revoke", "{"+which+`, "dryRun": true}`)); again["count"] != 0.0 {
			t.Errorf("%s: after it, %v", which, again)
		}
	}
}
