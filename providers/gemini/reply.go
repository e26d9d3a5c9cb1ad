package gemini

import (
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// reply is one GenerateContentResponse: a complete response, or a piece of one.
type reply struct {
	id, model, created string
	candidates         []candidate
	blocked            string // why the prompt was blocked; "" if it was not
	usage              []byte // usageMetadata
}

// candidate is one choice.
type candidate struct {
	index    int
	parts    [][]byte
	finish   string
	logprobs []byte
	grounded []byte // groundingMetadata
}

// read reads a reply. The error is an *providers.Error if Google reports one.
func read(data []byte) (reply, error) {
	var r reply
	if err := translate.Valid(data); err != nil {
		return r, err
	}
	if e := failure(data); e != nil {
		return r, e
	}
	for name, value := range jsonraw.Each(data) {
		switch string(name) {
		case "candidates":
			for c := range jsonraw.Elements(value) {
				r.candidates = append(r.candidates, readCandidate(c))
			}
		case "promptFeedback":
			r.blocked = jsonraw.Text(jsonraw.Lookup(value, "blockReason"))
		case "usageMetadata":
			if jsonraw.IsObject(value) {
				r.usage = translate.Both(r.usage, value)
			}
		case "modelVersion":
			r.model = jsonraw.Text(value)
		case "responseId":
			r.id = jsonraw.Text(value)
		case "createTime":
			r.created = jsonraw.Text(value)
		}
	}
	return r, nil
}

func readCandidate(raw []byte) candidate {
	var c candidate
	for name, value := range jsonraw.Each(raw) {
		switch string(name) {
		case "index":
			var n translate.Counter
			c.index = int(n.Take(value))
		case "content":
			for p := range jsonraw.Elements(jsonraw.Lookup(value, "parts")) {
				c.parts = append(c.parts, p)
			}
		case "finishReason":
			c.finish = jsonraw.Text(value)
		case "logprobsResult":
			c.logprobs = jsonraw.Present(value)
		case "groundingMetadata":
			c.grounded = jsonraw.Present(value)
		}
	}
	return c
}

// head returns the fields that describe a response as a whole. Without an ID from Google, it
// derives one from the first data.
func (a completions) head(x providers.Exchange, r reply, data []byte) translate.Head {
	h := translate.Head{ID: r.id, Model: r.model, Created: translate.Unix(r.created, a.Now), Tier: tier(r.usage)}
	if h.ID == "" {
		h.ID = translate.AnswerID(x, data)
	}
	if h.Model == "" {
		h.Model = x.Target.Upstream
	}
	return h
}

// tier returns the service tier that was used, in the OpenAI format's terms.
func tier(usage []byte) string {
	word := jsonraw.Text(jsonraw.Lookup(usage, "serviceTier")) + jsonraw.Text(jsonraw.Lookup(usage, "trafficType"))
	switch word = strings.ToLower(word); {
	case strings.Contains(word, "flex"):
		return "flex"
	case strings.Contains(word, "priority"):
		return "priority"
	case word == "standard" || word == "on_demand":
		return "default"
	}
	return ""
}

// count converts Google's token counts into the OpenAI format's. Google counts thoughts
// separately from the candidates, unless its total says otherwise, and the input of tools
// separately from the prompt.
func count(metadata []byte) *translate.Usage {
	if metadata == nil {
		return nil
	}
	u := &translate.Usage{}
	prompt := u.At(metadata, "promptTokenCount")
	u.Prompt = prompt + u.At(metadata, "toolUsePromptTokenCount")
	u.CacheRead = u.At(metadata, "cachedContentTokenCount")
	u.Reasoning = u.At(metadata, "thoughtsTokenCount")
	u.Completion = u.At(metadata, "candidatesTokenCount")
	u.Total = u.At(metadata, "totalTokenCount")
	if u.Reasoning > u.Completion || u.Total != u.Prompt+u.Completion {
		u.Completion += u.Reasoning
	}
	if !u.Found {
		return nil
	}
	u.AudioInput = min(audio(u, metadata, "promptTokensDetails")-audio(u, metadata, "cacheTokensDetails"), u.Prompt)
	u.AudioOutput = audio(u, metadata, "candidatesTokensDetails")
	return u
}

// Usage reads the usage from a body that may not be a valid response otherwise.
func (completions) Usage(_ providers.Exchange, body []byte) *chat.Usage {
	metadata := translate.Member(jsonraw.Each(body), "usageMetadata")
	return count(metadata).Chat(tier(metadata))
}

// audio returns how many of certain tokens were audio.
func audio(u *translate.Usage, metadata []byte, details string) int64 {
	var n int64
	for d := range jsonraw.Elements(jsonraw.Lookup(metadata, details)) {
		if jsonraw.Text(jsonraw.Lookup(d, "modality")) == "AUDIO" {
			n += u.At(d, "tokenCount")
		}
	}
	return n
}

// malformed reports a finish reason that means the model's output cannot be parsed. A retry
// may succeed.
func malformed(reason string) bool {
	return reason == "MALFORMED_FUNCTION_CALL" || reason == "MALFORMED_RESPONSE"
}

// finish translates a finish reason into the OpenAI format's terms. Google says STOP even if
// functions are called. An answer that ended for an abnormal reason is reported as filtered,
// so that nobody takes it for a complete one.
func finish(reason string, calls int) string {
	switch reason {
	case "MAX_TOKENS":
		return "length"
	case "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR",
		"IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION":
		return "content_filter"
	}
	switch {
	case calls > 0:
		return "tool_calls"
	case reason == "STOP" || reason == "":
		return "stop"
	}
	return "content_filter"
}

// refusal returns the message for a prompt that was blocked.
func refusal(blocked string) (m translate.Message) {
	m.Unbilled = true
	m.Refusal.AddText("The prompt was blocked: " + blocked + ".")
	return m
}
