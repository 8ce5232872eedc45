package main

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

type nothing struct{}

// cancelled counts the calls that clients gave up.
var cancelled atomic.Int64

// serve runs an issue tracker. It prints a line for everything that it runs.
func serve(address string, stateless bool) error {
	s := mcp.NewServer(&mcp.Implementation{Name: "tracker", Version: "1"}, &mcp.ServerOptions{
		CompletionHandler: func(context.Context, *mcp.CompleteRequest) (*mcp.CompleteResult, error) {
			fmt.Println("ran complete")
			return &mcp.CompleteResult{Completion: mcp.CompletionResultDetails{Values: []string{"1"}}}, nil
		},
	})
	tool(s, "read_issue", nil)
	tool(s, "search_issues", threeSteps)
	tool(s, "search_slowly", untilCancelled)
	tool(s, "search_cancelled", func(context.Context, *mcp.CallToolRequest) string { return fmt.Sprint(cancelled.Load()) })
	tool(s, "delete_issue", nil)
	s.AddTool(&mcp.Tool{Name: "search_private", InputSchema: &jsonschema.Schema{Type: "object"}}, searchPrivate)
	for _, uri := range []string{"issue://OPEN/1", "issue://OPEN/draft"} {
		s.AddResource(&mcp.Resource{Name: uri, URI: uri}, func(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
			fmt.Println("ran", uri)
			return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: uri, MIMEType: "text/plain", Text: "did " + uri}}}, nil
		})
	}
	for _, name := range []string{"triage", "wipe"} {
		s.AddPrompt(&mcp.Prompt{Name: name}, func(context.Context, *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			fmt.Println("ran", name)
			return &mcp.GetPromptResult{Messages: []*mcp.PromptMessage{{Role: "user", Content: &mcp.TextContent{Text: "did " + name}}}}, nil
		})
	}
	h := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s },
		&mcp.StreamableHTTPOptions{Stateless: stateless, PropagateRequestCancellation: true})
	return (&http.Server{Addr: address, Handler: h, ReadHeaderTimeout: 10 * time.Second}).ListenAndServe()
}

// tool adds a tool that says what it did, or what f returns.
func tool(s *mcp.Server, name string, f func(context.Context, *mcp.CallToolRequest) string) {
	mcp.AddTool(s, &mcp.Tool{Name: name}, func(ctx context.Context, r *mcp.CallToolRequest, _ nothing) (*mcp.CallToolResult, any, error) {
		fmt.Println("ran", name)
		text := "did " + name
		if f != nil {
			text = f(ctx, r)
		}
		return said(text), nil, nil
	})
}

func said(text string) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}
}

func threeSteps(ctx context.Context, r *mcp.CallToolRequest) string {
	for step := range 3 {
		progress(ctx, r, float64(step+1))
	}
	return "did search_issues"
}

func untilCancelled(ctx context.Context, r *mcp.CallToolRequest) string {
	progress(ctx, r, 1)
	select {
	case <-ctx.Done():
		cancelled.Add(1)
	case <-time.After(30 * time.Second):
	}
	return "did search_slowly"
}

func progress(ctx context.Context, r *mcp.CallToolRequest, step float64) {
	_ = r.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: r.Params.GetProgressToken(), Progress: step})
}

// searchPrivate needs an answer of the client's user before it is done.
func searchPrivate(_ context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	if r.Params.InputResponses["owner"] != nil {
		fmt.Println("ran search_private")
		return said("did search_private"), nil
	}
	schema := &jsonschema.Schema{Type: "object", Properties: map[string]*jsonschema.Schema{"sure": {Type: "boolean"}}}
	return &mcp.CallToolResult{InputRequests: mcp.InputRequestMap{"owner": &mcp.ElicitParams{Message: "Sure?", RequestedSchema: schema}}}, nil
}
