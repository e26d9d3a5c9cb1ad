package scripted

func anthropic() format {
	return format{
		name: "anthropic", kind: events, whole: message, stream: func(a answer) (list [][]byte) {
			for _, e := range messageEvents(a) {
				list = append(list, typed(e))
			}
			return list
		},
		fail:   anthropicError(),
		broken: func(v any) [][]byte { return [][]byte{event("error", v)} },
	}
}

func anthropicError() object {
	return object{"type": "error", "error": object{"type": "overloaded_error", "message": failed}}
}

func messageUsage(u Usage) object {
	return object{
		"input_tokens": u.Prompt - u.Cached, "cache_read_input_tokens": u.Cached, "cache_creation_input_tokens": 0,
		"output_tokens": u.Output,
	}
}

func message(a answer) any {
	content := []any{}
	if a.Thought != "" {
		content = append(content, object{"type": "thinking", "thinking": a.Thought, "signature": a.Proof})
	}
	if a.Text != "" {
		content = append(content, object{"type": "text", "text": a.Text})
	}
	for _, c := range a.Calls {
		content = append(content, object{"type": "tool_use", "id": c.ID, "name": c.Name, "input": arguments(c)})
	}
	return object{
		"id": "msg_" + a.id, "type": "message", "role": "assistant", "model": a.model, "content": content,
		"stop_reason": a.finish("end_turn", "tool_use"), "stop_sequence": nil, "usage": messageUsage(a.usage),
	}
}

func messageEvents(a answer) (list []object) {
	begun := messageUsage(a.usage)
	begun["output_tokens"] = 1
	list = append(list, object{"type": "message_start", "message": object{
		"id": "msg_" + a.id, "type": "message", "role": "assistant", "model": a.model, "content": []any{},
		"stop_reason": nil, "stop_sequence": nil, "usage": begun,
	}}, object{"type": "ping"})
	index := 0
	block := func(start object, deltas ...object) {
		list = append(list, object{"type": "content_block_start", "index": index, "content_block": start})
		for _, d := range deltas {
			list = append(list, object{"type": "content_block_delta", "index": index, "delta": d})
		}
		list = append(list, object{"type": "content_block_stop", "index": index})
		index++
	}
	deltas := func(kind, member, text string) (all []object) {
		for _, p := range pieces(text) {
			all = append(all, object{"type": kind, member: p})
		}
		return all
	}
	if a.Thought != "" {
		block(object{"type": "thinking", "thinking": "", "signature": ""}, append(deltas("thinking_delta", "thinking", a.Thought),
			object{"type": "signature_delta", "signature": a.Proof})...)
	}
	if a.Text != "" {
		block(object{"type": "text", "text": ""}, deltas("text_delta", "text", a.Text)...)
	}
	for _, c := range a.Calls {
		block(object{"type": "tool_use", "id": c.ID, "name": c.Name, "input": object{}},
			deltas("input_json_delta", "partial_json", c.Arguments)...)
	}
	return append(list,
		object{
			"type": "message_delta", "usage": messageUsage(a.usage),
			"delta": object{"stop_reason": a.finish("end_turn", "tool_use"), "stop_sequence": nil},
		},
		object{"type": "message_stop"})
}
