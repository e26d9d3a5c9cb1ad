package scripted

import "strconv"

func responses() format {
	return format{
		name: "responses", kind: events, whole: func(a answer) any { return response(a, "completed", outputItems(a)) },
		stream: responseEvents,
		fail:   object{"error": object{"message": failed, "type": "server_error", "code": "server_is_overloaded", "param": nil}},
		broken: func(any) [][]byte {
			return [][]byte{typed(object{
				"type": "response.failed", "sequence_number": 99, "response": object{
					"id": "resp_1", "object": "response", "created_at": 1_700_000_000, "status": "failed", "model": "m", "output": []any{},
					"error": object{"code": "server_error", "message": failed},
				},
			})}
		},
	}
}

func response(a answer, status string, output []any) object {
	r := object{
		"id": "resp_" + a.id, "object": "response", "created_at": 1_700_000_000, "status": status, "model": a.model, "output": output,
		"error": nil, "incomplete_details": nil, "instructions": nil, "metadata": object{}, "parallel_tool_calls": true,
		"tool_choice": "auto", "tools": []any{}, "temperature": 1, "top_p": 1, "store": false, "usage": nil,
	}
	if status == "completed" {
		r["usage"] = object{
			"input_tokens": a.usage.Prompt, "input_tokens_details": object{"cached_tokens": a.usage.Cached},
			"output_tokens": a.usage.Output, "output_tokens_details": object{"reasoning_tokens": 0},
			"total_tokens": a.usage.Prompt + a.usage.Output,
		}
	}
	return r
}

func outputItems(a answer) []any {
	list := []any{}
	if a.Thought != "" {
		list = append(list, object{
			"type": "reasoning", "id": "rs_" + a.id, "summary": []any{object{"type": "summary_text", "text": a.Thought}},
			"encrypted_content": a.Proof,
		})
	}
	if a.Text != "" {
		list = append(list, object{
			"type": "message", "id": "msg_" + a.id, "role": "assistant", "status": "completed",
			"content": []any{object{"type": "output_text", "text": a.Text, "annotations": []any{}, "logprobs": []any{}}},
		})
	}
	for i, c := range a.Calls {
		list = append(list, object{
			"type": "function_call", "id": "fc_" + a.id + strconv.Itoa(i), "call_id": c.ID, "name": c.Name, "arguments": c.Arguments,
			"status": "completed",
		})
	}
	return list
}

// responseStream writes events with ascending sequence numbers.
type responseStream struct{ list [][]byte }

func (s *responseStream) add(kind string, e object) {
	e["type"], e["sequence_number"] = kind, len(s.list)
	s.list = append(s.list, typed(e))
}

func responseEvents(a answer) [][]byte {
	var s responseStream
	s.add("response.created", object{"response": response(a, "in_progress", []any{})})
	s.add("response.in_progress", object{"response": response(a, "in_progress", []any{})})
	items := outputItems(a)
	for index, v := range items {
		s.item(index, v.(object))
	}
	s.add("response.completed", object{"response": response(a, "completed", items)})
	return s.list
}

func (s *responseStream) item(index int, item object) {
	id := item["id"]
	on := func(more object) object {
		more["output_index"], more["item_id"] = index, id
		return more
	}
	begun := object{}
	for name, value := range item {
		begun[name] = value
	}
	var text, kind, part string
	var parts object
	switch item["type"] {
	case "reasoning":
		begun["summary"] = []any{}
		text, part, kind = item["summary"].([]any)[0].(object)["text"].(string), "summary_index", "response.reasoning_summary"
		parts = object{"type": "summary_text", "text": text}
	case "message":
		begun["content"], begun["status"] = []any{}, "in_progress"
		text, part, kind = item["content"].([]any)[0].(object)["text"].(string), "content_index", "response.content"
		parts = item["content"].([]any)[0].(object)
	default:
		begun["arguments"], begun["status"] = "", "in_progress"
	}
	s.add("response.output_item.added", object{"output_index": index, "item": begun})
	if parts == nil {
		said := item["arguments"].(string)
		for _, p := range pieces(said) {
			s.add("response.function_call_arguments.delta", on(object{"delta": p}))
		}
		s.add("response.function_call_arguments.done", on(object{"arguments": said, "name": item["name"]}))
	} else {
		saying := "response.output_text"
		if part == "summary_index" {
			saying = "response.reasoning_summary_text"
		}
		empty := object{"type": parts["type"], "text": ""}
		if part == "content_index" {
			empty["annotations"], empty["logprobs"] = []any{}, []any{}
		}
		s.add(kind+"_part.added", on(object{part: 0, "part": empty}))
		for _, p := range pieces(text) {
			s.add(saying+".delta", on(object{part: 0, "delta": p, "logprobs": []any{}}))
		}
		s.add(saying+".done", on(object{part: 0, "text": text, "logprobs": []any{}}))
		s.add(kind+"_part.done", on(object{part: 0, "part": parts}))
	}
	s.add("response.output_item.done", object{"output_index": index, "item": item})
}
