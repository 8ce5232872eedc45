package test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// upstream is an HTTP/1.1 server that answers every request with the raw head it got,
// and counts them. It uses no HTTP library, so it shows what really arrives.
type upstream struct {
	addr     string
	requests atomic.Int64
	ids      sync.Map // of the decisions that let the requests through
}

func startUpstream(t *testing.T) *upstream {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{addr: l.Addr().String()}
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			wg.Go(func() {
				u.serve(c)
				c.Close()
				mu.Lock()
				delete(open, c)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return u
}

func (u *upstream) serve(c net.Conn) {
	r := bufio.NewReader(c)
	for {
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		head, err := readHead(r)
		if err != nil {
			return
		}
		if err := skipBody(r, head); err != nil {
			return
		}
		u.requests.Add(1)
		for _, id := range fieldsOf(head, "x-patgate-id") {
			u.ids.Store(id, true)
		}
		body, _ := json.Marshal(map[string]string{"head": head})
		if _, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nx-upstream: 1\r\ncontent-length: %d\r\n\r\n", len(body)); err != nil {
			return
		}
		if !strings.HasPrefix(head, "HEAD ") {
			if _, err := c.Write(body); err != nil {
				return
			}
		}
	}
}

func readHead(r *bufio.Reader) (string, error) {
	var head bytes.Buffer
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return "", err
		}
		head.Write(line)
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			return head.String(), nil
		}
	}
}

func skipBody(r *bufio.Reader, head string) error {
	if lengths := fieldsOf(head, "content-length"); len(lengths) > 0 {
		n, err := strconv.ParseInt(lengths[0], 10, 64)
		if err != nil {
			return err
		}
		_, err = io.CopyN(io.Discard, r, n)
		return err
	}
	if len(fieldsOf(head, "transfer-encoding")) == 0 {
		return nil
	}
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(strings.TrimSpace(line), 16, 64)
		if err != nil {
			return err
		}
		if _, err := io.CopyN(io.Discard, r, n+2); err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
	}
}

// fieldsOf returns the values of a header in a raw head, in their order.
func fieldsOf(head, name string) []string {
	var values []string
	for line := range strings.SplitSeq(head, "\n") {
		field, value, ok := strings.Cut(line, ":")
		if ok && strings.EqualFold(field, name) {
			values = append(values, strings.TrimSpace(value))
		}
	}
	return values
}
