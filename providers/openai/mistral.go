package openai

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// Mistral returns the adapter for Mistral's API: the OpenAI format with some other names,
// stricter messages, and content in parts if a model reasons. Source for embeddings:
// EmbeddingRequest in the OpenAPI file of its platform.
func Mistral() providers.Adapter {
	return providers.Adapter{
		Chat:  completions{dialect{rewrite: mistralRequest}},
		Embed: embeddings{dimensions: "output_dimension", members: []string{"metadata", "output_dimension", "output_dtype"}},
		Quirks: providers.Quirks{
			Search:        providers.SearchNever,
			CallIDs:       providers.CallIDsNine,
			Results:       providers.ResultsAnswered,
			Rename:        map[string]string{"seed": "random_seed"},
			Known:         mistralMembers,
			Bounds:        map[string]providers.Bound{"temperature": {Max: "1.5"}},
			NoStreamUsage: true, // usage comes with every stream
			Members: members().With(
				providers.Unsent.Of("messages.*"), // messages are rewritten, apart from Mistral's own content parts
				providers.Unknown.Of("messages.content.*"),
				providers.Free.Of("messages.content.document_name", "messages.content.reference_ids"),
				providers.Refused.Of("guardrails"),
			),
		},
	}
}

// mistralMembers lists all members that a request may have besides model, messages and
// stream: Mistral refuses those that it does not know. Source: ChatCompletionRequest in the
// OpenAPI file of its platform, and recordings of logprobs.
var mistralMembers = []string{
	"frequency_penalty", "guardrails", "logprobs", "max_tokens", "metadata", "n", "parallel_tool_calls", "prediction",
	"presence_penalty", "prompt_cache_key", "prompt_mode", "random_seed", "reasoning_effort", "response_format",
	"safe_prompt", "stop", "temperature", "tool_choice", "tools", "top_logprobs", "top_p",
}

// mistralRequest returns the request with its messages, tools and prediction in Mistral's
// form.
func mistralRequest(r *chat.Request) (*chat.Request, []string, error) {
	r, lost, err := reduced(r, mistralStrict())
	if err != nil {
		return nil, nil, err
	}
	t := translation{index: -1, lost: lost}
	out, err := t.request(r)
	return out, t.lost, err
}

// translation is the translation of one request.
type translation struct {
	index int      // of the current message
	left  int      // messages still to come
	last  string   // the role of the previous message
	lost  []string // members that said something and are dropped
	err   error    // for what cannot be expressed at all
}

// request returns the request with its messages, tools and prediction in Mistral's form.
func (t *translation) request(r *chat.Request) (*chat.Request, error) {
	var set []jsonraw.Member
	change := func(name string, to []byte) {
		if from := r.Get(name); to != nil && !bytes.Equal(from, to) {
			set = append(set, jsonraw.Member{Name: name, Value: to})
		}
	}
	for range r.Messages() {
		t.left++
	}
	change("messages", elements(r.Get("messages"), func(raw []byte) []byte {
		t.index++
		return t.message(raw)
	}))
	if raw := r.Get("tools"); jsonraw.IsArray(raw) {
		change("tools", elements(raw, t.tool))
	}
	if raw := r.Get("prediction"); jsonraw.IsArray(jsonraw.Lookup(raw, "content")) {
		change("prediction", jsonraw.Edit(raw,
			[]jsonraw.Member{{Name: "content", Value: jsonraw.Quote(texts(jsonraw.Lookup(raw, "content")))}}))
	}
	if choice := r.Get("tool_choice"); len(choice) > 0 && choice[0] == '{' && jsonraw.Text(jsonraw.Lookup(choice, "type")) != "function" {
		t.refuse("tool_choice", "Mistral takes a function as tool_choice, or one of auto, none, any and required.")
	}
	if t.err != nil {
		return nil, t.err
	}
	if set == nil {
		return r, nil
	}
	out, err := r.Edit(set)
	if err != nil {
		return nil, fmt.Errorf("openai: mistral: %w", err)
	}
	return out, nil
}

var errInexpressible = errors.New("openai: mistral: the request cannot be expressed")

func (t *translation) refuse(param, message string) {
	if t.err == nil {
		t.err = &providers.Error{Kind: providers.KindUnfit, Status: http.StatusBadRequest, Err: errInexpressible, Detail: chat.Error{
			Message: message, Type: "invalid_request_error", Param: param, Code: "unsupported_value",
		}}
	}
}

// at returns the path of a member of the current message.
func (t *translation) at(name string) string { return fmt.Sprintf("messages[%d].%s", t.index, name) }

// roleMembers lists the members that a message of each role may have.
var roleMembers = map[string][]string{
	"system":    {"role", "content"},
	"user":      {"role", "content"},
	"assistant": {"role", "content", "tool_calls", "prefix"},
	"tool":      {"role", "content", "tool_call_id", "name"},
}

func (t *translation) message(raw []byte) []byte {
	given := make(map[string][]byte, 8)
	var names []string
	for name, value := range jsonraw.Each(raw) {
		given[string(name)] = value
		names = append(names, string(name))
	}
	role := jsonraw.Text(given["role"])
	if role == "assistant" && nothing(given["content"]) {
		if !nothing(given["refusal"]) {
			return t.message(jsonraw.Edit(raw, []jsonraw.Member{{Name: "content", Value: given["refusal"]}}, "refusal"))
		}
		if nothing(given["tool_calls"]) && nothing(given["function_call"]) && thought(role, given) == nil {
			t.left-- // Mistral refuses an empty message
			return nil
		}
	}
	var set []jsonraw.Member
	var drop []string
	if role == "developer" {
		role = "system"
		set = append(set, jsonraw.Member{Name: "role", Value: jsonraw.Quote(role)})
	}
	t.left--
	before := t.last
	if role == "system" && (before == "assistant" || before == "tool") {
		role = "user"
		set = append(set, jsonraw.Member{Name: "role", Value: jsonraw.Quote(role)})
		t.tell("messages.role")
	}
	t.last = role
	if role == "function" {
		t.refuse(t.at("role"), "Mistral knows messages of the role tool, not of the role function.")
	}
	for _, name := range names {
		if !slices.Contains(roleMembers[role], name) && roleMembers[role] != nil {
			drop = append(drop, name)
			if back := thought(role, given) != nil; !back || !strings.HasPrefix(name, "reasoning") {
				t.lose(name, given[name])
			}
		}
	}
	put := func(name string, to []byte) {
		if !bytes.Equal(given[name], to) {
			set = append(set, jsonraw.Member{Name: name, Value: to})
		}
	}
	if content, ok := given["content"]; ok || role == "assistant" {
		put("content", t.content(content, thought(role, given)))
	}
	if calls, ok := given["tool_calls"]; ok && jsonraw.IsArray(calls) {
		put("tool_calls", elements(calls, t.call))
	}
	if calls := given["tool_calls"]; role == "assistant" && t.left == 0 && (!jsonraw.IsArray(calls) || jsonraw.IsEmptyArray(calls)) {
		put("prefix", []byte("true")) // the model is to continue it
	}
	return jsonraw.Edit(raw, set, drop...)
}

// lose notes that a member of a message is dropped, unless it says nothing.
func (t *translation) lose(name string, value []byte) {
	if name == "function_call" && string(value) != "null" {
		t.refuse(t.at("function_call"), "Mistral knows tool_calls, not function_call.")
	}
	if !nothing(value) {
		t.tell("messages." + name)
	}
}

// nothing reports whether a member is absent or empty.
func nothing(value []byte) bool {
	return value == nil || slices.Contains([]string{"null", "[]", `""`}, string(value))
}

func (t *translation) tell(name string) { t.lost = providers.Lose(t.lost, name) }

// thought returns the reasoning of an earlier answer, which goes back into its content.
func thought(role string, given map[string][]byte) []byte {
	if role != "assistant" {
		return nil
	}
	for _, name := range []string{"reasoning_content", "reasoning"} {
		if raw := given[name]; len(raw) > len(`""`) && raw[0] == '"' {
			return raw
		}
	}
	return nil
}

// content returns a text, or parts in Mistral's form.
func (t *translation) content(raw, thought []byte) []byte {
	if jsonraw.IsArray(raw) {
		raw = elements(raw, t.part)
	}
	if len(raw) == 0 {
		raw = []byte("null")
	}
	if thought == nil {
		return raw
	}
	out := []byte(`[{"type":"thinking","thinking":[{"type":"text","text":` + string(thought) + `}]}`)
	switch {
	case jsonraw.IsArray(raw):
		for part := range jsonraw.Elements(raw) {
			out = append(append(out, ','), part...)
		}
	case raw[0] == '"' && len(raw) > len(`""`):
		out = append(append(append(out, `,{"type":"text","text":`...), raw...), '}')
	}
	return append(out, ']')
}

// part returns one part of content in Mistral's form.
func (t *translation) part(raw []byte) []byte {
	switch kind := jsonraw.Text(jsonraw.Lookup(raw, "type")); kind {
	case "text":
		t.lose("cache_control", jsonraw.Lookup(raw, "cache_control"))
		return objectOf("type", `"text"`, "text", string(jsonraw.Lookup(raw, "text")))
	case "refusal":
		return objectOf("type", `"text"`, "text", string(jsonraw.Lookup(raw, "refusal")))
	case "input_audio":
		audio := jsonraw.Lookup(raw, "input_audio")
		if data := jsonraw.Lookup(audio, "data"); data != nil {
			audio = data
		}
		return objectOf("type", `"input_audio"`, "input_audio", string(audio))
	case "file":
		return t.file(raw)
	default: // image_url is the same; document_url, thinking and reference are Mistral's own
		if cache := jsonraw.Lookup(raw, "cache_control"); cache != nil {
			t.lose("cache_control", cache)
			return jsonraw.Edit(raw, nil, "cache_control")
		}
		return raw
	}
}

// file returns a document part, with the file's id or its bytes.
func (t *translation) file(raw []byte) []byte {
	file := jsonraw.Lookup(raw, "file")
	if data := jsonraw.Lookup(file, "file_data"); data != nil {
		members := []string{"type", `"document_url"`, "document_url", string(data)}
		if name := jsonraw.Lookup(file, "filename"); name != nil {
			members = append(members, "document_name", string(name))
		}
		return objectOf(members...)
	}
	if id := jsonraw.Lookup(file, "file_id"); id != nil {
		return objectOf("type", `"file"`, "file_id", string(id))
	}
	return raw
}

// call returns a tool call of an earlier answer.
func (t *translation) call(raw []byte) []byte {
	if jsonraw.Lookup(raw, "custom") != nil && jsonraw.Lookup(raw, "function") == nil {
		t.refuse(t.at("tool_calls"), "Mistral knows calls of functions, not of custom tools.")
	}
	for name, value := range jsonraw.Each(raw) {
		switch string(name) {
		case "id", "type", "index", "function":
		case "cache_control":
			t.lose("cache_control", value)
		default:
			t.lose("tool_calls."+string(name), value)
		}
	}
	f := jsonraw.Lookup(raw, "function")
	arguments := string(jsonraw.Lookup(f, "arguments"))
	if arguments == "" || arguments == `""` || arguments == "null" {
		arguments = `"{}"`
	}
	return objectOf("id", string(jsonraw.Lookup(raw, "id")), "type", `"function"`,
		"function", string(objectOf("name", string(jsonraw.Lookup(f, "name")), "arguments", arguments)))
}

// tool returns a function that may be called.
func (t *translation) tool(raw []byte) []byte {
	f := jsonraw.Lookup(raw, "function")
	if len(f) == 0 || f[0] != '{' {
		t.refuse("tools", "Mistral knows tools of the type function alone.")
		return raw
	}
	var set []jsonraw.Member
	if p := jsonraw.Lookup(f, "parameters"); len(p) == 0 || p[0] != '{' {
		set = append(set, jsonraw.Member{Name: "parameters", Value: []byte(`{"type":"object","properties":{}}`)})
	}
	var drop []string
	for name, value := range jsonraw.Each(f) {
		if string(value) == "null" && string(name) != "parameters" {
			drop = append(drop, string(name))
		}
	}
	if len(set)+len(drop) > 0 {
		f = jsonraw.Edit(f, set, drop...)
	}
	if jsonraw.Present(jsonraw.Lookup(raw, "cache_control")) != nil {
		t.tell("tools.cache_control")
	} else if len(set)+len(drop) == 0 {
		return raw
	}
	return jsonraw.Edit(raw, []jsonraw.Member{{Name: "function", Value: f}}, "cache_control")
}

// elements changes each element of an array; one that becomes nil is left out.
func elements(raw []byte, f func([]byte) []byte) []byte {
	out := []byte{'['}
	for element := range jsonraw.Elements(raw) {
		to := f(element)
		if to == nil {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, to...)
	}
	return append(out, ']')
}

// objectOf returns an object made of names and values, the values given as JSON.
func objectOf(members ...string) []byte {
	out := []byte{'{'}
	for i := 0; i+1 < len(members); i += 2 {
		if members[i+1] == "" {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, jsonraw.Quote(members[i])...), ':'), members[i+1]...)
	}
	return append(out, '}')
}

// texts joins the texts in a list of parts.
func texts(parts []byte) string {
	var b strings.Builder
	for part := range jsonraw.Elements(parts) {
		b.WriteString(jsonraw.Text(jsonraw.Lookup(part, "text")))
	}
	return b.String()
}
