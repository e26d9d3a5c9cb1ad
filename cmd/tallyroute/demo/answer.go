package demo

import (
	"sort"
	"strings"
	"time"

	"tallyroute/providers/chat"
)

// piece is one chunk of an answer: its delta, and the text in it.
type piece struct {
	delta delta
	text  string
}

type delta map[string]any

// call is one request and the answer made up for it.
type call struct {
	id      string
	request *chat.Request
	said    asked
	order   order
	prompt  int64
	tool    *function
	pieces  []piece
	finish  string
}

// compose makes up the answer: a tool call if one is asked for, otherwise words, within the
// limit of the request.
func (x *call) compose(tokens func(string) int64) {
	if x.tool = x.said.tool(); x.tool != nil {
		x.finish = "tool_calls"
		x.pieces = toolPieces(x.tool.Name, x.tool.arguments(x.said.lastText()))
		return
	}
	words := x.words()
	x.finish = "stop"
	if fitting := fit(words, x.request.MaxOutput(), tokens); len(fitting) < len(words) {
		words, x.finish = fitting, "length"
	}
	for _, w := range words {
		x.pieces = append(x.pieces, piece{delta{"content": w}, w})
	}
}

// fit returns as many of the words as limit tokens allow; a limit of 0 is no limit.
func fit(words []string, limit int64, tokens func(string) int64) []string {
	words = words[:min(len(words), maxWords)]
	text := strings.Join(words, "")
	if limit <= 0 || int64(len(text)) <= limit { // no text has more tokens than bytes
		return words
	}
	fitting := sort.Search(len(words), func(i int) bool {
		return tokens(strings.Join(words[:i+1], "")) > limit
	})
	return words[:fitting]
}

// words returns the whole answer, split before the space that precedes each word.
func (x *call) words() []string {
	text := Story
	switch {
	case x.said.lastRole() == "tool":
		text = "The tool said: " + x.said.lastText()
	case x.said.Model == "echo":
		text = "You said: " + strings.TrimSpace(orders.ReplaceAllString(x.said.lastText(), ""))
	}
	words := strings.SplitAfter(text, " ")
	if want := x.order.words; want > 0 {
		all := words
		for len(words) < want {
			words = append(words, all...)
		}
		words = words[:want]
	}
	return words
}

func toolPieces(name, arguments string) []piece {
	call := func(function map[string]string, more map[string]any) delta {
		entry := map[string]any{"index": 0, "function": function}
		for k, v := range more {
			entry[k] = v
		}
		return delta{"tool_calls": []any{entry}}
	}
	half := len(arguments) / 2
	return []piece{
		{call(map[string]string{"name": name, "arguments": ""}, map[string]any{"id": "call_demo_1", "type": "function"}), name},
		{call(map[string]string{"arguments": arguments[:half]}, nil), arguments[:half]},
		{call(map[string]string{"arguments": arguments[half:]}, nil), arguments[half:]},
	}
}

func (x *call) pace(usual time.Duration) time.Duration {
	if x.order.slow > 0 {
		return x.order.slow
	}
	return usual
}

// choices returns the number of choices: n, all identical.
func (x *call) choices() int { return int(x.request.N()) }

// text returns the text of one choice.
func (x *call) text() string {
	var b strings.Builder
	for _, p := range x.pieces {
		b.WriteString(p.text)
	}
	return b.String()
}

// Story has about 60 words, so that streaming it takes about a second.
const Story = "Once there was a clerk who wrote down every coin before it was spent. " +
	"People laughed, until the day the bill arrived and nobody but the clerk could say what it was for. " +
	"From then on they asked first, took the cheaper road when it was open, " +
	"and walked around by the other one when it was not. The end."
