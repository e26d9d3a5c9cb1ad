package messages

import (
	"bytes"
	"strings"

	"tallyroute/providers/jsonraw"
	"tallyroute/providers/sse"
	"tallyroute/providers/translate"
)

// Stream turns the chunks of a streamed chat completion into events. A block is opened before
// its deltas and closed before the message ends; the blocks of calls whose pieces alternate
// stay open at the same time, as indexes allow.
type Stream struct {
	Prompt int64 // estimated tokens of the prompt, until the provider reports them

	list    []sse.Event
	begun   bool
	next    int // index of the next block
	open    []*block
	details [][]byte // from another provider
	finish  translate.Reply
	usage   []byte // of the chat completion
	stop    []byte // the last event of a provider whose events are passed on
	more    []byte // what the router adds about the request
}

// block is an open block.
type block struct {
	kind  string // text, thinking or tool_use
	index int
	key   int // for a call, its index; for Claude's reasoning, that of its piece
	input []byte
}

// Chunk returns the events for a chunk. They are valid until the next call.
func (s *Stream) Chunk(data []byte) []sse.Event {
	s.list = s.list[:0]
	s.begin(data)
	said := translate.ReadChunk(data)
	s.think(said)
	for _, text := range [][]byte{said.Text, said.Refusal} {
		if text != nil {
			s.delta(s.block("text", 0, nil), "text_delta", "text", text)
		}
	}
	if cited := citations(said.Annotations); len(cited) > 0 {
		b := s.block("text", 0, nil)
		for _, c := range cited {
			s.delta(b, "citations_delta", "citation", c)
		}
	}
	for _, c := range said.Calls {
		s.call(c)
	}
	if said.Finish != "" {
		s.finish.Finish, s.finish.Native = said.Finish, said.Native
	}
	if u := jsonraw.Lookup(data, "usage"); jsonraw.IsObject(u) {
		s.usage = bytes.Clone(u)
	}
	if more := jsonraw.Lookup(data, "tallyroute"); more != nil {
		s.more = bytes.Clone(more)
	}
	return s.list
}

// End returns the events that end a message.
func (s *Stream) End() []sse.Event {
	s.list = s.list[:0]
	if !s.begun {
		s.begin(nil)
	}
	s.closeAll()
	if proof := translate.Carry(s.details, nil); proof != "" { // that no reasoning block has carried
		s.hidden(jsonraw.Quote(proof))
	}
	s.emit("message_delta", func(o *jsonraw.Object) {
		o.Key("delta")
		o.Open('{')
		o.Word("container", "null")
		ending(o, s.finish)
		o.Close('}')
		o.Object("usage", counts(s.usage))
		o.Raw("tallyroute", s.more)
	})
	s.emit("message_stop", func(*jsonraw.Object) {})
	return s.list
}

// Pass returns an event of a provider with the same format, unchanged. The event that ends the
// message is held back for PassEnd.
func (s *Stream) Pass(data []byte) []sse.Event {
	s.list = s.list[:0]
	kind := jsonraw.Inside(jsonraw.Lookup(data, "type"))
	if string(kind) == "message_stop" {
		s.stop = bytes.Clone(data)
		return nil
	}
	s.list = append(s.list, sse.Event{Name: kind, Data: data})
	return s.list
}

// PassEnd returns the event that ends such a provider's message.
func (s *Stream) PassEnd() []sse.Event {
	if s.stop == nil {
		s.stop = []byte(`{"type":"message_stop"}`)
	}
	return []sse.Event{{Name: []byte("message_stop"), Data: s.stop}}
}

// Fail returns the event that ends a stream that broke off.
func (s *Stream) Fail(failure []byte) []sse.Event {
	return []sse.Event{{Name: []byte("error"), Data: failure}}
}

func (s *Stream) emit(name string, write func(o *jsonraw.Object)) {
	var o jsonraw.Object
	o.Text("type", name)
	write(&o)
	s.list = append(s.list, sse.Event{Name: []byte(name), Data: o.Bytes()})
}

func (s *Stream) begin(data []byte) {
	if s.begun {
		return
	}
	s.begun = true
	s.emit("message_start", func(o *jsonraw.Object) {
		o.Key("message")
		o.Open('{')
		head(o, jsonraw.Text(jsonraw.Lookup(data, "id")), jsonraw.Lookup(data, "model"))
		for _, later := range [...]string{"container", "stop_reason", "stop_sequence", "stop_details"} {
			o.Word(later, "null")
		}
		o.Word("content", "[]")
		o.Key("usage")
		o.Open('{')
		o.Int("input_tokens", s.Prompt) // message_delta corrects it
		o.Int("cache_creation_input_tokens", 0)
		o.Int("cache_read_input_tokens", 0)
		o.Int("output_tokens", 1)
		for _, unknown := range [...]string{"cache_creation", "server_tool_use", "service_tier", "inference_geo"} {
			o.Word(unknown, "null")
		}
		o.Close('}')
		o.Close('}')
	})
}

// think writes reasoning: Claude's piece by piece as it arrives, with signatures; from other
// models the text, while the rest is kept for the end of their block.
func (s *Stream) think(said translate.Reply) {
	if own(said.Details) {
		for _, d := range said.Details {
			s.piece(d)
		}
		return
	}
	for _, d := range said.Details {
		s.details = append(s.details, bytes.Clone(d))
	}
	if said.Reasoning != nil {
		s.delta(s.block("thinking", 0, nil), "thinking_delta", "thinking", said.Reasoning)
	}
}

// piece writes a piece of Claude's reasoning.
func (s *Stream) piece(d []byte) {
	var n translate.Counter
	key := int(n.At(d, "index"))
	if data := jsonraw.Lookup(d, "data"); data != nil {
		s.closeAll()
		s.hidden(data)
		return
	}
	b := s.block("thinking", key, nil)
	for _, member := range []string{"text", "signature"} {
		if value := jsonraw.Lookup(d, member); len(jsonraw.Inside(value)) > 0 {
			name := strings.Replace(member, "text", "thinking", 1)
			s.delta(b, name+"_delta", name, value)
		}
	}
}

// hidden writes a reasoning block that nobody is meant to read.
func (s *Stream) hidden(data []byte) {
	s.emit("content_block_start", func(o *jsonraw.Object) {
		o.Int("index", int64(s.next))
		o.Key("content_block")
		o.Open('{')
		o.Text("type", "redacted_thinking")
		o.Raw("data", data)
		o.Close('}')
	})
	s.stopped(s.next)
	s.next++
}

// call writes a piece of a tool call.
func (s *Stream) call(c translate.ReplyCall) {
	if c.Extra != nil && c.ID != "" { // goes before the call, so that it is known when the call is read
		s.hidden(jsonraw.Quote(translate.Carry(nil, []translate.ReplyCall{c})))
	}
	b := s.block("tool_use", c.Index, &c)
	if c.Arguments != nil {
		b.input = jsonraw.AppendText(b.input, jsonraw.Inside(c.Arguments))
		s.delta(b, "input_json_delta", "partial_json", c.Arguments)
	}
}

// block returns the open block for what comes next. Other blocks are closed before it is
// opened, except calls that are not complete yet.
func (s *Stream) block(kind string, key int, call *translate.ReplyCall) *block {
	for _, b := range s.open {
		if b.kind == kind && b.key == key {
			return b
		}
	}
	var open []*block
	for _, b := range s.open {
		if kind == "tool_use" && b.kind == kind && !translate.Whole(b.input) {
			open = append(open, b)
			continue
		}
		s.close(b)
	}
	b := &block{kind: kind, index: s.next, key: key}
	s.next++
	s.open = append(open, b)
	s.emit("content_block_start", func(o *jsonraw.Object) {
		o.Int("index", int64(b.index))
		o.Key("content_block")
		o.Open('{')
		switch kind {
		case "tool_use":
			use(o, *call)
			o.Word("input", "{}")
		case "thinking":
			o.Text("type", kind)
			o.Text("thinking", "")
			o.Text("signature", "")
		default:
			o.Text("type", kind)
			o.Text("text", "")
			o.Word("citations", "null")
		}
		o.Close('}')
	})
	return b
}

func (s *Stream) delta(b *block, kind, member string, value []byte) {
	s.emit("content_block_delta", func(o *jsonraw.Object) {
		o.Int("index", int64(b.index))
		o.Key("delta")
		o.Open('{')
		o.Text("type", kind)
		o.Raw(member, value)
		o.Close('}')
	})
}

// close ends a block. Reasoning from another provider carries what that provider needs to see
// again.
func (s *Stream) close(b *block) {
	if b.kind == "thinking" {
		if proof := translate.Carry(s.details, nil); proof != "" {
			s.delta(b, "signature_delta", "signature", jsonraw.Quote(proof))
			s.details = nil
		}
	}
	s.stopped(b.index)
}

func (s *Stream) closeAll() {
	for _, b := range s.open {
		s.close(b)
	}
	s.open = nil
}

func (s *Stream) stopped(index int) {
	s.emit("content_block_stop", func(o *jsonraw.Object) { o.Int("index", int64(index)) })
}
