package access

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Workload is the use of a key from one network by one program; versions of the program and
// machines in the network aren't distinguished.
type Workload struct {
	Program   string
	Network   netip.Prefix // zero if addresses are unknown
	Addresses int
	Requests  int64
	First     time.Time
	Last      time.Time
}

// A workload only counts if it makes at least this number and this share of a key's
// requests.
const (
	leastRequests = 10
	leastShare    = 100 // one in so many
)

// Workloads returns the workloads of one key, largest first, from counts by address and
// agent. Small ones, such as somebody's manual tests, are left out.
func Workloads(counts []Count) []Workload {
	type name struct {
		program string
		network netip.Prefix
	}
	found := make(map[name]*Workload)
	seen := make(map[name]map[string]bool)
	var all int64
	for _, c := range counts {
		n := name{Program(c.Agent), NetworkOf(c.Address)}
		w := found[n]
		if w == nil {
			w = &Workload{Program: n.program, Network: n.network, First: c.First, Last: c.Last}
			found[n], seen[n] = w, make(map[string]bool)
		}
		seen[n][c.Address] = true
		w.Requests, w.Addresses = w.Requests+c.Requests, len(seen[n])
		if c.First.Before(w.First) {
			w.First = c.First
		}
		if c.Last.After(w.Last) {
			w.Last = c.Last
		}
		all += c.Requests
	}
	list := make([]Workload, 0, len(found))
	for _, w := range found {
		if w.Requests >= max(leastRequests, all/leastShare) {
			list = append(list, *w)
		}
	}
	slices.SortFunc(list, func(a, b Workload) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Program, b.Program),
			cmp.Compare(a.Network.String(), b.Network.String()))
	})
	return list
}

// Shared reports whether two workloads use the key at the same time: a workload that has
// moved doesn't share the key with itself.
func Shared(workloads []Workload) bool {
	for i, a := range workloads {
		for _, b := range workloads[i+1:] {
			if a.First.Before(b.Last) && b.First.Before(a.Last) {
				return true
			}
		}
	}
	return false
}

// Program returns the User-Agent without its version and whatever follows: "OpenAI/Python
// 1.40.0" becomes OpenAI/Python, and "curl/8.5.0" curl.
func Program(agent string) string {
	name, _, _ := strings.Cut(agent, " ")
	if i := strings.IndexByte(name, '/'); i >= 0 && i+1 < len(name) && name[i+1] >= '0' && name[i+1] <= '9' {
		name = name[:i]
	}
	return name
}

// Prefix lengths that identify the network of an address.
const (
	bits4 = 24
	bits6 = 64
)

// NetworkOf returns the network of an address; zero if the text isn't an address.
func NetworkOf(address string) netip.Prefix {
	at, err := netip.ParseAddr(address)
	if err != nil {
		return netip.Prefix{}
	}
	bits := bits6
	if at = at.Unmap().WithZone(""); at.Is4() {
		bits = bits4
	}
	network, err := at.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return network
}
