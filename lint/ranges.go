package lint

import (
	"net/netip"

	"github.com/patgate/patgate/policy"
)

var (
	allIPv4 = netip.MustParsePrefix("0.0.0.0/0")
	allIPv6 = netip.MustParsePrefix("::/0")
	all     = []netip.Prefix{allIPv4, allIPv6}
)

// narrower returns the addresses that are in both of two lists.
func narrower(a, b []netip.Prefix) []netip.Prefix {
	var list []netip.Prefix
	for _, p := range a {
		for _, q := range b {
			switch {
			case !p.Overlaps(q):
			case p.Bits() >= q.Bits():
				list = append(list, p)
			default:
				list = append(list, q)
			}
		}
	}
	return list
}

// without returns a part of a range that no range of a list holds. ok is false where
// the list covers it.
func without(p netip.Prefix, denied []netip.Prefix) (rest netip.Prefix, ok bool) {
	overlaps := false
	for _, d := range denied {
		if d.Overlaps(p) {
			if d.Bits() <= p.Bits() {
				return p, false
			}
			overlaps = true
		}
	}
	if !overlaps {
		return p, true
	}
	for _, half := range halves(p) {
		if rest, ok := without(half, denied); ok {
			return rest, true
		}
	}
	return p, false
}

func halves(p netip.Prefix) [2]netip.Prefix {
	bytes := p.Addr().AsSlice()
	bytes[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
	upper, _ := netip.AddrFromSlice(bytes)
	return [2]netip.Prefix{netip.PrefixFrom(p.Addr(), p.Bits()+1), netip.PrefixFrom(upper, p.Bits()+1)}
}

// covers reports whether a list holds every address of a range.
func covers(list []netip.Prefix, p netip.Prefix) bool {
	_, open := without(p, list)
	return !open
}

// address returns one that is in each of the lists that are not empty and passes all
// of the ranges. ok is false where there is none.
func address(ranges []policy.Ranges, lists ...[]netip.Prefix) (addr netip.Addr, ok bool) {
	rest := all
	var denied []netip.Prefix
	for _, r := range ranges {
		denied = append(denied, r.Deny...)
		lists = append(lists, r.Allow)
	}
	for _, list := range lists {
		if len(list) > 0 {
			rest = narrower(rest, list)
		}
	}
	for _, p := range rest {
		if free, ok := without(p, denied); ok {
			return inside(free), true
		}
	}
	return addr, false
}

// inside returns an address of a range, not its first where there are more.
func inside(p netip.Prefix) netip.Addr {
	if nice := netip.MustParseAddr("192.0.2.7"); p.Contains(nice) {
		return nice
	}
	if p.IsSingleIP() {
		return p.Addr()
	}
	return p.Addr().Next()
}

// onlyIPv4 reports whether a list has ranges, and no IPv6 range.
func onlyIPv4(list []netip.Prefix) bool {
	for _, p := range list {
		if !p.Addr().Is4() {
			return false
		}
	}
	return len(list) > 0
}
