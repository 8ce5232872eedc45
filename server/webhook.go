package server

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// webhook sends messages as Standard Webhooks has it: signed, and again until they are taken.
type webhook struct {
	url    string
	key    []byte
	queue  chan message
	pauses []time.Duration // after each attempt that failed; then the message is given up
	client *http.Client
	now    func() time.Time
	logger *slog.Logger

	waiting atomic.Int64 // messages that are neither taken nor given up
}

type message struct {
	id   string
	body []byte
}

// webhookPauses are those that the specification suggests.
var webhookPauses = []time.Duration{5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour}

const (
	webhookQueue   = 10_000 // messages that wait
	webhookWithin  = 15 * time.Second
	minWebhookKey  = 24 // bytes
	webhookAtOnce  = 4  // messages that are under way
	secretOfHooks  = "whsec_"
	webhookContent = "application/json"
)

// newWebhook checks where messages go, and reads the key that signs them.
func newWebhook(to, secretFile string, now func() time.Time, logger *slog.Logger) (*webhook, error) {
	u, err := url.Parse(to)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("notify-url: %q is no URL, expected one such as https://hooks.example.com/patgate", to)
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return nil, errors.New("notify-url: everyone on the network path could read the messages, expected https")
	case secretFile == "":
		return nil, errors.New("notify-secret-file: missing, expected a file with the key that signs messages: whsec_ and the base64 of 24 bytes or more")
	}
	text, err := os.ReadFile(secretFile)
	if err != nil {
		return nil, fmt.Errorf("notify-secret-file: %w", err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(strings.TrimSpace(string(text)), secretOfHooks))
	if err != nil || len(key) < minWebhookKey {
		return nil, fmt.Errorf("notify-secret-file: %s holds no key, expected whsec_ and the base64 of %d bytes or more", secretFile, minWebhookKey)
	}
	client := &http.Client{Timeout: webhookWithin, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &webhook{url: to, key: key, queue: make(chan message, webhookQueue), pauses: webhookPauses, client: client, now: now, logger: logger}, nil
}

// send queues a message, and never waits.
func (h *webhook) send(kind string, at time.Time, data any) {
	body, err := json.Marshal(map[string]any{"type": kind, "timestamp": at.UTC().Format(time.RFC3339), "data": data})
	if err != nil {
		return // not reached: the data are texts and numbers
	}
	if h.waiting.Add(1) > webhookQueue {
		h.waiting.Add(-1)
		h.logger.Error("a webhook message was dropped: too many are waiting", "kind", kind)
		return
	}
	h.queue <- message{"msg_" + rand.Text(), body} // it has room for all that wait
}

// run sends messages until ctx is done.
func (h *webhook) run(ctx context.Context) {
	under := make(chan struct{}, webhookAtOnce)
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-h.queue:
			go func() {
				h.deliver(ctx, m, under)
				h.waiting.Add(-1)
			}()
		}
	}
}

// deliver sends a message until it is taken, or for as long as the pauses last. It has a place in under only during an
// attempt, so that a message that is not taken does not delay others.
func (h *webhook) deliver(ctx context.Context, m message, under chan struct{}) {
	for attempt := 0; ; attempt++ {
		select {
		case under <- struct{}{}:
		case <-ctx.Done():
			return
		}
		err := h.attempt(ctx, m)
		<-under
		if err == nil {
			return
		}
		if attempt >= len(h.pauses) || errors.Is(err, errGone) {
			h.logger.Error("a webhook message could not be delivered, patgate gives up", "id", m.id, "attempts", attempt+1, "error", err)
			return
		}
		h.logger.Warn("the webhook did not accept a message, patgate will retry", "id", m.id, "in", h.pauses[attempt].String(), "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(h.pauses[attempt]):
		}
	}
}

// errGone reports that a webhook answered 410 Gone.
var errGone = errors.New("the webhook is gone")

func (h *webhook) attempt(ctx context.Context, m message) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(m.body))
	if err != nil {
		return err
	}
	stamp := strconv.FormatInt(h.now().Unix(), 10)
	r.Header.Set("Content-Type", webhookContent)
	r.Header.Set("webhook-id", m.id)
	r.Header.Set("webhook-timestamp", stamp)
	r.Header.Set("webhook-signature", "v1,"+h.signature(m, stamp))
	answer, err := h.client.Do(r)
	if err != nil {
		var of *url.Error
		if errors.As(err, &of) {
			err = of.Err // the URL may hold a secret
		}
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10))
	switch {
	case answer.StatusCode >= 200 && answer.StatusCode < 300:
		return nil
	case answer.StatusCode == http.StatusGone:
		return errGone
	}
	return fmt.Errorf("it answers %d", answer.StatusCode)
}

func (h *webhook) signature(m message, stamp string) string {
	mac := hmac.New(sha256.New, h.key)
	mac.Write([]byte(m.id + "." + stamp + "."))
	mac.Write(m.body)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
