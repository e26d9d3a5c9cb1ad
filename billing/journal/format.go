package journal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"strconv"
	"strings"
)

// The format is docs/adr/0013-journal.md; all numbers are little endian.
//
//	segment: header, records
//	header:  magic (8 bytes), version u32, segment u64, before u64, crc32c u32 over these
//	record:  length u32, its complement u32, crc32c u32, payload
//
// The header has this form in every version. "before" is the length of the segment
// before this one if the same process wrote it, otherwise zero. The crc32c of a record
// covers the segment's number, the length and the payload.
const (
	magic      = "tallyjnl"
	version    = 1
	headerSize = 32
	headSize   = 12
	suffix     = ".log"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Segment is the number of a file of the log; numbers grow for the life of the
// directory.
type Segment uint64

// String returns the number as it appears in the name of the file.
func (s Segment) String() string { return fmt.Sprintf("%016x", uint64(s)) }

func (s Segment) file() string { return s.String() + suffix }

// segmentOf parses the name of a file.
func segmentOf(name string) (Segment, bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok || len(digits) != 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 16, 64)
	if err != nil || Segment(n).file() != name || n == 0 || n == math.MaxUint64 {
		return 0, false
	}
	return Segment(n), true
}

// seed is the initial checksum for every record of a segment, so that bytes of another
// segment are never taken for a record of this one.
func (s Segment) seed() uint32 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(s))
	return crc32.Checksum(b[:], castagnoli)
}

// head is the contents of a header.
type head struct {
	version uint32
	number  Segment
	before  int64
}

// header returns the header of a segment.
func header(s Segment, before int64) []byte {
	b := make([]byte, 0, headerSize)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint32(b, version)
	b = binary.LittleEndian.AppendUint64(b, uint64(s))
	b = binary.LittleEndian.AppendUint64(b, uint64(before))
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// parseHeader parses a header; ok says whether it is one, of whatever version.
func parseHeader(b []byte) (h head, ok bool) {
	if len(b) < headerSize || string(b[:8]) != magic ||
		binary.LittleEndian.Uint32(b[28:]) != crc32.Checksum(b[:28], castagnoli) {
		return head{}, false
	}
	return head{
		version: binary.LittleEndian.Uint32(b[8:]),
		number:  Segment(binary.LittleEndian.Uint64(b[12:])),
		before:  int64(binary.LittleEndian.Uint64(b[20:])),
	}, true
}

// frame appends a record to b in the form it has in the file.
func frame(b []byte, seed uint32, rec []byte) []byte {
	at := len(b)
	length := uint32(len(rec))
	b = binary.LittleEndian.AppendUint32(b, length)
	b = binary.LittleEndian.AppendUint32(b, ^length)
	sum := crc32.Update(crc32.Update(seed, castagnoli, b[at:at+4]), castagnoli, rec)
	b = binary.LittleEndian.AppendUint32(b, sum)
	return append(b, rec...)
}
