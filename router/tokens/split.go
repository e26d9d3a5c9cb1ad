package tokens

import (
	"hash/maphash"
	"sync/atomic"
)

// The encodings cut text into pieces by a pattern before they merge bytes within each piece.
// The splitters here find the same pieces as the patterns do in tiktoken, in one pass and
// without a regular expression engine, which costs many times as much as the rest of a count,
// and which is slowest on the strangest texts. Each alternative of a pattern is quoted where it
// is tried; the first that matches decides.

// splitter returns the end of the piece that starts at text[i], which exists. Text is valid
// UTF-8.
type splitter func(t *classTable, text []byte, i int) int

// splitO200k splits by the pattern of o200k_base.
func splitO200k(t *classTable, text []byte, i int) int {
	c, n := t.at(text, i)
	// [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?
	// [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?
	switch {
	case c&letter != 0:
		mixed, capitals := word(t, text, i)
		return contraction(text, max(mixed, capitals))
	case c == mark: // may be the first character of the pattern, or else the second
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

// word matches the letters of the first two alternatives of o200k_base at text[i]. mixed is the
// end for the first: capitals and caseless letters, then at least one lower-case or caseless
// letter, which the former may give back. capitals is the end for the second if the first does
// not match. 0 means no match.
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

// splitCl100k splits by the pattern of cl100k_base.
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

// contraction returns the end of (?i:'s|'t|'re|'ve|'m|'ll|'d)? at text[i].
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

// digits returns the end of \p{N}{1,3} at text[i], which is a number.
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

// symbols returns the end of ` ?[^\s\p{L}\p{N}]+` at text[i], 0 if it does not match.
func symbols(t *classTable, text []byte, i int) int {
	if text[i] == ' ' {
		i++
	}
	if end := t.run(text, i, mark|symbol); end > i {
		return end
	}
	return 0
}

// blanks returns the end of \s*[\r\n]+|\s+(?!\S)|\s+ at text[i], which is white space.
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

// pieces remembers the token counts of pieces that are not single tokens: names and foreign
// words recur again and again. It identifies them by a hash whose seed nobody knows, as memo
// does, and a new one replaces an old one.
type pieces struct {
	seed  maphash.Seed
	slots [1 << 13]pieceSlot
}

// pieceSlot holds the mark of a piece, with the count in its lowest bits; 0 means empty.
type pieceSlot struct{ v atomic.Uint64 }

// countMask is the maximum number of tokens in a piece.
const countMask = 1<<10 - 1

func newPieces() *pieces { return &pieces{seed: maphash.MakeSeed()} }

// of returns where a piece is remembered, and the mark that identifies it there.
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
