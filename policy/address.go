package policy

import (
	"net/netip"
	"strings"
)

// Ranges limits client addresses: one within Deny is refused, and where Allow is
// not empty the address must be within it. The zero value limits nothing.
type Ranges struct {
	Allow, Deny []netip.Prefix
}

// Empty reports whether there is no range, so that an unknown address may pass.
func (r *Ranges) Empty() bool { return len(r.Allow) == 0 && len(r.Deny) == 0 }

// Admits reports whether an address may pass. An unknown address, the zero
// netip.Addr, passes only where there is no range at all.
func (r *Ranges) Admits(addr netip.Addr) bool {
	if r.Empty() {
		return true
	}
	if !addr.IsValid() || contains(r.Deny, addr) {
		return false
	}
	return len(r.Allow) == 0 || contains(r.Allow, addr)
}

func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// AddressSource is the source of the client's address at a gate.
type AddressSource uint8

// The sources. Peer is the default.
const (
	FromPeer   AddressSource = iota // Envoy's TCP peer
	FromXFF                         // X-Forwarded-For, counted from the right
	FromHeader                      // one header with one value
)

// String returns `peer`, `xff` or `header`.
func (s AddressSource) String() string {
	switch s {
	case FromXFF:
		return "xff"
	case FromHeader:
		return "header"
	}
	return "peer"
}

// ClientIP is a gate's rule for the client's address. The zero value takes the peer.
type ClientIP struct {
	Source      AddressSource
	TrustedHops int    // FromXFF: Envoy's xff_num_trusted_hops
	Header      string // FromHeader: its name in lower case
}

// address returns the client's address without its IPv4-in-IPv6 form, or the zero
// value where it is unknown: absent, malformed, or with a zone or a port.
func (c *ClientIP) address(r *Request) netip.Addr {
	switch c.Source {
	case FromXFF:
		list, n := r.Header.Get("x-forwarded-for")
		if n == 0 {
			return netip.Addr{}
		}
		return parseAddress(entryFromRight(list, c.TrustedHops))
	case FromHeader:
		value, n := r.Header.Get(c.Header)
		if n != 1 {
			return netip.Addr{}
		}
		return parseAddress(value)
	}
	return plainAddress(r.Peer)
}

// entryFromRight returns the (skip+1)th entry of a comma-separated list from the
// right, or nothing where the list is shorter. It never skips a malformed entry:
// the client controls everything to the left of it.
func entryFromRight(list string, skip int) string {
	for ; skip > 0; skip-- {
		i := strings.LastIndexByte(list, ',')
		if i < 0 {
			return ""
		}
		list = list[:i]
	}
	return strings.Trim(list[strings.LastIndexByte(list, ',')+1:], " \t") // mutant: leftmost-address-counts
}

func parseAddress(text string) netip.Addr {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}
	}
	return plainAddress(addr)
}

func plainAddress(addr netip.Addr) netip.Addr {
	if addr.Zone() != "" { // mutant: address-with-zone
		return netip.Addr{}
	}
	return addr.Unmap()
}
