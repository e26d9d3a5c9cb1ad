package translate

import (
	"strconv"

	"tallyroute/providers/jsonraw"
)

// Reply is what one choice of a response in the OpenAI format says, or its next piece in a
// stream; it is a Message read back. Values are JSON, nil if absent.
type Reply struct {
	Text, Refusal, Reasoning []byte
	Details, Annotations     [][]byte
	Calls                    []ReplyCall
	Finish, Native           string // finish_reason, and the provider's own name for it
}

// ReplyCall is a tool call, or the next piece of one.
type ReplyCall struct {
	Index           int
	ID              string // in the first piece
	Name, Arguments []byte
	Custom          bool
	Extra           []byte // extra_content
}

// ReadAnswer reads the first choice of a complete response.
func ReadAnswer(body []byte) Reply { return readSpoken(body, "message") }

// ReadChunk reads the first choice of a chunk.
func ReadChunk(data []byte) Reply { return readSpoken(data, "delta") }

func readSpoken(data []byte, member string) (s Reply) {
	for choice := range jsonraw.Elements(jsonraw.Lookup(data, "choices")) {
		if index := jsonraw.Present(jsonraw.Lookup(choice, "index")); index != nil && string(index) != "0" {
			continue // these formats have only one choice
		}
		for name, value := range jsonraw.Each(choice) {
			switch string(name) {
			case member:
				s.read(value)
			case "finish_reason":
				s.Finish = jsonraw.Text(value)
			case "native_finish_reason":
				s.Native = jsonraw.Text(value)
			}
		}
		return s
	}
	return s
}

func (s *Reply) read(message []byte) {
	var reasoning []byte // under the name that some use
	for name, value := range jsonraw.Each(message) {
		switch string(name) {
		case "content":
			s.Text = said(value)
		case "refusal":
			s.Refusal = said(value)
		case "reasoning_content":
			s.Reasoning = said(value)
		case "reasoning":
			reasoning = said(value)
		case "reasoning_details":
			s.Details = list(value)
		case "annotations":
			s.Annotations = list(value)
		case "tool_calls":
			for raw := range jsonraw.Elements(value) {
				s.Calls = append(s.Calls, readSpokenCall(raw, len(s.Calls)))
			}
		}
	}
	if s.Reasoning == nil {
		s.Reasoning = reasoning
	}
}

func readSpokenCall(raw []byte, at int) ReplyCall {
	c := ReplyCall{Index: at}
	for name, value := range jsonraw.Each(raw) {
		switch string(name) {
		case "index":
			if n, err := strconv.Atoi(string(value)); err == nil {
				c.Index = n
			}
		case "id":
			c.ID = jsonraw.Text(value)
		case "function", "custom":
			if !jsonraw.IsObject(value) {
				continue
			}
			c.Custom = string(name) == "custom"
			for name, value := range jsonraw.Each(value) {
				switch string(name) {
				case "name":
					c.Name = said(value)
				case "arguments", "input":
					c.Arguments = said(value)
				}
			}
		case "extra_content":
			c.Extra = jsonraw.Present(value)
		}
	}
	return c
}

// said returns the string if it is not empty, or else nil.
func said(raw []byte) []byte {
	if !jsonraw.IsString(raw) || len(jsonraw.Inside(raw)) == 0 {
		return nil
	}
	return raw
}

func list(raw []byte) (elements [][]byte) {
	for e := range jsonraw.Elements(raw) {
		elements = append(elements, e)
	}
	return elements
}
