package bedrock

import (
	"errors"
	"io"
	"net/http"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// Older models take a text through InvokeModel and continue it. A conversation is turned
// into such a text with the markers that each family was trained on; such models accept
// nothing but text.

// dialogue describes how a family of such models is prompted.
type dialogue struct {
	name string // a substring of its models' IDs
	// The names of its settings; "" for those that it does not have.
	prompt, within, bound, temperature, topP, topK, stop string

	before, after map[string]string // text around a turn, by its role
	begin, answer string            // what the prompt starts and ends with
}

// dialogueOf returns a model's family, or nil for models that take conversations.
func dialogueOf(model string) *dialogue {
	list := dialogues()
	for i := range list {
		if strings.Contains(model, list[i].name) {
			return &list[i]
		}
	}
	return nil
}

func dialogues() []dialogue {
	lines := func(user, assistant string) (before, after map[string]string, answer string) {
		before = map[string]string{"system": "", "user": user + ": ", "assistant": assistant + ": "}
		return before, map[string]string{"system": "\n", "user": "\n", "assistant": "\n"}, assistant + ":"
	}
	instructions := map[string]string{"system": "[INST] ", "user": "[INST] ", "assistant": " "}
	ends := map[string]string{"system": " [/INST]", "user": " [/INST]", "assistant": "</s>"}
	headers := make(map[string]string)
	ended := make(map[string]string)
	for _, role := range []string{"system", "user", "assistant"} {
		headers[role], ended[role] = "<|start_header_id|>"+role+"<|end_header_id|>\n\n", "<|eot_id|>"
	}
	titan := dialogue{
		name: "titan-text", prompt: "inputText", within: "textGenerationConfig", bound: "maxTokenCount",
		temperature: "temperature", topP: "topP", stop: "stopSequences",
	}
	titan.before, titan.after, titan.answer = lines("User", "Bot")
	cohere := dialogue{
		name: "cohere.command-text", prompt: "prompt", bound: "max_tokens", temperature: "temperature", topP: "p", topK: "k",
		stop: "stop_sequences",
	}
	cohere.before, cohere.after, cohere.answer = lines("User", "Chatbot")
	light := cohere
	light.name = "cohere.command-light"
	llama := dialogue{name: "meta.llama", prompt: "prompt", bound: "max_gen_len", temperature: "temperature", topP: "top_p"}
	old := llama
	old.name, old.begin, old.before, old.after = "meta.llama2", "<s>", instructions, ends
	llama.begin, llama.before, llama.after = "<|begin_of_text|>", headers, ended
	llama.answer = headers["assistant"]
	mistral := dialogue{
		name: "mistral.mi", prompt: "prompt", bound: "max_tokens", temperature: "temperature", topP: "top_p", topK: "top_k", stop: "stop",
		begin: "<s>", before: instructions, after: ends,
	}
	return []dialogue{titan, cohere, light, old, llama, mistral}
}

// encode writes the call for a text-completion model.
func (d *dialogue) encode(x providers.Exchange) (providers.Call, error) {
	call, err := translate.Encode(x, translate.Format{Path: invokePath(x)}, func(r *translate.Request) ([]byte, error) {
		var set translate.Settings
		options := set.Options("1")
		if d.topK == "" {
			delete(options, "top_k")
		}
		if d.stop == "" {
			delete(options, "stop")
		}
		if err := r.Options(options); err != nil {
			return nil, err
		}
		if set.Answer.JSON {
			return nil, &chat.FieldError{
				Code: "unsupported_parameter", Param: "response_format",
				Message: "cannot be asked of this model, which goes on with a text",
			}
		}
		text, err := d.text(r)
		if err != nil {
			return nil, err
		}
		var o, in jsonraw.Object
		o.Text(d.prompt, text)
		if n := r.Bound(); n > 0 {
			in.Int(d.bound, n)
		}
		in.Raw(d.temperature, set.Temperature)
		in.Raw(d.topP, set.TopP)
		in.Raw(d.topK, set.TopK)
		in.Array(d.stop, set.Stop)
		switch {
		case d.within != "":
			o.Object(d.within, in)
		default:
			o.Join(in)
		}
		if r.Stream() && strings.HasPrefix(d.name, "cohere") {
			o.Word("stream", "true")
		}
		return o.Bytes(), nil
	})
	if err == nil {
		call.Header = accept(x)
	}
	return call, err
}

// text returns the conversation in the model's prompt format.
func (d *dialogue) text(r *translate.Request) (string, error) {
	var b strings.Builder
	b.WriteString(d.begin)
	for i := range r.Turns {
		t := &r.Turns[i]
		for _, p := range t.Parts {
			if p.Kind != translate.Text {
				return "", t.Refuse(p, "is not text, and this model accepts nothing else")
			}
		}
		b.WriteString(d.before[t.Role] + t.PlainText() + d.after[t.Role])
	}
	b.WriteString(d.answer)
	return b.String(), nil
}

// piece is a text that a model wrote, or the next part of one.
type piece struct {
	text   []byte // as JSON
	native string // why it ended
	usage  translate.Usage
	found  bool
}

// read reads a response in any of the formats.
func (p *piece) read(body []byte) {
	for name, value := range jsonraw.Each(body) {
		switch string(name) {
		case "results", "generations", "outputs":
			for e := range jsonraw.Elements(value) {
				p.read(e)
				break // we asked for only one
			}
		case "outputText", "generation", "completion", "text":
			if jsonraw.IsString(value) {
				p.text, p.found = value, true
			}
		case "completionReason", "stop_reason", "finish_reason":
			if jsonraw.IsString(value) {
				p.native = jsonraw.Text(value)
			}
		case "amazon-bedrock-guardrailAction":
			if jsonraw.Text(value) == "INTERVENED" {
				p.native = "guardrail_intervened"
			}
		case "inputTextTokenCount", "prompt_token_count":
			p.usage.Read(whole(value), &p.usage.Prompt)
		case "tokenCount", "totalOutputTextTokenCount", "generation_token_count":
			p.usage.Read(whole(value), &p.usage.Completion)
		case "amazon-bedrock-invocationMetrics":
			p.usage.Read(jsonraw.Lookup(value, "inputTokenCount"), &p.usage.Prompt)
			p.usage.Read(jsonraw.Lookup(value, "outputTokenCount"), &p.usage.Completion)
		}
	}
}

// whole strips the fraction of a count, which some models write as 3.0.
func whole(count []byte) []byte { return []byte(strings.TrimSuffix(string(count), ".0")) }

func (p *piece) counted() *translate.Usage {
	if !p.usage.Found {
		return nil
	}
	return &p.usage
}

func (p *piece) finish() string {
	switch strings.ToLower(p.native) {
	case "length", "max_tokens":
		return "length"
	case "content_filtered", "guardrail_intervened", "error_toxic":
		return "content_filter"
	}
	return "stop"
}

// decodeText reads a complete response; it returns false for one in another format.
func (a invoke) decodeText(x providers.Exchange, h http.Header, body []byte) (*chat.Response, bool) {
	var p piece
	p.read(body)
	if !p.found || jsonraw.Lookup(body, "content") != nil {
		return nil, false
	}
	for name, to := range map[string]*int64{"Input": &p.usage.Prompt, "Output": &p.usage.Completion} {
		if told := h.Get("X-Amzn-Bedrock-" + name + "-Token-Count"); told != "" && *to == 0 {
			p.usage.Read([]byte(told), to)
		}
	}
	c := translate.Choice{Finish: p.finish(), Native: p.native}
	c.Text.Add(p.text)
	return translate.Response(a.converse.head(x), []translate.Choice{c}, p.counted()), true
}

// texts reads a streamed text.
type texts struct {
	next  func() ([]byte, error)
	head  translate.Head
	piece piece
}

// Step reads one piece.
func (s *texts) Step(e *translate.Emitter) error {
	e.Head = s.head
	data, err := s.next()
	if errors.Is(err, io.EOF) && s.piece.native != "" {
		e.Finish(0, s.piece.finish(), s.piece.native)
		e.Usage(s.piece.counted())
	}
	if err != nil {
		return err
	}
	s.piece.text = nil
	s.piece.read(data)
	var m translate.Message
	m.Text.Add(s.piece.text)
	e.Say(0, &m)
	return nil
}
