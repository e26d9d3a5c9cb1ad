package openai

import (
	"strconv"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// usageOf has the three counts, by the meaning that they have in the format.
func (m *normaliser) usageOf(o object, e *edits) {
	raw, u := o["usage"], m.usage
	if u == nil {
		if _, ok := o["usage"]; ok && (!m.stream || !jsonraw.IsNull(raw)) {
			e.leave("usage")
		}
		return
	}
	if len(raw) == 0 || raw[0] != '{' {
		if !m.x.Request.WantsUsage() && m.stream {
			return
		}
		raw = []byte("{}")
	}
	e.change("usage", o["usage"], usage(raw, u))
}

func usage(raw []byte, u *chat.Usage) []byte {
	o, e := read(raw), &edits{}
	prompt := u.Input + u.CacheRead + u.CacheWrite
	total := prompt + u.Output
	if told, ok := ownCounts(o, u); ok {
		prompt, total = told, count(o["total_tokens"])
	}
	for _, c := range []struct {
		name  string
		value int64
	}{{"prompt_tokens", prompt}, {"completion_tokens", u.Output}, {"total_tokens", total}} {
		if count(o[c.name]) != c.value {
			e.put(c.name, strconv.AppendInt(nil, c.value, 10))
		}
	}
	details(o, e, "prompt_tokens_details", "cached_tokens", u.CacheRead)
	details(o, e, "completion_tokens_details", "reasoning_tokens", u.Reasoning)
	return e.apply(raw)
}

// ownCounts reports a prompt that is told as the provider counts it, although
// more is charged: where audio is counted beside it, or more of it was cached
// than there is, by its own details. They say the rest.
func ownCounts(o object, u *chat.Usage) (prompt int64, ok bool) {
	prompt, completion, total := count(o["prompt_tokens"]), count(o["completion_tokens"]), count(o["total_tokens"])
	cached, audio := count(jsonraw.Lookup(o["prompt_tokens_details"], "cached_tokens")),
		count(jsonraw.Lookup(o["prompt_tokens_details"], "audio_tokens"))
	switch gap := total - prompt - completion; {
	case prompt < 0 || completion != u.Output || gap < 0:
		return 0, false
	case gap == 0:
		return prompt, cached > prompt && count(jsonraw.Lookup(o["prompt_tokens_details"], "text_tokens")) == prompt
	default:
		return prompt, gap == audio
	}
}

// count is a number of tokens, -1 for anything else.
func count(raw []byte) int64 {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// details says a count where the format has it, and leaves nulls out.
func details(o object, e *edits, name, member string, least int64) {
	raw, ok := o[name]
	if !ok && least == 0 {
		return
	}
	if !ok || raw[0] != '{' {
		if least == 0 {
			e.leave(name)
			return
		}
		raw = []byte("{}")
	}
	in := &edits{}
	for inner, value := range jsonraw.Each(raw) {
		if jsonraw.IsNull(value) {
			in.leave(string(inner))
		}
	}
	if count(jsonraw.Lookup(raw, member)) < least {
		in.put(member, strconv.AppendInt(nil, least, 10))
	}
	e.change(name, o[name], in.apply(raw))
}
