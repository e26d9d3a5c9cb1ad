package limit

import "net/netip"

// Network is the network of an address, as far as one client is likely to have it all.
func Network(a netip.Addr) string {
	bits := 56
	if a = a.Unmap(); a.Is4() {
		bits = 24
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return "unknown"
	}
	return p.String()
}
