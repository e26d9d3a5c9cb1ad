package blocks

import "tallyroute/providers/chat"

// Emitter writes the chunks of a streamed answer, in the order that they are
// asked for. The zero value needs a Head.
type Emitter struct {
	Head Head

	queue []chat.Chunk
	err   error
}

// Next is the oldest chunk that was not taken yet; false where there is none.
func (e *Emitter) Next() (chat.Chunk, bool) {
	if len(e.queue) == 0 {
		return chat.Chunk{}, false
	}
	c := e.queue[0]
	e.queue = e.queue[1:]
	return c, true
}

// Err is a chunk that could not be read back: the provider's bytes were no JSON.
func (e *Emitter) Err() error { return e.err }

// delta adds a chunk whose delta is what f writes.
func (e *Emitter) delta(f func(w *Writer)) {
	var w Writer
	e.Head.write(&w, "chat.completion.chunk")
	w.Key("choices")
	w.Open('[')
	w.Open('{')
	w.IntMember("index", 0)
	w.Key("delta")
	w.Open('{')
	f(&w)
	w.Close('}')
	w.Member("logprobs", []byte("null"))
	w.Member("finish_reason", []byte("null"))
	w.Close('}')
	w.Close(']')
	w.Close('}')
	e.add(w.Bytes())
}

func (e *Emitter) add(data []byte) {
	c, err := chat.ParseChunk(data)
	if err != nil {
		if e.err == nil {
			e.err = err
		}
		return
	}
	e.queue = append(e.queue, c)
}

// Role begins the answer.
func (e *Emitter) Role() {
	e.delta(func(w *Writer) {
		w.TextMember("role", "assistant")
		w.TextMember("content", "")
		w.Member("refusal", []byte("null"))
	})
}

// Text is a piece of the answer's text: the inside of a JSON string.
func (e *Emitter) Text(inside []byte) {
	if len(inside) > 0 {
		e.delta(func(w *Writer) {
			w.Key("content")
			w.Inside(inside)
		})
	}
}

// Refusal is why there is no answer.
func (e *Emitter) Refusal(text string) {
	e.delta(func(w *Writer) { w.TextMember("refusal", text) })
}

// Thought is a piece of reasoning.
func (e *Emitter) Thought(d Detail) {
	if len(d.Text) == 0 && len(d.Signature) == 0 && len(d.Data) == 0 {
		return
	}
	e.delta(func(w *Writer) {
		if len(d.Text) > 0 {
			w.Key("reasoning_content")
			w.Inside(d.Text)
		}
		w.Key("reasoning_details")
		writeDetails(w, []Detail{d})
	})
}

// Call begins the tool call with an index, counted from 0.
func (e *Emitter) Call(index int, c ToolCall) {
	e.delta(func(w *Writer) {
		openCall(w, index)
		w.TextMember("id", c.ID)
		w.TextMember("type", "function")
		w.Key("function")
		w.Open('{')
		w.Member("name", c.Name)
		w.TextMember("arguments", c.Arguments)
		w.Close('}')
		closeCall(w)
	})
}

// Arguments is a piece of the arguments of a call: the inside of a JSON string.
func (e *Emitter) Arguments(index int, inside []byte) {
	if len(inside) == 0 {
		return
	}
	e.delta(func(w *Writer) {
		openCall(w, index)
		w.Key("function")
		w.Open('{')
		w.Key("arguments")
		w.Inside(inside)
		w.Close('}')
		closeCall(w)
	})
}

func openCall(w *Writer, index int) {
	w.Key("tool_calls")
	w.Open('[')
	w.Open('{')
	w.IntMember("index", int64(index))
}

func closeCall(w *Writer) {
	w.Close('}')
	w.Close(']')
}

// Annotations are sources of what was said before, each as JSON.
func (e *Emitter) Annotations(list [][]byte) {
	if len(list) == 0 {
		return
	}
	e.delta(func(w *Writer) {
		w.Key("annotations")
		w.Open('[')
		for _, n := range list {
			w.Raw(n)
		}
		w.Close(']')
	})
}

// Finish ends the answer: the reason in the words of OpenAI, and of the provider.
func (e *Emitter) Finish(reason, native string) {
	var w Writer
	e.Head.write(&w, "chat.completion.chunk")
	w.Key("choices")
	w.Open('[')
	w.Open('{')
	w.IntMember("index", 0)
	w.Member("delta", []byte("{}"))
	w.Member("logprobs", []byte("null"))
	w.TextMember("finish_reason", reason)
	if native != "" {
		w.TextMember("native_finish_reason", native)
	}
	w.Close('}')
	w.Close(']')
	w.Close('}')
	e.add(w.Bytes())
}

// Usage is the chunk that tells what was used, the last one.
func (e *Emitter) Usage(u Usage) {
	var w Writer
	e.Head.write(&w, "chat.completion.chunk")
	w.Member("choices", []byte("[]"))
	w.Key("usage")
	u.write(&w)
	w.Close('}')
	e.add(w.Bytes())
}
