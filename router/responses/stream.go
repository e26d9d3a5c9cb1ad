package responses

import (
	"bytes"

	"tallyroute/providers/jsonraw"
	"tallyroute/providers/sse"
	"tallyroute/providers/translate"
)

// Stream turns the chunks of a streamed chat completion into events. Every item is opened
// before anything is said about it, and closed before the response ends, however it ends. Calls
// whose pieces alternate are open at the same time.
type Stream struct {
	request *Request

	list    []sse.Event
	number  int // of the next event
	begun   bool
	head    head
	items   []*item
	open    []*item
	details [][]byte // of the open reasoning
	finish  string
	state   state
	last    *sse.Event // for a provider whose events are passed on: the one that ends the response
}

// Stream returns a new stream for the answer.
func (r *Request) Stream() *Stream { return &Stream{request: r} }

// Answer converts a whole chat completion to a response.
func (r *Request) Answer(completion []byte) []byte {
	s := r.Stream()
	s.head, s.begun = r.head(completion), true
	s.say(translate.ReadAnswer(completion))
	s.note(completion)
	s.end()
	var o jsonraw.Object
	r.write(&o, s.head, s.state)
	return o.Bytes()
}

// Chunk returns the events for a chunk. They are valid until the next call.
func (s *Stream) Chunk(data []byte) []sse.Event {
	s.list = s.list[:0]
	s.begin(data)
	s.say(translate.ReadChunk(data))
	s.note(data)
	return s.list
}

func (s *Stream) begin(data []byte) {
	if s.begun {
		return
	}
	s.begun, s.head = true, s.request.head(bytes.Clone(data))
	s.state.status = "in_progress"
	s.response("response.created")
	s.response("response.in_progress")
}

// End returns the events that end a complete response.
func (s *Stream) End() []sse.Event {
	s.list = s.list[:0]
	s.end()
	s.response("response." + s.state.status)
	return s.list
}

// Fail returns the events that end a response that broke off. failure is an error object.
func (s *Stream) Fail(failure []byte) []sse.Event {
	s.list = s.list[:0]
	s.begin(nil)
	s.closeAll("incomplete")
	s.gather("incomplete")
	s.state.status, s.state.failure = "failed", failure
	s.response("response.failed")
	return s.list
}

// note records what a chunk contains besides the model's output.
func (s *Stream) note(data []byte) {
	if u := jsonraw.Lookup(data, "usage"); jsonraw.IsObject(u) {
		s.state.usage = bytes.Clone(u)
	}
	if more := jsonraw.Lookup(data, "tallyroute"); more != nil {
		s.state.more = bytes.Clone(more)
	}
}

// end closes what is open and decides how the response ended.
func (s *Stream) end() {
	s.state.status, s.state.incomplete = ending(s.finish)
	s.closeAll(s.state.status)
	if len(s.details) > 0 { // that no visible reasoning has carried
		s.close(s.add("reasoning", 0, nil), s.state.status)
	}
	s.gather(s.state.status)
}

func (s *Stream) gather(status string) {
	for _, i := range s.items {
		var o jsonraw.Object
		i.write(&o, status)
		s.state.output = append(s.state.output, o.Bytes())
	}
}

func (s *Stream) say(said translate.Reply) {
	for _, d := range said.Details {
		s.details = append(s.details, bytes.Clone(d))
	}
	if said.Reasoning != nil {
		s.write(s.item("reasoning", 0, nil), "summary_text", said.Reasoning)
	}
	if said.Text != nil {
		s.write(s.item("message", 0, nil), "output_text", said.Text)
	}
	for _, a := range said.Annotations {
		s.cite(s.item("message", 0, nil), citation(a))
	}
	if said.Refusal != nil {
		s.write(s.item("message", 0, nil), "refusal", said.Refusal)
	}
	for _, c := range said.Calls {
		s.call(c)
	}
	if said.Finish != "" {
		s.finish = said.Finish
	}
}

func (s *Stream) call(c translate.ReplyCall) {
	kind := "function_call"
	if c.Custom {
		kind = "custom_tool_call"
	}
	if c.Extra != nil && c.ID != "" { // goes before the call, so that it is known when the call is read
		carrier := s.add("reasoning", 0, nil)
		carrier.proof = translate.Carry(nil, []translate.ReplyCall{c})
		s.close(carrier, "completed")
	}
	i := s.item(kind, c.Index, &c)
	if c.Arguments != nil {
		grow(&i.input, c.Arguments)
		name := "response.function_call_arguments.delta"
		if c.Custom {
			name = "response.custom_tool_call_input.delta"
		}
		s.about(i, name, func(o *jsonraw.Object) { o.Raw("delta", c.Arguments) })
	}
}

// item returns the open item for what comes next. Other items are closed before it is opened,
// except calls that are not complete yet.
func (s *Stream) item(kind string, key int, call *translate.ReplyCall) *item {
	for _, i := range s.open {
		if i.kind == kind && i.key == key {
			return i
		}
	}
	var open []*item
	for _, i := range s.open {
		if call != nil && i.kind == "function_call" && !translate.Whole([]byte(i.input.Text())) {
			open = append(open, i)
			continue
		}
		s.close(i, "completed")
	}
	i := s.add(kind, key, call)
	s.open = append(open, i)
	return i
}

// add opens an item.
func (s *Stream) add(kind string, key int, call *translate.ReplyCall) *item {
	i := &item{kind: kind, index: len(s.items), key: key, id: itemID(kind, s.head.id, len(s.items))}
	if call != nil {
		name := jsonraw.Text(call.Name)
		i.callID, i.of = call.ID, member{name: name}
		if of, ok := s.request.names[name]; ok {
			i.of = of
		}
	}
	s.items = append(s.items, i)
	s.emit("response.output_item.added", func(o *jsonraw.Object) {
		o.Int("output_index", int64(i.index))
		o.Key("item")
		o.Open('{')
		i.write(o, "in_progress")
		o.Close('}')
	})
	return i
}

// write adds text to a part, opening a new part if the kind differs from the last.
func (s *Stream) write(i *item, kind string, text []byte) {
	n := len(i.parts) - 1
	if n < 0 || i.parts[n].kind != kind {
		if n >= 0 {
			s.partDone(i, n)
		}
		n++
		i.parts = append(i.parts, &piece{kind: kind})
		s.part(i, n, partEvent(i, "added"))
	}
	grow(&i.parts[n].text, text)
	name := "response.output_text.delta"
	switch kind {
	case "summary_text":
		name = "response.reasoning_summary_text.delta"
	case "refusal":
		name = "response.refusal.delta"
	}
	s.about(i, name, func(o *jsonraw.Object) {
		place(o, i, n)
		o.Raw("delta", text)
		if kind == "output_text" {
			o.Word("logprobs", "[]")
		}
	})
}

// grow adds a piece of a chunk, whose memory will be reused.
func grow(words *translate.Words, raw []byte) {
	if len(*words) == 0 {
		raw = bytes.Clone(raw)
	}
	words.Add(raw)
}

// cite adds a web page that the text is based on.
func (s *Stream) cite(i *item, annotation []byte) {
	n := len(i.parts) - 1
	if n < 0 || i.parts[n].kind != "output_text" {
		return // for a text that was not output
	}
	p := i.parts[n]
	p.annotations = append(p.annotations, bytes.Clone(annotation))
	s.about(i, "response.output_text.annotation.added", func(o *jsonraw.Object) {
		place(o, i, n)
		o.Int("annotation_index", int64(len(p.annotations)-1))
		o.Raw("annotation", annotation)
	})
}

// partEvent returns the name of the event that opens or closes a part of the item.
func partEvent(i *item, what string) string {
	if i.kind == "reasoning" {
		return "response.reasoning_summary_part." + what
	}
	return "response.content_part." + what
}

// place writes which part of its item an event is about.
func place(o *jsonraw.Object, i *item, n int) {
	if i.kind == "reasoning" {
		o.Int("summary_index", int64(n))
		return
	}
	o.Int("content_index", int64(n))
}

func (s *Stream) part(i *item, n int, name string) {
	s.about(i, name, func(o *jsonraw.Object) {
		place(o, i, n)
		o.Key("part")
		o.Open('{')
		i.parts[n].write(o)
		o.Close('}')
	})
}

func (s *Stream) partDone(i *item, n int) {
	p := i.parts[n]
	name, member := "response.output_text.done", "text"
	switch p.kind {
	case "summary_text":
		name = "response.reasoning_summary_text.done"
	case "refusal":
		name, member = "response.refusal.done", "refusal"
	}
	s.about(i, name, func(o *jsonraw.Object) {
		place(o, i, n)
		o.Inside(member, p.text)
		if p.kind == "output_text" {
			o.Word("logprobs", "[]")
		}
	})
	s.part(i, n, partEvent(i, "done"))
}

// close ends an item.
func (s *Stream) close(i *item, status string) {
	if n := len(i.parts); n > 0 && !i.parts[n-1].done {
		s.partDone(i, n-1)
	}
	switch i.kind {
	case "reasoning":
		if i.proof == "" {
			i.proof = proof(s.details)
			s.details = nil
		}
	case "function_call":
		if len(i.input) == 0 && status == "completed" { // clients parse it as JSON
			i.input.AddText("{}")
			s.about(i, "response.function_call_arguments.delta", func(o *jsonraw.Object) { o.Inside("delta", i.input) })
		}
		s.about(i, "response.function_call_arguments.done", func(o *jsonraw.Object) {
			o.Text("name", i.of.name)
			o.Inside("arguments", i.input)
		})
	case "custom_tool_call":
		s.about(i, "response.custom_tool_call_input.done", func(o *jsonraw.Object) { o.Inside("input", i.input) })
	}
	s.emit("response.output_item.done", func(o *jsonraw.Object) {
		o.Int("output_index", int64(i.index))
		o.Key("item")
		o.Open('{')
		i.write(o, status)
		o.Close('}')
	})
}

func (s *Stream) closeAll(status string) {
	for _, i := range s.open {
		s.close(i, status)
	}
	s.open = nil
}

// proof returns what the provider of reasoning needs to see again: OpenAI's encrypted content
// as it is; everything else is carried.
func proof(details [][]byte) string {
	var encrypted []string
	for _, d := range details {
		if jsonraw.Text(jsonraw.Lookup(d, "format")) != format {
			return translate.Carry(details, nil)
		}
		if data := jsonraw.Text(jsonraw.Lookup(d, "data")); data != "" {
			encrypted = append(encrypted, data)
		}
	}
	switch len(encrypted) {
	case 0:
		return ""
	case 1:
		return encrypted[0]
	}
	return translate.Carry(details, nil)
}

// about emits an event about an item.
func (s *Stream) about(i *item, name string, write func(o *jsonraw.Object)) {
	s.emit(name, func(o *jsonraw.Object) {
		o.Text("item_id", i.id)
		o.Int("output_index", int64(i.index))
		write(o)
	})
}

// response emits an event that contains the whole response.
func (s *Stream) response(name string) {
	s.emit(name, func(o *jsonraw.Object) {
		o.Key("response")
		o.Open('{')
		s.request.write(o, s.head, s.state)
		o.Close('}')
	})
}

func (s *Stream) emit(name string, write func(o *jsonraw.Object)) {
	var o jsonraw.Object
	o.Text("type", name)
	o.Int("sequence_number", int64(s.number))
	write(&o)
	s.number++
	s.list = append(s.list, sse.Event{Name: []byte(name), Data: o.Bytes()})
}
