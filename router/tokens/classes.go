package tokens

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"strconv"
	"sync"
	"unicode"
	"unicode/utf8"

	"tallyroute/providers/jsonraw"
)

// class is a character class that the patterns of the encodings distinguish. Every character
// has exactly one.
type class uint8

const (
	upper   class = 1 << iota // \p{Lu}, \p{Lt}
	lower                     // \p{Ll}
	other                     // \p{Lm}, \p{Lo}: letters without case
	mark                      // \p{M}
	number                    // \p{N}
	newline                   // \r, \n
	space                     // the rest of \s
	symbol                    // everything else

	letter = upper | lower | other
	blank  = newline | space
)

// classTable holds the classes of the first two planes, which contain everything but rare
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

// at returns the class and the length of the character at text[i]; 0, 0 at the end.
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

// run returns the end of the run of characters of the given classes at text[i].
func (t *classTable) run(text []byte, i int, of class) int {
	for {
		c, n := t.at(text, i)
		if c&of == 0 {
			return i
		}
		i += n
	}
}

// expansion is a range of characters that a tokenizer which normalises its text (by NFKC, as
// some do) may write with this many additional bytes.
type expansion struct {
	from, to rune
	more     int64
}

// expansions are all of those up to U+1FFFF, according to Unicode 15; adjacent ones are merged,
// with the largest value.
var expansions = [...]expansion{
	{0xa8, 0xa8, 1},
	{0xaf, 0xaf, 1},
	{0xb4, 0xb4, 1},
	{0xb8, 0xb8, 1},
	{0xbc, 0xbe, 3},
	{0x13f, 0x140, 1},
	{0x149, 0x149, 1},
	{0x1c4, 0x1c6, 1},
	{0x2d8, 0x2dd, 1},
	{0x344, 0x344, 2},
	{0x37a, 0x37a, 1},
	{0x384, 0x385, 3},
	{0x587, 0x587, 2},
	{0x675, 0x678, 2},
	{0x958, 0x95f, 3},
	{0x9dc, 0x9dd, 3},
	{0x9df, 0x9df, 3},
	{0xa33, 0xa33, 3},
	{0xa36, 0xa36, 3},
	{0xa59, 0xa5b, 3},
	{0xa5e, 0xa5e, 3},
	{0xb5c, 0xb5d, 3},
	{0xe33, 0xe33, 3},
	{0xeb3, 0xeb3, 3},
	{0xedc, 0xedd, 3},
	{0xf43, 0xf43, 3},
	{0xf4d, 0xf4d, 3},
	{0xf52, 0xf52, 3},
	{0xf57, 0xf57, 3},
	{0xf5c, 0xf5c, 3},
	{0xf69, 0xf69, 3},
	{0xf73, 0xf73, 3},
	{0xf75, 0xf79, 6},
	{0xf81, 0xf81, 3},
	{0xf93, 0xf93, 3},
	{0xf9d, 0xf9d, 3},
	{0xfa2, 0xfa2, 3},
	{0xfa7, 0xfa7, 3},
	{0xfac, 0xfac, 3},
	{0xfb9, 0xfb9, 3},
	{0x1fc1, 0x1fc1, 2},
	{0x1fcd, 0x1fcf, 2},
	{0x1fdd, 0x1fdf, 2},
	{0x1fed, 0x1fee, 2},
	{0x2033, 0x2034, 6},
	{0x2036, 0x2037, 6},
	{0x2057, 0x2057, 9},
	{0x2150, 0x215f, 3},
	{0x2167, 0x2167, 1},
	{0x2177, 0x2177, 1},
	{0x2189, 0x2189, 2},
	{0x222c, 0x222d, 6},
	{0x222f, 0x2230, 6},
	{0x247d, 0x2487, 1},
	{0x2a0c, 0x2a0c, 9},
	{0x2adc, 0x2adc, 2},
	{0x309b, 0x309c, 1},
	{0x309f, 0x309f, 3},
	{0x30ff, 0x30ff, 3},
	{0x3200, 0x321e, 5},
	{0x3220, 0x3243, 2},
	{0x327c, 0x327d, 3},
	{0x32c0, 0x32cb, 2},
	{0x32ff, 0x3370, 15},
	{0x337b, 0x337f, 9},
	{0x3389, 0x3389, 1},
	{0x33a7, 0x33a8, 3},
	{0x33ae, 0x33af, 5},
	{0x33c2, 0x33c2, 1},
	{0x33c6, 0x33c6, 3},
	{0x33d8, 0x33d8, 1},
	{0x33de, 0x33fe, 2},
	{0xfa6c, 0xfa6c, 1},
	{0xfacf, 0xfad1, 1},
	{0xfad5, 0xfad7, 1},
	{0xfb13, 0xfb17, 1},
	{0xfb1d, 0xfb1d, 1},
	{0xfb1f, 0xfb1f, 1},
	{0xfb2a, 0xfb36, 3},
	{0xfb38, 0xfb3c, 1},
	{0xfb3e, 0xfb3e, 1},
	{0xfb40, 0xfb41, 1},
	{0xfb43, 0xfb44, 1},
	{0xfb46, 0xfb4f, 1},
	{0xfbdd, 0xfbdd, 1},
	{0xfbea, 0xfbfb, 1},
	{0xfc00, 0xfd3d, 3},
	{0xfd50, 0xfd8f, 3},
	{0xfd92, 0xfdc7, 3},
	{0xfdf0, 0xfdfc, 30},
	{0xfe71, 0xfe71, 1},
	{0xfe77, 0xfe77, 1},
	{0xfe79, 0xfe79, 1},
	{0xfe7b, 0xfe7b, 1},
	{0xfe7d, 0xfe7d, 1},
	{0xfe7f, 0xfe7f, 1},
	{0xfef5, 0xfefc, 1},
	{0x1d15e, 0x1d164, 8},
	{0x1d1bb, 0x1d1c0, 8},
	{0x1f12a, 0x1f12a, 3},
	{0x1f200, 0x1f201, 2},
	{0x1f240, 0x1f248, 5},
}

// expands returns how many bytes longer text may be once it is normalised.
func expands(text []byte) (n int64) {
	jsonraw.Stretches(text, func(b []byte) { n += expandsBy(b) })
	return n
}

func expandsBy(text []byte) (n int64) {
	const eight = 8
	for i := 0; i < len(text); {
		if i+eight <= len(text) && binary.NativeEndian.Uint64(text[i:])&0x8080808080808080 == 0 {
			i += eight
			continue
		}
		if text[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		n += expansionOf(r)
		i += size
	}
	return n
}

// expandsJSON is expands for JSON text, whose characters may be escaped.
func expandsJSON(text []byte) int64 {
	n := expands(text)
	for pace := (jsonraw.Pace{}); ; {
		i := bytes.Index(text, []byte(`\u`))
		if i < 0 || len(text) < i+6 {
			return n
		}
		if r, err := strconv.ParseUint(string(text[i+2:i+6]), 16, 32); err == nil {
			n += max(0, expansionOf(rune(r))-3) // it takes six bytes there
		}
		text = text[i+6:]
		pace.Add(i + 6)
	}
}

func expansionOf(r rune) int64 {
	i, found := slices.BinarySearchFunc(expansions[:], r, func(e expansion, r rune) int {
		if r < e.from {
			return 1
		}
		return cmp.Compare(min(r, e.to), r) // 0 within
	})
	if !found {
		return 0
	}
	return expansions[i].more
}

// The maximum number of characters that one token is assumed to hold: in a word, and in a
// script written without spaces between words.
const (
	longestWord  = 24
	longestIdeas = 6
)

// AtLeast returns a lower bound on the tokens of text for any tokenizer: each word and each
// number is at least one token. It is cheap and reads text once.
func AtLeast[Text string | []byte](text Text) int64 {
	var pace jsonraw.Pace
	var n int64
	var run, ideas int // lengths of the current word
	var last rune      // the class of the character before
	end := func() {
		n += int64((run+longestWord-1)/longestWord) + int64((ideas+longestIdeas-1)/longestIdeas)
		run, ideas = 0, 0
	}
	for i := 0; i < len(text); {
		pace.At(i)
		if word := latinEnd(text, i); word > i { // most of most texts
			if last != letters {
				end()
			}
			run, last, i = run+word-i, letters, word
			continue
		}
		c, size := rune(text[i]), 1
		if c >= utf8.RuneSelf {
			c, size = utf8.DecodeRuneInString(string(text[i:min(i+utf8.UTFMax, len(text))]))
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
	if n == 0 && len(text) > 0 {
		return 1
	}
	return n
}

// latinEnd returns the end of the run of ASCII letters that starts at i.
func latinEnd[Text string | []byte](text Text, i int) int {
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
