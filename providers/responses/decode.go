package responses

import (
	"fmt"
	"net/http"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/openai"
	"tallyroute/providers/translate"
)

// Fail reads a response whose status reports a failure. Errors have the same form as in the
// chat format.
func (completions) Fail(x providers.Exchange, status int, h http.Header, body []byte) *providers.Error {
	return openai.New().Chat.Fail(x, status, h, body)
}

// failed returns the error in a response whose status does not reflect it.
func failed(x providers.Exchange, body []byte) *providers.Error {
	e := openai.New().Chat.Fail(x, 0, nil, body)
	if e.Kind == providers.KindBroken {
		e.Kind = providers.KindOverload
	}
	if !e.Kind.Failover() {
		e.Status = http.StatusBadRequest
	}
	return e
}

// Decode reads a complete, non-streamed response.
func (a completions) Decode(x providers.Exchange, _ http.Header, body []byte) (*chat.Response, error) {
	r, ok := jsonraw.IndexOf(body)
	if !ok {
		if err := translate.Valid(body); err != nil {
			return nil, err
		}
	}
	if jsonraw.Present(r.Get("error")) != nil {
		return nil, failed(x, body)
	}
	output := r.Get("output")
	if output == nil {
		return nil, translate.Malformed("it has no output")
	}
	var c translate.Choice
	s := speaker{}
	for item := range jsonraw.Elements(output) {
		s.item(&c.Message, item)
	}
	var err error
	if c.Finish, c.Native, err = s.ending(x, r); err != nil {
		return nil, err
	}
	if x.Native != nil {
		return translate.NativeResponse(a.head(x, r), []translate.Choice{c}, count(r), body), nil
	}
	return translate.Response(a.head(x, r), []translate.Choice{c}, count(r)), nil
}

// head returns the fields that describe a response as a whole.
func (a completions) head(x providers.Exchange, response jsonraw.Index) translate.Head {
	h := translate.Head{ID: jsonraw.Text(response.Get("id")), Model: jsonraw.Text(response.Get("model"))}
	var n translate.Counter
	if h.Created = n.Take(response.Get("created_at")); h.Created == 0 {
		h.Created = a.Now().Unix()
	}
	if h.ID == "" {
		h.ID = translate.AnswerID(x, response.Bytes())
	}
	if h.Model == "" {
		h.Model = x.Target.Upstream
	}
	switch tier := jsonraw.Text(response.Get("service_tier")); tier {
	case "default", "flex", "scale", "priority", "auto", "fast":
		h.Tier = tier
	}
	return h
}

// count reads the usage, whose parts are those of the chat format under other names.
func count(response jsonraw.Index) *translate.Usage {
	usage := translate.Member(response.Members(), "usage")
	if usage == nil {
		return nil
	}
	u := &translate.Usage{}
	u.Prompt = u.At(usage, "input_tokens")
	u.Completion = u.At(usage, "output_tokens")
	u.CacheRead = u.At(usage, "input_tokens_details", "cached_tokens")
	u.CacheWrite = u.At(usage, "input_tokens_details", "cache_write_tokens")
	u.Reasoning = u.At(usage, "output_tokens_details", "reasoning_tokens")
	u.Total = u.At(usage, "total_tokens")
	if !u.Found {
		return nil
	}
	u.State(usage)
	u.Metered = metered(response.Get("output"))
	u.Tools(jsonraw.Lookup(usage, "server_side_tool_usage_details"))
	return u
}

// Usage reads the usage from a body that may not be a valid response otherwise.
func (completions) Usage(_ providers.Exchange, body []byte) *chat.Usage {
	r, _ := jsonraw.IndexOf(body)
	return count(r).Chat("")
}

// metered counts the calls to the provider's own tools among the items of an output. Of web
// search actions, only searches are charged, not what is done with their results; of code,
// the container that it runs in.
func metered(output []byte) (m chat.Metered) {
	containers := make(map[string]bool)
	for item := range jsonraw.Elements(output) {
		switch kind := jsonraw.Text(jsonraw.Lookup(item, "type")); kind {
		case "web_search_call":
			if action := jsonraw.Text(jsonraw.Lookup(item, "action", "type")); action == "" || action == "search" {
				m.Add(chat.MeterWebSearch, 1)
			}
		case "code_interpreter_call", "shell_call", "container_call":
			id := jsonraw.Text(jsonraw.Lookup(item, "container_id"))
			if kind == "code_interpreter_call" || id != "" {
				containers[id] = true
			}
		case "file_search_call", "image_generation_call":
			m.Add(chat.MeterOf(kind), 1)
		}
	}
	m.Add(chat.MeterContainer, int64(len(containers)))
	return m
}

// speaker builds one message from the items of an output.
type speaker struct {
	calls   int
	details int
	thought bool // a summary came before
}

// item reads a complete item. It omits what OpenAI's own tools did, and the user's messages, which
// a compacted conversation repeats.
func (s *speaker) item(m *translate.Message, item []byte) {
	switch jsonraw.Text(jsonraw.Lookup(item, "type")) {
	case "message":
		if jsonraw.Text(jsonraw.Lookup(item, "role")) == "user" {
			return
		}
		for part := range jsonraw.Elements(jsonraw.Lookup(item, "content")) {
			s.content(m, part)
		}
	case "function_call":
		s.call(m, item, jsonraw.Lookup(item, "arguments"))
	case "custom_tool_call":
		s.call(m, item, jsonraw.Lookup(item, "input"))
		m.Calls[len(m.Calls)-1].Custom = true
	case "reasoning":
		for part := range jsonraw.Elements(jsonraw.Lookup(item, "summary")) {
			s.paragraph(m)
			m.Reasoning.Add(jsonraw.Lookup(part, "text"))
		}
		for part := range jsonraw.Elements(jsonraw.Lookup(item, "content")) {
			m.Reasoning.Add(jsonraw.Lookup(part, "text"))
		}
		s.keep(m, item)
	case "image_generation_call":
		s.image(m, item)
	}
}

// paragraph separates a summary from the previous one.
func (s *speaker) paragraph(m *translate.Message) {
	if s.thought {
		m.Reasoning.AddText("\n\n")
	}
	s.thought = true
}

func (s *speaker) content(m *translate.Message, part []byte) {
	switch jsonraw.Text(jsonraw.Lookup(part, "type")) {
	case "output_text":
		m.Text.Add(jsonraw.Lookup(part, "text"))
		for a := range jsonraw.Elements(jsonraw.Lookup(part, "annotations")) {
			cite(m, a)
		}
		if l := jsonraw.Lookup(part, "logprobs"); len(l) > len("[]") {
			m.Logprobs = logprobs(l)
		}
	case "refusal":
		m.Refusal.Add(jsonraw.Lookup(part, "refusal"))
	}
}

// cite adds a URL citation, which is nested in the chat format. Other annotations have no
// equivalent there.
func cite(m *translate.Message, annotation []byte) {
	if jsonraw.Text(jsonraw.Lookup(annotation, "type")) != "url_citation" {
		return
	}
	var n translate.Counter
	m.Cite(translate.Citation{
		URL: jsonraw.Lookup(annotation, "url"), Title: jsonraw.Lookup(annotation, "title"),
		Start: n.At(annotation, "start_index"), End: n.At(annotation, "end_index"),
	})
}

func logprobs(list []byte) []byte {
	var o jsonraw.Object
	o.Raw("content", list)
	o.Raw("refusal", []byte("null"))
	return o.Bytes()
}

func (s *speaker) call(m *translate.Message, item, arguments []byte) {
	m.Calls = append(m.Calls, translate.ToolCall{
		Index: s.calls, ID: callID(item, s.calls), Name: translate.WordsOf(jsonraw.Lookup(item, "name")),
		Arguments: translate.WordsOf(arguments),
	})
	s.calls++
}

// callID returns the ID by which a result refers to its call.
func callID(item []byte, index int) string {
	for _, name := range []string{"call_id", "id"} {
		if id := jsonraw.Text(jsonraw.Lookup(item, name)); id != "" {
			return id
		}
	}
	return translate.Derived("call_", string(item), fmt.Sprint(index))
}

// keep stores a reasoning item among the details, piece by piece.
func (s *speaker) keep(m *translate.Message, item []byte) {
	id := jsonraw.Text(jsonraw.Lookup(item, "id"))
	add := func(kind, member, text string) {
		if text == "" {
			return
		}
		var o jsonraw.Object
		o.Text("type", kind)
		o.Text("format", format)
		o.Int("index", int64(s.details))
		o.Some("id", id)
		o.Text(member, text)
		s.details++
		m.Details = append(m.Details, o.Bytes())
	}
	for part := range jsonraw.Elements(jsonraw.Lookup(item, "summary")) {
		add("reasoning.summary", "summary", jsonraw.Text(jsonraw.Lookup(part, "text")))
	}
	for part := range jsonraw.Elements(jsonraw.Lookup(item, "content")) {
		add("reasoning.text", "text", jsonraw.Text(jsonraw.Lookup(part, "text")))
	}
	add("reasoning.encrypted", "data", jsonraw.Text(jsonraw.Lookup(item, "encrypted_content")))
}

// image adds a generated image to the message.
func (s *speaker) image(m *translate.Message, item []byte) {
	data := jsonraw.Text(jsonraw.Lookup(item, "result"))
	if data == "" {
		return
	}
	kind := jsonraw.Text(jsonraw.Lookup(item, "output_format"))
	if kind == "" {
		kind = "png"
	}
	var o jsonraw.Object
	o.Text("type", "image_url")
	o.Raw("image_url", jsonraw.One("url", jsonraw.Quote("data:image/"+kind+";base64,"+data)))
	m.Images = append(m.Images, o.Bytes())
}

// ending returns how an answer ended, or why it failed.
func (s *speaker) ending(x providers.Exchange, response jsonraw.Index) (finish, native string, err error) {
	switch status := jsonraw.Text(response.Get("status")); status {
	case "failed", "cancelled":
		return "", "", failed(x, response.Bytes())
	case "incomplete":
		reason := jsonraw.Text(jsonraw.Lookup(response.Get("incomplete_details"), "reason"))
		if reason == "content_filter" {
			return "content_filter", reason, nil
		}
		return "length", reason, nil
	default:
		if s.calls > 0 {
			return "tool_calls", status, nil
		}
		return "stop", status, nil
	}
}
