package tokens

import (
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/pkoukk/tiktoken-go"
	loader "github.com/pkoukk/tiktoken-go-loader"
)

// reference is tiktoken as it is, with its own patterns: what our counts are compared with.
// Only tests touch its global loader.
var reference = sync.OnceValue(func() map[string]*tiktoken.Tiktoken {
	tiktoken.SetBpeLoader(loader.NewOfflineLoader())
	m := make(map[string]*tiktoken.Tiktoken)
	for _, name := range []string{O200k, Cl100k, tiktoken.MODEL_P50K_BASE, tiktoken.MODEL_R50K_BASE} {
		t, err := tiktoken.GetEncoding(name)
		if err != nil {
			panic(err)
		}
		m[name] = t
	}
	return m
})

var encodings = sync.OnceValue(func() map[string]*encoding {
	m := make(map[string]*encoding)
	for name, split := range map[string]splitter{O200k: splitO200k, Cl100k: splitCl100k} {
		e, err := loadEncoding(name, split)
		if err != nil {
			panic(err)
		}
		m[name] = e
	}
	return m
})

// same compares our count of text with tiktoken's.
func same(t *testing.T, text string) {
	t.Helper()
	for name, e := range encodings() {
		want := int64(len(reference()[name].EncodeOrdinary(text)))
		got, _, exact := e.count([]byte(text), &work{ctx: t.Context(), left: math.MaxInt64})
		if got != want && exact {
			t.Errorf("%s: %q has %d tokens, want %d", name, shorten(text), got, want)
		}
		if got < want {
			t.Errorf("%s: %q is counted as %d, less than %d", name, shorten(text), got, want)
		}
	}
}

func shorten(s string) string {
	if len(s) > 200 {
		return s[:200] + "…"
	}
	return s
}

// Characters of all kinds that the patterns could treat specially.
func TestCharacters(t *testing.T) {
	frames := []string{"%", "a%", "%a", "A%a", "'%", "'l%", " %", "%\n", "%%A", "1%1", "%'s"}
	var b strings.Builder
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if !utf8.ValidRune(r) || (r > 0x0600 && r%7 != 0) || (r > 0x3000 && r%211 != 0) {
			continue
		}
		for _, f := range frames {
			b.WriteString(strings.ReplaceAll(f, "%", string(r)))
			b.WriteString("\x00x\x00")
		}
		if b.Len() > 4000 {
			same(t, b.String())
			b.Reset()
		}
	}
	same(t, b.String())
}

// alphabets are what random text is made of.
var alphabets = []string{
	"abcdefghijklmnopqrstuvwxyz ",
	"aAbB'sSlLrReEvVmMdDtT \n",
	"aA1 \n\r\t.,/!'",
	" \n\r\t\u00a0\u2003\u0085x",
	"中文字符カタカナひらがな。、 a",
	"สวัสดีครับภาษาไทย ",
	"नमस्ते दुनिया्",
	"éÉßſKİıǅ'Sſ\u0301\u0300A a",
	"👩‍👩‍👧‍👦🏳️‍🌈👍🏽a 1",
	"0123456789٣४Ⅷ½ ",
	"(){}[]<>;:=+-*/\\\"'_ \nfuncreturn",
	"<|endoftext|>fim_prefix",
	"ﬀﬁ\ufeff\u200b\u200d\ufffd\U000e0001\U00020000a",
}

func randomText(rnd *rand.Rand, n int) string {
	var b strings.Builder
	for b.Len() < n {
		alphabet := []rune(alphabets[rnd.IntN(len(alphabets))])
		if rnd.IntN(8) == 0 { // a run
			b.WriteString(strings.Repeat(string(alphabet[rnd.IntN(len(alphabet))]), 1+rnd.IntN(300)))
			continue
		}
		for range 1 + rnd.IntN(30) {
			b.WriteRune(alphabet[rnd.IntN(len(alphabet))])
		}
	}
	return b.String()
}

func TestRandomText(t *testing.T) {
	for seed := range uint64(500) {
		same(t, randomText(rand.New(rand.NewPCG(seed, 7)), 1+int(seed)%600))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// Texts that the patterns split in unexpected ways.
func TestTextWithPitfalls(t *testing.T) {
	for _, text := range []string{
		"I'llama we'REnt they'VErily 'lll x'll' it'Ss I'mm d'd'd 'sa 'ta 're 'r 'v 'l '", "'LLama", "a'lb", "a'rE", "a'Ve!", "L'l",
		"CamelCaseHTTPServer2Go iPhone ABCd aBC ÀÉñ", "ʰABC ªBC 中ABC中abc", "\u0301abc \u0301\u0301ABC (\u0301x", "ǅabc ǅABC aǅ",
		"  x", " \n x", "\n\n x", " \t\r\n\r\n\tx", "x \u00a0", "x\u2003\u2003y", "\u0085\u0085z", "x  ", "x\n", "\r", "   ",
		"a//\n//b", "!!\n/\r/x", " /\n", "://www", "--\n\n--", "\n/", "§\n\n",
		"1234567", "12٣४5", "Ⅷ½²³x", "1,000.00", "x1y22z333",
		"\xff", "a\x80\x80b", "\xc3", "\xe4\xb8", " \xf0\x9f",
	} {
		same(t, text)
	}
}

// Pieces that are too long are cut. The result is not exact, but it is sufficient.
func TestLongPieces(t *testing.T) {
	const syllables = "lo rem ip sum do lor sit a met con sec te tur ad i pis cing e lit sed tempor the ing tion un"
	rnd := rand.New(rand.NewPCG(5, 6))
	kinds := map[string]func() string{
		"syllables": func() string { parts := strings.Fields(syllables); return parts[rnd.IntN(len(parts))] },
		"letters":   func() string { return string(rune('a' + rnd.IntN(26))) },
		"few":       func() string { return string(rune('a' + rnd.IntN(2))) },
	}
	for i := range 40 {
		pattern := ""
		for range 1 + i%9 {
			pattern += string("-=_.*#~+"[rnd.IntN(8)])
		}
		kinds["pattern "+pattern] = func() string { return pattern }
	}
	for name, next := range kinds {
		var b strings.Builder
		for b.Len() < 1500 {
			b.WriteString(next())
		}
		text := b.String()
		for encoding, e := range encodings() {
			want := int64(len(reference()[encoding].EncodeOrdinary(text)))
			got, _, exact := e.count([]byte(text), &work{ctx: t.Context(), left: math.MaxInt64})
			if exact || got < want || got > 2*want+64 {
				t.Errorf("%s: %s: %d tokens, exact: %v; tiktoken has %d", encoding, name, got, exact, want)
			}
		}
	}
}

func FuzzCount(f *testing.F) {
	for _, a := range alphabets {
		f.Add(a)
	}
	f.Add("\xff\xfe a\xc3")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4096 {
			t.Skip("tiktoken takes too long for it")
		}
		same(t, text)
	})
}
