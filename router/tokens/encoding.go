package tokens

import (
	"context"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"github.com/pkoukk/tiktoken-go"
	loader "github.com/pkoukk/tiktoken-go-loader"

	"tallyroute/providers/jsonraw"
)

// The encodings that are counted exactly.
const (
	O200k  = tiktoken.MODEL_O200K_BASE
	Cl100k = tiktoken.MODEL_CL100K_BASE
)

// Merging the bytes of a piece takes time quadratic in its length: 80 KB of a single letter
// would take seconds. Pieces longer than longestPiece, which hardly occur in text in any
// language, are cut into parts.
const (
	longestPiece = 512
	cutPiece     = 128
)

// workUnit is the unit of work.
const workUnit = 10 * time.Nanosecond

// What counting costs: looking a piece up, scanning its bytes, and merging them. It only has to
// be right within a factor of about two.
const lookupWork = 5

func walkWork(n int) int64 { return int64(n) / 4 }

func mergeWork(n int) int64 { return 10 + 8*int64(n) + int64(n)*int64(n)/25 }

// encoding counts with one vocabulary, which never changes.
type encoding struct {
	ranks   map[string]int
	merged  *pieces
	split   splitter
	classes *classTable
}

// loadEncoding takes about 0.2 s and 20 MB, so it is done once. It reads what is embedded in
// the program. tiktoken's own registry of encodings is not used: it is global and would
// download them.
func loadEncoding(name string, split splitter) (*encoding, error) {
	ranks, err := loader.NewOfflineLoader().LoadTiktokenBpe(name + ".tiktoken")
	if err != nil {
		return nil, fmt.Errorf("tokens: load %s: %w", name, err)
	}
	return &encoding{ranks: ranks, merged: newPieces(), split: split, classes: classes()}, nil
}

// count returns how many tokens text has as ordinary text: what looks like a special token is
// not treated as one. If the work runs out, rest is how many bytes were not counted: no text
// has more tokens than bytes. exact is then false, as it is if a piece was cut.
func (e *encoding) count(text []byte, w *work) (n, rest int64, exact bool) {
	text = valid(text)
	now := text
	if int64(len(text)) > w.left { // do not examine more than will be counted
		now = whole(text, int(max(w.left, 0)))
	}
	i := 0
	for exact = true; i < len(now) && w.goesOn(); {
		end := e.split(e.classes, now, i)
		w.left -= walkWork(end-i) + lookupWork
		if _, ok := e.ranks[string(now[i:end])]; ok {
			n++
		} else if end-i <= longestPiece {
			n += e.merge(now[i:end], w)
		} else {
			exact = false
			n += e.mergeParts(now[i:end], w)
		}
		i = end
	}
	return n, int64(len(text) - i), exact && i == len(text)
}

// merge returns how many tokens a piece has.
func (e *encoding) merge(piece []byte, w *work) int64 {
	slot, mark := e.merged.of(piece)
	if n, ok := slot.get(mark); ok {
		return n
	}
	w.left -= mergeWork(len(piece))
	n := e.tokensOf(piece)
	slot.put(mark, n)
	return n
}

// atCut is how many tokens a cut may hide. Merging within the parts does not see what is on the
// other side; in trials that never hid more than one token per cut.
const atCut = 2

// mergeParts returns the maximum number of tokens in a long piece.
func (e *encoding) mergeParts(piece []byte, w *work) (n int64) {
	for len(piece) > 0 && w.goesOn() {
		part := whole(piece, cutPiece)
		n += e.merge(part, w) + atCut
		piece = piece[len(part):]
	}
	return n + int64(len(piece))
}

// valid returns text with every byte that is not UTF-8 replaced, as in tiktoken.
func valid(text []byte) []byte {
	if jsonraw.ValidUTF8(text) {
		return text
	}
	return []byte(string([]rune(string(text))))
}

// whole returns the first n bytes of text, or slightly fewer: no character is cut.
func whole(text []byte, n int) []byte {
	for n < len(text) && n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:min(n, len(text))]
}

// work is how much may still be done for one call, and for whom.
type work struct {
	ctx   context.Context
	left  int64
	until int64 // ctx is checked when left falls below this
	err   error // of ctx
	pace  jsonraw.Pace
}

const checkEvery = int64(100 * time.Microsecond / workUnit)

// goesOn reports whether there is work left and someone is still waiting for it. It rests every
// so often.
func (w *work) goesOn() bool {
	if w.left < w.until && w.err == nil {
		w.until = w.left - checkEvery
		w.err = w.ctx.Err()
		w.pace.Rest()
	}
	return w.left > 0 && w.err == nil
}

// part is the bytes of a piece from start up to the next part: a token, once nothing more can
// be merged.
type part struct {
	start int32
	rank  int32 // of this part and the next as one token; noRank if they do not form one
}

const noRank = math.MaxInt32

// usualPiece is the length that nearly all pieces stay within.
const usualPiece = cutPiece

// tokensOf returns how many tokens the bytes of a piece merge into: of all neighbours, the two
// that form the token with the lowest rank are merged first, the leftmost if equal, until no
// two form one. This is what tiktoken does, without creating the tokens.
func (e *encoding) tokensOf(piece []byte) int64 {
	var usual [usualPiece + 1]part
	parts := usual[:0]
	if len(piece) > usualPiece {
		parts = make([]part, 0, len(piece)+1)
	}
	for i := range int32(len(piece)) {
		parts = append(parts, part{i, e.rank(piece, i, i+2)})
	}
	parts = append(parts, part{int32(len(piece)), noRank}) // the end of the last part
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

// rankAt returns the rank of parts[i] and the next part.
func (e *encoding) rankAt(piece []byte, parts []part, i int) int32 {
	if i+2 >= len(parts) {
		return noRank
	}
	return e.rank(piece, parts[i].start, parts[i+2].start)
}

// rank returns the rank of some bytes of a piece as one token.
func (e *encoding) rank(piece []byte, from, to int32) int32 {
	if int(to) <= len(piece) {
		if rank, ok := e.ranks[string(piece[from:to])]; ok {
			return int32(rank)
		}
	}
	return noRank
}
