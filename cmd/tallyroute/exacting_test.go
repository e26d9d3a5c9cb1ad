package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// exacting is an upstream for many providers, each under a path of its own, that refuses what
// the provider itself is known to refuse.
type exacting struct {
	url string

	mu      sync.Mutex
	answers map[string]string // by provider; "" is a short answer of the provider's kind
	sent    string            // the last body
}

// refusal is a rule of a provider: what it says about a body that it refuses, or "".
type refusal func(model string, body object) string

type object = map[string]any

func newExacting(t *testing.T) *exacting {
	t.Helper()
	u := &exacting{answers: make(map[string]string)}
	server := httptest.NewServer(u)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	u.url = server.URL
	return u
}

func (u *exacting) answer(provider, with string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.answers[provider] = with
}

func (u *exacting) last() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.sent
}

func (u *exacting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	provider, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	text, _ := io.ReadAll(r.Body)
	u.mu.Lock()
	u.sent = string(text)
	answer := u.answers[provider]
	u.mu.Unlock()
	var body object
	if err := json.Unmarshal(text, &body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	model, _ := body["model"].(string)
	if model == "" { // it is in the path
		model = path
	}
	for _, rule := range exactingRules[provider] {
		if said := rule(model, body); said != "" {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(object{"error": object{"type": "invalid_request_error", "message": said}, "message": said})
			return
		}
	}
	streamed := body["stream"] == true || strings.Contains(path, "stream") || provider == "ollama" && body["stream"] != false
	if answer == "" {
		answer = shortAnswers[provider]
		if streamed {
			answer = shortStreams[provider]
		}
	}
	w.Header().Set("Content-Type", "application/json")
	if streamed && provider != "ollama" {
		w.Header().Set("Content-Type", "text/event-stream")
	}
	_, _ = io.WriteString(w, answer)
}

const (
	shortChat = `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant",` +
		`"content":"yes"},"finish_reason":"stop"}],"usage":{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10}}`
	shortChatStream = `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":` +
		`"assistant","content":"yes"},"finish_reason":"stop"}]}` + "\n\n" +
		`data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":8,` +
		`"completion_tokens":2,"total_tokens":10}}` + "\n\ndata: [DONE]\n\n"
	shortGemini = `{"candidates":[{"content":{"role":"model","parts":[{"text":"yes"}]},"finishReason":"STOP"}],` +
		`"usageMetadata":{"promptTokenCount":8,"candidatesTokenCount":2,"totalTokenCount":10}}`
)

var shortAnswers = map[string]string{
	"anthropic": `{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"yes"}],` +
		`"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":8,"output_tokens":2}}`,
	"google": shortGemini, "vertex": shortGemini,
	"bedrock": `{"output":{"message":{"role":"assistant","content":[{"text":"yes"}]}},"stopReason":"end_turn",` +
		`"usage":{"inputTokens":8,"outputTokens":2,"totalTokens":10}}`,
	"cohere": `{"id":"c","finish_reason":"COMPLETE","message":{"role":"assistant","content":[{"type":"text","text":"yes"}]},` +
		`"usage":{"tokens":{"input_tokens":8,"output_tokens":2}}}`,
	"ollama": `{"model":"m","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":"yes"},"done":true,` +
		`"done_reason":"stop","prompt_eval_count":8,"eval_count":2}`,
	"openai-responses": `{"id":"resp_1","object":"response","created_at":1,"status":"completed","model":"m","output":[{"type":"message",` +
		`"id":"msg_1","role":"assistant","status":"completed","content":[{"type":"output_text","text":"yes","annotations":[]}]}],` +
		`"usage":{"input_tokens":8,"output_tokens":2,"total_tokens":10}}`,
	"mistral": shortChat, "groq": shortChat, "xai": shortChat, "deepseek": shortChat, "openrouter": shortChat, "azure": shortChat,
	"moonshot": shortChat, "openai": shortChat,
}

var shortStreams = map[string]string{
	"mistral": shortChatStream, "groq": shortChatStream, "xai": shortChatStream, "deepseek": shortChatStream,
	"openrouter": shortChatStream, "azure": shortChatStream, "moonshot": shortChatStream, "openai": shortChatStream,
	"google": "data: " + shortGemini + "\n\n",
}

// exactingRules are what providers have been seen to answer with status 400.
var exactingRules = map[string][]refusal{
	"anthropic":        {anthropicHistory, anthropicText, anthropicSampling, anthropicThinking, anthropicTools, strictGrammar},
	"google":           {geminiTurns, geminiSignatures, geminiSchemas, geminiFormat},
	"vertex":           {geminiTurns, geminiSignatures, geminiSchemas},
	"bedrock":          {bedrockText, bedrockTools, bedrockPictures, bedrockSampling},
	"mistral":          {mistralOrder, mistralIDs, onlyMembers("mistral")},
	"openrouter":       {routedMistral},
	"groq":             {onlyMembers("groq"), noAllowedTools},
	"xai":              {xaiPenalties, noAllowedTools},
	"deepseek":         {reasoningBack, contentThere, noSchemas},
	"moonshot":         {reasoningBack, moonshotThinking},
	"azure":            {reasoningLimits},
	"openai":           {reasoningLimits},
	"openai-responses": {responsesEffort},
	"cohere":           {cohereCalls, cohereSchemas},
	"ollama":           {ollamaPictures, ollamaArguments},
}

// list returns the objects of a list.
func list(of any) (all []object) {
	elements, _ := of.([]any)
	for _, e := range elements {
		if o, ok := e.(object); ok {
			all = append(all, o)
		}
	}
	return all
}

// get follows names into objects.
func get(in any, path ...string) any {
	for _, name := range path {
		o, _ := in.(object)
		in = o[name]
	}
	return in
}

func anthropicHistory(_ string, body object) string {
	var open []any
	for i, m := range list(body["messages"]) {
		var answered []any
		for n, b := range list(m["content"]) {
			if b["type"] == "tool_result" {
				if !slices.Contains(open, b["tool_use_id"]) || slices.Contains(answered, b["tool_use_id"]) {
					return fmt.Sprintf("messages.%d.content.%d: unexpected `tool_use_id` found in `tool_result` blocks", i, n)
				}
				answered = append(answered, b["tool_use_id"])
			}
		}
		if len(answered) < len(open) {
			return fmt.Sprintf("messages.%d: `tool_use` ids were found without `tool_result` blocks immediately after", i-1)
		}
		open = nil
		for _, b := range list(m["content"]) {
			if b["type"] == "tool_use" {
				open = append(open, b["id"])
				if _, ok := b["input"].(object); !ok {
					return "tool_use.input: Input should be a valid dictionary"
				}
			}
		}
		if role := m["role"]; role != "user" && role != "assistant" {
			return fmt.Sprintf("messages.%d.role: unexpected %v", i, role)
		}
	}
	if len(open) > 0 {
		return "`tool_use` ids were found without `tool_result` blocks immediately after"
	}
	return ""
}

func anthropicText(_ string, body object) string {
	messages := list(body["messages"])
	for _, m := range append(slices.Clone(messages), object{"content": body["system"]}) {
		if m["content"] == "" {
			return "messages: text content blocks must be non-empty"
		}
		for _, b := range list(m["content"]) {
			if text, ok := b["text"].(string); ok && strings.TrimSpace(text) == "" {
				return "messages: text content blocks must contain non-whitespace text"
			}
		}
	}
	if n := len(messages); n > 0 && messages[n-1]["role"] == "assistant" {
		if text, ok := messages[n-1]["content"].(string); ok && text != strings.TrimRight(text, " \n") {
			return "messages: final assistant content cannot end with trailing whitespace"
		}
		for _, b := range list(messages[n-1]["content"]) {
			if text, ok := b["text"].(string); ok && text != strings.TrimRight(text, " \n") {
				return "messages: final assistant content cannot end with trailing whitespace"
			}
		}
	}
	return ""
}

func anthropicSampling(model string, body object) string {
	if body["temperature"] != nil && body["top_p"] != nil && !strings.Contains(model, "claude-opus-4-2") {
		return "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
	}
	if regexp.MustCompile(`opus-4-[78]|(sonnet|opus)-5`).MatchString(model) {
		for _, name := range []string{"temperature", "top_p", "top_k"} {
			if v := body[name]; v != nil && v != 1.0 {
				return "`" + name + "` is not supported for this model"
			}
		}
	}
	return ""
}

// claudeSigned is the only signature that the upstream accepts.
const claudeSigned = "c2lnbmVkLWJ5LWNsYXVkZQ=="

func anthropicThinking(model string, body object) string {
	kind, _ := get(body["thinking"], "type").(string)
	if kind == "enabled" && regexp.MustCompile(`opus-4-[78]|(sonnet|opus)-5`).MatchString(model) {
		return "\"thinking.type.enabled\" is not supported for this model. Use \"thinking.type.adaptive\""
	}
	budget, _ := get(body["thinking"], "budget_tokens").(float64)
	most, _ := body["max_tokens"].(float64)
	if kind == "enabled" && (budget < 1024 || budget >= most) {
		return "`max_tokens` must be greater than `thinking.budget_tokens`"
	}
	thinks := kind == "enabled" || kind == "adaptive"
	if choice := get(body["tool_choice"], "type"); thinks && (choice == "any" || choice == "tool") {
		return "Thinking may not be enabled when tool_choice forces tool use."
	}
	if t := body["temperature"]; thinks && t != nil && t != 1.0 {
		return "`temperature` may only be set to 1 when thinking is enabled."
	}
	for i, m := range list(body["messages"]) {
		for n, b := range list(m["content"]) {
			if b["type"] == "thinking" && b["signature"] != claudeSigned {
				return fmt.Sprintf("messages.%d.content.%d: Invalid `signature` in `thinking` block", i, n)
			}
		}
	}
	messages := list(body["messages"])
	for i := len(messages) - 1; i >= 0 && kind == "enabled"; i-- {
		blocks := list(messages[i]["content"])
		if messages[i]["role"] == "assistant" {
			if len(blocks) > 0 && blocks[0]["type"] != "thinking" &&
				slices.ContainsFunc(blocks, func(b object) bool { return b["type"] == "tool_use" }) {
				return "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`"
			}
			break
		}
		if !slices.ContainsFunc(blocks, func(b object) bool { return b["type"] == "tool_result" }) {
			break
		}
	}
	return ""
}

var claudeName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,128}$`)

func anthropicTools(_ string, body object) string {
	seen := map[any]bool{}
	for i, t := range list(body["tools"]) {
		name, _ := t["name"].(string)
		s, _ := t["input_schema"].(object)
		switch {
		case !claudeName.MatchString(name):
			return fmt.Sprintf("tools.%d.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'", i)
		case seen[name]:
			return "tools: Tool names must be unique."
		case t["input_schema"] != nil && s["type"] != "object":
			return fmt.Sprintf("tools.%d.custom.input_schema.type: Input should be 'object'", i)
		case s["anyOf"] != nil || s["oneOf"] != nil || s["allOf"] != nil:
			return fmt.Sprintf("tools.%d.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level", i)
		}
		seen[name] = true
	}
	for _, m := range list(body["messages"]) {
		for _, b := range list(m["content"]) {
			if id, ok := b["id"].(string); ok && !claudeName.MatchString(id) {
				return "tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
			}
		}
	}
	return ""
}

func geminiTurns(_ string, body object) string {
	calls := 0
	contents := list(body["contents"])
	if len(contents) == 0 {
		return "contents is not specified"
	}
	for _, c := range contents {
		parts := list(c["parts"])
		if len(parts) == 0 {
			return "contents.parts must not be empty."
		}
		answers := 0
		for _, p := range parts {
			if p["functionResponse"] != nil {
				answers++
			}
			if len(p) == 0 {
				return "required oneof field 'data' must have one initialized field"
			}
		}
		if answers != calls && (answers > 0 || calls > 0) {
			return "Please ensure that the number of function response parts is equal to the number of function call parts of the " +
				"function call turn."
		}
		if answers > 0 && c["role"] == "model" {
			return "Please use a valid role: user, model."
		}
		calls = 0
		for _, p := range parts {
			if p["functionCall"] != nil {
				calls++
			}
		}
	}
	return ""
}

func geminiSignatures(model string, body object) string {
	if !strings.Contains(model, "gemini-3") {
		return ""
	}
	for n, c := range list(body["contents"]) {
		for _, p := range list(c["parts"]) {
			if p["functionCall"] == nil {
				continue
			}
			if p["thoughtSignature"] == nil {
				return fmt.Sprintf("Function call is missing a thought_signature in functionCall parts. position %d", n)
			}
			break // only the first of calls at once is signed
		}
	}
	return ""
}

// everySchema calls f for a schema and all schemas in it.
func everySchema(s any, f func(object)) {
	o, ok := s.(object)
	if !ok {
		return
	}
	f(o)
	for _, name := range []string{"properties", "$defs", "definitions", "patternProperties"} {
		inner, _ := o[name].(object)
		for _, v := range inner {
			everySchema(v, f)
		}
	}
	for _, name := range []string{"items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"} {
		everySchema(o[name], f)
	}
	for _, name := range []string{"anyOf", "oneOf", "allOf", "prefixItems"} {
		for _, v := range list(o[name]) {
			everySchema(v, f)
		}
	}
}

// unknownWord returns the first keyword of a schema that is not among those given.
func unknownWord(s any, words ...string) (found string) {
	everySchema(s, func(o object) {
		for name := range o {
			if !slices.Contains(words, name) {
				found = name
			}
		}
	})
	return found
}

var geminiWords = []string{
	"$id", "$defs", "$ref", "$anchor", "type", "format", "title", "description", "enum", "items", "prefixItems", "minItems", "maxItems",
	"minimum", "maximum", "anyOf", "oneOf", "properties", "additionalProperties", "required", "propertyOrdering",
}

func geminiSchemas(_ string, body object) string {
	said := ""
	judge := func(s any) {
		if word := unknownWord(s, geminiWords...); word != "" {
			said = `Invalid JSON payload received. Unknown name "` + word + `"`
		}
		everySchema(s, func(o object) {
			values, _ := o["enum"].([]any)
			for _, v := range values {
				switch v.(type) {
				case string, float64:
				default:
					said = "enum: only allowed for STRING type"
				}
			}
			properties, _ := o["properties"].(object)
			names, _ := o["required"].([]any)
			for _, name := range names {
				if _, ok := properties[fmt.Sprint(name)]; !ok {
					said = fmt.Sprintf("required[%v]: property is not defined", name)
				}
			}
		})
	}
	for _, t := range list(body["tools"]) {
		for _, f := range list(t["functionDeclarations"]) {
			if f["parameters"] != nil {
				return "the narrower schema is used"
			}
			judge(f["parametersJsonSchema"])
			if s := f["parametersJsonSchema"]; s != nil && get(s, "type") != "object" {
				return "parameters.type: should be OBJECT"
			}
		}
	}
	judge(get(body, "generationConfig", "responseJsonSchema"))
	return said
}

func geminiFormat(model string, body object) string {
	functions := slices.ContainsFunc(list(body["tools"]), func(t object) bool { return t["functionDeclarations"] != nil })
	if strings.Contains(model, "gemini-2") && functions && get(body, "generationConfig", "responseMimeType") == "application/json" {
		return "Function calling with a response mime type: 'application/json' is unsupported"
	}
	return ""
}

func ollamaPictures(_ string, body object) string {
	for _, m := range list(body["messages"]) {
		pictures, _ := m["images"].([]any)
		for _, p := range pictures {
			if _, err := base64.StdEncoding.DecodeString(fmt.Sprint(p)); err != nil {
				return err.Error()
			}
		}
		if _, ok := m["content"].(string); !ok && m["content"] != nil {
			return "json: cannot unmarshal array into Go struct field ChatRequest.messages.content of type string"
		}
	}
	return ""
}

func ollamaArguments(_ string, body object) string {
	for _, m := range list(body["messages"]) {
		for _, c := range list(m["tool_calls"]) {
			if _, ok := get(c, "function", "arguments").(object); !ok {
				return "Value looks like object, but can't find closing '}' symbol"
			}
		}
	}
	return ""
}
