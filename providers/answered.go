package providers

import (
	"iter"
	"slices"
	"strings"
)

// Answered reports whether a provider that says which model answered names the one
// that t asks for. Names of one model differ by who hosts it, by the order of their
// words and what parts them, and by the day of a version where only one of them has it.
// A deployment with a name of its own answers in that of its model.
func (t *Target) Answered(said string) bool {
	if said == "" || said == t.Upstream || said == t.Model {
		return true
	}
	var name, asked, ours words
	name.read(said)
	if asked.read(t.Upstream); alike(name.model(), asked.model()) {
		return name.fits(&asked)
	}
	ours.read(t.Model)
	return alike(name.model(), ours.model()) && name.fits(&ours)
}

// NamesOf are the names by which a catalogue may know a model that a provider calls
// said: that one, and without where it lies and without the end that tells its version.
func NamesOf(said string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if !yield(said) {
			return
		}
		name := said[strings.LastIndexByte(said, '/')+1:]
		for name != "" {
			if name != said && !yield(name) {
				return
			}
			end := strings.LastIndexAny(name, "-:@.")
			word, rest := firstWord(name[end+1:])
			if end <= 0 || word == "" || rest != "" && word != "v" || !isDigit(word[0]) && word != "v" && !neutral(word) {
				return
			}
			name = name[:end]
		}
	}
}

// mostWords is how many words of a name are looked at.
const mostWords = 24

// words are those of the name of a model, and of its version, which may be none.
type words struct {
	all    [mostWords]string // those of the version stand at the end
	models int
	dates  int
}

func (w *words) model() []string { return w.all[:w.models] }

func (w *words) version() []string { return w.all[mostWords-w.dates:] }

func (w *words) fits(other *words) bool {
	return w.dates == 0 || other.dates == 0 || alike(w.version(), other.version())
}

// read parts a name such as eu.anthropic.claude-sonnet-4-5-20250929-v1:0. A word is a
// run of letters or of digits.
func (w *words) read(name string) {
	name = withoutHost(name[strings.LastIndexByte(name, '/')+1:])
	dated := false
	for name != "" && w.models+w.dates < mostWords {
		var word string
		if word, name = firstWord(name); word == "" {
			break
		}
		switch {
		case neutral(word):
		case dated && word == "v": // a revision of that version, and the last of the name
			return
		case ofDate(word, name) || dated && len(word) == 2 && isDigit(word[0]):
			dated = true
			w.dates++
			w.all[mostWords-w.dates] = word
			continue
		default:
			w.all[w.models] = word
			w.models++
		}
		dated = false
	}
}

// withoutHost is a name without where it is hosted, and without the revision that
// Amazon puts behind the names of others.
func withoutHost(name string) string {
	hosted := false
	for {
		host, rest, found := strings.Cut(name, ".")
		if !found || host == "" || strings.ContainsAny(host, "0123456789:@_") {
			break
		}
		name, hosted = rest, true
	}
	if hosted {
		name, _, _ = strings.Cut(name, ":")
		if end := len(name) - len("-v0"); end > 0 && name[end:end+2] == "-v" && isDigit(name[end+2]) {
			name = name[:end]
		}
	}
	return name
}

// firstWord parts the first word from the rest.
func firstWord(s string) (word, rest string) {
	for s != "" && !isDigit(s[0]) && !isLetter(s[0]) {
		s = s[1:]
	}
	end := 0
	for end < len(s) && (isDigit(s[end]) || isLetter(s[end])) && isDigit(s[end]) == isDigit(s[0]) {
		end++
	}
	return s[:end], s[end:]
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' || c >= 0x80 }

// neutral reports a word that says nothing about which model it is.
func neutral(word string) bool {
	return word == "latest" || word == "preview" || word == "exp" || word == "experimental" || word == "gguf"
}

// ofDate reports a number that is part of a date, or that counts versions: it has four
// digits or more, begins with a zero, or stands before a year. Two digits behind such a number are part of it, too.
func ofDate(word, rest string) bool {
	if !isDigit(word[0]) || len(word) < 2 {
		return false
	}
	next, _ := firstWord(rest)
	return len(word) >= 4 || word[0] == '0' || len(word) == 2 && len(next) == 4 && strings.HasPrefix(next, "20")
}

// alike compares words, in any order and without regard to capitals.
func alike(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	var taken [mostWords]bool
	return !slices.ContainsFunc(a, func(word string) bool {
		for i := range b {
			if !taken[i] && strings.EqualFold(word, b[i]) {
				taken[i] = true
				return false
			}
		}
		return true
	})
}
