package tokens

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"tallyroute/providers/chat"
)

const english = "The quick brown fox jumps over the lazy dog. Tokenization splits text into pieces; however, it isn't as simple as it " +
	"appears, and we'll see why in the following paragraphs.\n\nConsider Mr. O'Neill's 1,024 invoices (dated 2026-03-04): \"unpriced\" " +
	"rows aren't free. "

func repeat(s string, n int) string { return string(whole([]byte(strings.Repeat(s, n/len(s)+1)), n)) }

func BenchmarkBound(b *testing.B) {
	turns := make([]string, 20)
	for i := range turns {
		turns[i] = repeat(english, 200)
	}
	for name, r := range map[string]*chat.Request{
		"1-message-4K": conversation(b, repeat(english, 4096)), "20-messages-4K": conversation(b, turns...),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				shared().Bound(r, gpt4o)
			}
		})
	}
}

// BenchmarkCount measures text that is seen for the first time.
func BenchmarkCount(b *testing.B) {
	texts := map[string]string{
		"english-4K": repeat(english, 4096),
		"code-4K":    repeat("\tif err := json.Unmarshal(data, &v); err != nil {\n\t\treturn fmt.Errorf(\"tokens: %w\", err)\n\t}\n", 4096),
		"chinese-4K": repeat("今天天气很好，我们去公园散步吧。人工智能正在改变世界的方方面面。", 4096),
		"thai-4K":    repeat("ภาษาไทยเป็นภาษาที่มีระดับเสียงของคำแน่นอนหรือวรรณยุกต์ ", 4096),
		"english-1M": repeat(english, 1<<20),
		"a-80K":      strings.Repeat("a", 80<<10),
	}
	for name, text := range strange(1 << 20) {
		texts["1M-"+strings.ReplaceAll(name, " ", "-")] = text
	}
	for name, text := range texts {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			c := shared()
			var spent int64
			for b.Loop() {
				s, err := c.begin(context.Background(), gpt4o)
				if err != nil {
					b.Fatal(err)
				}
				s.count([]byte(text))
				spent = c.budget() - s.left
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(spent), "ns/unit")
		})
	}
}

// BenchmarkTiktoken measures the library with the same text.
func BenchmarkTiktoken(b *testing.B) {
	text := repeat(english, 4096)
	for b.Loop() {
		reference()[O200k].EncodeOrdinary(text)
	}
}

// BenchmarkConversation measures the twentieth turn of a conversation.
func BenchmarkConversation(b *testing.B) {
	c := New(Options{Memo: math.MaxInt32})
	if err := c.Warm(context.Background()); err != nil {
		b.Fatal(err)
	}
	var turns []string
	for i := range 19 {
		turns = append(turns, fmt.Sprintf("%d: %s", i, repeat(english, 2048)))
	}
	b.Run("known", func(b *testing.B) {
		r := conversation(b, turns...)
		b.ReportAllocs()
		for b.Loop() {
			prompt(b, c, r, gpt4o)
		}
	})
	b.Run("new-turn", func(b *testing.B) {
		prompt(b, c, conversation(b, turns...), gpt4o)
		i := 0
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			i++
			r := conversation(b, append(turns, fmt.Sprintf("new %d: %s", i, repeat(english, 2048)))...)
			b.StartTimer()
			prompt(b, c, r, gpt4o)
		}
	})
}
