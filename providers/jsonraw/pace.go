package jsonraw

import (
	"runtime"
	"slices"
	"time"
	"unicode/utf8"
)

// Pace divides long work into short pieces, with a rest after each, so that nothing else waits
// for longer than a piece takes: neither another goroutine, which the scheduler would let wait
// for ten milliseconds, nor another process on the same CPU. Work on less than a stretch costs
// nothing. The zero value is ready for use.
type Pace struct {
	then  int   // the byte at which it last let others run
	began int64 // when the current piece began
}

const (
	stretch = 64 << 10               // bytes between two looks at the clock: some tens of microseconds
	piece   = 200 * time.Microsecond // of work; then a rest of the same length, or as short as the system can
)

// At records that the work has reached byte i.
func (p *Pace) At(i int) {
	if i-p.then >= stretch {
		p.then = i
		p.Rest()
	}
}

// Add records that n more bytes have been worked on.
func (p *Pace) Add(n int) {
	p.then -= n
	p.At(0)
}

// Rest lets others run. If the work has lasted for a piece, it rests.
func (p *Pace) Rest() {
	switch now := time.Now().UnixNano(); {
	case p.began == 0:
		p.began = now
	case now-p.began >= int64(piece):
		time.Sleep(piece)
		p.began = time.Now().UnixNano()
		return
	}
	runtime.Gosched()
}

// Stretches calls f with one part of b after the other, at most a stretch long and cut between
// characters.
func Stretches(b []byte, f func([]byte)) {
	var pace Pace
	for len(b) > 0 {
		n := cut(b)
		f(b[:n])
		b = b[n:]
		pace.Add(n)
	}
}

// cut returns how many bytes of b make a stretch that ends between two characters.
func cut(b []byte) int {
	if len(b) <= stretch {
		return len(b)
	}
	n := stretch
	for n > stretch-utf8.UTFMax && !utf8.RuneStart(b[n]) {
		n--
	}
	return n
}

// ValidUTF8 is utf8.Valid for long texts.
func ValidUTF8(b []byte) bool {
	var pace Pace
	for len(b) > 0 {
		n := cut(b)
		if !utf8.Valid(b[:n]) {
			return false
		}
		b = b[n:]
		pace.Add(n)
	}
	return true
}

// Append is append for long values.
func Append(dst, value []byte) []byte {
	if len(value) > stretch {
		dst = slices.Grow(dst, len(value))
	}
	var pace Pace
	for len(value) > stretch {
		dst = append(dst, value[:stretch]...)
		value = value[stretch:]
		pace.Add(stretch)
	}
	return append(dst, value...)
}

// spaceEnd is spaceEnd for any amount of white space.
func (p *Pace) spaceEnd(b []byte, i int) int {
	if i < len(b) && b[i] <= ' ' {
		return p.spacesEnd(b, i)
	}
	return i
}

func (p *Pace) spacesEnd(b []byte, i int) int {
	for {
		until := min(len(b), i+stretch)
		if i = spaceEnd(b[:until], i); i < until || i == len(b) {
			return i
		}
		p.At(i)
	}
}
