package cohere

import (
	"io"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// Stream reads a streamed response.
func (a completions) Stream(x providers.Exchange, body io.ReadCloser) chat.Stream {
	return translate.NewStream(&stream{a: a, x: x, Frames: translate.NewFrames(body)}, body)
}

// stream ends with the event that ends the message.
type stream struct {
	*translate.Frames

	a completions
	x providers.Exchange
	speaker
	argued bool // the current call has arguments
}

// Step reads one event.
func (s *stream) Step(q *translate.Emitter) error {
	data, err := s.Next()
	if err != nil {
		return err
	}
	kind := jsonraw.Text(jsonraw.Lookup(data, "type"))
	if kind == "" {
		if _, ok := chat.ParseError(data); ok {
			return failure(0, data)
		}
		return nil
	}
	if q.ID == "" {
		q.Head = s.a.head(s.x, jsonraw.Text(jsonraw.Lookup(data, "id")), data)
	}
	if kind == "message-end" {
		return s.finish(q, data)
	}
	var m translate.Message
	s.event(&m, kind, jsonraw.Lookup(data, "delta", "message"))
	q.Say(0, &m)
	return nil
}

func (s *stream) event(m *translate.Message, kind string, message []byte) {
	content, call := jsonraw.Lookup(message, "content"), jsonraw.Lookup(message, "tool_calls")
	switch kind {
	case "content-start", "content-delta":
		s.part(m, content)
	case "tool-plan-delta":
		s.reason(m, "cohere.tool_plan", jsonraw.Lookup(message, "tool_plan"))
	case "tool-call-start":
		s.call(m, call)
		s.argued = len(m.Calls[0].Arguments) > 0
	case "tool-call-delta":
		s.argue(m, jsonraw.Lookup(call, "function", "arguments"))
	case "tool-call-end":
		if !s.argued {
			s.argue(m, []byte(`"{}"`))
		}
	}
}

// argue appends to the arguments of the current call.
func (s *stream) argue(m *translate.Message, piece []byte) {
	if len(jsonraw.Inside(piece)) > 0 && s.calls > 0 {
		s.argued = true
		m.Calls = append(m.Calls, translate.ToolCall{Index: s.calls - 1, Arguments: translate.WordsOf(piece)})
	}
}

func (s *stream) finish(q *translate.Emitter, data []byte) error {
	reason, usage := jsonraw.Text(jsonraw.Lookup(data, "delta", "finish_reason")), count(jsonraw.Lookup(data, "delta", "usage"))
	if failed(reason) {
		q.Early(func() *translate.Usage { return usage })
		return unfinished(reason, data)
	}
	q.Finish(0, finish(reason, s.calls), reason)
	q.Usage(usage)
	return io.EOF
}
