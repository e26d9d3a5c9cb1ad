package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// entrances returns loads in the other client formats, for a provider that speaks the same format
// and for one that does not. The first load of each group is the baseline for the others.
func entrances() [][]load {
	const stream = `"stream":true,`
	input := func(more, model string) []byte {
		return []byte(`{"model":"` + model + `",` + more + `"instructions":"You count.","input":"` + prompt(1<<10) + `"}`)
	}
	message := func(more, model string) []byte {
		return []byte(`{"model":"` + model + `","max_tokens":16384,` + more + `"system":"You count.","messages":[{"role":"user",` +
			`"content":"` + prompt(1<<10) + `"}]}`)
	}
	group := func(kind, more, chats string, whole, said string) []load {
		const atResponses, atMessages = "/v1/responses", "/v1/messages"
		list := []load{
			{name: "chat", body: body(chats, 1<<10), end: whole},
			{name: "responses, same format", path: atResponses, body: input(more, "bench-responses"), end: "}", most: 1.2},
			{name: "responses, translated", path: atResponses, body: input(more, "bench"), end: "}", most: 2},
			{name: "messages, same format", path: atMessages, body: message(more, "bench-messages"), end: said, most: 1.2},
			{name: "messages, translated", path: atMessages, body: message(more, "bench"), end: said, most: 2},
		}
		for i := range list {
			list[i].name, list[i].conns = kind+", "+list[i].name, 16
		}
		return list
	}
	return [][]load{
		group("plain answer", "", "", "}", "}"),
		group("stream of 100 chunks", stream, stream+`"stream_options":{"include_usage":true},`, "data: [DONE]", `{"type":"message_stop"}`),
	}
}

// compareEntrances measures the entrances in turn over several rounds, and reports the lowest CPU
// time per request of each next to that of chat completions.
func compareEntrances(ctx context.Context, s settings, router target, w io.Writer) error {
	var r report
	for _, group := range entrances() {
		group = append(group[:1:1], slices.DeleteFunc(group[1:], func(l load) bool { return !strings.Contains(l.name, s.only) })...)
		least := make([]float64, len(group))
		for i := range s.rounds {
			for j := range group {
				j = (j + i) % len(group) // each round starts with another one
				got, err := router.round(ctx, s, group[j])
				if err != nil {
					return fmt.Errorf("%s: %w", group[j].name, errors.Join(err, router.process.tail()))
				}
				if least[j] == 0 || got.cpuMicros < least[j] {
					least[j] = got.cpuMicros
				}
			}
		}
		for j, l := range group {
			if _, err := fmt.Fprintf(w, "%-48s %6.0f µs CPU per request\n", l.name, least[j]); err != nil {
				return err
			}
			if j > 0 {
				r.add("CPU per request, times that of chat: "+l.name, least[j]/least[0], l.most)
			}
		}
	}
	r.write(w)
	return nil
}

// nativeMocks returns the mock provider's responses in formats other than chat completions, by path.
func nativeMocks() map[string]mock {
	return map[string]mock{"/v1/messages": messagesMock(), "/v1/responses": responsesMock()}
}

const (
	plainHead  = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
	streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n" +
		"Transfer-Encoding: chunked\r\n\r\n"
)

// event returns an event whose data has the event's name as its type.
func event(name, members string) string {
	return framed("event: " + name + "\ndata: {\"type\":\"" + name + "\"," + members + "}\n\n")
}

// streams returns a mock whose stream consists of before, 100 times piece, and after.
func streams(whole, before, piece, after string) mock {
	m := mock{plain: fmt.Appendf(nil, plainHead, len(whole), whole)}
	next := streamHead + before
	for range chunkCount {
		m.stream = append(m.stream, []byte(next+piece))
		next = ""
	}
	m.stream = append(m.stream, []byte(after+"0\r\n\r\n"))
	return m
}

func messagesMock() mock {
	const head = `{"id":"msg_1","type":"message","role":"assistant","model":"bench",`
	used := fmt.Sprintf(`{"input_tokens":%d,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":`, tokens(1<<10))
	whole := head + `"content":[{"type":"text","text":"` + strings.Repeat(answerText, 4)[:answerSize] +
		`"}],"stop_reason":"end_turn","stop_sequence":null,"usage":` + used + `100}}`
	return streams(whole,
		event("message_start", `"message":`+head+`"content":[],"stop_reason":null,"stop_sequence":null,"usage":`+used+`1}}`)+
			event("content_block_start", `"index":0,"content_block":{"type":"text","text":""}`),
		event("content_block_delta", `"index":0,"delta":{"type":"text_delta","text":" account"}`),
		event("content_block_stop", `"index":0`)+
			event("message_delta", `"delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":`+used+`100}`)+
			framed("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"))
}

func responsesMock() mock {
	head := func(status, output, usage string) string {
		return `{"id":"resp_1","object":"response","created_at":1767225600,"status":"` + status + `","background":false,"error":null,` +
			`"incomplete_details":null,"instructions":"You count.","max_output_tokens":null,"model":"bench","output":[` + output +
			`],"parallel_tool_calls":true,"previous_response_id":null,"reasoning":{"effort":null,"summary":null},"store":false,` +
			`"temperature":1.0,"text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],"top_p":1.0,"truncation":"disabled",` +
			`"usage":` + usage + `,"user":null,"metadata":{}}`
	}
	used := fmt.Sprintf(`{"input_tokens":%d,"input_tokens_details":{"cached_tokens":0},"output_tokens":100,`+
		`"output_tokens_details":{"reasoning_tokens":0},"total_tokens":%d}`, tokens(1<<10), tokens(1<<10)+100)
	message := func(status, text string) string {
		content := ""
		if text != "" {
			content = `{"type":"output_text","annotations":[],"logprobs":[],"text":"` + text + `"}`
		}
		return `{"id":"msg_1","type":"message","status":"` + status + `","role":"assistant","content":[` + content + `]}`
	}
	const at = `"sequence_number":4,"item_id":"msg_1","output_index":0,"content_index":0,`
	said := strings.Repeat(" account", chunkCount)
	return streams(head("completed", message("completed", strings.Repeat(answerText, 4)[:answerSize]), used),
		event("response.created", `"sequence_number":0,"response":`+head("in_progress", "", "null"))+
			event("response.in_progress", `"sequence_number":1,"response":`+head("in_progress", "", "null"))+
			event("response.output_item.added", `"sequence_number":2,"output_index":0,"item":`+message("in_progress", ""))+
			event("response.content_part.added", at+`"part":{"type":"output_text","annotations":[],"logprobs":[],"text":""}`),
		event("response.output_text.delta", at+`"delta":" account","logprobs":[],"obfuscation":"0123456789"`),
		event("response.output_text.done", at+`"text":"`+said+`","logprobs":[]`)+
			event("response.content_part.done", at+`"part":{"type":"output_text","annotations":[],"logprobs":[],"text":"`+said+`"}`)+
			event("response.output_item.done", `"sequence_number":106,"output_index":0,"item":`+message("completed", said))+
			event("response.completed", `"sequence_number":107,"response":`+head("completed", message("completed", said), used)))
}

// mockFor returns the mock that answers a request, by its path or else by the length of its body.
func mockFor(path string, natives map[string]mock, short, long mock, size int) mock {
	if m, ok := natives[path]; ok {
		return m
	}
	if size > 2<<10 {
		return long
	}
	return short
}

// nativeProviders returns the configuration of the mock provider in the other formats.
func nativeProviders(upstream string) string {
	var b strings.Builder
	for _, of := range [][2]string{{"messages", "anthropic"}, {"responses", "responses"}} {
		fmt.Fprintf(&b, `  bench-%[1]s:
    adapter: %[2]s
    base_url: http://%[3]s/v1
    private: true
    auth: {kind: none}
    models:
      - {id: bench-%[1]s, upstream: bench, context: 128000, max_output: 16384, tokenizer: {encoding: o200k_base},
         prices: [{since: 2026-01-01, prompt: "0.15", completion: "0.60"}]}
`, of[0], of[1], upstream)
	}
	return b.String()
}
