package messages

import (
	"slices"
	"strings"

	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// Answer converts a whole chat completion to a message.
func Answer(completion []byte) []byte {
	s := translate.ReadAnswer(completion)
	var o jsonraw.Object
	head(&o, jsonraw.Text(jsonraw.Lookup(completion, "id")), jsonraw.Lookup(completion, "model"))
	o.Word("container", "null")
	o.Key("content")
	o.Open('[')
	thoughts(&o, s)
	for _, text := range [][]byte{s.Text, s.Refusal} {
		if text != nil {
			o.Open('{')
			o.Text("type", "text")
			o.Raw("text", text)
			cited(&o, citations(s.Annotations))
			o.Close('}')
		}
	}
	for _, c := range s.Calls {
		o.Open('{')
		use(&o, c)
		o.Raw("input", input(jsonraw.Text(c.Arguments)))
		o.Close('}')
	}
	o.Close(']')
	ending(&o, s)
	o.Object("usage", usage(jsonraw.Lookup(completion, "usage"), tier(completion)))
	o.Raw("tallyroute", jsonraw.Lookup(completion, "tallyroute"))
	return o.Bytes()
}

// head writes the beginning of a message.
func head(o *jsonraw.Object, id string, model []byte) {
	o.Text("id", identifier("msg_", id))
	o.Text("type", "message")
	o.Text("role", "assistant")
	o.Raw("model", model)
}

// identifier returns an id with the prefix that Anthropic uses.
func identifier(prefix, id string) string {
	if strings.HasPrefix(id, prefix) {
		return id
	}
	return prefix + id
}

// thoughts writes the reasoning of a whole answer: Claude's unchanged; that of other models as
// one block, with what their provider needs to see again.
func thoughts(o *jsonraw.Object, s translate.Reply) {
	if own(s.Details) {
		for _, d := range s.Details {
			o.Open('{')
			if data := jsonraw.Lookup(d, "data"); data != nil {
				o.Text("type", "redacted_thinking")
				o.Raw("data", data)
			} else {
				o.Text("type", "thinking")
				o.Raw("thinking", orEmpty(jsonraw.Lookup(d, "text")))
				o.Raw("signature", orEmpty(jsonraw.Lookup(d, "signature")))
			}
			o.Close('}')
		}
		s.Reasoning, s.Details = nil, nil
	}
	proof := translate.Carry(s.Details, s.Calls)
	if s.Reasoning == nil && proof == "" {
		return
	}
	o.Open('{')
	if s.Reasoning == nil {
		o.Text("type", "redacted_thinking")
		o.Text("data", proof)
	} else {
		o.Text("type", "thinking")
		o.Raw("thinking", s.Reasoning)
		o.Text("signature", proof)
	}
	o.Close('}')
}

// own reports whether reasoning comes from Claude.
func own(details [][]byte) bool {
	return len(details) > 0 && !slices.ContainsFunc(details, func(d []byte) bool {
		return !strings.HasPrefix(jsonraw.Text(jsonraw.Lookup(d, "format")), claude)
	})
}

func orEmpty(raw []byte) []byte {
	if raw == nil {
		return []byte(`""`)
	}
	return raw
}

// use writes the beginning of a tool call.
func use(o *jsonraw.Object, c translate.ReplyCall) {
	o.Text("type", "tool_use")
	o.Text("id", packedID(c.ID))
	o.Raw("name", orEmpty(c.Name))
	o.Word("caller", `{"type":"direct"}`)
}

// cited writes the web pages that a text is based on, or null if there are none.
func cited(o *jsonraw.Object, pages [][]byte) {
	if len(pages) == 0 {
		o.Word("citations", "null")
	}
	o.Array("citations", pages)
}

// input returns the arguments of a tool call, which must be an object. If the model was cut off
// or used free text, they become an object with a single member.
func input(arguments string) []byte {
	if strings.TrimSpace(arguments) == "" {
		return []byte("{}")
	}
	if raw := []byte(strings.TrimSpace(arguments)); translate.Whole(raw) {
		return jsonraw.Compact(raw)
	}
	return jsonraw.One("arguments", jsonraw.Quote(arguments))
}

// citations returns the web pages that a text is based on.
func citations(annotations [][]byte) (list [][]byte) {
	for _, a := range annotations {
		page := jsonraw.Lookup(a, "url_citation")
		url := jsonraw.Lookup(page, "url")
		if url == nil {
			continue
		}
		var o jsonraw.Object
		o.Text("type", "web_search_result_location")
		o.Text("cited_text", "")
		o.Raw("url", url)
		o.Raw("title", jsonraw.Lookup(page, "title"))
		o.Text("encrypted_index", "")
		list = append(list, o.Bytes())
	}
	return list
}

// ending writes why the answer ended, in Anthropic's terms.
func ending(o *jsonraw.Object, s translate.Reply) {
	stop := reason(s.Finish, s.Native)
	o.Text("stop_reason", stop)
	o.Word("stop_sequence", "null")
	if stop == "refusal" {
		o.Word("stop_details", `{"type":"refusal","category":null,"explanation":null}`)
		return
	}
	o.Word("stop_details", "null")
}

// reasons are Anthropic's own.
var reasons = []string{
	"end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal", "model_context_window_exceeded", "compaction",
}

func reason(finish, native string) string {
	if slices.Contains(reasons, native) {
		return native
	}
	switch finish {
	case "length":
		return "max_tokens"
	case "tool_calls", "function_call":
		return "tool_use"
	case "content_filter":
		return "refusal"
	}
	return "end_turn"
}
