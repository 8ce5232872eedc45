package server

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/patgate/patgate/diag"
	"github.com/patgate/patgate/extauthz"
	"github.com/patgate/patgate/extauthz/httpfront"
	"github.com/patgate/patgate/loader/dir"
)

// unixPrefix begins the address of a unix socket.
const unixPrefix = "unix://"

// socketMode lets the owner and the group of the process connect.
const socketMode = 0o660

// The least of what MaxHeader and MaxReceive can be: Envoy's own headers,
// and some connections.
const (
	minHeader  = 1 << 10
	minReceive = 4 << 20
)

// minStale is more than the time between two bookmarks of a watch, which was measured as up to two minutes.
const minStale = 5 * time.Minute

// checkOptions refuses options that are invalid or insecure.
func checkOptions(o *Options) error {
	switch {
	case len(o.Manifests) == 0 && o.Kubernetes == nil || slices.Contains(o.Manifests, ""):
		return &UsageError{"no manifests, expected Manifests"}
	case (o.TLSCert == "") != (o.TLSKey == ""):
		return &UsageError{"TLSCert and TLSKey go together"}
	case negative(o) != "":
		return &UsageError{negative(o) + " is below zero, expected zero or more"}
	case o.MaxHeader != 0 && o.MaxHeader < minHeader:
		return &UsageError{fmt.Sprintf("MaxHeader %d: expected at least %d", o.MaxHeader, minHeader)}
	case o.MaxReceive != 0 && o.MaxReceive < minReceive:
		return &UsageError{fmt.Sprintf("MaxReceive %d: expected at least %d", o.MaxReceive, minReceive)}
	case o.MaxStale != 0 && o.MaxStale < minStale:
		return &UsageError{fmt.Sprintf("MaxStale %s: expected at least %s, as an API server may say nothing for two minutes where nothing changes", o.MaxStale, minStale)}
	case o.IsolateTokens && o.Manage != nil:
		return &UsageError{"IsolateTokens is given and tokens are managed, expected one of both: the management changes manifests that are valid together"}
	case o.IsolateTokens && len(o.Manifests) == 0:
		return &UsageError{"IsolateTokens needs Manifests: the fault of a cluster's token concerns that token alone anyway"}
	case o.StaleDeny && o.MaxStale == 0, o.MaxStale != 0 && o.Kubernetes == nil:
		return &UsageError{"StaleDeny needs MaxStale, and MaxStale needs Kubernetes"}
	case o.Transport != "" && !slices.Contains(extauthz.Transports, o.Transport):
		return &UsageError{fmt.Sprintf("Transport %q: expected %s", o.Transport, strings.Join(extauthz.Transports, " or "))}
	case len(o.TLSClientNames) > 0 && o.TLSClientCA == "":
		return &UsageError{"TLSClientNames needs TLSClientCA"}
	case slices.Contains(o.TLSClientNames, ""):
		return &UsageError{"TLSClientNames is empty, expected a DNS name, a URI such as spiffe://example.org/envoy, or an IP address of the client's certificate"}
	case o.TLSClientCA != "" && o.TLSCert == "":
		return &UsageError{"TLSClientCA needs TLSCert and TLSKey"}
	}
	if len(o.Manifests) > 0 || o.LastGood != "" {
		if err := dir.Check(o.Manifests, o.LastGood); err != nil {
			return &UsageError{err.Error()}
		}
	}
	if err := checkFront(o); err != nil {
		return err
	}
	return checkListen(o, "Listen", o.Listen, "Envoy")
}

// negative names an option that is below zero.
func negative(o *Options) string {
	for _, n := range []struct {
		option string
		number int64
	}{
		{"AuditWait", int64(o.AuditWait)}, {"DrainDelay", int64(o.DrainDelay)}, {"DrainGrace", int64(o.DrainGrace)},
		{"MaxBody", int64(o.MaxBody)}, {"MaxInFlight", int64(o.MaxInFlight)}, {"MaxManifests", o.MaxManifests},
	} {
		if n.number < 0 {
			return n.option
		}
	}
	return ""
}

// checkFront checks what belongs to checks over HTTP.
func checkFront(o *Options) error {
	switch {
	case o.HTTPListen == "" && o.HTTPFront == "":
		return nil
	case o.HTTPListen == "":
		return &UsageError{"HTTPFront needs HTTPListen"}
	case o.HTTPFront == "":
		return &UsageError{"HTTPListen needs HTTPFront, one of " + strings.Join(httpfront.Names(), ", ")}
	case !httpfront.Kind(o.HTTPFront).Known():
		return &UsageError{fmt.Sprintf("HTTPFront %s: %s", o.HTTPFront, diag.Suggest(o.HTTPFront, httpfront.Names()))}
	}
	return checkListen(o, "HTTPListen", o.HTTPListen, "the front")
}

// checkListen refuses an invalid address for checks, and one that every client can reach. who may call it.
func checkListen(o *Options, option, address, who string) error {
	path, unix := strings.CutPrefix(address, unixPrefix)
	switch {
	case unix && !filepath.IsAbs(path), !unix && strings.HasPrefix(address, "unix:"):
		return &UsageError{fmt.Sprintf("%s %s: expected unix:// and an absolute path, such as unix:///run/patgate/patgate.sock", option, address)}
	case unix:
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	if _, invalid := net.LookupPort("tcp", port); err != nil || invalid != nil {
		return &UsageError{fmt.Sprintf("%s %s: expected HOST:PORT or unix:///path", option, address)}
	}
	if !isLoopback(host) && o.TLSClientCA == "" && !o.InsecureListen {
		return &UsageError{fmt.Sprintf("%s %s: beyond loopback everyone could ask for decisions: "+
			"expected TLSCert, TLSKey and TLSClientCA, or InsecureListen where the network itself admits %s alone", option, address, who)}
	}
	return nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// listen binds an address: host:port, or unix:///path.
func listen(address string) (net.Listener, error) {
	path, unix := strings.CutPrefix(address, unixPrefix)
	if !unix {
		return net.Listen("tcp", address)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	// The socket gets its mode before it gets its name: at no moment may others connect.
	hidden := filepath.Join(filepath.Dir(path), "."+rand.Text()[:5])
	l, err := net.Listen("unix", hidden)
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	named := &socket{Listener: l, path: path}
	if err := errors.Join(os.Chmod(hidden, socketMode), os.Rename(hidden, path)); err != nil {
		_ = os.Remove(hidden)
		return nil, errors.Join(err, l.Close())
	}
	return named, nil
}

// removeStale removes a socket without a listener.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSocket == 0:
		return fmt.Errorf("%s is there and no socket, expected a free path", path)
	}
	if c, err := net.Dial("unix", path); err == nil {
		_ = c.Close()
		return fmt.Errorf("%s is in use by another process", path)
	}
	return os.Remove(path)
}

// socket is a unix listener under its final name.
type socket struct {
	net.Listener
	path string
}

// Addr returns the address under which clients find the socket.
func (s *socket) Addr() net.Addr { return &net.UnixAddr{Net: "unix", Name: s.path} }

// Close stops listening and removes the socket.
func (s *socket) Close() error {
	err := s.Listener.Close()
	if removeErr := os.Remove(s.path); removeErr != nil && !errors.Is(removeErr, fs.ErrNotExist) {
		err = errors.Join(err, removeErr)
	}
	return err
}

// instance names the process in the audit: the host, or pod, and a word that a restart
// changes.
func instance(sealed bool) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	random := strings.ToLower(rand.Text())
	if !sealed {
		random = random[:6]
	}
	return host + "/" + random
}
