package controller

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// serveStatus answers probes until ctx is done.
func (c *Controller) serveStatus(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", c.readyz)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.Serve(c.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// readyz says whether the objects are known, and whether this controller writes.
func (c *Controller) readyz(w http.ResponseWriter, _ *http.Request) {
	select {
	case <-c.source.Up():
	default:
		http.Error(w, "not ready: the cluster's objects are not listed yet", http.StatusServiceUnavailable)
		return
	}
	c.mu.Lock()
	writes := c.queue != nil
	c.mu.Unlock()
	if writes {
		_, _ = fmt.Fprintln(w, "ok: this controller writes")
		return
	}
	_, _ = fmt.Fprintln(w, "ok: another controller may write")
}
