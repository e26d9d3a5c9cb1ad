package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"tallyroute/providers/chat"
	"tallyroute/router/tokens"
)

// demoProviders are the two upstreams of the demonstration.
type demoProviders struct {
	upstreams []*demoUpstream
	listeners []*listener
}

// newDemoProviders opens their sockets, on the loopback alone.
func newDemoProviders(ctx context.Context, c *tokens.Counter) (*demoProviders, error) {
	d := &demoProviders{upstreams: []*demoUpstream{
		{name: "demo-a", count: sharedCounter{c}, pace: demoPace, fails: flaky},
		{name: "demo-b", count: sharedCounter{c}, pace: demoPace, fails: steady},
	}}
	for _, u := range d.upstreams {
		l, err := listen(ctx, u.name, "127.0.0.1:0", &http.Server{Handler: u.handler(), ReadHeaderTimeout: 5 * time.Second})
		if err != nil {
			return nil, err
		}
		d.listeners = append(d.listeners, l)
	}
	return d, nil
}

// demoPrices are dollars per million tokens, prompt and completion.
func demoPrices(name string) (prompt, completion string) {
	if name == "demo-a" {
		return "0.10", "0.40"
	}
	return "0.50", "1.50"
}

// demoContext is below what the alias auto asks for, so that beside real
// providers the demonstration answers only who asks for it.
const demoContext = 15_000

// documents describe them for the catalogue.
func (d *demoProviders) documents() map[string]string {
	addresses := make(map[string]string)
	for i, u := range d.upstreams {
		addresses[u.name] = d.listeners[i].address()
	}
	return demoDocuments(addresses)
}

// demoDocuments describe the two providers at the addresses that they have, or
// at none, where they are only to be reckoned with. Each is the inside of a
// mapping on one line.
func demoDocuments(addresses map[string]string) map[string]string {
	all := make(map[string]string)
	for _, name := range []string{"demo-a", "demo-b"} {
		prompt, completion := demoPrices(name)
		model := func(id string) string {
			return fmt.Sprintf(`{id: %s, context: %d, max_output: 4096, can: [stream, tools, json_schema], `+
				`tokenizer: {encoding: o200k_base}, prices: [{since: 2026-01-01, prompt: %q, completion: %q}]}`, id, demoContext, prompt,
				completion)
		}
		all[name] = fmt.Sprintf(`display: Demonstration, base_url: "http://%s/v1", private: true, auth: {kind: none}, models: [%s, %s]`,
			orElse(addresses[name], "127.0.0.1:1"), model("echo"), model("story"))
	}
	return all
}

// demoTokenizer is what the documents declare.
func demoTokenizer() tokens.Tokenizer { return tokens.Tokenizer{Encoding: tokens.O200k} }

// sharedCounter counts as the router does, so that both agree to the token.
type sharedCounter struct{ *tokens.Counter }

// Prompt counts a request.
func (c sharedCounter) Prompt(ctx context.Context, r *chat.Request) int64 {
	e, err := c.Counter.Prompt(ctx, r, demoTokenizer())
	if err != nil {
		return 0 // only where the caller has gone, and then nothing is billed
	}
	return e.Tokens
}

// Text counts an answer.
func (c sharedCounter) Text(ctx context.Context, s string) int64 {
	e, err := c.Counter.Text(ctx, s, demoTokenizer())
	if err != nil {
		return 0
	}
	return e.Tokens
}
