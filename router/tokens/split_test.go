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

// reference is tiktoken as it comes, with its own patterns: what our counts are
// measured against. Nothing but tests touches its global loader.
var reference = sync.OnceValue(func() map[string]*tiktoken.Tiktoken {
	tiktoken.SetBpeLoader(loader.NewOfflineLoader())
	m := make(map[string]*tiktoken.Tiktoken)
	for _, name := range []string{O200k, Cl100k} {
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
		got, exact := e.count([]byte(text), &work{ctx: t.Context(), left: math.MaxInt64})
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

// Every character, where the patterns could treat it in a way of its own.
func TestEveryCharacter(t *testing.T) {
	frames := []string{"%", "a%", "%a", "A%a", "'%", "'l%", " %", "%\n", "%%A", "1%1", "%'s"}
	var b strings.Builder
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if !utf8.ValidRune(r) || (r > 0x3000 && r%61 != 0) {
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
	for seed := range uint64(1500) {
		same(t, randomText(rand.New(rand.NewPCG(seed, 7)), 1+int(seed)%600))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
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
