package main

import "strings"

// named returns a stream of events, each given as its data, with the names that Anthropic gives them.
func named(data ...string) string {
	var b strings.Builder
	for _, d := range data {
		if rest, ok := strings.CutPrefix(d, `{"type":"`); ok {
			name, _, _ := strings.Cut(rest, `"`)
			b.WriteString("event: " + name + "\n")
		}
		b.WriteString("data: " + d + "\n\n")
	}
	return b.String()
}

// pieces returns a stream of chunks in the OpenAI format, each given by what its one choice has.
func chunks(choices ...string) string {
	var b strings.Builder
	for _, c := range choices {
		if !strings.HasPrefix(c, "[") && c != "" {
			c = `[{"index":0,` + c + `}]`
		}
		b.WriteString(`data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":` + c + "}\n\n")
	}
	return b.String() + "data: [DONE]\n\n"
}

func whole(message, finish, usage string) string {
	return `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant",` + message +
		`},"finish_reason":"` + finish + `"}],"usage":` + usage + `}`
}

const (
	claudeStart = `{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],` +
		`"stop_reason":null,"usage":{"input_tokens":9,"output_tokens":1}}}`
	claudeNoUsage = `{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m",` +
		`"content":[],"stop_reason":null}}`
	claudeText  = `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`
	claudeWord  = `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Let me"}}`
	claudeStop  = `{"type":"content_block_stop","index":0}`
	claudeUse1  = `{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_1","name":"w","input":{}}}`
	claudeJSON1 = `{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"c\":1}"}}`
	claudeUse2  = `{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_2","name":"v","input":{}}}`
	claudeEnd   = `{"type":"message_stop"}`
	streamed    = hi + `,"stream":true,"stream_options":{"include_usage":true}`
	usage10     = `{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10}`
)

func claudeDelta(reason, usage string) string {
	return `{"type":"message_delta","delta":{"stop_reason":"` + reason + `","stop_sequence":null},"usage":` + usage + `}`
}

func gemini(parts, finish, usage string) string {
	if finish != "" {
		finish = `,"finishReason":"` + finish + `"`
	}
	return `{"candidates":[{"content":{"role":"model","parts":[` + parts + `]}` + finish + `,"index":0}],"usageMetadata":` + usage + `}`
}

func claudeSays(content, reason, usage string) string {
	return `{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[` + content + `],"stop_reason":"` + reason +
		`","stop_sequence":null,"usage":` + usage + `}`
}

const geminiUsage = `{"promptTokenCount":8,"candidatesTokenCount":2,"totalTokenCount":10}`

var faithfulAnswers = []faithful{
	{
		name: "two calls behind a text, streamed", model: "anthropic/claude-sonnet-4.6", body: streamed + `,` + twoTools,
		as: named(claudeStart, claudeText, claudeWord, claudeStop, claudeUse1, claudeJSON1, `{"type":"content_block_stop",`+
			`"index":1}`, claudeUse2, `{"type":"content_block_stop","index":2}`, claudeDelta("tool_use", `{"output_tokens":20}`),
			claudeEnd),
		got: []string{
			`"index":0,"id":"toolu_1"`, `"index":1,"id":"toolu_2"`, `"finish_reason":"tool_calls"`,
			`"prompt_tokens":9`, "[DONE]",
		},
	},
	{
		name: "a call at once, streamed", model: "anthropic/claude-sonnet-4.6", body: streamed + `,` + twoTools,
		as: named(claudeStart, strings.Replace(claudeUse1, `"index":1`, `"index":0`, 1), `{"type":"content_block_stop",`+
			`"index":0}`, strings.Replace(claudeUse2, `"index":2`, `"index":1`, 1), `{"type":"content_block_stop","index":1}`,
			claudeDelta("tool_use", `{"output_tokens":20}`), claudeEnd),
		got: []string{`"index":0,"id":"toolu_1"`, `"index":1,"id":"toolu_2"`},
	},
	{
		name: "a cache", model: "anthropic/claude-sonnet-4.6", body: hi,
		as: claudeSays(`{"type":"text","text":"yes"}`, "end_turn", `{"input_tokens":10,"cache_creation_input_tokens":1733,`+
			`"cache_read_input_tokens":512,"output_tokens":5}`),
		got: []string{`"prompt_tokens":2255`, `"cached_tokens":512`, `"total_tokens":2260`},
	},
	{
		name: "usage at the end alone", model: "anthropic/claude-sonnet-4.6", body: streamed,
		as: named(claudeNoUsage, claudeText, claudeWord, claudeStop, claudeDelta("end_turn", `{"input_tokens":4522,`+
			`"cache_creation_input_tokens":4511,"output_tokens":5}`), claudeEnd),
		got: []string{`"prompt_tokens":9033`, `"completion_tokens":5`},
	},
	{
		name: "usage at the end that takes back the prompt", model: "anthropic/claude-sonnet-4.6", body: streamed,
		as: named(claudeStart, claudeText, claudeWord, claudeStop, claudeDelta("end_turn", `{"input_tokens":0,`+
			`"output_tokens":5}`), claudeEnd),
		got: []string{`"prompt_tokens":9`, `"completion_tokens":5`},
	},
	{name: "an end by the bound", model: "anthropic/claude-sonnet-4.6", body: hi, as: claudeSays(`{"type":"text","text":"y"}`,
		"max_tokens", `{"input_tokens":8,"output_tokens":2}`), got: []string{`"finish_reason":"length"`}},
	{name: "an end by the context", model: "anthropic/claude-sonnet-4.6", body: hi, as: claudeSays(`{"type":"text","text":"y"}`,
		"model_context_window_exceeded", `{"input_tokens":8,"output_tokens":2}`), got: []string{`"finish_reason":"length"`}},
	{name: "a refusal", model: "anthropic/claude-sonnet-4.6", body: hi, as: claudeSays(`{"type":"text","text":"y"}`, "refusal",
		`{"input_tokens":8,"output_tokens":2}`), got: []string{`"finish_reason":"content_filter"`}},
	{name: "a stop word", model: "anthropic/claude-sonnet-4.6", body: hi, as: claudeSays(`{"type":"text","text":"y"}`,
		"stop_sequence", `{"input_tokens":8,"output_tokens":2}`), got: []string{`"finish_reason":"stop"`}},
	{
		name: "an error in the middle", model: "anthropic/claude-sonnet-4.6", body: streamed,
		as:  named(claudeStart, claudeText, claudeWord, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`),
		got: []string{`"error"`, "![DONE]", `Let me`},
	},
	{
		name: "a stream to a plain request", model: "anthropic/claude-sonnet-4.6", body: hi + `,` + twoTools,
		as: named(claudeStart, claudeText, claudeWord, claudeStop, claudeUse1, claudeJSON1, `{"type":"content_block_stop",`+
			`"index":1}`, claudeDelta("tool_use", `{"output_tokens":20}`), claudeEnd),
		got: []string{
			`"object":"chat.completion"`, `"content":"Let me"`, `"id":"toolu_1"`, `"arguments":"{\"c\":1}"`,
			`"finish_reason":"tool_calls"`, `"prompt_tokens":9`, `"completion_tokens":20`,
		},
	},
	{
		name: "thinking with its signature", model: "anthropic/claude-sonnet-4.6", body: hi + `,"reasoning_effort":"low"`,
		as: claudeSays(`{"type":"thinking","thinking":"hm","signature":"`+claudeSigned+`"},{"type":"text","text":"y"}`,
			"end_turn", `{"input_tokens":8,"output_tokens":9}`),
		got: []string{`"reasoning_content":"hm"`, claudeSigned},
	},

	{
		name: "a call in one event and the end in another", model: "google/gemini-3-flash-preview", body: streamed + `,` + oneTool,
		as: named(gemini(`{"functionCall":{"name":"w","args":{"c":"x"}},"thoughtSignature":"c2ln"}`, "", geminiUsage),
			gemini(`{"text":""}`, "STOP", geminiUsage)),
		got: []string{`"finish_reason":"tool_calls"`, `!"finish_reason":"stop"`, `c2ln`},
	},
	{
		name: "an end in every event", model: "google/gemini-2.5-flash", body: streamed,
		as:  named(gemini(`{"text":"one "}`, "STOP", geminiUsage), gemini(`{"text":"two"}`, "STOP", geminiUsage)),
		got: []string{"one ", "two", "[DONE]"},
	},
	{
		name: "a malformed call", model: "google/gemini-2.5-flash", body: hi + `,` + oneTool,
		as: `{"candidates":[{"content":{},"finishReason":"MALFORMED_FUNCTION_CALL",` +
			`"finishMessage":"Malformed function call: print(w())"}],"usageMetadata":` + geminiUsage + `}`, code: 502,
	},
	{
		name: "thoughts beside the candidates", model: "google/gemini-2.5-flash", body: hi,
		as: gemini(`{"text":"y"}`, "STOP", `{"promptTokenCount":55021,"candidatesTokenCount":923,"totalTokenCount":56729,`+
			`"thoughtsTokenCount":785}`),
		got: []string{`"completion_tokens":1708`, `"reasoning_tokens":785`},
	},
	{
		name: "thoughts among the candidates", model: "google/gemini-2.5-flash", body: hi,
		as: gemini(`{"text":"y"}`, "STOP", `{"promptTokenCount":100,"candidatesTokenCount":900,"totalTokenCount":1000,`+
			`"thoughtsTokenCount":700}`),
		got: []string{`"completion_tokens":900`, `"reasoning_tokens":700`},
	},
	{name: "a stream to a plain request", model: "google/gemini-2.5-flash", body: hi, as: named(gemini(`{"text":"one "}`, "",
		geminiUsage), gemini(`{"text":"two"}`, "STOP", geminiUsage)), got: []string{`"content":"one two"`, `"finish_reason":"stop"`}},

	{
		name: "reasoning in parts of the content", model: "mistral/magistral-medium-latest", body: hi,
		as: whole(`"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"y"}]`, "stop",
			usage10),
		got: []string{`"content":"y"`, `"reasoning_content":"hm"`},
	},
	{
		name: "reasoning in parts of the content, streamed", model: "mistral/magistral-medium-latest", body: streamed,
		as: chunks(`"delta":{"role":"assistant","content":[{"type":"thinking","thinking":[{"type":"text",`+
			`"text":"'s a greeting"}]}]},"finish_reason":null`, `"delta":{"content":"y"},"finish_reason":"stop"`),
		got: []string{`"reasoning_content":"'s a greeting"`, `"content":"y"`},
	},
	{
		name: "usage beside the end", model: "mistral/mistral-large-2512", body: streamed,
		as: `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,` +
			`"delta":{"content":"3"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"total_tokens":9,` +
			`"completion_tokens":2}}` + "\n\ndata: [DONE]\n\n",
		got: []string{`"prompt_tokens":7`},
	},
	{
		name: "the native end", model: "deepseek/deepseek-v4-flash", body: hi + `,` + oneTool,
		as: whole(`"content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"w","arguments":"{}"}}]`,
			"tool_use", usage10),
		got: []string{`"finish_reason":"tool_calls"`},
	},
	{
		name: "a call that ends with stop", model: "xai/grok-4.5", body: hi + `,` + oneTool,
		as:  whole(`"content":"","tool_calls":[{"id":"a","type":"function","function":{"name":"w","arguments":"{}"}}]`, "stop", usage10),
		got: []string{`"finish_reason":"tool_calls"`},
	},
	{
		name: "reasoning beside the output", model: "xai/grok-4.5", body: hi,
		as: whole(`"content":"y"`, "stop", `{"prompt_tokens":10120,"completion_tokens":1499,"total_tokens":14428,`+
			`"prompt_tokens_details":{"cached_tokens":128},"completion_tokens_details":{"reasoning_tokens":2809}}`),
		got: []string{`"completion_tokens":4308`, `"total_tokens":14428`},
	},
	{
		name: "reasoning within the output", model: "xai/grok-4.5", body: hi,
		as: whole(`"content":"y"`, "stop", `{"prompt_tokens":500,"completion_tokens":500,"total_tokens":1000,`+
			`"completion_tokens_details":{"reasoning_tokens":200}}`),
		got: []string{`"completion_tokens":500`, `"total_tokens":1000`},
	},

	{
		name: "calls before the end, streamed", model: "ollama/llava", body: streamed + `,` + oneTool,
		as: `{"model":"m","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":"","thinking":"hm"},` +
			`"done":false}` + "\n" +
			`{"model":"m","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":"",` +
			`"tool_calls":[{"function":{"name":"w","arguments":{"c":"x"}}}]},"done":false}` + "\n" +
			`{"model":"m","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":""},"done":true,` +
			`"done_reason":"stop","prompt_eval_count":8,"eval_count":2}` + "\n",
		got: []string{`"finish_reason":"tool_calls"`, `"reasoning_content":"hm"`, `"arguments":"{\"c\":\"x\"}"`},
	},
	{
		name: "an error in the middle", model: "ollama/llava", body: streamed,
		as: `{"model":"m","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":"a"},"done":false}` + "\n" +
			`{"error":"an error was encountered while running the model"}` + "\n",
		got: []string{`"error"`, "![DONE]"},
	},
	{
		name: "a thought cut by the bound", model: "ollama/llava", body: hi,
		as: `{"model":"m","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":"","thinking":"Okay,` +
			` the"},"done":true,"done_reason":"length","prompt_eval_count":8,"eval_count":2}`,
		got: []string{`"finish_reason":"length"`, "Okay, the"},
	},
	{
		name: "the end of a call, streamed", model: "cohere/command-a-03-2025", body: streamed + `,` + oneTool,
		as: named(`{"type":"message-start","id":"c","delta":{"message":{"role":"assistant","content":[],"tool_plan":"",`+
			`"tool_calls":[],"citations":[]}}}`,
			`{"type":"tool-plan-delta","delta":{"message":{"tool_plan":"I will"}}}`,
			`{"type":"tool-call-start","index":0,"delta":{"message":{"tool_calls":{"id":"w_1","type":"function",`+
				`"function":{"name":"w","arguments":""}}}}}`,
			`{"type":"tool-call-delta","index":0,"delta":{"message":{"tool_calls":{"function":{"arguments":"{\"c\":1}"}}}}}`,
			`{"type":"tool-call-end","index":0}`,
			`{"type":"message-end","delta":{"finish_reason":"TOOL_CALL","usage":{"tokens":{"input_tokens":8,"output_tokens":2}}}}`),
		got: []string{`"finish_reason":"tool_calls"`, `"name":"w"`},
	},

	{
		name: "a first event about filters", model: "azure/gpt-4o", body: streamed,
		as: `data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,` +
			`"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}}}]}` + "\n\n" +
			chunks(`"delta":{"role":"assistant","content":"y"},"finish_reason":null`, `"finish_reason":null,`+
				`"content_filter_offsets":{"check_offset":3329,"start_offset":3329,"end_offset":3438},`+
				`"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}}`, `"delta":{},"finish_reason":"stop"`),
		got: []string{`"content":"y"`, `"delta":{}`, `!"id":""`, "[DONE]"},
	},
	{
		name: "an error beside an empty delta", model: "openrouter/claude-sonnet-4.6", body: streamed,
		as: ": OPENROUTER PROCESSING\n\n" + `data: {"id":"gen-1","object":"chat.completion.chunk","created":1,"model":"m",` +
			`"choices":[{"index":0,"delta":{"role":"assistant","content":"a"},"finish_reason":null}]}` + "\n\n" +
			`data: {"id":"gen-1","object":"chat.completion.chunk","created":1,"model":"m","error":{"code":502,` +
			`"message":"Provider disconnected"},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}` + "\n\n",
		got: []string{`"error"`, "![DONE]", "!OPENROUTER"},
	},
	{
		name: "an error and no choices", model: "openrouter/claude-sonnet-4.6", body: streamed,
		as: `data: {"id":"gen-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"error":{"code":502,` +
			`"message":"Worker local total request limit reached (33/32)"}}` + "\n\n",
		code: 502,
	},
	{
		name: "a failure that only the native end tells", model: "openrouter/claude-sonnet-4.6", body: hi,
		as: `{"id":"gen-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,` +
			`"message":{"role":"assistant","content":""},"finish_reason":"stop","native_finish_reason":"network_error"}],` +
			`"usage":{"prompt_tokens":8,"completion_tokens":0,"total_tokens":8}}`,
		code: 502,
	},
	{
		name: "a stream to a plain request", model: "openai/gpt-5.4", body: hi + `,` + oneTool,
		as: chunks(`"delta":{"role":"assistant","content":"on"},"finish_reason":null`, `"delta":{"content":"e",`+
			`"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"w","arguments":""}}]},"finish_reason":null`,
			`"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"c\""}}]},"finish_reason":null`,
			`"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]},"finish_reason":null`, `"delta":{},`+
				`"finish_reason":"tool_calls"`),
		got: []string{
			`"object":"chat.completion"`, `"content":"one"`, `"arguments":"{\"c\":1}"`, `"finish_reason":"tool_calls"`,
			`"refusal":null`,
		},
	},
	{
		name: "a plan before the answer", model: "openai-responses/gpt-5.4-pro", body: hi,
		as: `{"id":"resp_1","object":"response","created_at":1,"status":"completed","model":"m","output":[{"type":"reasoning",` +
			`"id":"rs_1","summary":[],"content":[{"type":"reasoning_text","text":"hm"}]},{"type":"message","id":"msg_1",` +
			`"role":"assistant","status":"completed","content":[{"type":"output_text","text":"The plan.","annotations":[]}]},` +
			`{"type":"message","id":"msg_2","role":"assistant","status":"completed","content":[{"type":"output_text",` +
			`"text":"The answer.","annotations":[]}]}],"usage":{"input_tokens":8,"output_tokens":2,"total_tokens":10}}`,
		got: []string{`The answer.`, `!"index":1`, `"reasoning_content":"hm"`},
	},

	{
		name: "blocks in a row, streamed", model: "deepseek/deepseek-v4-pro", path: "/v1/messages", body: `"max_tokens":99,` +
			`"stream":true,"messages":[{"role":"user","content":"hi"}],"tools":[{"name":"w","input_schema":{"type":"object"}}]`,
		as: chunks(`"delta":{"role":"assistant","reasoning_content":"hm"},"finish_reason":null`, `"delta":{"content":"y"},`+
			`"finish_reason":null`, `"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"w",`+
			`"arguments":"{}"}}]},"finish_reason":null`, `"delta":{},"finish_reason":"tool_calls"`),
		got: []string{`"index":0,"content_block":{"type":"thinking"`, `"index":1,"content_block":{"type":"text"`, `"index":2,` +
			`"content_block":{"type":"tool_use"`, `!"index":3`, `"stop_reason":"tool_use"`},
	},
	{
		name: "cached tokens", model: "openai/gpt-5.4", path: "/v1/messages", body: `"max_tokens":99,"messages":[{"role":"user",` +
			`"content":"hi"}]`,
		as: whole(`"content":"y"`, "stop", `{"prompt_tokens":100,"completion_tokens":5,"total_tokens":105,`+
			`"prompt_tokens_details":{"cached_tokens":75}}`),
		got: []string{`"input_tokens":25`, `"cache_read_input_tokens":75`},
	},
	{
		name: "the prompt at the end", model: "openai/gpt-5.4", path: "/v1/messages", body: `"max_tokens":99,"stream":true,` +
			`"messages":[{"role":"user","content":"hi"}]`,
		as:  strings.Replace(shortChatStream, `"prompt_tokens":8`, `"prompt_tokens":808`, 1),
		got: []string{`"input_tokens":808`, `"usage":{`, "message_start"},
	},
	{
		name: "an answer cut by the bound", model: "bedrock/claude-sonnet-4.6", path: "/v1/responses", body: `"input":"hi",` +
			`"max_output_tokens":20`,
		as: `{"output":{"message":{"role":"assistant","content":[{"text":"y"}]}},"stopReason":"max_tokens",` +
			`"usage":{"inputTokens":8,"outputTokens":20,"totalTokens":28}}`,
		got: []string{`"status":"incomplete"`, `"max_output_tokens"`},
	},
	{
		name: "reasoning without content in the input", model: "deepseek/deepseek-v4-flash", path: "/v1/responses",
		body: `"input":[{"role":"user","content":"a"},{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":null,` +
			`"content":null,"status":null},{"type":"function_call","id":"fc_1","call_id":"c1","name":"w","arguments":"{}"},` +
			`{"type":"function_call_output","call_id":"c1","output":"x"}],"tools":[{"type":"function","name":"w",` +
			`"parameters":{"type":"object"}}]`,
	},
}
