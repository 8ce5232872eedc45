#!/bin/sh
# Tool: the Go SDK of the Model Context Protocol, github.com/modelcontextprotocol/go-sdk v1.8.0 (Go module).
#
# Behaviour: since version 2026-07-28 of the protocol a request names its tool or prompt in the header Mcp-Name as well,
# and a name that is not plain ASCII travels as `=?base64?...?=`. The SDK's server does not decode that header: it
# compares it as it is with the body, and answers 400, "header mismatch", to what a client does by the book. Its own
# client sends the name in raw UTF-8 bytes instead, which its server takes. So the two agree with each other only.
#
# Why it surprises: the proposal behind these headers (SEP-2243) has one rule of encoding for all of them and asks
# servers to decode. The SDK does so for the headers Mcp-Param-*, in both directions, as its docs/protocol.md says.
# Clients in other languages encode Mcp-Name, so they can't get a prompt with such a name from a Go server. The server's
# side is known to the project (its issue 1234); v1.8.0 was the newest version when this was written.
#
# Output seen:
#   prompt "size", header "size":                        200
#   prompt "größe", header "=?base64?Z3LDtsOfZQ==?=":    400 header mismatch
#   prompt "größe", header by the SDK's own client:      200 (it sent "größe", not encoded)
#   as stated: the server refuses an encoded Mcp-Name, and its client sends none

set -eu
for tool in go timeout; do
	command -v "$tool" >/dev/null || { echo "this script needs $tool"; exit 2; }
done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' HUP INT TERM

cat >"$dir/go.mod" <<'END'
module example.com/finding

go 1.26

require github.com/modelcontextprotocol/go-sdk v1.8.0
END
cat >"$dir/main.go" <<'END'
// A server with a prompt, asked by requests as the protocol describes them, and by the SDK's own client.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const (
	version = "2026-07-28"
	name    = "größe"
	encoded = "=?base64?Z3LDtsOfZQ==?="
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	plain := ask(ctx, "size", "size")
	byTheBook := ask(ctx, name, encoded)
	sent, own := askWithOwnClient(ctx, name)
	fmt.Printf("%-53s%s\n", `prompt "size", header "size":`, plain)
	fmt.Printf("%-53s%s\n", `prompt "`+name+`", header "`+encoded+`":`, byTheBook)
	fmt.Printf("%-53s%s (it sent %q, not encoded)\n", `prompt "`+name+`", header by the SDK's own client:`, own, sent)
	if plain != "200" || byTheBook != "400 header mismatch" || own != "200" || sent != name {
		fmt.Println("changed: expected 200, 400 header mismatch, and 200 for a name that is not encoded")
		os.Exit(1)
	}
	fmt.Println("as stated: the server refuses an encoded Mcp-Name, and its client sends none")
}

// serve starts a server with one prompt. The last Mcp-Name that came is kept.
func serve(prompt string) (*httptest.Server, *atomic.Value) {
	server := mcp.NewServer(&mcp.Implementation{Name: "finding", Version: "1"}, nil)
	server.AddPrompt(&mcp.Prompt{Name: prompt}, func(context.Context, *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		message := &mcp.PromptMessage{Role: "user", Content: &mcp.TextContent{Text: "hello"}}
		return &mcp.GetPromptResult{Messages: []*mcp.PromptMessage{message}}, nil
	})
	options := &mcp.StreamableHTTPOptions{Stateless: true, JSONResponse: true}
	handler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, options)
	var last atomic.Value
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		last.Store(r.Header.Get("Mcp-Name"))
		handler.ServeHTTP(w, r)
	})), &last
}

// ask sends prompts/get with a header of its own, and says what came back.
func ask(ctx context.Context, prompt, header string) string {
	server, _ := serve(prompt)
	defer server.Close()
	const prefix = "io.modelcontextprotocol/"
	body, err := json.Marshal(map[string]any{
		"jsonrpc": "2.0", "id": 1, "method": "prompts/get",
		"params": map[string]any{"name": prompt, "_meta": map[string]any{
			prefix + "protocolVersion":    version,
			prefix + "clientInfo":         map[string]any{"name": "finding", "version": "1"},
			prefix + "clientCapabilities": map[string]any{},
		}},
	})
	if err != nil {
		return err.Error()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, strings.NewReader(string(body)))
	if err != nil {
		return err.Error()
	}
	for key, value := range map[string]string{
		"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
		"Mcp-Protocol-Version": version, "Mcp-Method": "prompts/get", "Mcp-Name": header,
	} {
		request.Header.Set(key, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	var answer struct {
		Error *struct{ Message string }
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return err.Error()
	}
	if answer.Error != nil {
		kind, _, _ := strings.Cut(answer.Error.Message, ":")
		return fmt.Sprint(response.StatusCode, " ", kind)
	}
	return fmt.Sprint(response.StatusCode)
}

// askWithOwnClient asks for a prompt by the SDK's client, and says which Mcp-Name that sent.
func askWithOwnClient(ctx context.Context, prompt string) (sent, seen string) {
	server, last := serve(prompt)
	defer server.Close()
	client := mcp.NewClient(&mcp.Implementation{Name: "finding", Version: "1"}, nil)
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: server.URL}, nil)
	if err != nil {
		return "", err.Error()
	}
	defer session.Close()
	if _, err := session.GetPrompt(ctx, &mcp.GetPromptParams{Name: prompt}); err != nil {
		return last.Load().(string), err.Error()
	}
	return last.Load().(string), "200"
}
END
cd "$dir"
# The modules go to the temporary folder; the compiled packages to Go's own cache, as always.
GOWORK=off GOMODCACHE="$dir/modules" GOFLAGS='-mod=mod -modcacherw -trimpath' \
	timeout 110 go build -o finding . >"$dir/log" 2>&1 ||
	{ cat "$dir/log"; echo "the program did not build"; exit 2; }
timeout 60 ./finding
