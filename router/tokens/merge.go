package tokens

import "math"

// part is a piece's bytes from start up to the next part: a token, once nothing more
// can be merged.
type part struct {
	start int32
	rank  int32 // of this part and the next as one token; noRank where they are none
}

const noRank = math.MaxInt32

// usualPiece is how long nearly all pieces are at most.
const usualPiece = cutPiece

// tokensOf is how many tokens the bytes of a piece merge to: of all neighbours, the two
// that make the token with the lowest rank are merged first, the leftmost of equals, until
// no two make one. It is what tiktoken does, without making the tokens.
func (e *encoding) tokensOf(piece []byte) int64 {
	var usual [usualPiece + 1]part
	parts := usual[:0]
	if len(piece) > usualPiece {
		parts = make([]part, 0, len(piece)+1)
	}
	for i := range int32(len(piece)) {
		parts = append(parts, part{i, e.rank(piece, i, i+2)})
	}
	parts = append(parts, part{int32(len(piece)), noRank}) // where the last one ends
	for {
		lowest, at := int32(noRank), 0
		for i := range parts {
			if parts[i].rank < lowest {
				lowest, at = parts[i].rank, i
			}
		}
		if lowest == noRank {
			return int64(len(parts) - 1)
		}
		parts = append(parts[:at+1], parts[at+2:]...)
		parts[at].rank = e.rankAt(piece, parts, at)
		if at > 0 {
			parts[at-1].rank = e.rankAt(piece, parts, at-1)
		}
	}
}

// rankAt is the rank of parts[i] and the next one.
func (e *encoding) rankAt(piece []byte, parts []part, i int) int32 {
	if i+2 >= len(parts) {
		return noRank
	}
	return e.rank(piece, parts[i].start, parts[i+2].start)
}

// rank is that of some bytes of a piece as one token.
func (e *encoding) rank(piece []byte, from, to int32) int32 {
	if int(to) <= len(piece) {
		if rank, ok := e.ranks[string(piece[from:to])]; ok {
			return int32(rank)
		}
	}
	return noRank
}
