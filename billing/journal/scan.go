package journal

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// state is what is at a place of a segment.
type state int

const (
	whole state = iota // a record
	wrong              // a record's length, but its sum is wrong
	short              // the beginning of a record: the file ends too early
	noise              // not the beginning of a record
)

// look reads the record at the beginning of b; n is its length with its head
// where that is known, that is unless there is only noise.
func look(b []byte, seed uint32) (rec []byte, n int, st state) {
	if len(b) < 8 {
		return nil, 0, short
	}
	length := binary.LittleEndian.Uint32(b)
	if length != ^binary.LittleEndian.Uint32(b[4:]) || length == 0 || length > MaxRecord {
		return nil, 0, noise
	}
	n = headSize + int(length)
	if len(b) < n {
		return nil, n, short
	}
	rec = b[headSize:n]
	if binary.LittleEndian.Uint32(b[8:]) != crc32.Update(crc32.Update(seed, castagnoli, b[:4]), castagnoli, rec) {
		return nil, n, wrong
	}
	return rec, n, whole
}

// gap is a place that is not a record.
type gap struct {
	at, n  int64
	torn   bool // a write that had not ended: the record was never acknowledged
	reason string
}

// scan hands every record of a segment to yield. end is the length that the
// segment must have, or 0 if its process died before anyone knew. An error is
// only ever yield's.
func scan(s Segment, data []byte, end int64, yield func(rec []byte) error) ([]gap, error) {
	var gaps []gap
	size := int64(len(data))
	if end > 0 && end < size {
		data, size = data[:end], end // what follows was cut off when it failed
	}
	at := min(size, headerSize)
	if h, ok := parseHeader(data[:at]); at == headerSize && (!ok || h.number != s) {
		gaps = append(gaps, gap{at: 0, n: headerSize, reason: "the header is damaged"})
	}
	seed := s.seed()
	for at < size {
		rec, n, st := look(data[at:], seed)
		if st == whole {
			if err := yield(rec); err != nil {
				return gaps, err
			}
			at += int64(n)
			continue
		}
		g := skip(data[at:], seed, n, st)
		g.at = at
		at += g.n
		g.torn = g.torn && at == size && end == 0
		gaps = append(gaps, g)
	}
	if end > size {
		gaps = append(gaps, gap{at: size, n: end - size, reason: "the end is missing"})
	}
	return gaps, nil
}

// skip finds out how long the gap is that b begins with. A sound length is
// trusted, so that what a record contains is not taken for records.
func skip(b []byte, seed uint32, n int, st state) gap {
	switch st {
	case short:
		return gap{n: int64(len(b)), torn: true, reason: "the record is cut off"}
	case wrong:
		return gap{n: int64(n), reason: "the checksum is wrong"}
	default:
		return seek(b, seed)
	}
}

// seek looks for the next record that is sound in every byte.
func seek(b []byte, seed uint32) gap {
	if empty(b) {
		return gap{n: int64(len(b)), torn: true, reason: "nothing but noughts"}
	}
	g := gap{n: int64(len(b)), reason: "not a record"}
	work := 16 * len(b) // a bound for files that are made to keep us busy
	for at := 1; at < len(b) && work > 0; at++ {
		_, n, st := look(b[at:], seed)
		if st == whole {
			g.n = int64(at)
			return g
		}
		if st == wrong {
			work -= n
		}
	}
	return g
}

// empty is whether there is nothing but noughts.
func empty(b []byte) bool {
	return len(bytes.TrimLeft(b, "\x00")) == 0
}
