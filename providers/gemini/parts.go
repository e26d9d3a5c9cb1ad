package gemini

import (
	"strconv"

	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// choice is the state of one candidate so far.
type choice struct {
	id      string // of the response
	index   int
	calls   int
	details int // the number of elements of reasoning_details
	text    int // in bytes
	images  int
	said    bool // a part has arrived
}

// say reads the parts of a candidate.
func (c *choice) say(from candidate) translate.Message {
	var m translate.Message
	for _, p := range from.parts {
		c.said = true
		c.part(&m, p)
	}
	c.text += len(m.Text)
	if from.logprobs != nil {
		m.Logprobs = logprobs(from.logprobs)
	}
	return m
}

// part reads one part. Anything other than text, calls, images and audio, such as code that
// Google ran, is kept among the details.
func (c *choice) part(m *translate.Message, raw []byte) {
	signature := jsonraw.Text(jsonraw.Lookup(raw, "thoughtSignature"))
	thought := string(jsonraw.Lookup(raw, "thought")) == "true"
	known := false
	for name, value := range jsonraw.Each(raw) {
		switch string(name) {
		case "text":
			known = true
			if thought {
				c.thought(m, value, signature)
			} else {
				c.words(m, value, signature)
			}
		case "functionCall":
			known = true
			c.call(m, value, signature)
		case "inlineData":
			if !thought {
				known = c.media(m, value, signature)
			}
		case "thought", "thoughtSignature":
			known = known || thought
		}
	}
	if !known && len(raw) > len("{}") {
		d := c.detail("google.part")
		d.Raw("part", jsonraw.Compact(raw))
		m.Details = append(m.Details, d.Bytes())
	}
}

func (c *choice) detail(kind string) jsonraw.Object {
	var o jsonraw.Object
	o.Text("type", kind)
	o.Text("format", format)
	o.Int("index", int64(c.details))
	c.details++
	return o
}

// thought adds a piece of the model's reasoning.
func (c *choice) thought(m *translate.Message, text []byte, signature string) {
	m.Reasoning.Add(text)
	d := c.detail("reasoning.text")
	d.Raw("text", text)
	d.Some("signature", signature)
	m.Details = append(m.Details, d.Bytes())
}

// words adds a piece of the model's answer.
func (c *choice) words(m *translate.Message, text []byte, signature string) {
	m.Text.Add(text)
	c.encrypted(m, "", signature)
}

// encrypted keeps the signature of the text, or of the call with an ID.
func (c *choice) encrypted(m *translate.Message, id, signature string) {
	if signature == "" {
		return
	}
	d := c.detail("reasoning.encrypted")
	d.Some("id", id)
	d.Text("data", signature)
	m.Details = append(m.Details, d.Bytes())
}

// call adds a function call. Models before the third generation give calls no IDs.
func (c *choice) call(m *translate.Message, raw []byte, signature string) {
	name := jsonraw.Lookup(raw, "name")
	s := translate.ToolCall{Index: c.calls, ID: jsonraw.Text(jsonraw.Lookup(raw, "id")), Name: translate.WordsOf(name)}
	if s.ID == "" {
		s.ID = translate.Derived("call_", c.id, strconv.Itoa(c.index), strconv.Itoa(c.calls), jsonraw.Text(name))
	}
	if args := jsonraw.Lookup(raw, "args"); jsonraw.IsObject(args) {
		s.Arguments.AddText(string(jsonraw.Compact(args)))
	} else {
		s.Arguments.AddText("{}")
	}
	if signature != "" {
		s.Extra = jsonraw.One("google", jsonraw.One("thought_signature", jsonraw.Quote(signature)))
		c.encrypted(m, s.ID, signature)
	}
	m.Calls = append(m.Calls, s)
	c.calls++
}

// media adds an image or audio that the model generated.
func (c *choice) media(m *translate.Message, raw []byte, signature string) bool {
	mime, data := jsonraw.Text(jsonraw.Lookup(raw, "mimeType")), jsonraw.Lookup(raw, "data")
	if len(data) < len(`""`) || data[0] != '"' {
		return false
	}
	if len(mime) > 6 && mime[:6] == "audio/" {
		var o jsonraw.Object
		o.Text("id", translate.Derived("audio_", c.id, strconv.Itoa(c.text)))
		o.Raw("data", data)
		o.Int("expires_at", 0)
		o.Text("transcript", "")
		m.Audio = o.Bytes()
		return true
	}
	url := jsonraw.Quote("data:" + mime + ";base64,")
	url = append(url[:len(url)-1], data[1:]...)
	var o jsonraw.Object
	o.Text("type", "image_url")
	o.Raw("image_url", jsonraw.One("url", url))
	o.Int("index", int64(c.images))
	c.encrypted(m, imageID(c.images), signature)
	c.images++
	m.Images = append(m.Images, o.Bytes())
	return true
}

// logprobs converts log probabilities into the OpenAI format.
func logprobs(raw []byte) []byte {
	var tops [][]byte
	for t := range jsonraw.Elements(jsonraw.Lookup(raw, "topCandidates")) {
		tops = append(tops, t)
	}
	var list [][]byte
	for chosen := range jsonraw.Elements(jsonraw.Lookup(raw, "chosenCandidates")) {
		o := probability(chosen)
		var top [][]byte
		if i := len(list); i < len(tops) {
			for t := range jsonraw.Elements(jsonraw.Lookup(tops[i], "candidates")) {
				p := probability(t)
				top = append(top, p.Bytes())
			}
		}
		o.Raw("top_logprobs", jsonraw.Array(top))
		list = append(list, o.Bytes())
	}
	var o jsonraw.Object
	o.Raw("content", jsonraw.Array(list))
	o.Raw("refusal", []byte("null"))
	return o.Bytes()
}

func probability(raw []byte) jsonraw.Object {
	var o jsonraw.Object
	o.Text("token", jsonraw.Text(jsonraw.Lookup(raw, "token")))
	p := jsonraw.Present(jsonraw.Lookup(raw, "logProbability"))
	if p == nil {
		p = []byte("0") // Google omits zeros
	}
	o.Raw("logprob", p)
	o.Raw("bytes", []byte("null"))
	return o
}
