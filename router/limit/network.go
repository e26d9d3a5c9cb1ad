package limit

import "net/netip"

// Network returns the network of an address, as large as a single client is likely to control.
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
