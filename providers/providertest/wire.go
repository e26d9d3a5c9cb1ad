package providertest

import (
	"fmt"
	"strconv"

	"tallyroute/providers/jsonraw"
)

// Completion returns a complete response in the OpenAI format, for tests that only need some
// response.
func Completion(model, text string, prompt, completion int64) string {
	return fmt.Sprintf(`{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":%s,`+
		`"choices":[{"index":0,"message":{"role":"assistant","content":%s,"refusal":null},"logprobs":null,"finish_reason":"stop"}],%s}`,
		jsonraw.Quote(model), jsonraw.Quote(text), usage(prompt, completion))
}

// Chunks returns the events of the same response as a stream: the role, each of words, the
// finish reason, and the usage.
func Chunks(model string, prompt, completion int64, words ...string) []string {
	head := `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":` + string(jsonraw.Quote(model)) + `,"choices":[`
	choice := func(delta, finish string) string {
		return head + `{"index":0,"delta":` + delta + `,"logprobs":null,"finish_reason":` + finish + `}]}`
	}
	list := []string{choice(`{"role":"assistant","content":""}`, "null")}
	for _, w := range words {
		list = append(list, choice(`{"content":`+string(jsonraw.Quote(w))+`}`, "null"))
	}
	return append(list, choice(`{}`, `"stop"`), head+"],"+usage(prompt, completion)+"}")
}

// Problem returns an error body in the OpenAI format.
func Problem(message, kind, code string) string {
	return fmt.Sprintf(`{"error":{"message":%s,"type":%s,"param":null,"code":%s}}`, jsonraw.Quote(message), jsonraw.Quote(kind),
		jsonraw.Quote(code))
}

func usage(prompt, completion int64) string {
	n := func(i int64) string { return strconv.FormatInt(i, 10) }
	return `"usage":{"prompt_tokens":` + n(prompt) + `,"completion_tokens":` + n(completion) + `,"total_tokens":` +
		n(prompt+completion) + `}`
}
