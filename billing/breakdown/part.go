package breakdown

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// partLines is the maximum number of lines in a part, so that packing and reading a day
// take the same memory, however many rows it has.
const partLines = 1 << 15

// Part is some of the lines of a day, stored by column, as far as they have been read.
type Part struct {
	daily   bool // lines of the rollup, without what it lacks
	lines   int
	texts   [len(texts)]textList
	numbers [len(numbers)]numberList
}

// textList is a text column: each distinct text once, and the index of each line's text;
// nil if all lines have the first.
type textList struct {
	texts []string
	codes []uint32
}

// code returns the index of a line's text.
func (l textList) code(line int) uint32 {
	if l.codes == nil {
		return 0
	}
	return l.codes[line]
}

// at returns a line's text.
func (l textList) at(line int) string { return l.texts[l.code(line)] }

// numberList is a numeric column: the numbers of all lines, or the one that all of them
// have.
type numberList struct {
	same int64
	each []int64
}

func (l numberList) at(i int) int64 {
	if l.each == nil {
		return l.same
	}
	return l.each[i]
}

// Column is a packed column of a part.
type Column struct {
	Name string
	Data []byte
}

// ofDaily is the prefix of column names in daily parts.
const ofDaily = "daily."

// Columns packs a part.
func (p *Part) Columns() []Column {
	var list []Column
	prefix, kept := "", len(texts)
	if p.daily {
		prefix, kept = ofDaily, ofRollup
	}
	for i, t := range p.texts[:kept] {
		list = append(list, Column{prefix + texts[i].name, p.packTexts(t)})
	}
	for i, n := range p.numbers {
		list = append(list, Column{prefix + numbers[i].name, p.packNumbers(n)})
	}
	return list
}

// packTexts writes the number of lines, the number of texts, and each text preceded by its
// length; then, if there are several texts, the index of each line's text, in as many bytes
// as needed.
func (p *Part) packTexts(l textList) []byte {
	b := binary.AppendUvarint(nil, uint64(p.lines))
	b = binary.AppendUvarint(b, uint64(len(l.texts)))
	for _, s := range l.texts {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	if len(l.texts) == 1 {
		return b
	}
	for _, c := range l.codes {
		if len(l.texts) <= 1<<8 {
			b = append(b, byte(c))
		} else {
			b = binary.LittleEndian.AppendUint16(b, uint16(c))
		}
	}
	return b
}

// packNumbers writes the number of lines, and either the number that all have or each one.
func (p *Part) packNumbers(l numberList) []byte {
	b := binary.AppendUvarint(nil, uint64(p.lines))
	same := true
	for i := range p.lines {
		same = same && l.at(i) == l.at(0)
	}
	if same {
		return binary.AppendVarint(append(b, 0), l.at(0))
	}
	b = append(b, 1)
	for i := range p.lines {
		b = binary.AppendVarint(b, l.at(i))
	}
	return b
}

var errDamaged = errors.New("billing/breakdown: a packed column is damaged")

// read unpacks a column into its place.
func (p *Part) read(c Column) error {
	u := unpacker{rest: c.Data}
	lines := u.size(partLines)
	if p.lines != 0 && lines != p.lines {
		u.damaged = true
	}
	p.lines = lines
	name := strings.TrimPrefix(c.Name, ofDaily)
	if i := textColumn(name); i >= 0 {
		p.texts[i] = u.texts(lines)
	} else if i := numberColumn(name); i >= 0 {
		p.numbers[i] = u.numbers(lines)
	}
	if u.damaged || len(u.rest) != 0 {
		return fmt.Errorf("%w: %s", errDamaged, c.Name)
	}
	return nil
}

// unpacker reads a packed column until it finds damage.
type unpacker struct {
	rest    []byte
	damaged bool
}

// size reads a size that is at most most.
func (u *unpacker) size(most int) int {
	n, size := binary.Uvarint(u.rest)
	if size <= 0 || n > uint64(most) {
		u.damaged, u.rest = true, nil
		return 0
	}
	u.rest = u.rest[size:]
	return int(n)
}

func (u *unpacker) take(n int) []byte {
	if n > len(u.rest) {
		u.damaged, n = true, len(u.rest)
	}
	taken := u.rest[:n]
	u.rest = u.rest[n:]
	return taken
}

func (u *unpacker) texts(lines int) (l textList) {
	n := u.size(lines)
	all, from := string(u.rest), len(u.rest) // one copy for all of them
	for range n {
		size := u.size(len(u.rest))
		begin := from - len(u.rest)
		l.texts = append(l.texts, all[begin:begin+len(u.take(size))])
	}
	if n <= 1 {
		u.damaged = u.damaged || n == 0
		return l
	}
	l.codes = make([]uint32, lines)
	width := 1
	if n > 1<<8 {
		width = 2
	}
	packed := u.take(width * lines)
	if u.damaged {
		return l
	}
	for i := range l.codes {
		if width == 1 {
			l.codes[i] = uint32(packed[i])
		} else {
			l.codes[i] = uint32(binary.LittleEndian.Uint16(packed[2*i:]))
		}
		u.damaged = u.damaged || int(l.codes[i]) >= n
	}
	return l
}

func (u *unpacker) numbers(lines int) (l numberList) {
	if u.size(1) == 0 {
		l.same = u.number()
		return l
	}
	l.each = make([]int64, lines)
	for i := range l.each {
		l.each[i] = u.number()
	}
	return l
}

func (u *unpacker) number() int64 {
	n, size := binary.Varint(u.rest)
	if size <= 0 {
		u.damaged, u.rest = true, nil
		return 0
	}
	u.rest = u.rest[size:]
	return n
}
