package jsonraw

import (
	"bytes"
	"hash/maphash"
)

// few is the number of names up to which all are compared with each other; more are hashed.
const few = 12

// seen finds duplicate names in an object, in less than quadratic time. Its table is reused
// between objects.
type seen struct {
	seed  maphash.Seed
	table []uint16 // positions in names, counted from 1; 0 is free
}

// twice returns a name that occurs more than once, or nil if none does.
func (s *seen) twice(names [][]byte) []byte {
	if len(names) > few {
		return s.hashed(names)
	}
	for i := 1; i < len(names); i++ {
		for _, name := range names[:i] {
			if bytes.Equal(name, names[i]) {
				return name
			}
		}
	}
	return nil
}

func (s *seen) hashed(names [][]byte) []byte {
	if s.table == nil {
		s.seed, s.table = maphash.MakeSeed(), make([]uint16, 2048) // at least twice MaxMembers
	}
	size := 32
	for size < 2*len(names) {
		size *= 2
	}
	table := s.table[:size]
	clear(table)
	for i, name := range names {
		slot := maphash.Bytes(s.seed, name) % uint64(size)
		for ; table[slot] != 0; slot = (slot + 1) % uint64(size) {
			if bytes.Equal(names[table[slot]-1], name) {
				return name
			}
		}
		table[slot] = uint16(i + 1) // at most MaxMembers
	}
	return nil
}
