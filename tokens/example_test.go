package tokens_test

import (
	"context"
	"fmt"
	"time"

	"github.com/patgate/patgate/manifest/edit"
	"github.com/patgate/patgate/tokens"
	"github.com/patgate/patgate/tokens/storetest"
)

// A user creates a token for themselves, and may let it do less afterwards, and never more.
func ExampleService() {
	ctx, store := context.Background(), new(storetest.Map) // loader/dir has a Store of directories
	store.Put("manifests.yaml", storetest.Gate+"---\n"+group("people", "members: [alice], tokens: {create: true, maxLifetime: 90d}"))
	service := &tokens.Service{
		Store: store, Documents: store, Now: func() time.Time { return time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC) },
		Events: func(e tokens.Event) { fmt.Println(e.Action, e.Token, "by", e.By, "via", e.Via) },
	}
	actor, rights, err := service.Actor(ctx, "alice")
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println("may create tokens:", rights.Create, "of", tokens.LifetimeText(rights.MaxLifetime))

	request := tokens.Request{Actor: actor, Via: tokens.ViaAPI}
	made, err := service.Create(ctx, tokens.CreateRequest{
		Request: request, Token: edit.NewToken{Name: "ci", User: "alice", LimitTo: []string{"[get]/rest/.*"}}, Lifetime: 30 * 24 * time.Hour,
	})
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println(made.Name, "of", made.User, "ends", made.Expires.Format(time.DateOnly))

	_, err = service.Update(ctx, tokens.UpdateRequest{Request: request, Name: "ci", Fields: []edit.Field{{Key: "limitTo", Value: "/rest/.*\n"}}})
	fmt.Println(err)
	// Output:
	// may create tokens: true of 90d
	// token.created ci by alice via api
	// ci of alice ends 2026-07-01
	// limits of the token ci may only become less, expected what is there without some of it: an administrator may add to it
}
