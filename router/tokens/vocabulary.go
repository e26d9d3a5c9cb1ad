package tokens

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"strconv"

	"github.com/pkoukk/tiktoken-go-loader/assets"
)

// vocabulary are the tokens of an encoding and their ranks. It has no pointers
// to single tokens: hundreds of thousands of them would be looked at by every
// collection of garbage, which cost more than the requests in between.
type vocabulary struct {
	seed  maphash.Seed
	text  []byte   // all tokens, one behind the other
	ends  []uint32 // where each ends in text
	ranks []uint32 // of each
	slots []uint32 // a hash table of their numbers, counted from 1; 0 is free. A power of two of them
}

// unknown is the rank of what is no token.
const unknown = math.MaxUint32

// loadVocabulary reads what is embedded in the program: a line for each token,
// with the token in base64 and its rank.
func loadVocabulary(name string) (*vocabulary, error) {
	file, err := assets.Assets.ReadFile(name + ".tiktoken")
	if err != nil {
		return nil, fmt.Errorf("tokens: load %s: %w", name, err)
	}
	lines := bytes.Count(file, []byte("\n")) + 1
	v := &vocabulary{seed: maphash.MakeSeed(), text: make([]byte, 0, len(file)/2), ends: make([]uint32, 0, lines), ranks: make([]uint32, 0, lines)}
	for line := range bytes.Lines(file) {
		if err := v.read(bytes.TrimRight(line, "\r\n")); err != nil {
			return nil, fmt.Errorf("tokens: load %s: %.100q: %w", name, line, err)
		}
	}
	v.index()
	return v, nil
}

var errLine = errors.New("not a token and its rank")

func (v *vocabulary) read(line []byte) error {
	if len(line) == 0 {
		return nil
	}
	token, number, ok := bytes.Cut(line, []byte(" "))
	rank, err := strconv.ParseUint(string(number), 10, 31)
	if !ok || err != nil {
		return errLine
	}
	if v.text, err = base64.StdEncoding.AppendDecode(v.text, token); err != nil {
		return err
	}
	v.ends, v.ranks = append(v.ends, uint32(len(v.text))), append(v.ranks, uint32(rank))
	return nil
}

// index makes the hash table, which is at most half full.
func (v *vocabulary) index() {
	size := 1
	for size < 2*len(v.ends) {
		size *= 2
	}
	v.slots = make([]uint32, size)
	for i := range v.ends {
		at := v.slot(v.token(i))
		for v.slots[at] != 0 {
			at = (at + 1) & (size - 1)
		}
		v.slots[at] = uint32(i + 1)
	}
}

func (v *vocabulary) slot(token []byte) int {
	return int(maphash.Bytes(v.seed, token) & uint64(len(v.slots)-1))
}

func (v *vocabulary) token(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = v.ends[i-1]
	}
	return v.text[start:v.ends[i]]
}

// rank is that of a token; unknown where it is none.
func (v *vocabulary) rank(token []byte) uint32 {
	for at := v.slot(token); v.slots[at] != 0; at = (at + 1) & (len(v.slots) - 1) {
		if i := int(v.slots[at] - 1); bytes.Equal(v.token(i), token) {
			return v.ranks[i]
		}
	}
	return unknown
}

// merge is how many tokens a piece of at most longestPiece bytes has: of its
// single bytes, the two neighbours whose union has the lowest rank become one,
// the first of several, until no union is a token.
func (v *vocabulary) merge(piece []byte) int {
	var room [longestPiece + 1]int
	var more [longestPiece]uint32
	parts := len(piece)
	starts, ranks := room[:parts+1], more[:parts] // of the parts, and where the last ends; of each with the one behind it
	for i := range starts {
		starts[i] = i
	}
	union := func(i int) uint32 {
		if i+2 > parts {
			return unknown
		}
		return v.rank(piece[starts[i]:starts[i+2]])
	}
	for i := range parts {
		ranks[i] = union(i)
	}
	for parts > 1 {
		best := 0
		for i := range parts {
			if ranks[i] < ranks[best] {
				best = i
			}
		}
		if ranks[best] == unknown {
			break
		}
		copy(starts[best+1:], starts[best+2:parts+1])
		copy(ranks[best+1:], ranks[best+2:parts])
		parts--
		for i := max(best-1, 0); i <= best; i++ {
			ranks[i] = union(i)
		}
	}
	return parts
}
