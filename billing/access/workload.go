package access

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Workload is who uses a key from one network as one program: the versions of a program
// and the machines of a network are not told apart.
type Workload struct {
	Program   string
	Network   netip.Prefix // the zero value where addresses are not known
	Addresses int
	Requests  int64
	First     time.Time
	Last      time.Time
}

// A workload counts where it makes that many of a key's requests, and that share.
const (
	leastRequests = 10
	leastShare    = 100 // one in so many
)

// Workloads are those of one key, the largest first, by counts that tell addresses and
// agents apart. What somebody has tried by hand is left out.
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

// Shared reports whether two workloads use the key at the same time: one that has moved
// does not share it with itself.
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

// Program is what a client calls itself, without its version and what follows:
// "OpenAI/Python 1.40.0" is OpenAI/Python, and "curl/8.5.0" curl.
func Program(agent string) string {
	name, _, _ := strings.Cut(agent, " ")
	if i := strings.IndexByte(name, '/'); i >= 0 && i+1 < len(name) && name[i+1] >= '0' && name[i+1] <= '9' {
		name = name[:i]
	}
	return name
}

// Bits of an address that say in which network it is.
const (
	bits4 = 24
	bits6 = 64
)

// NetworkOf is the network of an address; the zero value where the text is not an address.
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
