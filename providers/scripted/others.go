package scripted

func cohere() format {
	return format{
		name: "cohere", kind: events, whole: cohereMessage, stream: cohereEvents, fail: object{"message": failed},
		broken: func(any) [][]byte {
			return [][]byte{typed(object{"type": "message-end", "delta": object{"finish_reason": "ERROR", "error": failed}})}
		},
	}
}

func cohereUsage(u Usage) object {
	return object{
		"billed_units": object{"input_tokens": u.Prompt, "output_tokens": u.Output},
		"tokens":       object{"input_tokens": u.Prompt, "output_tokens": u.Output},
	}
}

func cohereMessage(a answer) any {
	content := []any{}
	if a.Thought != "" {
		content = append(content, object{"type": "thinking", "thinking": a.Thought})
	}
	if a.Text != "" {
		content = append(content, object{"type": "text", "text": a.Text})
	}
	m := object{"role": "assistant", "content": content}
	if a.Calls != nil {
		m["tool_calls"] = toolCalls(a)
	}
	return object{"id": a.id, "finish_reason": a.finish("COMPLETE", "TOOL_CALL"), "message": m, "usage": cohereUsage(a.usage)}
}

func cohereEvents(a answer) (list [][]byte) {
	add := func(kind string, index int, message object) {
		list = append(list, typed(object{"type": kind, "index": index, "delta": object{"message": message}}))
	}
	list = append(list, typed(object{"type": "message-start", "id": a.id, "delta": object{"message": object{"role": "assistant"}}}))
	index := 0
	content := func(kind, member, text string) {
		add("content-start", index, object{"content": object{"type": kind, member: ""}})
		for _, p := range pieces(text) {
			add("content-delta", index, object{"content": object{member: p}})
		}
		list = append(list, typed(object{"type": "content-end", "index": index}))
		index++
	}
	if a.Thought != "" {
		content("thinking", "thinking", a.Thought)
	}
	if a.Text != "" {
		content("text", "text", a.Text)
	}
	for i, c := range a.Calls {
		add("tool-call-start", i, object{"tool_calls": object{
			"id": c.ID, "type": "function", "function": object{"name": c.Name, "arguments": ""},
		}})
		for _, p := range pieces(c.Arguments) {
			add("tool-call-delta", i, object{"tool_calls": object{"function": object{"arguments": p}}})
		}
		list = append(list, typed(object{"type": "tool-call-end", "index": i}))
	}
	return append(list, typed(object{
		"type": "message-end", "delta": object{"finish_reason": a.finish("COMPLETE", "TOOL_CALL"), "usage": cohereUsage(a.usage)},
	}))
}

func ollama() format {
	return format{
		name: "ollama", kind: "application/x-ndjson", fail: object{"error": failed},
		whole:  func(a answer) any { return ollamaEnd(a, a.Thought, a.Text) },
		stream: ollamaLines,
		broken: func(v any) [][]byte { return [][]byte{append(marshal(v), '\n')} },
	}
}

func ollamaLine(a answer, thought, text string) object {
	m := object{"role": "assistant", "content": text}
	if thought != "" {
		m["thinking"] = thought
	}
	return object{"model": a.model, "created_at": "2026-01-01T00:00:00Z", "message": m, "done": false}
}

// ollamaEnd returns a whole response, or the last piece of one.
func ollamaEnd(a answer, thought, text string) object {
	line := ollamaLine(a, thought, text)
	var calls []any
	for _, c := range a.Calls {
		calls = append(calls, object{"function": object{"name": c.Name, "arguments": arguments(c)}})
	}
	if calls != nil {
		line["message"].(object)["tool_calls"] = calls
	}
	line["done"], line["done_reason"], line["prompt_eval_count"], line["eval_count"] = true, "stop", a.usage.Prompt, a.usage.Output
	return line
}

func ollamaLines(a answer) (list [][]byte) {
	add := func(line object) { list = append(list, append(marshal(line), '\n')) }
	if a.Thought != "" {
		for _, p := range pieces(a.Thought) {
			add(ollamaLine(a, p, ""))
		}
	}
	for _, p := range pieces(a.Text) {
		add(ollamaLine(a, "", p))
	}
	add(ollamaEnd(a, "", ""))
	return list
}
