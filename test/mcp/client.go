package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}

// ask prints what becomes of each request; all are of one session.
func ask(url, token string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	steps := make(chan string, 100)
	c := mcp.NewClient(&mcp.Implementation{Name: "go", Version: "1"}, &mcp.ClientOptions{
		ElicitationHandler: func(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			return &mcp.ElicitResult{Action: "accept", Content: map[string]any{"sure": true}}, nil
		},
		ProgressNotificationHandler: func(_ context.Context, r *mcp.ProgressNotificationClientRequest) {
			steps <- fmt.Sprint(r.Params.ProgressToken)
		},
	})
	session, err := c.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: url, HTTPClient: &http.Client{Transport: bearer(token)}}, nil)
	if err != nil {
		return err
	}
	defer session.Close()
	u := user{ctx, session, steps}
	u.list()
	u.call("read_issue")
	u.call("delete_issue")
	u.call("read_issue")
	u.call("search_issues")
	u.printSteps()
	for _, uri := range []string{"issue://OPEN/1", "issue://OPEN/draft"} {
		say(uri, func() (string, error) {
			out, err := session.ReadResource(ctx, &mcp.ReadResourceParams{URI: uri})
			if err != nil {
				return "", err
			}
			return out.Contents[0].Text, nil
		})
	}
	for _, name := range []string{"triage", "wipe"} {
		say(name, func() (string, error) {
			out, err := session.GetPrompt(ctx, &mcp.GetPromptParams{Name: name})
			if err != nil {
				return "", err
			}
			return out.Messages[0].Content.(*mcp.TextContent).Text, nil
		})
	}
	say("complete", func() (string, error) {
		_, err := session.Complete(ctx, &mcp.CompleteParams{
			Ref: &mcp.CompleteReference{Type: "ref/prompt", Name: "wipe"}, Argument: mcp.CompleteParamsArgument{Name: "a", Value: "1"}})
		return "did complete", err
	})
	u.giveUp()
	u.call("read_issue")
	u.call("search_private")
	u.call("read_issue")
	return nil
}

type user struct {
	ctx     context.Context
	session *mcp.ClientSession
	steps   chan string
}

// say prints what became of a request.
func say(name string, request func() (string, error)) {
	out, err := request()
	if err != nil {
		fmt.Println(name, "refused:", strings.Join(strings.Fields(err.Error()), " "))
		return
	}
	fmt.Println(name, "answered:", out)
}

func (u user) list() {
	say("tools", func() (string, error) {
		out, err := u.session.ListTools(u.ctx, nil)
		if err != nil {
			return "", err
		}
		return fmt.Sprint(len(out.Tools)), nil
	})
}

func (u user) call(name string) {
	say(name, func() (string, error) { return u.text(u.ctx, name) })
}

func (u user) text(ctx context.Context, name string) (string, error) {
	params := &mcp.CallToolParams{Name: name, Arguments: map[string]any{}}
	params.SetProgressToken(name)
	out, err := u.session.CallTool(ctx, params)
	if err != nil {
		return "", err
	}
	return out.Content[0].(*mcp.TextContent).Text, nil
}

// patience is how long the server may take to learn that a call was cancelled.
const patience = 10 * time.Second

// printSteps prints the progress of a call, unless it was refused.
func (u user) printSteps() {
	ctx, cancel := context.WithTimeout(u.ctx, time.Second)
	defer cancel()
	fmt.Print("steps")
	for range 3 {
		select {
		case step := <-u.steps:
			fmt.Print(" ", step)
		case <-ctx.Done():
		}
	}
	fmt.Println()
}

// giveUp cancels a call when it has begun, and awaits that the server knows.
func (u user) giveUp() {
	before, _ := u.text(u.ctx, "search_cancelled")
	ctx, cancel := context.WithCancel(u.ctx)
	go func() {
		select {
		case <-u.steps:
		case <-u.ctx.Done():
		}
		cancel()
	}()
	_, err := u.text(ctx, "search_slowly")
	fmt.Println("search_slowly cancelled:", ctx.Err() != nil && err != nil)
	knows := false
	for deadline := time.Now().Add(patience); !knows && time.Now().Before(deadline); {
		n, err := u.text(u.ctx, "search_cancelled")
		if err != nil {
			break
		}
		knows = n != before
	}
	fmt.Println("the server knows:", knows)
}
