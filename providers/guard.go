package providers

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
)

// ErrNotPublic is a connection that was refused because it would have led to an
// address that is not on the public internet.
var ErrNotPublic = errors.New("providers: not a public address; a provider that is meant to be there needs private: true")

// guard refuses connections to addresses that are not public. It sees each
// address as it is dialled, after every spelling and every name was resolved.
func guard(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("providers: dial %s: %w", address, err)
	}
	if !public(to.Addr()) {
		return fmt.Errorf("%w: %s", ErrNotPublic, to.Addr())
	}
	return nil
}

// public reports whether an address is on the public internet.
func public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	if a.Is6() && !globalUnicast.Contains(a) {
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return a.IsValid()
}

var (
	// nat64 carries an IPv4 address in its last four bytes. Where a network has
	// IPv6 alone, public providers are reached through it.
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
	// globalUnicast is all that IPv6 has given out. What lies beyond it is
	// loopback, link-local, unique local, multicast, mapped or of no use.
	globalUnicast = netip.MustParsePrefix("2000::/3")
	// special are the registries of special-purpose addresses of IANA.
	special = prefixes(
		"0.0.0.0/8",       // this network
		"10.0.0.0/8",      // private
		"100.64.0.0/10",   // carrier-grade NAT, and the metadata service of some clouds
		"127.0.0.0/8",     // loopback
		"169.254.0.0/16",  // link-local, and the metadata service of most clouds
		"172.16.0.0/12",   // private
		"192.0.0.0/24",    // protocol assignments
		"192.0.2.0/24",    // documentation
		"192.88.99.0/24",  // relays from 6to4
		"192.168.0.0/16",  // private
		"198.18.0.0/15",   // benchmarks
		"198.51.100.0/24", // documentation
		"203.0.113.0/24",  // documentation
		"224.0.0.0/4",     // multicast
		"240.0.0.0/4",     // reserved, and broadcast
		"2001::/23",       // protocol assignments: Teredo and others that tunnel
		"2001:db8::/32",   // documentation
		"2002::/16",       // 6to4: an IPv4 address in the next four bytes
		"3fff::/20",       // documentation
	)
)

func prefixes(list ...string) []netip.Prefix {
	all := make([]netip.Prefix, len(list))
	for i, s := range list {
		all[i] = netip.MustParsePrefix(s)
	}
	return all
}
