package scripted

func openAI() format {
	broken := object{"error": object{"message": failed, "type": "server_error", "code": "overloaded", "param": nil}}
	return format{
		name: "openai", kind: events, whole: completion, stream: chunks, fail: broken,
		broken: func(v any) [][]byte { return [][]byte{event("", v)} },
	}
}

func completion(a answer) any {
	message := object{"role": "assistant", "content": a.Text}
	if a.Thought != "" {
		message["reasoning_content"] = a.Thought
	}
	if a.Calls != nil {
		message["tool_calls"] = toolCalls(a)
	}
	return object{
		"id": a.id, "object": "chat.completion", "created": 1_700_000_000, "model": a.model, "usage": completionUsage(a.usage),
		"choices": []any{object{"index": 0, "message": message, "finish_reason": a.finish("stop", "tool_calls")}},
	}
}

func toolCalls(a answer) (list []any) {
	for _, c := range a.Calls {
		list = append(list, object{"id": c.ID, "type": "function", "function": object{"name": c.Name, "arguments": c.Arguments}})
	}
	return list
}

func completionUsage(u Usage) object {
	return object{
		"prompt_tokens": u.Prompt, "completion_tokens": u.Output, "total_tokens": u.Prompt + u.Output,
		"prompt_tokens_details": object{"cached_tokens": u.Cached},
	}
}

func chunks(a answer) (list [][]byte) {
	add := func(delta object, finish any) {
		list = append(list, event("", object{
			"id": a.id, "object": "chat.completion.chunk", "created": 1_700_000_000, "model": a.model,
			"choices": []any{object{"index": 0, "delta": delta, "finish_reason": finish}},
		}))
	}
	add(object{"role": "assistant", "content": ""}, nil)
	if a.Thought != "" {
		for _, p := range pieces(a.Thought) {
			add(object{"reasoning_content": p}, nil)
		}
	}
	for _, p := range pieces(a.Text) {
		add(object{"content": p}, nil)
	}
	for i, c := range a.Calls {
		add(object{"tool_calls": []any{object{
			"index": i, "id": c.ID, "type": "function", "function": object{"name": c.Name, "arguments": ""},
		}}}, nil)
	}
	for i, c := range a.Calls { // after the starts of all calls
		for _, p := range pieces(c.Arguments) {
			add(object{"tool_calls": []any{object{"index": i, "function": object{"arguments": p}}}}, nil)
		}
	}
	add(object{}, a.finish("stop", "tool_calls"))
	list = append(list, event("", object{
		"id": a.id, "object": "chat.completion.chunk", "created": 1_700_000_000, "model": a.model, "choices": []any{},
		"usage": completionUsage(a.usage),
	}))
	return append(list, []byte("data: [DONE]\n\n"))
}
