// Command mcp is an MCP server with two tools, and a client that calls them, of the Go SDK:
//
//	mcp server ADDRESS sessions|stateless
//	mcp client URL TOKEN
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

func main() {
	var err error
	if os.Args[1] == "server" {
		err = serve(os.Args[2], os.Args[3] == "stateless")
	} else {
		err = ask(os.Args[2], os.Args[3])
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

type nothing struct{}

func serve(address string, stateless bool) error {
	s := mcp.NewServer(&mcp.Implementation{Name: "tracker", Version: "1"}, nil)
	for _, name := range []string{"read_issue", "delete_issue"} {
		mcp.AddTool(s, &mcp.Tool{Name: name}, func(context.Context, *mcp.CallToolRequest, nothing) (*mcp.CallToolResult, any, error) {
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "did " + name}}}, nil, nil
		})
	}
	h := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, &mcp.StreamableHTTPOptions{Stateless: stateless})
	return (&http.Server{Addr: address, Handler: h, ReadHeaderTimeout: 10 * time.Second}).ListenAndServe()
}

type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}

// ask prints what becomes of each call; all are of one session.
func ask(url, token string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c := mcp.NewClient(&mcp.Implementation{Name: "go", Version: "1"}, nil)
	session, err := c.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: url, HTTPClient: &http.Client{Transport: bearer(token)}}, nil)
	if err != nil {
		return err
	}
	defer session.Close()
	list, err := session.ListTools(ctx, nil)
	if err != nil {
		return err
	}
	fmt.Println("tools", len(list.Tools))
	for _, name := range []string{"read_issue", "delete_issue", "read_issue"} {
		out, err := session.CallTool(ctx, &mcp.CallToolParams{Name: name, Arguments: map[string]any{}})
		switch {
		case err != nil:
			fmt.Println(name, "refused:", err)
		default:
			fmt.Println(name, "answered:", out.Content[0].(*mcp.TextContent).Text)
		}
	}
	return nil
}
