package server

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/patgate/patgate/admin"
	"github.com/patgate/patgate/audit"
	"github.com/patgate/patgate/tokens"
)

// noticeEvery is the interval between searches for tokens that end soon.
const noticeEvery = time.Hour

// notices gives notice of tokens that end soon: an audit event each, and a message to a webhook.
type notices struct {
	service *tokens.Service
	audit   admin.Recorder
	hook    *webhook // nil: none
	now     func() time.Time
	logger  *slog.Logger
	every   time.Duration
}

// run gives notices until ctx is done.
func (n *notices) run(ctx context.Context) {
	if n.hook != nil {
		sent := make(chan struct{})
		go func() { defer close(sent); n.hook.run(ctx) }()
		defer func() { <-sent }()
	}
	for {
		n.give(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(n.every):
		}
	}
}

// give gives the notices that are due.
func (n *notices) give(ctx context.Context) {
	list, err := n.service.Notices(ctx)
	if err != nil {
		n.logger.Warn("could not send notices for all tokens that end soon", "error", err)
	}
	for _, notice := range list {
		_ = n.audit.Record(context.WithoutCancel(ctx), &audit.Event{
			Time: n.now(), Kind: audit.TokenExpires, Severity: audit.Notice, Token: notice.Token, User: notice.User,
			Detail: fmt.Sprintf("ends within %d days, at %s", notice.Days, notice.End.UTC().Format(time.RFC3339)),
		})
		if n.hook != nil {
			n.hook.send(string(audit.TokenExpires), n.now(), map[string]any{
				"token": notice.Token, "user": notice.User, "displayName": notice.DisplayName, "expires": notice.End.UTC().Format(time.RFC3339), "withinDays": notice.Days,
			})
		}
	}
}
