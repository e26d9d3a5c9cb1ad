package tokens

import (
	"unicode"
	"unicode/utf8"
)

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
	var run, ideas, last rune // lengths of the word under way; the class of the character before
	end := func() {
		n += int64((run+longestWord-1)/longestWord) + int64((ideas+longestIdeas-1)/longestIdeas)
		run, ideas = 0, 0
	}
	for i := 0; i < len(text); {
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
