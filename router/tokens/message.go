package tokens

import (
	"bytes"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// rules are what a prompt contains besides its text.
type rules struct {
	priming int64 // for the answer, and what comes before the first message
	message int64
	name    int64
	tools   int64 // once, if there are tools
	tool    int64
	call    int64 // for a tool call, in a message
	format  int64 // if the format of the answer is prescribed
}

// newerTools is what the cookbook's formula for tools lacks for models after gpt-4o, which wrap
// tools in some instructions.
const newerTools = 100

// The rules of OpenAI's models are those of its cookbook ("How to count tokens with tiktoken"),
// which does not cover calls and formats. Others wrap messages in templates of their own, and
// add instructions for tools and formats: Anthropic some 600 tokens, gpt-oss 80 at the start.
// Theirs are meant to be generous.
func (t Tokenizer) rules() rules {
	switch t.Encoding {
	case O200k:
		return rules{priming: 3, message: 3, name: 1, tools: 12 + newerTools, tool: 7, call: 8, format: 16}
	case Cl100k:
		return rules{priming: 3, message: 3, name: 1, tools: 12, tool: 10, call: 8, format: 16}
	}
	return rules{priming: 80, message: 8, name: 4, tools: 700, tool: 24, call: 24, format: 700}
}

// message counts one message.
func (s *session) message(m chat.Message) tally {
	a := s.count(m.Role.Bytes())
	a.fixed += s.rules.message
	if m.Name != nil {
		a.add(s.count(m.Name.Bytes()))
		a.fixed += s.rules.name
	}
	for p := range m.Pieces() {
		a.add(s.piece(p))
	}
	return a
}

// piece counts one piece of a message.
func (s *session) piece(p chat.Piece) tally {
	if v, ok := s.c.media(p, s.t); ok {
		return v
	}
	switch p.Kind {
	case chat.PieceText:
		return s.count(p.Text.Bytes())
	case chat.PieceToolCall:
		a := tally{fixed: s.rules.call, inexact: true}
		a.add(s.count(p.Name.Bytes()))
		a.add(s.count(p.Text.Bytes()))
		return a
	default:
		return s.verbatim(p.Raw)
	}
}

// verbatim counts JSON for which no rule is known, as it stands.
func (s *session) verbatim(raw []byte) tally {
	a := s.count(raw)
	a.inexact = true
	return a
}

// format counts response_format.
func (s *session) format(raw []byte) tally {
	if jsonraw.Text(jsonraw.Lookup(raw, "type")) == "text" {
		return tally{}
	}
	a := s.verbatim(raw)
	a.fixed += s.rules.format
	return a
}

// silent reports whether a member of a request is not part of the prompt.
func silent(member string) bool {
	switch member {
	case "messages", // counted one by one
		"model", "models", "provider", "stream", "stream_options", "temperature", "top_p", "top_k", "min_p",
		"max_tokens", "max_completion_tokens", "n", "stop", "seed", "frequency_penalty", "presence_penalty",
		"repetition_penalty", "logit_bias", "logprobs", "top_logprobs", "user", "safety_identifier", "metadata",
		"modalities", "audio", "parallel_tool_calls", "reasoning_effort", "reasoning", "thinking", "verbosity",
		"service_tier", "store", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options":
		return true
	}
	return false
}

// member counts a top-level member other than messages. An unknown one is assumed to be part of
// the prompt.
func (s *session) member(name string, raw []byte) tally {
	if silent(name) || bytes.Equal(raw, []byte("null")) {
		return tally{}
	}
	return s.remembered(name, raw, func() tally {
		switch name {
		case "tools":
			return s.tools(raw, "function")
		case "functions":
			return s.tools(raw, "")
		case "response_format":
			return s.format(raw)
		}
		return s.verbatim(raw)
	})
}

// perInput is how many tokens a model may put around each text that it embeds: one before and
// one after, with some to spare for a prefix that says what the text is for.
const perInput = 8

// inputs adds up the texts and tokens that the model reads as they are. OpenAI puts nothing
// around a text; a model with another tokenizer may.
func (s *session) inputs(r *chat.Request) tally {
	var sum tally
	if !s.t.own() {
		sum.fixed = r.InputCount() * perInput
	}
	for input := range r.Inputs() {
		if !r.TokenInput() {
			sum.add(s.count(jsonraw.Quoted(input).Bytes()))
			continue
		}
		for range jsonraw.Elements(input) {
			sum.fixed++
		}
	}
	return sum
}
