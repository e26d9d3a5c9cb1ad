package openai

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"tallyroute/providers"
	"tallyroute/providers/chat"
)

func exchange(t testing.TB, request string) providers.Exchange {
	t.Helper()
	r, err := chat.ParseRequest([]byte(request))
	if err != nil {
		t.Fatal(err)
	}
	return providers.Exchange{Target: providers.Target{Upstream: "up"}, Request: r}
}

const (
	asked       = `{"model":"m","messages":[{"role":"user","content":"hi"}]}`
	askedStream = `{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"hi"}]}`
)

// Whatever is in order stays, byte for byte. What is not is normalised, and everything around
// it stays.
func TestNormalisePlain(t *testing.T) {
	const (
		head    = `{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[`
		choice  = `{"index":0,"message":{"role":"assistant","content":"a","refusal":null},"logprobs":null,"finish_reason":"stop"}`
		message = `{"role":"assistant","content":"a","refusal":null}`
	)
	with := func(member string) string {
		return `{"index":0,"message":{"role":"assistant","content":"a","refusal":null,` + member +
			`},"logprobs":null,"finish_reason":"stop"}`
	}
	for name, c := range map[string]struct{ in, want string }{
		"in order": {head + choice + `], "x" :1 }`, head + choice + `], "x" :1 }`},
		"nothing but words": {
			`{"choices":[{"message":{"content":"a"}}]}`,
			`{"choices":[{"message":{"content":"a","role":"assistant","refusal":null},"index":0,"logprobs":null,"finish_reason":"stop"}],` +
				`"id":"chatcmpl-7a0828e270021c50","object":"chat.completion","created":0,"model":"up"}`,
		},
		"nulls": {
			head + choice + `],"system_fingerprint":null,"usage":null,"service_tier":null}`,
			head + choice + `],"service_tier":null}`,
		},
		"tiers":             {head + choice + `],"service_tier":"on_demand"}`, head + choice + `],"service_tier":"default"}`},
		"a tier of its own": {head + choice + `],"service_tier":"batch"}`, head + choice + `]}`},
		"created":           {strings.Replace(head, `1,`, `1.75,`, 1) + choice + `]}`, head + choice + `]}`},
		"created as text":   {strings.Replace(head, `1,`, `"1",`, 1) + choice + `]}`, head + choice + `]}`},
		"parts": {
			head + strings.Replace(choice, `"a"`,
				`[{"type":"thinking","thinking":[{"type":"text","text":"x"}]},{"type":"text","text":"a\n"}]`, 1) + `]}`,
			head + strings.Replace(choice, message, `{"role":"assistant","content":"a\n","refusal":null,"reasoning_content":"x"}`,
				1) + `]}`,
		},
		"an object": {
			head + strings.Replace(choice, `"a"`, `{"b":1.50}`, 1) + `]}`,
			head + strings.Replace(choice, `"a"`, `"{\"b\":1.50}"`, 1) + `]}`,
		},
		"reasoning": {head + with(`"reasoning":"why"`) + `]}`, head + with(`"reasoning":"why","reasoning_content":"why"`) + `]}`},
		"both reasonings": {
			head + with(`"reasoning":"why","reasoning_content":"why"`) + `]}`,
			head + with(`"reasoning":"why","reasoning_content":"why"`) + `]}`,
		},
		"empty members": {head + with(`"tool_calls":null,"function_call":{"name":"","arguments":""},"audio":{"id":"","data":""},`+
			`"annotations":null`) + `]}`, head + choice + `]}`},
		"a call": {
			head + with(`"tool_calls":[{"function":{"name":"f","arguments":{"x":1}},"more":2},{"id":"","type":"function",`+
				`"function":{"name":"g"}}]`) + `]}`,
			strings.Replace(head+with(`"tool_calls":[{"function":{"name":"f","arguments":"{\"x\":1}"},"more":2,`+
				`"id":"call_55bacc91d477ae76","type":"function"},{"id":"call_55bacd91d477b029","type":"function","function":{"name":"g",`+
				`"arguments":""}}]`), `"stop"`, `"tool_calls"`, 1) + `]}`,
		},
		"a reason of others": {
			head + strings.Replace(choice, `"stop"`, `"max_tokens"`, 1) + `]}`,
			head + strings.Replace(choice, `"stop"`, `"length"`, 1) + `]}`,
		},
		"cache beside": {head + choice +
			`],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":107,"prompt_tokens_details":{"cached_tokens":100},` +
			`"own":[1]}}`, head + choice + `],"usage":{"prompt_tokens":105,"completion_tokens":2,"total_tokens":107,` +
			`"prompt_tokens_details":{"cached_tokens":100},"own":[1]}}`},
		"cache in a dialect": {
			head + choice +
				`],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7,"prompt_cache_hit_tokens":4,` +
				`"completion_tokens_details":null}}`,
			head + choice + `],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7,"prompt_cache_hit_tokens":4,` +
				`"prompt_tokens_details":{"cached_tokens":4}}}`,
		},
		"no arguments": {strings.Replace(head+with(`"tool_calls":[{"id":"a","type":"function","function":{"name":"f"}}]`), `"stop"`,
			`"tool_calls"`, 1) + `]}`, strings.Replace(head+
			with(`"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":""}}]`), `"stop"`, `"tool_calls"`,
			1) + `]}`},
		"no counts": {head + choice + `],"usage":{"queue_time":1}}`, head + choice + `]}`},
		"an annotation": {head + with(`"annotations":[{"type":"url_citation","url_citation":{"url":"u","k":1}},{"type":"file"}]`) +
			`]}`, head + with(`"annotations":[{"type":"url_citation","url_citation":{"url":"u","k":1,"start_index":0,"end_index":0,`+
			`"title":""}}],"other_annotations":[{"type":"file"}]`) + `]}`},
		"logprobs": {head + strings.Replace(choice, `"logprobs":null`, `"logprobs":{"content":[{"token":"a","logprob":-1}]}`, 1) +
			`]}`, head + strings.Replace(choice, `"logprobs":null`,
			`"logprobs":{"content":[{"token":"a","logprob":-1,"bytes":null,"top_logprobs":[]}],"refusal":null}`, 1) + `]}`},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := New().Chat.Decode(exchange(t, asked), nil, []byte(c.in))
			if err != nil {
				t.Fatal(err)
			}
			if string(r.Body) != c.want {
				t.Errorf("it becomes\n%s, want\n%s", r.Body, c.want)
			}
			if again, err := chat.ParseResponse(r.Body); err != nil || (again.Odd && name == "in order") {
				t.Errorf("it is read as %+v, %v", again, err)
			}
		})
	}
}

// A response that is not odd would not be changed by normalising it.
func TestNormaliseLeavesWhatIsInOrder(t *testing.T) {
	for _, body := range []string{
		`{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant",` +
			`"content":null,"refusal":"no","annotations":[]},"logprobs":null,"finish_reason":"stop"},{"index":1,` +
			`"message":{"role":"assistant","content":"x","refusal":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f",` +
			`"arguments":"{}"}}]},"logprobs":null,"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":5,"completion_tokens":7,` +
			`"total_tokens":12,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0},` +
			`"completion_tokens_details":{"reasoning_tokens":3}},"service_tier":"default","system_fingerprint":"fp"}`,
	} {
		r, err := chat.ParseResponse([]byte(body))
		if err != nil || r.Odd {
			t.Fatalf("%v, odd: %v", err, r.Odd)
		}
		m := normaliser{x: exchange(t, asked)}
		if got := m.answer([]byte(body), r.Usage); string(got) != body {
			t.Errorf("it becomes\n%s", got)
		}
	}
}

// streamed returns what becomes of the events of a stream.
func streamed(t *testing.T, events ...string) []string {
	t.Helper()
	s := New().Chat.Stream(exchange(t, askedStream), io.NopCloser(strings.NewReader("data: "+strings.Join(events, "\n\ndata: ")+"\n\n")))
	var got []string
	for {
		c, err := s.Next()
		if errors.Is(err, io.EOF) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(c.Data))
	}
}

func TestNormaliseStream(t *testing.T) {
	const head = `{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":`
	chunk := func(delta string) string { return head + delta + `,"finish_reason":null}]}` }
	end := func(reason string) string { return head + `{},"finish_reason":"` + reason + `"}]}` }
	call := func(c string) string { return chunk(`{"tool_calls":[` + c + `]}`) }
	first := chunk(`{"role":"assistant","content":""}`)
	for name, c := range map[string]struct{ in, want []string }{
		"in order": {
			[]string{first, chunk(`{"content":"a"}`), end("stop")},
			[]string{first, chunk(`{"content":"a"}`), end("stop")},
		},
		"ids differ, no role, a kind of its own": {
			[]string{
				`{"choices":[{"delta":{"content":"a"}}],"id":"c1","object":"","created":1,"model":"m"}`,
				strings.Replace(chunk(`{"content":"b","role":null}`), "c1", "c2", 1), end("stop"),
			},
			[]string{`{"choices":[{"delta":{"content":"a","role":"assistant"},"index":0,"finish_reason":null}],"id":"c1",` +
				`"object":"chat.completion.chunk","created":1,"model":"m"}`, chunk(`{"content":"b"}`), end("stop")},
		},
		"calls without an index": {
			[]string{
				first, call(`{"id":"a","function":{"name":"f","arguments":"{"}},{"id":"b","function":{"name":"g","arguments":"{}"}}`),
				call(`{"function":{"arguments":"}"}}`), end("tool_calls"),
			},
			[]string{
				first, call(`{"id":"a","function":{"name":"f","arguments":"{"},"index":0,"type":"function"},{"id":"b",` +
					`"function":{"name":"g","arguments":"{}"},"index":1,"type":"function"}`),
				call(`{"function":{"arguments":"}"},"index":1}`),
				end("tool_calls"),
			},
		},
		"an index used again": {
			[]string{
				first, call(`{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}`),
				call(`{"index":0,"id":"b","type":"function","function":{"name":"f","arguments":"{"}}`),
				call(`{"index":0,"id":null,"type":null,"function":{"name":null,"arguments":"}"}}`), end("tool_calls"),
			},
			[]string{
				first, call(`{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}`),
				call(`{"index":1,"id":"b","type":"function","function":{"name":"f","arguments":"{"}}`),
				call(`{"index":1,"function":{"arguments":"}"}}`), end("tool_calls"),
			},
		},
		"a name said again": {
			[]string{
				first, call(`{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{"}}`),
				call(`{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"}"}}`), end("tool_calls"),
			},
			[]string{
				first, call(`{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{"}}`),
				call(`{"index":0,"id":"a","type":"function","function":{"arguments":"}"}}`), end("tool_calls"),
			},
		},
		"no id at all": {
			[]string{
				first, call(`{"index":0,"id":"","function":{"name":"f","arguments":{"x":1}}}`),
				call(`{"index":1,"function":{"name":"f","arguments":"{}"}}`), end("stop"),
			},
			[]string{first, call(`{"index":0,"id":"call_55bacc91d477ae76","function":{"name":"f","arguments":"{\"x\":1}"},` +
				`"type":"function"}`), call(`{"index":1,"function":{"name":"f","arguments":"{}"},"id":"call_55bacd91d477b029",` +
				`"type":"function"}`), end("tool_calls")},
		},
		"an empty reason": {
			[]string{first, head + `{"content":"a"},"finish_reason":""}]}`, "[DONE]"},
			[]string{first, chunk(`{"content":"a"}`), head[:len(head)-len(`{"index":0,"delta":`)] +
				`{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}`},
		},
		"a reason twice": {
			[]string{first, end("stop"), end("stop")},
			[]string{first, end("stop"), head + `{},"finish_reason":null}]}`},
		},
		"usage elsewhere": {
			[]string{first, end("stop")[:len(end("stop"))-1] +
				`,"x_groq":{"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}}`},
			[]string{first, end("stop")[:len(end("stop"))-1] +
				`,"x_groq":{"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}},"usage":{"prompt_tokens":3,` +
				`"completion_tokens":4,"total_tokens":7}}`},
		},
		"counts of null": {
			[]string{first[:len(first)-1] + `,"usage":{"prompt_tokens":3,"completion_tokens":null,"total_tokens":null}}`, end("stop")},
			[]string{first[:len(first)-1] + `,"usage":{"prompt_tokens":3,"completion_tokens":0,"total_tokens":3}}`, end("stop")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := streamed(t, c.in...); strings.Join(got, "\n") != strings.Join(c.want, "\n") {
				t.Errorf("it becomes\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

// FuzzMend checks that whatever a provider sends, the result is JSON, needs no further
// normalising, and reads the same.
func FuzzMend(f *testing.F) {
	f.Add([]byte(`{"choices":[{"message":{"content":[{"type":"text","text":"a"},"b"],"tool_calls":[{"function":{"arguments":{}}}],` +
		`"role":null},"finish_reason":"eos"}],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":9,` +
		`"prompt_tokens_details":null}}`))
	f.Add([]byte(`{"id":1,"choices":[{"delta":{"function_call":{"name":"f"},"annotations":[{"type":"file"}],"audio":{}},` +
		`"logprobs":{"content":[{"top_logprobs":[{}]}]}},{"text":"a"}],"created":1.5,"service_tier":"x","system_fingerprint":null}`))
	x := exchange(f, asked)
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := chat.ParseResponse(body)
		if err != nil {
			return
		}
		first := normaliser{x: x}
		once := first.answer(body, r.Usage)
		if !json.Valid(once) && json.Valid(body) {
			t.Fatalf("it is no JSON any more: %s", once)
		}
		again, err := chat.ParseResponse(once)
		if err != nil {
			t.Fatalf("%v: %s", err, once)
		}
		if !r.Odd && string(once) != string(body) {
			t.Errorf("what is in order becomes %s", once)
		}
		second := normaliser{x: x}
		if twice := second.answer(once, again.Usage); string(twice) != string(once) {
			t.Errorf("%s\nbecomes once more\n%s", once, twice)
		}
	})
}

// OpenAI streams calls of custom tools, too.
func TestNormalise_CustomToolsInStreams(t *testing.T) {
	pieces := []string{
		`[{"index":0,"id":"call_1","type":"custom","custom":{"name":"sql","input":""}}]`,
		`[{"index":0,"custom":{"input":"SELECT "}}]`,
		`[{"index":1,"id":"call_2","type":"function","function":{"name":"f","arguments":""}}]`,
		`[{"index":0,"custom":{"input":"1"}},{"index":1,"function":{"arguments":"{}"}}]`,
	}
	var events strings.Builder
	for _, calls := range pieces {
		events.WriteString(`data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,` +
			`"delta":{"tool_calls":` +
			calls + `},"logprobs":null,"finish_reason":null}]}` + "\n\n")
	}
	s := New().Chat.Stream(exchange(t, askedStream), io.NopCloser(strings.NewReader(events.String())))
	for i, calls := range pieces {
		if c, err := s.Next(); err != nil || !strings.Contains(string(c.Data), calls[:len(calls)-1]) {
			t.Errorf("piece %d became %s, %v", i, c.Data, err)
		}
	}
}
