// Command oidc is zitadel's OpenID Connect provider, for `make test-oidc`:
//
//	oidc ADDRESS CLIENT REDIRECT     the client's secret is in SECRET
//
// Its users are test-user2 with the password verysecure, and others of its example.
package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
)

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
	logger := slog.New(slog.DiscardHandler)
	s := &http.Server{Addr: address, Handler: exampleop.SetupServer(issuer, kept, logger, false), ReadHeaderTimeout: 5 * time.Second}
	fmt.Fprintln(os.Stderr, s.ListenAndServe())
	os.Exit(1)
}
