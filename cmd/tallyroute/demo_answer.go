package main

import (
	"encoding/json"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"

	"tallyroute/providers/chat"
)

// demoRequest is what the demonstration reads of a request.
type demoRequest struct {
	Model    string `json:"model"`
	Messages []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	} `json:"messages"`
	Tools []struct {
		Function demoFunction `json:"function"`
	} `json:"tools"`
	ToolChoice json.RawMessage `json:"tool_choice"`
}

type demoFunction struct {
	Name       string `json:"name"`
	Parameters struct {
		Required   []string `json:"required"`
		Properties map[string]struct {
			Type string   `json:"type"`
			Enum []string `json:"enum"`
		} `json:"properties"`
	} `json:"parameters"`
}

// lastText is the text of the last message.
func (r demoRequest) lastText() string {
	if len(r.Messages) == 0 {
		return ""
	}
	content := r.Messages[len(r.Messages)-1].Content
	var text string
	if json.Unmarshal(content, &text) == nil {
		return text
	}
	var parts []struct{ Text string }
	if json.Unmarshal(content, &parts) != nil {
		return ""
	}
	texts := make([]string, 0, len(parts))
	for _, p := range parts {
		texts = append(texts, p.Text)
	}
	return strings.Join(texts, " ")
}

func (r demoRequest) lastRole() string {
	if len(r.Messages) == 0 {
		return ""
	}
	return r.Messages[len(r.Messages)-1].Role
}

// tool is the function that the user asks for, nil where none is.
func (r demoRequest) tool() *demoFunction {
	choice := strings.Trim(string(r.ToolChoice), `"`)
	if len(r.Tools) == 0 || r.lastRole() != "user" || choice == "none" {
		return nil
	}
	var named struct{ Function struct{ Name string } }
	_ = json.Unmarshal(r.ToolChoice, &named) // it may be a word instead
	said := strings.ToLower(r.lastText())
	for i := range r.Tools {
		f := &r.Tools[i].Function
		if f.Name == named.Function.Name || asksFor(said, f.Name) {
			return f
		}
	}
	if choice == "required" {
		return &r.Tools[0].Function
	}
	return nil
}

// asksFor reports whether a word of a function's name occurs in what was said.
func asksFor(said, function string) bool {
	for word := range strings.FieldsFuncSeq(strings.ToLower(function), func(r rune) bool { return r == '_' || r == '-' }) {
		if len(word) > 3 && strings.Contains(said, word) {
			return true
		}
	}
	return false
}

// arguments makes up a value for every required parameter.
func (f *demoFunction) arguments(said string) string {
	args := make(map[string]any)
	words := strings.Fields(strings.Trim(said, ".?! "))
	for _, name := range f.Parameters.Required {
		p := f.Parameters.Properties[name]
		switch {
		case len(p.Enum) > 0:
			args[name] = p.Enum[0]
		case p.Type == "integer" || p.Type == "number":
			args[name] = 1
		case p.Type == "boolean":
			args[name] = true
		case len(words) > 0:
			args[name] = words[len(words)-1]
		default:
			args[name] = ""
		}
	}
	text, err := json.Marshal(args)
	if err != nil {
		return "{}"
	}
	return string(text)
}

// demoOrder is a wish in the prompt, for those who like to see things fail:
//
//	[[demo fail=503]]             refuse with that status
//	[[demo fail=503 at=demo-a]]   only there
//	[[demo cut=5]]                end the connection after five words
//	[[demo hang]]                 say nothing more until the caller goes
//	[[demo slow=20ms words=200]]  so much from word to word, and so many words
type demoOrder struct {
	fail, cut, words int
	hang             bool
	slow             time.Duration
}

var demoOrders = regexp.MustCompile(`\[\[demo ([^\]]*)\]\]`)

// parseOrder reads the order for the upstream with this name. What cannot be
// read is taken as no order.
func parseOrder(text, name string) demoOrder {
	var o demoOrder
	for _, found := range demoOrders.FindAllStringSubmatch(text, -1) {
		var one demoOrder
		elsewhere := false
		for word := range strings.FieldsSeq(found[1]) {
			key, value, _ := strings.Cut(word, "=")
			n, _ := strconv.Atoi(value)
			switch key {
			case "fail":
				if n >= 400 && n <= 599 {
					one.fail = n
				}
			case "cut":
				one.cut = max(n, 0)
			case "words":
				one.words = min(max(n, 0), demoMaxWords)
			case "slow":
				one.slow, _ = time.ParseDuration(value)
			case "hang":
				one.hang = true
			case "at":
				elsewhere = value != name
			}
		}
		if !elsewhere {
			o = one
		}
	}
	return o
}

// demoPiece is one chunk of an answer: its delta, and what of it is text.
type demoPiece struct {
	delta map[string]any
	text  string
}

// demoExchange is one request and the answer that was made up for it.
type demoExchange struct {
	id      string
	request *chat.Request
	said    demoRequest
	order   demoOrder
	prompt  int64
	tool    *demoFunction
	pieces  []demoPiece
	finish  string
}

// compose makes up the answer: a tool call if one is asked for, else words, no
// more than the request allows.
func (x *demoExchange) compose(tokens func(string) int64) {
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
		x.pieces = append(x.pieces, demoPiece{map[string]any{"content": w}, w})
	}
}

// fit is as many of the words as limit tokens allow; a limit of 0 is none.
func fit(words []string, limit int64, tokens func(string) int64) []string {
	words = words[:min(len(words), demoMaxWords)]
	text := strings.Join(words, "")
	if limit <= 0 || int64(len(text)) <= limit { // no text has more tokens than bytes
		return words
	}
	fitting := sort.Search(len(words), func(i int) bool {
		return tokens(strings.Join(words[:i+1], "")) > limit
	})
	return words[:fitting]
}

// words is the whole answer, cut before each word's leading space.
func (x *demoExchange) words() []string {
	text := demoStory
	switch {
	case x.said.lastRole() == "tool":
		text = "The tool said: " + x.said.lastText()
	case x.said.Model == "echo":
		text = "You said: " + strings.TrimSpace(demoOrders.ReplaceAllString(x.said.lastText(), ""))
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

func toolPieces(name, arguments string) []demoPiece {
	call := func(function map[string]string, more map[string]any) map[string]any {
		entry := map[string]any{"index": 0, "function": function}
		for k, v := range more {
			entry[k] = v
		}
		return map[string]any{"tool_calls": []any{entry}}
	}
	half := len(arguments) / 2
	return []demoPiece{
		{call(map[string]string{"name": name, "arguments": ""}, map[string]any{"id": "call_demo_1", "type": "function"}), name},
		{call(map[string]string{"arguments": arguments[:half]}, nil), arguments[:half]},
		{call(map[string]string{"arguments": arguments[half:]}, nil), arguments[half:]},
	}
}

func (x *demoExchange) pace(usual time.Duration) time.Duration {
	if x.order.slow > 0 {
		return x.order.slow
	}
	return usual
}

// choices is how many answers are written: n, all alike.
func (x *demoExchange) choices() int { return int(x.request.N()) }

// text is what one choice says.
func (x *demoExchange) text() string {
	var b strings.Builder
	for _, p := range x.pieces {
		b.WriteString(p.text)
	}
	return b.String()
}

// response is the whole answer.
func (x *demoExchange) response(completion int64) map[string]any {
	message := map[string]any{"role": "assistant", "content": x.text(), "refusal": nil}
	if x.tool != nil {
		message["content"] = nil
		message["tool_calls"] = []any{map[string]any{
			"id": "call_demo_1", "type": "function",
			"function": map[string]string{"name": x.tool.Name, "arguments": strings.TrimPrefix(x.text(), x.tool.Name)},
		}}
	}
	choices := make([]any, x.choices())
	for i := range choices {
		choices[i] = map[string]any{"index": i, "message": message, "logprobs": nil, "finish_reason": x.finish}
	}
	body := x.envelope("chat.completion")
	body["choices"], body["usage"] = choices, x.usage(completion)
	return body
}

// chunk is one event of a stream; finish is "" but on the last.
func (x *demoExchange) chunk(index int, delta map[string]any, finish string) map[string]any {
	choice := map[string]any{"index": index, "delta": delta, "logprobs": nil, "finish_reason": nil}
	if finish != "" {
		choice["finish_reason"] = finish
	}
	body := x.envelope("chat.completion.chunk")
	body["choices"] = []any{choice}
	if x.request.WantsUsage() {
		body["usage"] = nil
	}
	return body
}

func (x *demoExchange) usageChunk(completion int64) map[string]any {
	body := x.envelope("chat.completion.chunk")
	body["choices"], body["usage"] = []any{}, x.usage(completion)
	return body
}

func (x *demoExchange) envelope(object string) map[string]any {
	return map[string]any{"id": x.id, "object": object, "created": demoCreated, "model": x.said.Model}
}

func (x *demoExchange) usage(completion int64) map[string]int64 {
	return map[string]int64{"prompt_tokens": x.prompt, "completion_tokens": completion, "total_tokens": x.prompt + completion}
}

// demoStory is about 60 words, so that a stream of it takes about a second.
const demoStory = "Once there was a clerk who wrote down every coin before it was spent. " +
	"People laughed, until the day the bill arrived and nobody but the clerk could say what it was for. " +
	"From then on they asked first, took the cheaper road when it was open, " +
	"and walked around by the other one when it was not. The end."
