package tokens

import (
	"hash/maphash"
	"sync/atomic"
)

// pieces remembers how many tokens pieces have that are not one: names and words of
// other languages come again and again. It knows them by a hash whose seed nobody
// knows, as memo does, and forgets one for another.
type pieces struct {
	seed  maphash.Seed
	slots [1 << 13]pieceSlot
}

// pieceSlot has the mark of a piece, and in its lowest bits the count; 0 means none.
type pieceSlot struct{ v atomic.Uint64 }

// countMask holds the most tokens that a piece can have.
const countMask = 1<<10 - 1

func newPieces() *pieces { return &pieces{seed: maphash.MakeSeed()} }

// of is where a piece is remembered, and what it is known by there.
func (p *pieces) of(piece []byte) (at *pieceSlot, mark uint64) {
	h := maphash.Bytes(p.seed, piece)
	return &p.slots[h%uint64(len(p.slots))], h &^ countMask
}

func (s *pieceSlot) get(mark uint64) (n int64, ok bool) {
	v := s.v.Load()
	return int64(v & countMask), v != 0 && v&^countMask == mark
}

func (s *pieceSlot) put(mark uint64, n int64) {
	if n <= countMask {
		s.v.Store(mark | uint64(n))
	}
}
