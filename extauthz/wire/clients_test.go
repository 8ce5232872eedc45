package wire

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// TestOtherClient calls with the HTTP/2 client of the standard library, which indexes headers,
// pads nothing and keeps to its windows: many calls at a time, of all sizes.
func TestOtherClient(t *testing.T) {
	f := &fake{slow: func(n int) bool { return n > 64<<10 }}
	_, dial := serve(t, f, Options{MaxMessage: 2 << 20}, nil)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{
		Protocols:          protocols,
		DisableCompression: true,
		DialContext:        func(context.Context, string, string) (net.Conn, error) { return dial(), nil },
	}}
	defer client.CloseIdleConnections()
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for k := range 10 {
				text := fmt.Sprintf("call %d of %d %s", k, i, strings.Repeat("x", (i*k*2003)%(1<<20)))
				r, err := http.NewRequest(http.MethodPost, "http://test"+method, bytes.NewReader(frameOf(text)))
				if err != nil {
					t.Error(err)
					return
				}
				r.Header.Set("Content-Type", "application/grpc")
				r.Header.Set("Te", "trailers")
				r.Header.Set("X-Request-Id", fmt.Sprint(i, k))
				answer, err := client.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(answer.Body)
				answer.Body.Close()
				if want := "answer to " + text[:min(len(text), 60)]; err != nil || string(body[min(5, len(body)):]) != want || answer.Trailer.Get("Grpc-Status") != "0" {
					t.Errorf("%v, %q, status %s; want %q", err, body, answer.Trailer.Get("Grpc-Status"), want)
				}
			}
		})
	}
	wg.Wait()
}
