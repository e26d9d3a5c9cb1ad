package demo

import (
	"context"
	"fmt"

	"tallyroute/cmd/tallyroute/app"
	"tallyroute/providers/chat"
	"tallyroute/router/tokens"
)

// Providers are the two upstreams of the demonstration.
type Providers struct{ upstreams []*upstream }

// New makes the providers. They count tokens with c, so that they and the router agree to
// the token.
func New(c *tokens.Counter) *Providers {
	return &Providers{[]*upstream{
		{name: "demo-a", count: sharedCounter{c}, pace: pace, fails: flaky},
		{name: "demo-b", count: sharedCounter{c}, pace: pace, fails: steady},
	}}
}

// Local returns what a Service needs to run them.
func (p *Providers) Local() app.Local {
	l := app.Local{Auto: "echo"}
	for _, u := range p.upstreams {
		l.Providers = append(l.Providers, app.LocalProvider{Name: u.name, Handler: u.handler(), Document: u.document})
	}
	return l
}

// Bills returns what each provider is owed, by name.
func (p *Providers) Bills() map[string]Bill {
	all := make(map[string]Bill)
	for _, u := range p.upstreams {
		all[u.name] = u.owed()
	}
	return all
}

// prices returns dollars per million tokens, for prompt and completion.
func (u *upstream) prices() (prompt, completion string) {
	if u.name == "demo-a" {
		return "0.10", "0.40"
	}
	return "0.50", "1.50"
}

// contextTokens is less than the alias auto asks for, so that alongside real providers the
// demonstration only answers those who ask for it.
const contextTokens = 15_000

// document returns u's catalogue entry.
func (u *upstream) document(address string) string {
	prompt, completion := u.prices()
	text := fmt.Sprintf("name: %s\ndisplay: Demonstration\nadapter: openai\nbase_url: http://%s/v1\nprivate: true\n"+
		"auth: {kind: none}\nmodels:\n", u.name, address)
	for _, id := range []string{"echo", "story"} {
		text += fmt.Sprintf("  - {id: %s, context: %d, max_output: 4096, can: [stream, tools, json_schema], tokenizer: "+
			"{encoding: o200k_base}, prices: [{since: 2026-01-01, prompt: %q, completion: %q}]}\n", id, contextTokens, prompt, completion)
	}
	return text
}

// tokenizer returns the tokenizer that the documents declare.
func tokenizer() tokens.Tokenizer { return tokens.Tokenizer{Encoding: tokens.O200k} }

// sharedCounter counts as the router does.
type sharedCounter struct{ *tokens.Counter }

// Prompt counts a request.
func (c sharedCounter) Prompt(ctx context.Context, r *chat.Request) int64 {
	e, err := c.Counter.Prompt(ctx, r, tokenizer())
	if err != nil {
		return 0 // only if the caller has gone, and then nothing is billed
	}
	return e.Tokens
}

// Text counts an answer.
func (c sharedCounter) Text(ctx context.Context, s string) int64 {
	e, err := c.Counter.Text(ctx, s, tokenizer())
	if err != nil {
		return 0
	}
	return e.Tokens
}
