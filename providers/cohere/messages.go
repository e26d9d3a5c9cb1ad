package cohere

import (
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// messages writes the conversation. Images in tool results move to a user turn.
func (e *encoder) messages() error {
	e.ShowResults(func(p translate.Part) bool { return p.Kind == translate.Image })
	o := &e.o
	o.Key("messages")
	o.Open('[')
	for i := range e.Turns {
		t := &e.Turns[i]
		o.Open('{')
		o.Text("role", t.Role)
		var err error
		switch t.Role {
		case "assistant":
			err = e.assistant(t)
		case "tool":
			err = e.result(t)
		default:
			err = e.said(t)
		}
		if err != nil {
			return err
		}
		o.Close('}')
	}
	o.Close(']')
	return nil
}

// said writes what a user or the system said.
func (e *encoder) said(t *translate.Turn) error {
	if len(t.Parts) == 1 && t.Parts[0].Kind == translate.Text {
		e.o.Raw("content", t.Parts[0].Text)
		return nil
	}
	var list [][]byte
	for _, p := range t.Parts {
		switch p.Kind {
		case translate.Text:
			list = append(list, text(p.Text))
		case translate.Image:
			list = append(list, image(p))
		case translate.File:
			d, err := document(t, p)
			if err != nil {
				return err
			}
			e.documents = append(e.documents, d)
		case translate.Audio, translate.Video, translate.Native:
			return t.Refuse(p, "is audio or video, which this model cannot be given")
		}
	}
	if len(list) == 0 {
		e.o.Text("content", "")
		return nil
	}
	e.o.Array("content", list)
	return nil
}

func text(quoted []byte) []byte {
	var o jsonraw.Object
	o.Text("type", "text")
	o.Raw("text", quoted)
	return o.Bytes()
}

func image(p translate.Part) []byte {
	var o, u jsonraw.Object
	at := p.Media.URL
	if p.Media.Inline() {
		at = p.Media.DataURL()
	}
	u.Text("url", at)
	u.Some("detail", p.Detail)
	o.Text("type", "image_url")
	o.Raw("image_url", u.Bytes())
	return o.Bytes()
}

// document writes a text file as one of Cohere's documents, which have a place of their own.
// Cohere cannot read other file formats.
func document(t *translate.Turn, p translate.Part) ([]byte, error) {
	if !p.Media.Inline() || !p.Media.Text() {
		return nil, t.Refuse(p, "is a document, of which this model can be given only text, in the request")
	}
	body, err := p.Media.Bytes()
	if err != nil {
		return nil, t.Refuse(p, "is not base64")
	}
	var data jsonraw.Object
	data.Some("title", p.Media.Name)
	data.Text("text", string(body))
	return jsonraw.One("data", data.Bytes()), nil
}

// result writes a tool's result: its text, or a list if it includes documents.
func (e *encoder) result(t *translate.Turn) error {
	var list [][]byte
	documents := false
	for _, p := range t.Parts {
		switch p.Kind {
		case translate.Text:
			list = append(list, text(p.Text))
		case translate.File:
			d, err := document(t, p)
			if err != nil {
				return err
			}
			var o jsonraw.Object
			o.Text("type", "document")
			o.Raw("document", d)
			list, documents = append(list, o.Bytes()), true
		case translate.Image, translate.Audio, translate.Video, translate.Native:
			return t.Refuse(p, "is audio or video, which this model cannot be given")
		}
	}
	if t.CallID == "" {
		return t.Unanswerable()
	}
	e.o.Text("tool_call_id", t.CallID)
	if documents {
		e.o.Array("content", list)
	} else {
		e.o.Text("content", t.PlainText())
	}
	return nil
}

// assistant writes the model's reasoning, text, plan and calls.
func (e *encoder) assistant(t *translate.Turn) error {
	var list [][]byte
	thought, plan := e.thoughts(t)
	if thought != "" {
		var c jsonraw.Object
		c.Text("type", "thinking")
		c.Text("thinking", thought)
		list = append(list, c.Bytes())
	}
	for _, p := range t.Parts {
		if p.Kind != translate.Text {
			return t.Refuse(p, "is not text, and this model can only have answered with text")
		}
		switch {
		case len(p.Text.Bytes()) == 0:
		case len(t.Calls) > 0: // Cohere accepts no text beside calls
			if plan != "" {
				plan += "\n"
			}
			plan += p.Text.String()
		default:
			list = append(list, text(p.Text))
		}
	}
	e.o.Array("content", list)
	e.o.Some("tool_plan", plan)
	var calls [][]byte
	for _, call := range t.Calls {
		var c, f jsonraw.Object
		f.Text("name", call.Name)
		f.Text("arguments", call.Text())
		c.Text("id", call.ID)
		c.Text("type", "function")
		c.Raw("function", f.Bytes())
		calls = append(calls, c.Bytes())
	}
	e.o.Array("tool_calls", calls)
	if len(list) == 0 && len(calls) == 0 {
		e.o.Text("content", "")
	}
	return nil
}

// thoughts returns the model's reasoning and its plan. Without our details there is no way
// to tell them apart, so reasoning that comes with calls is taken for the plan.
func (e *encoder) thoughts(t *translate.Turn) (thought, plan string) {
	if len(t.Details) == 0 {
		if len(t.Calls) > 0 {
			return "", t.Reasoning
		}
		return t.Reasoning, ""
	}
	foreign := false
	for _, d := range t.Details {
		switch {
		case d.Format != "" && d.Format != format:
			foreign = true
		case d.Type == "cohere.tool_plan":
			plan += d.Text
		case d.Type == "reasoning.text":
			thought += d.Text
		default:
			foreign = true
		}
	}
	if foreign {
		e.Lose("messages.reasoning_details")
	}
	return thought, plan
}
