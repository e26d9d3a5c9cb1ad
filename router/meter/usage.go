package meter

import (
	"tallyroute/billing"
	"tallyroute/providers/chat"
	"tallyroute/router/tokens"
)

// Counter counts what passed through us for one attempt, as its target's tokenizer
// does.
type Counter interface {
	Bound() int64 // cheap, and never below the prompt's true count
	Prompt() (tokens.Estimate, error)
	Text(text string) (tokens.Estimate, error)
}

// How far a report may differ from our own count before it is not believed:
// half or double, plus what providers add to a prompt unseen.
const (
	disputeFactor = 2
	disputeSlack  = 1000
)

func reported(u *chat.Usage) billing.Tokens {
	return billing.Tokens{
		Input: u.Input, CacheRead: u.CacheRead, CacheWrite: u.CacheWrite, Output: u.Output, Reasoning: u.Reasoning,
		CacheWrite1h: u.CacheWrite1h, AudioInput: u.AudioInput, AudioOutput: u.AudioOutput,
	}
}

// plausible reports whether t can be believed of an answer with that text. Most
// reports pass the cheap test against the bound; only the others make us count.
func plausible(t billing.Tokens, text string, most billing.Tokens, count Counter) bool {
	if t.Output == 0 && text != "" {
		return false
	}
	if t.Prompt() > count.Bound()/disputeFactor+disputeSlack {
		counted, err := count.Prompt()
		if err != nil || t.Prompt() > billing.SatMul(counted.Tokens, disputeFactor)+disputeSlack {
			return false
		}
	}
	// Hidden reasoning makes an output longer than its text, but not longer
	// than the bound that was sent.
	if t.Output > most.Output {
		counted, err := count.Text(text)
		return err == nil && t.Output <= billing.SatMul(counted.Tokens, disputeFactor)+disputeSlack
	}
	return true
}

// counted is what passed through us, where the provider did not say: the prompt
// and the text that came. No more than was held is charged.
func counted(text string, most billing.Tokens, count Counter) (billing.Tokens, billing.Provenance) {
	source := billing.Counted
	prompt, err := count.Prompt()
	if err != nil || !prompt.Exact {
		source = billing.Bounded
	}
	if err != nil {
		prompt.Tokens = most.Input
	}
	output, err := count.Text(text)
	if err != nil || !output.Exact {
		source = billing.Bounded
	}
	if err != nil {
		output.Tokens = int64(len(text)) // no token is shorter than a byte
	}
	return atMost(billing.Tokens{Input: prompt.Tokens, Output: output.Tokens}, most), source
}

// atMost bounds a usage that is not believed: no kind below nothing, the
// prompt and the output no more than was held for them.
func atMost(t, most billing.Tokens) billing.Tokens {
	prompt := most.Input
	clip := func(n int64) int64 {
		n = min(max(n, 0), prompt)
		prompt -= n
		return n
	}
	return billing.Tokens{
		Input: clip(t.Input), CacheRead: clip(t.CacheRead), CacheWrite: clip(t.CacheWrite),
		Output: min(max(t.Output, 0), most.Output), Reasoning: min(max(t.Reasoning, 0), most.Output),
		CacheWrite1h: min(max(t.CacheWrite1h, 0), most.Input), AudioInput: min(max(t.AudioInput, 0), most.Input),
		AudioOutput: min(max(t.AudioOutput, 0), most.Output),
	}
}
