package tokens

import (
	"hash/maphash"
	"sync/atomic"
)

// The encodings cut text into pieces by a pattern before they merge bytes
// within each piece. The splitters here find the same pieces as the patterns
// do in tiktoken, in one pass and without a regular expression engine, which
// costs many times what the rest of a count does, and which is at its slowest
// where text is at its strangest. Each alternative of a pattern is quoted where
// it is tried; the first that matches decides.

// splitter is the end of the piece that starts at text[i], which exists. Text
// is valid UTF-8.
type splitter func(t *classTable, text []byte, i int) int

// splitO200k cuts by the pattern of o200k_base.
func splitO200k(t *classTable, text []byte, i int) int {
	c, n := t.at(text, i)
	// [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?
	// [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?
	switch {
	case c&letter != 0:
		mixed, capitals := word(t, text, i)
		return contraction(text, max(mixed, capitals))
	case c == mark: // may be the first character of the pattern, else the second
		mixed, _ := word(t, text, i+n)
		if mixed == 0 {
			mixed, _ = word(t, text, i)
		}
		return contraction(text, mixed)
	case c&(space|symbol) != 0:
		if mixed, capitals := word(t, text, i+n); mixed+capitals > 0 {
			return contraction(text, max(mixed, capitals))
		}
	case c == number:
		return digits(t, text, i)
	}
	// ` ?[^\s\p{L}\p{N}]+[\r\n/]*`
	if end := symbols(t, text, i); end > 0 {
		for end < len(text) && (text[end] == '\r' || text[end] == '\n' || text[end] == '/') {
			end++
		}
		return end
	}
	return blanks(t, text, i)
}

// word matches the letters of the first two alternatives of o200k_base at
// text[i]. mixed is the end by the first: capitals and caseless letters, then at
// least one small or caseless letter, which may be given back by the former.
// capitals is the end by the second where the first does not match. 0 means none.
func word(t *classTable, text []byte, i int) (mixed, capitals int) {
	end := i
	for {
		c, n := t.at(text, end)
		if c&(upper|other|mark) == 0 {
			if c == lower {
				return t.run(text, end, lower|other|mark), 0
			}
			break
		}
		end += n
		if c != upper {
			mixed = end
		}
	}
	if mixed == 0 && end > i {
		capitals = end
	}
	return mixed, capitals
}

// splitCl100k cuts by the pattern of cl100k_base.
func splitCl100k(t *classTable, text []byte, i int) int {
	// (?i:'s|'t|'re|'ve|'m|'ll|'d)
	if end := contraction(text, i); end > i {
		return end
	}
	// [^\r\n\p{L}\p{N}]?\p{L}+
	c, n := t.at(text, i)
	switch {
	case c&letter != 0:
		return t.run(text, i, letter)
	case c&(mark|space|symbol) != 0:
		if end := t.run(text, i+n, letter); end > i+n {
			return end
		}
	case c == number:
		return digits(t, text, i)
	}
	// ` ?[^\s\p{L}\p{N}]+[\r\n]*`
	if end := symbols(t, text, i); end > 0 {
		return t.run(text, end, newline)
	}
	return blanks(t, text, i)
}

// contraction is the end of (?i:'s|'t|'re|'ve|'m|'ll|'d)? at text[i].
func contraction(text []byte, i int) int {
	if i+1 >= len(text) || text[i] != '\'' {
		return i
	}
	switch text[i+1] | 0x20 {
	case 's', 't', 'm', 'd':
		return i + 2
	case 'r', 'v', 'l':
		if i+2 == len(text) {
			return i
		}
		switch string([]byte{text[i+1] | 0x20, text[i+2] | 0x20}) {
		case "re", "ve", "ll":
			return i + 3
		}
	}
	return i
}

// digits is the end of \p{N}{1,3} at text[i], which is a number.
func digits(t *classTable, text []byte, i int) int {
	for range 3 {
		c, n := t.at(text, i)
		if c != number {
			break
		}
		i += n
	}
	return i
}

// symbols is the end of ` ?[^\s\p{L}\p{N}]+` at text[i], 0 where it does not match.
func symbols(t *classTable, text []byte, i int) int {
	if text[i] == ' ' {
		i++
	}
	if end := t.run(text, i, mark|symbol); end > i {
		return end
	}
	return 0
}

// blanks is the end of \s*[\r\n]+|\s+(?!\S)|\s+ at text[i], which is white space.
func blanks(t *classTable, text []byte, i int) int {
	end, last, lastLine := i, i, 0 // of the run, the start of its last character, the end of its last new line
	for {
		c, n := t.at(text, end)
		if c&blank == 0 {
			break
		}
		last, end = end, end+n
		if c == newline {
			lastLine = end
		}
	}
	switch {
	case lastLine > 0:
		return lastLine
	case end == len(text) || last == i:
		return end
	}
	return last
}

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
