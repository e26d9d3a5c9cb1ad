package openai

import (
	"tallyroute/providers/jsonraw"
)

// results moves pictures and files out of tool results, which are text in this format, into a
// user message that follows the results.
func (e *edit) results() {
	if !e.r.MayHoldMedia() {
		return
	}
	var list, shown [][]byte
	changed := false
	flush := func() {
		if len(shown) > 0 {
			var o jsonraw.Object
			o.Text("role", "user")
			o.Array("content", shown)
			list, shown = append(list, o.Bytes()), nil
		}
	}
	for m := range e.r.Messages() {
		if m.Role.String() != "tool" {
			flush()
			list = append(list, m.Raw)
			continue
		}
		raw, media := withoutMedia(m.Raw)
		changed = changed || len(media) > 0
		list, shown = append(list, raw), append(shown, media...)
	}
	flush()
	if changed {
		e.set("messages", jsonraw.Array(list))
	}
}

// withoutMedia splits a tool result into its text and everything else. The media follow a
// line that says which result they belong to.
func withoutMedia(message []byte) (rest []byte, media [][]byte) {
	var texts [][]byte
	for part := range jsonraw.Elements(jsonraw.Lookup(message, "content")) {
		switch jsonraw.Text(jsonraw.Lookup(part, "type")) {
		case "image_url", "file", "input_audio":
			media = append(media, part)
		default:
			texts = append(texts, part)
		}
	}
	if len(media) == 0 {
		return message, nil
	}
	call := jsonraw.Text(jsonraw.Lookup(message, "tool_call_id"))
	if len(texts) == 0 {
		texts = append(texts, text("The result is shown in the message after the results."))
	}
	rest = jsonraw.Edit(message, []jsonraw.Member{{Name: "content", Value: jsonraw.Array(texts)}})
	return rest, append([][]byte{text("Result of the call " + call + ":")}, media...)
}

func text(s string) []byte {
	var o jsonraw.Object
	o.Text("type", "text")
	o.Text("text", s)
	return o.Bytes()
}
