package gemini

import (
	"strconv"

	"tallyroute/providers/chat"
	"tallyroute/providers/translate"
)

// choice is what came of one candidate so far.
type choice struct {
	id      string // of the answer
	index   int
	calls   int
	details int // how many elements of reasoning_details
	text    int // bytes
}

// say reads the parts of a candidate.
func (c *choice) say(from candidate) translate.Message {
	var m translate.Message
	for _, p := range from.parts {
		c.part(&m, p)
	}
	c.text += len(m.Text)
	if from.logprobs != nil {
		m.Logprobs = logprobs(from.logprobs)
	}
	return m
}

// part reads one part. What is neither text nor a call nor a picture or sound,
// such as code that Google has run, is kept among the details.
func (c *choice) part(m *translate.Message, raw []byte) {
	signature := chat.Text(chat.Lookup(raw, "thoughtSignature"))
	thought := string(chat.Lookup(raw, "thought")) == "true"
	known := false
	for name, value := range chat.Each(raw) {
		switch string(name) {
		case "text":
			known = true
			if thought {
				c.thought(m, chat.Text(value), signature)
			} else {
				c.words(m, chat.Text(value), signature)
			}
		case "functionCall":
			known = true
			c.call(m, value, signature)
		case "inlineData":
			if !thought {
				known = c.media(m, value)
			}
		case "thought", "thoughtSignature":
			known = known || thought
		}
	}
	if !known && len(raw) > len("{}") {
		d := c.detail("google.part")
		d.Raw("part", translate.Compact(raw))
		m.Details = append(m.Details, d.Bytes())
	}
}

func (c *choice) detail(kind string) translate.Object {
	var o translate.Object
	o.Text("type", kind)
	o.Text("format", format)
	o.Int("index", int64(c.details))
	c.details++
	return o
}

// thought is text that the model thought.
func (c *choice) thought(m *translate.Message, text, signature string) {
	m.Reasoning += text
	d := c.detail("reasoning.text")
	d.Text("text", text)
	d.Some("signature", signature)
	m.Details = append(m.Details, d.Bytes())
}

// words are text that the model says.
func (c *choice) words(m *translate.Message, text, signature string) {
	m.Text += text
	c.encrypted(m, "", signature)
}

// encrypted keeps the signature of the text, or of the call with an id.
func (c *choice) encrypted(m *translate.Message, id, signature string) {
	if signature == "" {
		return
	}
	d := c.detail("reasoning.encrypted")
	d.Some("id", id)
	d.Text("data", signature)
	m.Details = append(m.Details, d.Bytes())
}

// call is a call of a function. Before the third generation they have no ids.
func (c *choice) call(m *translate.Message, raw []byte, signature string) {
	s := translate.Said{Index: c.calls, Arguments: "{}", ID: chat.Text(chat.Lookup(raw, "id")), Name: chat.Text(chat.Lookup(raw, "name"))}
	if s.ID == "" {
		s.ID = translate.Derived("call_", c.id, strconv.Itoa(c.index), strconv.Itoa(c.calls), s.Name)
	}
	if args := chat.Lookup(raw, "args"); translate.IsObject(args) {
		s.Arguments = string(translate.Compact(args))
	}
	if signature != "" {
		s.Extra = translate.One("google", translate.One("thought_signature", translate.Quote(signature)))
		c.encrypted(m, s.ID, signature)
	}
	m.Calls = append(m.Calls, s)
	c.calls++
}

// media is a picture or a sound that the model made.
func (c *choice) media(m *translate.Message, raw []byte) bool {
	mime, data := chat.Text(chat.Lookup(raw, "mimeType")), chat.Lookup(raw, "data")
	if len(data) < len(`""`) || data[0] != '"' {
		return false
	}
	if len(mime) > 6 && mime[:6] == "audio/" {
		var o translate.Object
		o.Text("id", translate.Derived("audio_", c.id, strconv.Itoa(c.text)))
		o.Raw("data", data)
		o.Int("expires_at", 0)
		o.Text("transcript", "")
		m.More.Raw("audio", o.Bytes())
		return true
	}
	url := translate.Quote("data:" + mime + ";base64,")
	url = append(url[:len(url)-1], data[1:]...)
	var o translate.Object
	o.Text("type", "image_url")
	o.Raw("image_url", translate.One("url", url))
	m.More.Raw("images", translate.Array([][]byte{o.Bytes()}))
	return true
}

// logprobs are the logarithms of probabilities as the OpenAI format has them.
func logprobs(raw []byte) []byte {
	var tops [][]byte
	for t := range chat.Elements(chat.Lookup(raw, "topCandidates")) {
		tops = append(tops, t)
	}
	var list [][]byte
	for chosen := range chat.Elements(chat.Lookup(raw, "chosenCandidates")) {
		o := probability(chosen)
		var top [][]byte
		if i := len(list); i < len(tops) {
			for t := range chat.Elements(chat.Lookup(tops[i], "candidates")) {
				p := probability(t)
				top = append(top, p.Bytes())
			}
		}
		o.Raw("top_logprobs", translate.Array(top))
		list = append(list, o.Bytes())
	}
	var o translate.Object
	o.Raw("content", translate.Array(list))
	o.Raw("refusal", []byte("null"))
	return o.Bytes()
}

func probability(raw []byte) translate.Object {
	var o translate.Object
	o.Text("token", chat.Text(chat.Lookup(raw, "token")))
	p := translate.Present(chat.Lookup(raw, "logProbability"))
	if p == nil {
		p = []byte("0") // Google leaves zeroes out
	}
	o.Raw("logprob", p)
	o.Raw("bytes", []byte("null"))
	return o
}
