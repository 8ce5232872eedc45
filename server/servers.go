package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// servers are those that follow the same manifests, by the URLs of their status ports. A name may have several
// addresses, as that of a headless Service has: each is a server. One with addresses of IPv4 and of IPv6, such as
// localhost, has each server twice, or listens at one of them.
type servers struct {
	urls   []string
	lookup func(ctx context.Context, host string) ([]string, error)
}

func newServers(urls []string) *servers {
	return &servers{urls, net.DefaultResolver.LookupHost}
}

// addresses returns the current addresses of a URL's host, with the port.
func (s *servers) addresses(ctx context.Context, status string) ([]string, error) {
	u, err := url.Parse(status)
	if err != nil {
		return nil, err
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	hosts, err := s.lookup(ctx, u.Hostname())
	if err != nil {
		return nil, err
	}
	var list []string
	for _, host := range hosts {
		list = append(list, net.JoinHostPort(host, port))
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// clientAt connects to one address, whatever the name in a URL is.
func clientAt(address string) *http.Client {
	return &http.Client{Timeout: usageEvery / 2, Transport: &http.Transport{
		DisableKeepAlives: true, // the next request with this URL may be for another address
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}}
}

// askEvery is the interval between requests for a server's revision.
const askEvery = 50 * time.Millisecond

// follow waits until every server runs a change. It returns false if ctx is done before.
func (s *servers) follow(ctx context.Context, runs func(*revisionStatus) bool) bool {
	for _, status := range s.urls {
		run := map[string]bool{} // the addresses that were seen to run the change
		for !s.ask(ctx, status, runs, run) {
			select {
			case <-ctx.Done():
				return false
			case <-time.After(askEvery):
			}
		}
	}
	return true
}

// ask calls those addresses of a URL that were not seen to run the change yet, and reports whether all run it.
func (s *servers) ask(ctx context.Context, status string, runs func(*revisionStatus) bool, run map[string]bool) bool {
	addresses, err := s.addresses(ctx, status)
	if err != nil || len(addresses) == 0 {
		return false
	}
	got := make([]bool, len(addresses))
	var all sync.WaitGroup
	for i, address := range addresses {
		if got[i] = run[address]; got[i] {
			continue
		}
		all.Go(func() {
			running, err := statusAt(ctx, status, address)
			got[i] = err == nil && runs(running)
		})
	}
	all.Wait()
	left, found := map[bool]int{}, map[bool]int{} // by whether they are of IPv6
	for i, address := range addresses {
		six := strings.HasPrefix(address, "[")
		found[six]++
		if run[address] = got[i]; !got[i] {
			left[six]++
		}
	}
	return found[false] > 0 && left[false] == 0 || found[true] > 0 && left[true] == 0
}

// statusAt fetches what a server runs.
func statusAt(ctx context.Context, status, address string) (*revisionStatus, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(status, "/")+"/revision", nil)
	if err != nil {
		return nil, err
	}
	answer, err := clientAt(address).Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	var running revisionStatus
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %d", status, answer.StatusCode)
	}
	err = json.NewDecoder(io.LimitReader(answer.Body, 1<<20)).Decode(&running)
	return &running, err
}
