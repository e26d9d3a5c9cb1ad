package tokens

import (
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// perInput is how many tokens a model may put around each text that it embeds:
// one before it and one behind, with some to spare for a prefix that says what the
// text is for.
const perInput = 8

// inputs adds up texts and tokens that the model reads as they are. OpenAI puts nothing around a text; where
// the model has another tokenizer, it may.
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
