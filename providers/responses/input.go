package responses

import (
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// input writes the conversation as items.
func (e *encoder) input() ([][]byte, error) {
	var items [][]byte
	for i := range e.Turns {
		t := &e.Turns[i]
		var list [][]byte
		var err error
		switch t.Role {
		case "assistant":
			list, err = e.assistant(t)
		case "tool":
			list, err = e.result(t)
		default:
			list, err = e.message(t)
		}
		if err != nil {
			return nil, err
		}
		items = append(items, list...)
	}
	return items, nil
}

func (e *encoder) message(t *translate.Turn) ([][]byte, error) {
	var o jsonraw.Object
	o.Text("type", "message")
	o.Text("role", t.Role)
	if len(t.Parts) == 1 && t.Parts[0].Kind == translate.Text {
		o.Raw("content", t.Parts[0].Text)
		return [][]byte{o.Bytes()}, nil
	}
	content, err := parts(t)
	if err != nil {
		return nil, err
	}
	o.Raw("content", jsonraw.Array(content))
	return [][]byte{o.Bytes()}, nil
}

func parts(t *translate.Turn) ([][]byte, error) {
	var list [][]byte
	for _, p := range t.Parts {
		var o jsonraw.Object
		switch p.Kind {
		case translate.Text:
			o.Text("type", "input_text")
			o.Raw("text", p.Text)
		case translate.Image:
			o.Text("type", "input_image")
			o.Text("image_url", place(p.Media))
			detail := p.Detail
			if detail == "" {
				detail = "auto"
			}
			o.Text("detail", detail)
		case translate.File:
			file(&o, p.Media)
		case translate.Audio, translate.Video, translate.Native:
			return nil, t.Refuse(p, "is audio or video, which this model cannot be given")
		}
		list = append(list, o.Bytes())
	}
	return list, nil
}

// place returns a URL, which may be a data URL that holds the bytes.
func place(m translate.Media) string {
	if m.Inline() {
		return m.DataURL()
	}
	return m.URL
}

func file(o *jsonraw.Object, m translate.Media) {
	o.Text("type", "input_file")
	switch {
	case m.ID != "":
		o.Text("file_id", m.ID)
	case m.Inline():
		name := m.Name
		if name == "" {
			name = "document.pdf" // the API requires a name
		}
		o.Text("filename", name)
		o.Text("file_data", place(m))
	default:
		o.Text("file_url", m.URL)
	}
}

// result writes a tool's result: its text, or its parts if any of them is not text.
func (e *encoder) result(t *translate.Turn) ([][]byte, error) {
	var o jsonraw.Object
	o.Text("type", "function_call_output")
	if e.custom[t.CallID] {
		o = jsonraw.Object{}
		o.Text("type", "custom_tool_call_output")
	}
	o.Text("call_id", t.CallID)
	for _, p := range t.Parts {
		if p.Kind == translate.Text {
			continue
		}
		list, err := parts(t)
		if err != nil {
			return nil, err
		}
		o.Raw("output", jsonraw.Array(list))
		return [][]byte{o.Bytes()}, nil
	}
	o.Text("output", t.PlainText())
	return [][]byte{o.Bytes()}, nil
}

// assistant writes the model's reasoning, text and calls.
func (e *encoder) assistant(t *translate.Turn) ([][]byte, error) {
	list := e.thoughts(t)
	for _, p := range t.Parts {
		if p.Kind != translate.Text {
			return nil, t.Refuse(p, "is not text, and this model can only have answered with text")
		}
	}
	if text := t.PlainText(); text != "" || len(t.Calls) == 0 {
		var o jsonraw.Object
		o.Text("type", "message")
		o.Text("role", "assistant")
		o.Text("content", text)
		list = append(list, o.Bytes())
	}
	for _, call := range t.Calls {
		var o jsonraw.Object
		if call.Custom {
			e.custom[call.ID] = true
			o.Text("type", "custom_tool_call")
			o.Text("call_id", call.ID)
			o.Text("name", call.Name)
			o.Text("input", call.Arguments)
		} else {
			o.Text("type", "function_call")
			o.Text("call_id", call.ID)
			o.Text("name", call.Name)
			o.Text("arguments", call.Text())
		}
		list = append(list, o.Bytes())
	}
	return list, nil
}

// thought is one reasoning item.
type thought struct {
	id, encrypted string
	summary       [][]byte
}

// thoughts returns the reasoning items that can be sent back: those that the provider
// encrypted, since it stores none. All others are dropped.
func (e *encoder) thoughts(t *translate.Turn) [][]byte {
	var all []*thought
	var byID map[string]*thought
	lost := t.Reasoning != "" && len(t.Details) == 0
	for _, d := range t.Details {
		if d.Format != "" && d.Format != format || d.ID == "" {
			lost = true
			continue
		}
		th := byID[d.ID]
		if th == nil {
			th = &thought{id: d.ID}
			if byID == nil {
				byID = make(map[string]*thought)
			}
			byID[d.ID] = th
			all = append(all, th)
		}
		switch d.Type {
		case "reasoning.summary":
			var o jsonraw.Object
			o.Text("type", "summary_text")
			o.Text("text", d.Text)
			th.summary = append(th.summary, o.Bytes())
		case "reasoning.encrypted":
			th.encrypted = d.Data
		}
	}
	var list [][]byte
	for _, th := range all {
		if th.encrypted == "" {
			lost = true
			continue
		}
		var o jsonraw.Object
		o.Text("type", "reasoning")
		o.Text("id", th.id)
		o.Raw("summary", jsonraw.Array(th.summary))
		o.Text("encrypted_content", th.encrypted)
		list = append(list, o.Bytes())
	}
	if lost {
		e.Lose("messages.reasoning")
	}
	return list
}
