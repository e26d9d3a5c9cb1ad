package router

import (
	"context"

	"tallyroute/router/tokens"
)

// Count is how many tokens the prompt of a request has, by our own count, as the first of
// the targets counts that its model stands for. Nothing is sent, and nothing is charged
// but one of the key's requests per minute.
func (r *Router) Count(ctx context.Context, inbound Inbound) (tokens.Estimate, error) {
	a, err := r.accept(ctx, inbound)
	if err != nil {
		return tokens.Estimate{}, err
	}
	r.rerate(a.key, a.taken, 0)
	rt, err := r.permit(a.key, a.request.Model())
	if err != nil {
		return tokens.Estimate{}, err
	}
	free, err := r.turn(ctx, a.key.ID, len(a.request.Body()))
	if err != nil {
		return tokens.Estimate{}, err
	}
	defer free()
	return r.Tokens.Prompt(ctx, a.request, tokenizer(&rt.targets[0]))
}
