package jsonraw

import (
	"runtime"
	"slices"
	"time"
	"unicode/utf8"
)

// Pace divides long work into short pieces, with a rest after each, so that nothing else has to
// wait longer than a piece takes: neither other goroutines, which the scheduler might not run
// for ten milliseconds, nor other processes on the same CPU. Work on less than a stretch has no
// overhead. The zero value is ready to use.
type Pace struct {
	then  int   // the byte at which others were last allowed to run
	began int64 // when the current piece began
}

const (
	stretch = 64 << 10               // bytes between two checks of the clock: tens of microseconds
	handed  = 2 << 10                // bytes that can be read while somebody works on a value
	piece   = 200 * time.Microsecond // of work, followed by a rest of the same length, or the shortest that the system can make
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

// Handed records that a value was handed to somebody who works on it, however short it is.
func (p *Pace) Handed() { p.then -= handed }

// Rest yields to other goroutines. If the work has gone on for a piece, it sleeps.
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

// Stretches calls f with consecutive parts of b, each at most a stretch long and cut between
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

// cut returns the length of the first stretch of b, which ends between two characters.
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

// ValidUTF8 is utf8.Valid for long texts: it rests in between.
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

// Append is append for long values: it rests in between.
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
