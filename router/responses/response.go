package responses

import (
	"strings"

	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// state is the state of a response.
type state struct {
	status     string // in_progress, completed, incomplete or failed
	incomplete string // why
	failure    []byte // an error object
	output     [][]byte
	usage      []byte // of the chat completion
	more       []byte // what the router adds about the request
}

// head describes an answer as a whole.
type head struct {
	id      string
	created int64
	model   []byte // as JSON
	tier    []byte
}

// headOf reads it from a chat completion or its first chunk.
func headOf(data []byte) head {
	id := jsonraw.Text(jsonraw.Lookup(data, "id"))
	if !strings.HasPrefix(id, "resp_") {
		id = "resp_" + strings.TrimPrefix(id, "chatcmpl-")
	}
	tier := jsonraw.Present(jsonraw.Lookup(data, "service_tier"))
	var n translate.Counter
	return head{id: id, created: n.At(data, "created"), model: jsonraw.Lookup(data, "model"), tier: tier}
}

// head returns the head of an answer, with the id that it is stored under.
func (r *Request) head(data []byte) head {
	h := headOf(data)
	if r.Kept != nil {
		h.id = r.Kept.ID
	}
	return h
}

// write writes the response.
func (r *Request) write(o *jsonraw.Object, h head, s state) {
	null := []byte("null")
	o.Text("id", h.id)
	o.Text("object", "response")
	o.Int("created_at", h.created)
	if s.status == "completed" {
		o.Int("completed_at", h.created)
	}
	o.Text("status", s.status)
	if s.failure != nil {
		null = s.failure
	}
	o.Raw("error", null)
	if s.incomplete != "" {
		o.Raw("incomplete_details", jsonraw.One("reason", jsonraw.Quote(s.incomplete)))
	} else {
		o.Word("incomplete_details", "null")
	}
	if h.model == nil {
		o.Text("model", "")
	} else {
		o.Raw("model", h.model)
	}
	o.Raw("output", jsonraw.Array(s.output))
	o.Raw("service_tier", h.tier)
	if r.echo.Empty() {
		r.repeat(&r.echo)
	}
	o.Join(r.echo)
	if s.usage != nil {
		o.Object("usage", usage(s.usage))
	}
	o.Raw("tallyroute", s.more)
}

// Usage returns the usage of a chat completion in the format of a response.
func Usage(chat []byte) []byte {
	o := usage(chat)
	return o.Bytes()
}

// usage converts the usage of a chat completion to the names of a response.
func usage(chat []byte) jsonraw.Object {
	var o jsonraw.Object
	var n translate.Counter
	o.Int("input_tokens", n.At(chat, "prompt_tokens"))
	o.Key("input_tokens_details")
	o.Open('{')
	o.Int("cached_tokens", n.At(chat, "prompt_tokens_details", "cached_tokens"))
	o.Int("cache_write_tokens", n.At(chat, "prompt_tokens_details", "cache_write_tokens"))
	o.Close('}')
	o.Int("output_tokens", n.At(chat, "completion_tokens"))
	o.Key("output_tokens_details")
	o.Open('{')
	o.Int("reasoning_tokens", n.At(chat, "completion_tokens_details", "reasoning_tokens"))
	o.Close('}')
	o.Int("total_tokens", n.At(chat, "total_tokens"))
	for _, name := range []string{"cost", "cost_details"} { // as in a chat completion
		o.Raw(name, jsonraw.Lookup(chat, name))
	}
	return o
}

// ending returns how a response ends, given the finish reason of a chat completion.
func ending(finish string) (status, incomplete string) {
	switch finish {
	case "length":
		return "incomplete", "max_output_tokens"
	case "content_filter":
		return "incomplete", "content_filter"
	}
	return "completed", ""
}
