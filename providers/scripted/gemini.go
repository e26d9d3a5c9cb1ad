package scripted

func gemini() format {
	broken := object{"error": object{"code": 503, "message": failed, "status": "UNAVAILABLE"}}
	return format{
		name: "gemini", kind: events, fail: broken,
		whole: func(a answer) any { return lastCandidate(a, geminiParts(a)) },
		stream: func(a answer) (list [][]byte) {
			all := geminiParts(a)
			for _, p := range all[:len(all)-1] {
				list = append(list, event("", candidate(a, []any{p})))
			}
			return append(list, event("", lastCandidate(a, all[len(all)-1:])))
		},
		broken: func(v any) [][]byte { return [][]byte{event("", v)} },
	}
}

func geminiParts(a answer) (list []any) {
	if a.Thought != "" {
		for _, p := range pieces(a.Thought) {
			list = append(list, object{"text": p, "thought": true})
		}
	}
	if a.Text != "" {
		for _, p := range pieces(a.Text) {
			list = append(list, object{"text": p})
		}
	}
	for i, c := range a.Calls {
		part := object{"functionCall": object{"id": c.ID, "name": c.Name, "args": arguments(c)}}
		if i == 0 && a.Proof != "" {
			part["thoughtSignature"] = a.Proof
		}
		list = append(list, part)
	}
	return list
}

func candidate(a answer, parts []any) object {
	return object{
		"candidates": []any{object{"index": 0, "content": object{"role": "model", "parts": parts}}}, "usageMetadata": geminiUsage(a),
		"modelVersion": a.model, "responseId": a.id,
	}
}

func geminiUsage(a answer) object {
	return object{"promptTokenCount": a.usage.Prompt, "cachedContentTokenCount": a.usage.Cached, "totalTokenCount": a.usage.Prompt}
}

// lastCandidate returns a whole response, or the last piece of one.
func lastCandidate(a answer, parts []any) object {
	o := candidate(a, parts)
	o["candidates"].([]any)[0].(object)["finishReason"] = "STOP"
	usage := o["usageMetadata"].(object)
	usage["candidatesTokenCount"], usage["totalTokenCount"] = a.usage.Output, a.usage.Prompt+a.usage.Output
	return o
}
