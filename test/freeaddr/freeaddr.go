// Package freeaddr finds addresses for servers that tests start.
package freeaddr

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// first and count are ports below those that Linux and others give to connections and to port 0: what
// other tests do meanwhile does not take one before the server listens on it.
const first, count = 20_000, 12_000

// Get returns a loopback address that nothing listens on.
func Get() (string, error) {
	var last error
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(count)))
		if err == nil {
			return l.Addr().String(), l.Close()
		}
		last = err
	}
	return "", fmt.Errorf("no free address on loopback: %w", last)
}
