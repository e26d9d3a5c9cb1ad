package bedrock_test

import (
	"errors"
	"strings"
	"testing"

	"tallyroute/providers"
	"tallyroute/providers/bedrock"
	"tallyroute/providers/chat"
)

func invoked(t *testing.T, model, members string) (providers.Call, error) {
	t.Helper()
	r, err := chat.ParseRequest([]byte(`{"model":"m",` + members + `}`))
	if err != nil {
		t.Fatal(err)
	}
	return providers.Encode(providers.Exchange{Target: providers.Target{Upstream: model, Adapter: bedrock.InvokeAt(clock)}, Request: r})
}

// Text-completion models are given the conversation as one text, in their own format.
func TestInvoke_Texts(t *testing.T) {
	const talk = `"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"},{"role":"assistant","content":"Ho"},` +
		`{"role":"user","content":"Why?"}],` +
		`"max_tokens":10,"temperature":0.5,"top_p":0.9,"top_k":3,"stop":["|"]`
	for model, want := range map[string]struct{ body, lost string }{
		"amazon.titan-text-lite-v1": {
			`{"inputText":"Be brief.\nUser: Hi\nBot: Ho\nUser: Why?\nBot:","textGenerationConfig":{"maxTokenCount":10,"temperature":0.5,` +
				`"topP":0.9,"stopSequences":["|"]}}`, "top_k",
		},
		"cohere.command-light-text-v14": {
			`{"prompt":"Be brief.\nUser: Hi\nChatbot: Ho\nUser: Why?\nChatbot:","max_tokens":10,"temperature":0.5,"p":0.9,"k":3,` +
				`"stop_sequences":["|"]}`, "",
		},
		"meta.llama2-13b-chat-v1": {
			`{"prompt":"<s>[INST] Be brief. [/INST][INST] Hi [/INST] Ho</s>[INST] Why? [/INST]","max_gen_len":10,"temperature":0.5,` +
				`"top_p":0.9}`, "top_k stop",
		},
		"us.meta.llama3-1-70b-instruct-v1:0": {
			`{"prompt":"<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe ` +
				`brief.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>` +
				`<|start_header_id|>assistant<|end_header_id|>\n\nHo<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nWhy?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",` +
				`"max_gen_len":10,"temperature":0.5,"top_p":0.9}`, "top_k stop",
		},
		"mistral.mistral-7b-instruct-v0:2": {
			`{"prompt":"<s>[INST] Be brief. [/INST][INST] Hi [/INST] Ho</s>[INST] Why? [/INST]","max_tokens":10,"temperature":0.5,` +
				`"top_p":0.9,"top_k":3,"stop":["|"]}`, "",
		},
	} {
		call, err := invoked(t, model, talk)
		if err != nil || string(call.Body) != want.body || strings.Join(call.Dropped, " ") != want.lost ||
			!strings.HasSuffix(call.Path, "/invoke") {
			t.Errorf("%s: %s %s, dropped %q, %v; want %s", model, call.Path, call.Body, call.Dropped, err, want.body)
		}
	}
}

// What can't be expressed is refused before anything is sent.
func TestInvoke_Refused(t *testing.T) {
	const hi = `"messages":[{"role":"user","content":"hi"}]`
	for _, c := range []struct{ model, members, param string }{
		{"cohere.rerank-v3-5:0", hi, "model"},
		{"us.deepseek.r1-v1:0", hi, "model"},
		{"openai.gpt-oss-20b-1:0", hi, "model"},
		{"amazon.titan-text-lite-v1", hi + `,"tools":[{"type":"function","function":{"name":"f"}}]`, "tools"},
		{"meta.llama3-8b-instruct-v1:0", hi + `,"response_format":{"type":"json_object"}`, "response_format"},
		{"meta.llama3-8b-instruct-v1:0", `"messages":[{"role":"user","content":[{"type":"image_url",` +
			`"image_url":{"url":"data:image/png;base64,AA"}}]}]`, "messages[0].content[0]"},
	} {
		_, err := invoked(t, c.model, c.members)
		e := (*chat.FieldError)(nil)
		if !errors.As(err, &e) || e.Param != c.param {
			t.Errorf("%s %s: %v, want %s", c.model, c.members, err, c.param)
		}
	}
	for _, model := range []string{
		"us.anthropic.claude-sonnet-4-6", "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc",
		"amazon.nova-lite-v1:0",
	} {
		if _, err := invoked(t, model, hi); err != nil {
			t.Errorf("%s: %v", model, err)
		}
	}
}

// An answer that the model failed to write is an error; what came before it is not complete.
func TestMalformedAnswers(t *testing.T) {
	a := bedrock.At(clock)
	for body, want := range map[string]string{
		`{"output":{"message":{"role":"assistant","content":[]}},"stopReason":"malformed_tool_use","usage":{"inputTokens":1,` +
			`"outputTokens":1}}`: "",
		`{"output":{"message":{"role":"assistant","content":[{"text":"hi"}]}},"stopReason":"end_turn","usage":{"inputTokens":1,` +
			`"outputTokens":1}}`: "stop",
	} {
		r, err := a.Chat.Decode(providers.Exchange{}, nil, []byte(body))
		if pe := (*providers.Error)(nil); want == "" && (!errors.As(err, &pe) || pe.Kind != providers.KindBroken) ||
			want != "" && (err != nil || r.Finish != want) {
			t.Errorf("%s: %+v, %v", body, r, err)
		}
	}
}
