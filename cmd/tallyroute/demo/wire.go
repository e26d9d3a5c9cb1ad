package demo

import "strings"

// Response types, with their fields in the order in which OpenAI writes them.
type (
	body struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		Created int64  `json:"created"`
		Model   string `json:"model"`
		Choices []any  `json:"choices"`
		Usage   *usage `json:"usage,omitempty"`
	}
	choice struct {
		Index    int     `json:"index"`
		Message  any     `json:"message,omitempty"`
		Delta    any     `json:"delta,omitempty"`
		Logprobs any     `json:"logprobs"`
		Finish   *string `json:"finish_reason"`
	}
	answer struct {
		Role    string     `json:"role"`
		Content *string    `json:"content"`
		Refusal *string    `json:"refusal"`
		Calls   []toolCall `json:"tool_calls,omitempty"`
	}
	toolCall struct {
		ID       string            `json:"id"`
		Type     string            `json:"type"`
		Function map[string]string `json:"function"`
	}
	usage struct {
		Prompt     int64 `json:"prompt_tokens"`
		Completion int64 `json:"completion_tokens"`
		Total      int64 `json:"total_tokens"`
	}
)

// response returns the whole answer.
func (x *call) response(completion int64) body {
	text := x.text()
	message := answer{Role: "assistant", Content: &text}
	if x.tool != nil {
		function := map[string]string{"name": x.tool.Name, "arguments": strings.TrimPrefix(text, x.tool.Name)}
		message.Content, message.Calls = nil, []toolCall{{ID: "call_demo_1", Type: "function", Function: function}}
	}
	body := x.envelope("chat.completion", x.usage(completion))
	for i := range x.choices() {
		body.Choices = append(body.Choices, choice{Index: i, Message: message, Finish: &x.finish})
	}
	return body
}

// chunk returns one event of a stream; finish is "" except on the last.
func (x *call) chunk(index int, delta any, finish string) body {
	choice := choice{Index: index, Delta: delta}
	if finish != "" {
		choice.Finish = &finish
	}
	body := x.envelope("chat.completion.chunk", nil)
	body.Choices = append(body.Choices, choice)
	return body
}

func (x *call) usageChunk(completion int64) body {
	return x.envelope("chat.completion.chunk", x.usage(completion))
}

func (x *call) envelope(object string, u *usage) body {
	return body{ID: x.id, Object: object, Created: created, Model: x.said.Model, Choices: []any{}, Usage: u}
}

func (x *call) usage(completion int64) *usage {
	return &usage{x.prompt, completion, x.prompt + completion}
}
