package server

import (
	"encoding/json"
	"strconv"

	"tallyroute/billing"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/router"
)

// withUsage is an answer or its last chunk, with what is booked as its usage: what it
// cost, and the counts where they are not those that the provider reported. Where it
// reported none, the usage is added.
func withUsage(data []byte, reported *chat.Usage, out router.Outcome) []byte {
	s := out.Spend
	members := costMembers(s, out.Earlier)
	if reported == nil || s.Disputed || tokensOf(reported) != s.Tokens {
		members = append(append(countMembers(s.Tokens), ','), members...)
	}
	if reported == nil && !jsonraw.IsObject(jsonraw.Lookup(data, "usage")) {
		return jsonraw.Edit(data, []jsonraw.Member{{Name: "usage", Value: append(append([]byte{'{'}, members...), '}')}})
	}
	return chat.AddUsageMembers(data, members)
}

// usageHead is the chunk that tells the usage of a stream whose provider reports none,
// still without it. It is of the stream that first began.
func usageHead(first []byte) []byte {
	var o jsonraw.Object
	for _, name := range []string{"id", "object", "created", "model"} {
		o.Raw(name, jsonraw.Lookup(first, name))
	}
	o.Word("choices", "[]")
	return o.Bytes()
}

func tokensOf(u *chat.Usage) billing.Tokens {
	return billing.Tokens{
		Input: u.Input, CacheRead: u.CacheRead, CacheWrite: u.CacheWrite, Output: u.Output, Reasoning: u.Reasoning,
		CacheWrite1h: u.CacheWrite1h, AudioInput: u.AudioInput, AudioOutput: u.AudioOutput,
	}
}

// countMembers are the counts that are booked, in the format's words.
func countMembers(t billing.Tokens) []byte {
	b := make([]byte, 0, 512)
	count := func(name string, n int64) { b = strconv.AppendInt(append(b, name...), n, 10) }
	count(`"prompt_tokens":`, t.Prompt())
	if t.Output > 0 {
		count(`,"completion_tokens":`, t.Output)
	}
	count(`,"total_tokens":`, t.Total())
	if t.CacheRead+t.CacheWrite+t.AudioInput > 0 {
		count(`,"prompt_tokens_details":{"cached_tokens":`, t.CacheRead)
		count(`,"cache_write_tokens":`, t.CacheWrite)
		count(`,"audio_tokens":`, t.AudioInput)
		b = append(b, '}')
	}
	if t.Reasoning+t.AudioOutput > 0 {
		count(`,"completion_tokens_details":{"reasoning_tokens":`, t.Reasoning)
		count(`,"audio_tokens":`, t.AudioOutput)
		b = append(b, '}')
	}
	return b
}

// costMembers are the members that tell the cost of a request inside a usage object,
// with that of the attempts that failed before the answer. What has no price has a cost of null, which is not a cost of zero.
func costMembers(s billing.Spend, earlier billing.Money) []byte {
	if s.Pricing == billing.Unpriced {
		return []byte(`"cost":null,"cost_details":null`)
	}
	b := make([]byte, 0, 256)
	amount := func(name string, m billing.Money) {
		b = append(m.AppendShort(append(b, name...)), ',')
	}
	amount(`"cost":`, billing.SatAdd(s.Cost.Total, earlier))
	amount(`"cost_details":{"input":`, s.Cost.Input)
	amount(`"cache_read":`, s.Cost.CacheRead)
	amount(`"cache_write":`, s.Cost.CacheWrite)
	amount(`"output":`, s.Cost.Output)
	amount(`"fee":`, s.Cost.Fee)
	if earlier > 0 {
		amount(`"failed_attempts":`, earlier)
	}
	id, err := json.Marshal(s.Price.ID)
	if err != nil {
		id = []byte("null") // cannot be: every string is JSON
	}
	b = append(append(b, `"currency":"USD","price_id":`...), id...)
	return append(b, '}')
}
