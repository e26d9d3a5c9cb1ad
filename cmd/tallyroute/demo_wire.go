package main

import "strings"

// The answers, in the order in which OpenAI writes their members.
type (
	demoBody struct {
		ID      string     `json:"id"`
		Object  string     `json:"object"`
		Created int64      `json:"created"`
		Model   string     `json:"model"`
		Choices []any      `json:"choices"`
		Usage   *demoUsage `json:"usage,omitempty"`
	}
	demoChoice struct {
		Index    int     `json:"index"`
		Message  any     `json:"message,omitempty"`
		Delta    any     `json:"delta,omitempty"`
		Logprobs any     `json:"logprobs"`
		Finish   *string `json:"finish_reason"`
	}
	demoMessage struct {
		Role    string         `json:"role"`
		Content *string        `json:"content"`
		Refusal *string        `json:"refusal"`
		Calls   []demoToolCall `json:"tool_calls,omitempty"`
	}
	demoToolCall struct {
		ID       string            `json:"id"`
		Type     string            `json:"type"`
		Function map[string]string `json:"function"`
	}
	demoUsage struct {
		Prompt     int64 `json:"prompt_tokens"`
		Completion int64 `json:"completion_tokens"`
		Total      int64 `json:"total_tokens"`
	}
)

// response is the whole answer.
func (x *demoExchange) response(completion int64) demoBody {
	text := x.text()
	message := demoMessage{Role: "assistant", Content: &text}
	if x.tool != nil {
		function := map[string]string{"name": x.tool.Name, "arguments": strings.TrimPrefix(text, x.tool.Name)}
		message.Content, message.Calls = nil, []demoToolCall{{ID: "call_demo_1", Type: "function", Function: function}}
	}
	body := x.envelope("chat.completion", x.usage(completion))
	for i := range x.choices() {
		body.Choices = append(body.Choices, demoChoice{Index: i, Message: message, Finish: &x.finish})
	}
	return body
}

// chunk is one event of a stream; finish is "" but on the last.
func (x *demoExchange) chunk(index int, delta any, finish string) demoBody {
	choice := demoChoice{Index: index, Delta: delta}
	if finish != "" {
		choice.Finish = &finish
	}
	body := x.envelope("chat.completion.chunk", nil)
	body.Choices = append(body.Choices, choice)
	return body
}

func (x *demoExchange) usageChunk(completion int64) demoBody {
	return x.envelope("chat.completion.chunk", x.usage(completion))
}

func (x *demoExchange) envelope(object string, u *demoUsage) demoBody {
	return demoBody{ID: x.id, Object: object, Created: demoCreated, Model: x.said.Model, Choices: []any{}, Usage: u}
}

func (x *demoExchange) usage(completion int64) *demoUsage {
	return &demoUsage{x.prompt, completion, x.prompt + completion}
}
