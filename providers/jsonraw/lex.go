package jsonraw

import (
	"encoding/binary"
	"math/bits"
	"strconv"
	"unicode/utf16"
)

// The functions here know JSON's tokens and nothing else. They take bytes and a position and
// return a position; -1 means that there is no such token.

// One byte repeated in all eight positions of a word.
const (
	ones   = 0x0101010101010101
	highs  = 0x80 * ones
	spaces = ' ' * ones
	quotes = '"' * ones
	slants = '\\' * ones
)

// plainEnd returns the end of the run of ordinary string bytes that starts at i: the position
// of a quote, a backslash, a control character or the end of b, or, after a stretch without any
// of these, of an ordinary byte. It looks at eight bytes at a time: among the bytes below 0x80, a
// subtraction sets the top bit of exactly those that were smaller than the subtrahend. A borrow
// may corrupt the byte above such a byte, so only the lowest match counts.
func plainEnd(b []byte, i int) int {
	b = b[:min(len(b), i+stretch)]
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		if m := ((w - spaces) | ((w ^ quotes) - ones) | ((w ^ slants) - ones)) &^ w & highs; m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
	}
	for i < len(b) && b[i] >= ' ' && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i
}

// escapeEnd returns the end of the escape sequence at b[i], a backslash. A surrogate pair is
// one sequence; lone is set for an unpaired surrogate.
func escapeEnd(b []byte, i int) (end int, lone bool) {
	if i+1 >= len(b) {
		return -1, false
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2, false
	case 'u':
	default:
		return -1, false
	}
	r := hex4(b, i+2)
	switch {
	case r < 0:
		return -1, false
	case !utf16.IsSurrogate(r):
		return i + 6, false
	case pair(b, i+6, r) < 0:
		return i + 6, true
	}
	return i + 12, false
}

// pair returns the code point of the surrogate high and the one escaped at b[i], or -1 if
// they are not a pair.
func pair(b []byte, i int, high rune) rune {
	if i+6 > len(b) || b[i] != '\\' || b[i+1] != 'u' {
		return -1
	}
	low := hex4(b, i+2)
	if high >= 0xDC00 || low < 0xDC00 || low > 0xDFFF {
		return -1
	}
	return utf16.DecodeRune(high, low)
}

// hex4 returns the number written in the four hexadecimal digits at b[i], or -1.
func hex4(b []byte, i int) rune {
	if i+4 > len(b) {
		return -1
	}
	var r rune
	for _, c := range b[i : i+4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// numberEnd returns the end of the number at b[i].
func numberEnd(b []byte, i int) int {
	if b[i] == '-' {
		i++
	}
	first := i
	if i = digitsEnd(b, i); i == first || b[first] == '0' && i > first+1 {
		return -1
	}
	if i < len(b) && b[i] == '.' {
		first = i + 1
		if i = digitsEnd(b, first); i == first {
			return -1
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		first = i
		if i = digitsEnd(b, first); i == first {
			return -1
		}
	}
	return i
}

func digitsEnd(b []byte, i int) int {
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		i++
	}
	return i
}

// maxNumber is more bytes than any number that a parser can represent needs.
const maxNumber = 4096

// finite reports whether a number differs from infinity as a float64, the type into which
// most parsers read it.
func finite(number []byte) bool {
	if len(number) < 300 && !hasExponent(number) {
		return true
	}
	_, err := strconv.ParseFloat(string(number), 64)
	return err == nil
}

func hasExponent(number []byte) bool {
	for _, c := range number {
		if c|0x20 == 'e' {
			return true
		}
	}
	return false
}

// literalEnd returns the end of the word true, false or null at b[i].
func literalEnd(b []byte, i int) int {
	word := "null"
	switch b[i] {
	case 't':
		word = "true"
	case 'f':
		word = "false"
	}
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return -1
	}
	return i + len(word)
}

// spaceEnd returns the end of the white space at i.
func spaceEnd(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}
