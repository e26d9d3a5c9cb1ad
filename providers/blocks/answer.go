package blocks

import (
	"strconv"

	"tallyroute/providers/chat"
)

// Head is what a whole answer and all chunks of a streamed one begin with.
type Head struct {
	ID      string
	Model   string
	Created int64  // seconds since 1970
	Tier    string // service_tier in the words of OpenAI; "" is not said
}

func (h Head) write(w *Writer, object string) {
	w.Open('{')
	w.TextMember("id", h.ID)
	w.TextMember("object", object)
	w.IntMember("created", h.Created)
	w.TextMember("model", h.Model)
	if h.Tier != "" {
		w.TextMember("service_tier", h.Tier)
	}
}

// ToolCall is one that an answer makes.
type ToolCall struct {
	ID        string
	Name      []byte // as JSON
	Arguments string
}

// Answer is a whole answer under way. Texts are insides of JSON strings, as they
// came.
type Answer struct {
	Head

	Text, Reasoning []byte
	Said            bool // there was text, be it empty
	Details         []Detail
	Calls           []ToolCall
	Annotations     [][]byte // as JSON
	Refusal         string
	Finish, Native  string // the reason in the words of OpenAI, and of the provider
	Usage           *Usage
}

// Response is the answer in the OpenAI format.
func (a *Answer) Response() (*chat.Response, error) {
	var w Writer
	a.write(&w, "chat.completion")
	w.Key("choices")
	w.Open('[')
	w.Open('{')
	w.IntMember("index", 0)
	w.Key("message")
	a.message(&w)
	w.Member("logprobs", []byte("null"))
	w.TextMember("finish_reason", a.Finish)
	if a.Native != "" {
		w.TextMember("native_finish_reason", a.Native)
	}
	w.Close('}')
	w.Close(']')
	if a.Usage != nil {
		w.Key("usage")
		a.Usage.write(&w)
	}
	w.Close('}')
	return chat.ParseResponse(w.Bytes())
}

func (a *Answer) message(w *Writer) {
	w.Open('{')
	w.TextMember("role", "assistant")
	w.Key("content")
	if len(a.Text) > 0 || len(a.Calls) == 0 && a.Refusal == "" {
		w.Inside(a.Text)
	} else {
		w.Raw([]byte("null"))
	}
	w.Key("refusal")
	if a.Refusal != "" {
		w.Text(a.Refusal)
	} else {
		w.Raw([]byte("null"))
	}
	if len(a.Reasoning) > 0 {
		w.Key("reasoning_content")
		w.Inside(a.Reasoning)
	}
	if len(a.Details) > 0 {
		w.Key("reasoning_details")
		writeDetails(w, a.Details)
	}
	if len(a.Calls) > 0 {
		w.Key("tool_calls")
		w.Open('[')
		for _, c := range a.Calls {
			c.write(w)
		}
		w.Close(']')
	}
	if len(a.Annotations) > 0 {
		w.Key("annotations")
		w.Open('[')
		for _, n := range a.Annotations {
			w.Raw(n)
		}
		w.Close(']')
	}
	w.Close('}')
}

func writeDetails(w *Writer, details []Detail) {
	w.Open('[')
	for _, d := range details {
		w.Raw(d.JSON())
	}
	w.Close(']')
}

func (c ToolCall) write(w *Writer) {
	w.Open('{')
	w.TextMember("id", c.ID)
	w.TextMember("type", "function")
	w.Key("function")
	w.Open('{')
	w.Member("name", c.Name)
	w.TextMember("arguments", c.Arguments)
	w.Close('}')
	w.Close('}')
}

// Usage is what a provider says it used. Counts are tokens.
type Usage struct {
	Input                 int64 // neither read from nor written to a cache
	CacheRead, CacheWrite int64
	CacheWrite1h          int64 // of CacheWrite, what is kept for an hour
	Output                int64
	Reasoning             int64 // of Output
}

func (u *Usage) write(w *Writer) {
	prompt := u.Input + u.CacheRead + u.CacheWrite
	w.Open('{')
	w.IntMember("prompt_tokens", prompt)
	w.IntMember("completion_tokens", u.Output)
	w.IntMember("total_tokens", prompt+u.Output)
	w.Key("prompt_tokens_details")
	w.Open('{')
	w.IntMember("cached_tokens", u.CacheRead)
	if u.CacheWrite > 0 {
		w.IntMember("cache_write_tokens", u.CacheWrite)
	}
	w.Close('}')
	if u.CacheWrite > 0 {
		w.Key("cache_creation")
		w.Open('{')
		w.IntMember("ephemeral_5m_input_tokens", u.CacheWrite-u.CacheWrite1h)
		w.IntMember("ephemeral_1h_input_tokens", u.CacheWrite1h)
		w.Close('}')
	}
	w.Key("completion_tokens_details")
	w.Open('{')
	w.IntMember("reasoning_tokens", u.Reasoning)
	w.Close('}')
	w.Close('}')
}

// Count reads one count of a provider into to; null and what is no number leave
// it. A fraction or a sign is taken for 0, so that nobody is charged for it.
func Count(raw []byte, to *int64) {
	const most = 1_000_000_000_000
	if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		*to = min(max(n, 0), most)
	}
}
