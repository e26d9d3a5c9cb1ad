package tokens

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"
	"time"
)

// Options are the settings of a Counter. Each zero value stands for a default.
type Options struct {
	// Budget is approximately how much CPU time one call may take before the rest of its text is
	// estimated with a bound; default 25 ms, which is enough for a megabyte of English. It is
	// enforced by counting steps, not by a clock.
	Budget time.Duration
	// Memo is how many messages are remembered; default 65,536, at 60 bytes each.
	Memo int
}

func (o Options) withDefaults() Options {
	if o.Budget <= 0 {
		o.Budget = 25 * time.Millisecond
	}
	if o.Memo <= 0 {
		o.Memo = 1 << 16
	}
	return o
}

// Counter estimates and counts. It is safe for concurrent use.
type Counter struct {
	o         Options
	encodings map[string]func() (*encoding, error) // loaded on first use, once
	memo      *memo
}

// New returns a counter that has not loaded a vocabulary yet; see Warm.
func New(o Options) *Counter {
	o = o.withDefaults()
	load := func(name string, split splitter) func() (*encoding, error) {
		return sync.OnceValues(func() (*encoding, error) { return loadEncoding(name, split) })
	}
	return &Counter{
		o:         o,
		encodings: map[string]func() (*encoding, error){O200k: load(O200k, splitO200k), Cl100k: load(Cl100k, splitCl100k)},
		memo:      newMemo(o.Memo),
	}
}

// Warm loads encodings, or O200k if none is named, so that no request has to wait a fifth of a
// second for it.
func (c *Counter) Warm(ctx context.Context, names ...string) error {
	if len(names) == 0 {
		names = []string{O200k}
	}
	for _, name := range names {
		load, ok := c.encodings[name]
		if !ok {
			return fmt.Errorf("tokens: no encoding %q", name)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := load(); err != nil {
			return err
		}
	}
	return nil
}

// session is one call: what it counts with, and its remaining work.
type session struct {
	work
	c     *Counter
	e     *encoding
	t     Tokenizer
	rules rules
	alike string // the same for all tokenizers that count alike before Percent is applied
}

// budget returns the work allowed for one call.
func (c *Counter) budget() int64 { return int64(c.o.Budget / workUnit) }

func (c *Counter) begin(ctx context.Context, t Tokenizer) (*session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	load, own := c.encodings[t.Encoding]
	if !own {
		load = c.encodings[O200k]
	}
	e, err := load()
	if err != nil {
		return nil, err
	}
	s := &session{work: work{ctx: ctx, left: c.budget(), until: c.budget()}, c: c, e: e, t: t, rules: t.rules(), alike: t.alike()}
	return s, nil
}

// count counts text.
func (s *session) count(text []byte) tally {
	if len(text) == 0 || s.err != nil {
		return tally{}
	}
	n, rest, exact := s.e.count(text, &s.work)
	sum := tally{text: n + rest, loose: rest - rest/BytesPerToken, inexact: !exact}
	if !s.t.own() {
		sum.fixed = foreign(text)
		sum.loose += sum.fixed
	}
	return sum
}

// remembered returns the result of count, from the memo if it is there. A count that ran out of
// work is remembered only if it had the whole budget: the next call, which need not count what
// came before, gets further.
func (s *session) remembered(member string, raw []byte, count func() tally) tally {
	d := s.c.memo.digest(member, s.alike, raw)
	if v, ok := s.c.memo.get(d); ok {
		return v
	}
	fresh := s.left == s.c.budget()
	v := count()
	if s.err == nil && (s.left > 0 || fresh) {
		s.c.memo.put(d, v)
	}
	return v
}

// A conversation resends its whole past with every turn. memo remembers the counts of messages
// and tools, so that only new ones are counted.
//
// It identifies texts by a 64-bit hash and their length. The hash has a new key in every
// process, so nobody can prepare two texts with the same hash; the chance that two of the
// entries here collide is less than one in 10^14 per lookup, and a collision would spoil an
// estimate, not the books, which settle on what the provider reports.
type memo struct {
	seed maphash.Seed
	mu   sync.Mutex
	// Two generations make a cheap LRU: used entries move to the young one, and when that is
	// full the old one is dropped. They contain no pointers.
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

// digest identifies a text: what it is, the rules by which it is counted, its bytes.
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
