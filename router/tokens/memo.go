package tokens

import (
	"hash/maphash"
	"sync"
)

// A conversation resends all of its past with every turn. memo remembers what
// messages and tools came to, so that only what is new is counted.
//
// It knows texts by a hash of 64 bits and their length. The hash is keyed anew
// in every process, so nobody can prepare two texts with the same one; that two
// meet by chance among the entries here is less likely than one in 10^14 per
// look-up, and would spoil an estimate, not the books, which settle on what the
// provider reports.
type memo struct {
	seed maphash.Seed
	mu   sync.Mutex
	// Two generations make a cheap LRU: what is used moves to the young one, and
	// when that is full the old one is dropped. There are no pointers in them.
	young, old map[digest]tally
	generation int
}

type digest struct {
	hash uint64
	len  int
}

func newMemo(entries int) *memo {
	return &memo{seed: maphash.MakeSeed(), young: make(map[digest]tally), generation: max(1, entries/2)}
}

// digest names a text: what it is, the rules by which it is counted, its bytes.
func (m *memo) digest(member, rules string, raw []byte) digest {
	var h maphash.Hash
	h.SetSeed(m.seed)
	for _, s := range [...]string{member, "\x00", rules, "\x00"} {
		_, _ = h.WriteString(s)
	}
	_, _ = h.Write(raw)
	return digest{h.Sum64(), len(raw)}
}

func (m *memo) get(d digest) (tally, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.young[d]
	if !ok {
		if v, ok = m.old[d]; ok {
			m.keep(d, v)
		}
	}
	return v, ok
}

func (m *memo) put(d digest, v tally) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keep(d, v)
}

func (m *memo) keep(d digest, v tally) {
	if len(m.young) >= m.generation {
		m.old, m.young = m.young, make(map[digest]tally)
	}
	m.young[d] = v
}
