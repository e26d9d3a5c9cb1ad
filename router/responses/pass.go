package responses

import (
	"bytes"
	"slices"

	"tallyroute/providers/jsonraw"
	"tallyroute/providers/sse"
	"tallyroute/providers/translate"
)

// passed is what is read from an event.
type passed struct {
	data, kind, delta []byte
	index             int // of the item
}

// Pass returns an event of a provider with the same format, unchanged. The event is tracked
// only far enough to know what is open if no more arrives. The event that ends the response is
// held back for End.
func (s *Stream) Pass(data []byte) []sse.Event {
	s.list = s.list[:0]
	p := s.passed(data)
	kind := p.kind
	event := sse.Event{Name: kind, Data: data}
	switch string(kind) {
	case "response.completed", "response.incomplete":
		event.Name, event.Data = bytes.Clone(kind), bytes.Clone(data)
		s.last = &event
		return nil
	case "response.created", "response.in_progress", "response.queued":
		if !s.begun {
			s.begun, s.state.status = true, "in_progress"
			s.head = headOf(bytes.Clone(jsonraw.Lookup(data, "response")))
		}
	case "response.output_item.added":
		s.passItem(bytes.Clone(data))
	case "response.output_item.done":
		if i := s.passing(p.index); i != nil {
			i.raw = bytes.Clone(jsonraw.Lookup(data, "item"))
			s.open = slices.DeleteFunc(s.open, func(o *item) bool { return o == i })
		}
	default:
		s.passPiece(p)
	}
	s.list = append(s.list, event)
	return s.list
}

// passed reads an event, but no further than necessary: long members may follow.
func (s *Stream) passed(data []byte) passed {
	p := passed{data: data}
	found, wanted := 0, 4
	for name, value := range jsonraw.Each(data) {
		var n translate.Counter
		switch string(name) {
		case "type":
			p.kind = jsonraw.Inside(value)
			if isWhole(p.kind) {
				wanted = 2
			}
		case "sequence_number":
			s.number = int(n.Take(value)) + 1
		case "output_index":
			p.index = int(n.Take(value))
		case "delta":
			p.delta = value
		default:
			continue
		}
		if found++; found == wanted {
			break
		}
	}
	return p
}

// isWhole reports whether an event contains the response itself rather than one of its items.
func isWhole(kind []byte) bool {
	switch string(kind) {
	case "response.created", "response.in_progress", "response.queued", "response.completed", "response.incomplete", "response.failed":
		return true
	}
	return false
}

// passItem records an item that a provider opens.
func (s *Stream) passItem(data []byte) {
	var n translate.Counter
	raw := jsonraw.Lookup(data, "item")
	i := &item{
		kind: jsonraw.Text(jsonraw.Lookup(raw, "type")), id: jsonraw.Text(jsonraw.Lookup(raw, "id")),
		index:  int(n.At(data, "output_index")),
		callID: jsonraw.Text(jsonraw.Lookup(raw, "call_id")),
		of:     member{namespace: jsonraw.Text(jsonraw.Lookup(raw, "namespace")), name: jsonraw.Text(jsonraw.Lookup(raw, "name"))},
	}
	switch i.kind {
	case "message", "reasoning", "function_call", "custom_tool_call":
	default:
		i.raw = raw
	}
	s.items, s.open = append(s.items, i), append(s.open, i)
}

// passing returns the open item that a provider's event is about.
func (s *Stream) passing(index int) *item {
	for _, i := range s.open {
		if i.index == index {
			return i
		}
	}
	return nil
}

// passPiece records what a provider says about an open item.
func (s *Stream) passPiece(p passed) {
	i, data := s.passing(p.index), p.data
	if i == nil || i.raw != nil {
		return
	}
	last := len(i.parts) - 1
	switch string(p.kind) {
	case "response.content_part.added", "response.reasoning_summary_part.added":
		i.parts = append(i.parts, &piece{kind: jsonraw.Text(jsonraw.Lookup(data, "part", "type"))})
	case "response.content_part.done", "response.reasoning_summary_part.done":
		if last >= 0 {
			i.parts[last].done = true
		}
	case "response.output_text.delta", "response.refusal.delta", "response.reasoning_summary_text.delta":
		if last >= 0 {
			grow(&i.parts[last].text, p.delta)
		}
	case "response.output_text.annotation.added":
		if last >= 0 {
			i.parts[last].annotations = append(i.parts[last].annotations, bytes.Clone(jsonraw.Lookup(data, "annotation")))
		}
	case "response.function_call_arguments.delta", "response.custom_tool_call_input.delta":
		grow(&i.input, p.delta)
	}
}

// PassEnd returns the event that ended the response.
func (s *Stream) PassEnd() []sse.Event {
	s.list = s.list[:0]
	if s.last != nil {
		s.list = append(s.list, *s.last)
	}
	return s.list
}
