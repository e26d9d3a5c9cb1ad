package tokens

import (
	"sync"
	"unicode"
	"unicode/utf8"
)

// class is what the patterns of the encodings tell apart. Every character has
// exactly one.
type class uint8

const (
	upper   class = 1 << iota // \p{Lu}, \p{Lt}
	lower                     // \p{Ll}
	other                     // \p{Lm}, \p{Lo}: letters without case
	mark                      // \p{M}
	number                    // \p{N}
	newline                   // \r, \n
	space                     // the rest of \s
	symbol                    // all the rest

	letter = upper | lower | other
	blank  = newline | space
)

// classTable holds the classes of the first two planes, which is all but rare
// ideographs.
type classTable [0x20000]class

// classes is the table; it never changes once it is built.
var classes = sync.OnceValue(func() *classTable {
	t := new(classTable)
	for i := range t {
		t[i] = symbol
	}
	for _, of := range categories {
		for _, table := range of.tables {
			t.fill(table, of.class)
		}
	}
	t['\r'], t['\n'] = newline, newline
	return t
})

var categories = [...]struct {
	class  class
	tables []*unicode.RangeTable
}{
	{upper, []*unicode.RangeTable{unicode.Lu, unicode.Lt}},
	{lower, []*unicode.RangeTable{unicode.Ll}},
	{other, []*unicode.RangeTable{unicode.Lm, unicode.Lo}},
	{mark, []*unicode.RangeTable{unicode.M}},
	{number, []*unicode.RangeTable{unicode.N}},
	{space, []*unicode.RangeTable{unicode.White_Space}},
}

func (t *classTable) fill(table *unicode.RangeTable, c class) {
	for _, r := range table.R16 {
		for i := uint32(r.Lo); i <= uint32(r.Hi); i += uint32(r.Stride) {
			t[i] = c
		}
	}
	for _, r := range table.R32 {
		for i := r.Lo; i <= r.Hi && i < uint32(len(t)); i += r.Stride {
			t[i] = c
		}
	}
}

// at is the class and the length of the character at text[i]; 0, 0 at the end.
func (t *classTable) at(text []byte, i int) (class, int) {
	if i >= len(text) {
		return 0, 0
	}
	if c := text[i]; c < utf8.RuneSelf {
		return t[c], 1
	}
	r, n := utf8.DecodeRune(text[i:])
	if int(r) < len(t) {
		return t[r], n
	}
	for _, of := range categories {
		if unicode.In(r, of.tables...) {
			return of.class, n
		}
	}
	return symbol, n
}

// run is the end of the run of characters of the given classes at text[i].
func (t *classTable) run(text []byte, i int, of class) int {
	for {
		c, n := t.at(text, i)
		if c&of == 0 {
			return i
		}
		i += n
	}
}

// The most characters that one token is taken to hold: of a word, and of a script
// that writes words without spaces.
const (
	longestWord  = 24
	longestIdeas = 6
)

// AtLeast is a number of tokens that no tokenizer makes less of text than: each word
// and each number is one token or more. It costs little and reads text once.
func AtLeast(text string) int64 {
	var n int64
	var run, ideas int // lengths of the word under way
	var last rune      // the class of the character before
	end := func() {
		n += int64((run+longestWord-1)/longestWord) + int64((ideas+longestIdeas-1)/longestIdeas)
		run, ideas = 0, 0
	}
	for i := 0; i < len(text); {
		if word := latinEnd(text, i); word > i { // as most of most texts is
			if last != letters {
				end()
			}
			run, last, i = run+word-i, letters, word
			continue
		}
		c, size := rune(text[i]), 1
		if c >= utf8.RuneSelf {
			c, size = utf8.DecodeRuneInString(text[i:])
		}
		i += size
		class := classOf(c)
		if class == apostrophe && last == letters {
			continue // "don't" may be one token
		}
		if class != last {
			end()
		}
		switch last = class; class {
		case letters, digitRun:
			run++
		case ideographs:
			ideas++
		}
	}
	end()
	if n == 0 && text != "" {
		return 1
	}
	return n
}

// latinEnd is where the letters of ASCII end that begin at i.
func latinEnd(text string, i int) int {
	for i < len(text) && text[i]|0x20-'a' < 26 {
		i++
	}
	return i
}

const (
	blanksOrSigns = iota
	letters
	digitRun
	ideographs
	apostrophe
)

func classOf(c rune) rune {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		return letters
	case '0' <= c && c <= '9':
		return digitRun
	case c == '\'' || c == '’':
		return apostrophe
	case c < utf8.RuneSelf:
		return blanksOrSigns
	case unicode.In(c, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul):
		return ideographs
	case unicode.IsLetter(c) || unicode.IsMark(c):
		return letters
	}
	return blanksOrSigns
}
