// Command oidc is zitadel's OpenID Connect provider, for `make test-oidc`:
//
//	oidc ADDRESS CLIENT REDIRECT     the client's secret is in SECRET
//
// With IDTOKEN=full its ID tokens have the claims of the user, as those of Keycloak do; without, UserInfo alone has
// them. Its users are test-user2 with the password verysecure, and others of its example.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// fullStorage puts the claims of users into ID tokens.
type fullStorage struct{ *storage.Storage }

// GetClientByClientID returns a client that has them there.
func (s fullStorage) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	client, err := s.Storage.GetClientByClientID(ctx, id)
	if err != nil {
		return nil, err
	}
	return fullClient{client}, nil
}

type fullClient struct{ op.Client }

// IDTokenUserinfoClaimsAssertion implements op.Client.
func (fullClient) IDTokenUserinfoClaimsAssertion() bool { return true }

func main() {
	if len(os.Args) != 4 || os.Getenv("SECRET") == "" {
		fmt.Fprintln(os.Stderr, "usage: SECRET=... oidc ADDRESS CLIENT REDIRECT")
		os.Exit(2)
	}
	address, client, redirect := os.Args[1], os.Args[2], os.Args[3]
	issuer := "http://" + address
	kept := storage.NewStorageWithClients(storage.NewUserStore(issuer), map[string]*storage.Client{
		client: storage.WebClient(client, os.Getenv("SECRET"), redirect),
	})
	var answers exampleop.Storage = kept
	if os.Getenv("IDTOKEN") == "full" {
		answers = fullStorage{kept}
	}
	logger := slog.New(slog.DiscardHandler)
	s := &http.Server{Addr: address, Handler: exampleop.SetupServer(issuer, answers, logger, false), ReadHeaderTimeout: 5 * time.Second}
	fmt.Fprintln(os.Stderr, s.ListenAndServe())
	os.Exit(1)
}
