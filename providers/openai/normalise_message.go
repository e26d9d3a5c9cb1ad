package openai

import (
	"slices"

	"tallyroute/providers/jsonraw"
)

// message normalises a message, or the delta in a stream.
func (m *normaliser) message(raw []byte, c *choice) []byte {
	o, e := read(raw), &edits{}
	m.role(o, e, c)
	content, reasoning := content(o["content"])
	if o["content"] != nil || !m.stream {
		e.change("content", o["content"], content)
	}
	if refusal, ok := o["refusal"]; !m.stream && !ok || ok && refusal[0] != '"' {
		e.change("refusal", refusal, null)
	}
	m.reasoning(o, e, reasoning)
	m.calls(o, e, c)
	m.function(o, e)
	m.extras(o, e)
	return e.apply(raw)
}

// role makes sure that the role is in every message, and in the first delta of a stream.
func (m *normaliser) role(o object, e *edits, c *choice) {
	raw, ok := o["role"]
	assistant := []byte(`"assistant"`)
	switch {
	case !m.stream || ok && raw[0] == '"' && len(raw) > len(`""`):
		e.change("role", raw, assistant)
	case c.role && ok:
		e.leave("role")
	case c.role || len(o) == 0:
		return
	default:
		e.put("role", assistant)
	}
	c.role = true
}

// content returns the content as a text or null, and the reasoning found in a list of parts.
// An object is the JSON that the client asked for.
func content(raw []byte) (text, reasoning []byte) {
	if len(raw) == 0 || raw[0] != '[' && raw[0] != '{' {
		if len(raw) == 0 || raw[0] != '"' {
			return null, nil
		}
		return raw, nil
	}
	if raw[0] == '{' {
		return jsonraw.Quote(string(raw)), nil
	}
	var said, thought []byte
	for part := range jsonraw.Elements(raw) {
		if part[0] == '"' {
			said = jsonraw.Quoted(part).Append(said)
			continue
		}
		for name, value := range jsonraw.Each(part) {
			switch string(name) {
			case "text":
				said = append(said, textsOf(value)...)
			case "thinking":
				thought = append(thought, textsOf(value)...)
			}
		}
	}
	if thought != nil {
		reasoning = jsonraw.Quote(string(thought))
	}
	if said == nil && thought != nil {
		return jsonraw.Quote(""), reasoning
	}
	return jsonraw.Quote(string(said)), reasoning
}

// textsOf returns a text, or the texts in a list of parts.
func textsOf(raw []byte) []byte {
	var text []byte
	if raw[0] == '"' {
		return jsonraw.Quoted(raw).Append(text)
	}
	for part := range jsonraw.Elements(raw) {
		text = append(text, jsonraw.Text(jsonraw.Lookup(part, "text"))...)
	}
	return text
}

// reasoning puts the model's reasoning where most clients look for it, and also leaves it
// where it was.
func (m *normaliser) reasoning(o object, e *edits, inContent []byte) {
	if len(o["reasoning_content"]) > len(`""`) && o["reasoning_content"][0] == '"' {
		return
	}
	for _, raw := range [][]byte{o["reasoning"], o["thinking"], inContent} {
		if len(raw) > len(`""`) && raw[0] == '"' {
			e.put("reasoning_content", raw)
			return
		}
	}
}

// function normalises a call in the form that preceded tool calls.
func (m *normaliser) function(o object, e *edits) {
	raw, ok := o["function_call"]
	if !ok {
		return
	}
	name := jsonraw.Lookup(raw, "name")
	if raw[0] != '{' || !m.stream && len(name) <= len(`""`) {
		e.leave("function_call")
		return
	}
	e.change("function_call", raw, m.callWords(raw, "function"))
}

// extras normalises members that the schema knows and that must not be empty.
func (m *normaliser) extras(o object, e *edits) {
	if raw, ok := o["audio"]; ok && !jsonraw.IsNull(raw) && len(jsonraw.Text(jsonraw.Lookup(raw, "id"))) == 0 && !m.stream {
		e.leave("audio")
	}
	raw, ok := o["annotations"]
	if !ok {
		return
	}
	if raw[0] != '[' {
		e.leave("annotations")
		return
	}
	if m.stream {
		return
	}
	var others [][]byte
	kept := each(raw, func(a []byte) []byte {
		if jsonraw.Text(jsonraw.Lookup(a, "type")) != "url_citation" {
			others = append(others, slices.Clone(a))
			return nil
		}
		return citation(a)
	})
	e.change("annotations", raw, kept)
	if others != nil { // of kinds that the schema does not have
		e.put("other_annotations", slices.Concat([]byte("["), joined(others), []byte("]")))
	}
}

func joined(list [][]byte) (out []byte) {
	for i, raw := range list {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, raw...)
	}
	return out
}

// citation returns a citation with all the members that it must have.
func citation(raw []byte) []byte {
	inner := jsonraw.Lookup(raw, "url_citation")
	o, e := read(inner), &edits{}
	for _, name := range []string{"start_index", "end_index"} {
		e.change(name, o[name], whole(o[name]))
	}
	for _, name := range []string{"url", "title"} {
		if v := o[name]; len(v) == 0 || v[0] != '"' {
			e.put(name, jsonraw.Quote(""))
		}
	}
	if len(inner) == 0 || inner[0] != '{' {
		inner = []byte("{}")
	}
	return jsonraw.Edit(raw, []jsonraw.Member{{Name: "url_citation", Value: e.apply(inner)}})
}

// logprobs returns null, or an object with both of its lists.
func (m *normaliser) logprobs(raw []byte) []byte {
	if len(raw) == 0 || raw[0] != '{' {
		return null
	}
	o, e := read(raw), &edits{}
	for _, name := range []string{"content", "refusal"} {
		list := o[name]
		if len(list) == 0 || list[0] != '[' {
			e.change(name, list, null)
			continue
		}
		e.change(name, list, each(list, token))
	}
	return e.apply(raw)
}

// token returns a token with its probability and those of the alternatives.
func token(raw []byte) []byte {
	raw = tokenAlone(raw)
	top := jsonraw.Lookup(raw, "top_logprobs")
	to := []byte("[]")
	if len(top) > 0 && top[0] == '[' {
		to = each(top, tokenAlone)
	}
	if string(to) == string(top) {
		return raw
	}
	return jsonraw.Edit(raw, []jsonraw.Member{{Name: "top_logprobs", Value: to}})
}

func tokenAlone(raw []byte) []byte {
	o, e := read(raw), &edits{}
	if _, ok := o["bytes"]; !ok {
		e.put("bytes", null)
	}
	if len(o["token"]) == 0 || o["token"][0] != '"' {
		e.put("token", jsonraw.Quote(""))
	}
	if lp := o["logprob"]; len(lp) == 0 || lp[0] != '-' && (lp[0] < '0' || lp[0] > '9') {
		e.put("logprob", []byte("-9999.0")) // the format's own value for very unlikely
	}
	return e.apply(raw)
}
