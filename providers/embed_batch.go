package providers

import (
	"bytes"
	"context"
	"slices"
	"sync"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// batchCalls is how many calls are made at once for one request for embeddings.
const batchCalls = 4

// perCall is how many inputs each call for x may have, 0 where one call will do.
func perCall(x Exchange) int64 {
	b, ok := x.Target.Adapter.(Batcher)
	if !ok || !x.Request.Needs().Embeddings {
		return 0
	}
	if n := b.InputsPerCall(x); n > 0 && n < x.Request.InputCount() {
		return n
	}
	return 0
}

// batched answers a request that has more inputs than one call may have. The first
// call goes alone, so that a provider that refuses does so once; of the others a
// few go at a time, and the first failure ends them all.
func (c *Client) batched(ctx context.Context, x Exchange, per int64) (*Answer, error) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	parts, err := split(x.Request, int(per))
	if err != nil {
		return nil, unsendable(x, err)
	}
	answers := make([]*Answer, len(parts))
	failed := make([]error, len(parts))
	call := func(i int) {
		y := x
		y.Request = parts[i]
		if answers[i], failed[i] = c.single(ctx, y); failed[i] != nil {
			end()
		}
	}
	if call(0); failed[0] != nil {
		return nil, failed[0]
	}
	var wg sync.WaitGroup
	for worker := range batchCalls {
		wg.Go(func() {
			for i := 1 + worker; i < len(parts) && ctx.Err() == nil; i += batchCalls {
				call(i)
			}
		})
	}
	wg.Wait()
	if err := firstFailure(failed); err != nil {
		return nil, err
	}
	return joined(x, answers)
}

// firstFailure is the one that ended the others, which were canceled.
func firstFailure(failed []error) (first error) {
	for _, err := range failed {
		if err == nil {
			continue
		}
		if e := asError(err); first == nil || e.Kind != KindCanceled {
			first = err
		}
	}
	return first
}

// split makes requests of at most per inputs each.
func split(r *chat.Request, per int) (parts []*chat.Request, err error) {
	for inputs := range slices.Chunk(slices.Collect(r.Inputs()), per) {
		value := slices.Concat([]byte("["), bytes.Join(inputs, []byte(",")), []byte("]"))
		part, err := r.Edit([]jsonraw.Member{{Name: "input", Value: value}})
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	return parts, nil
}

// joined is one answer of several.
func joined(x Exchange, answers []*Answer) (*Answer, error) {
	responses := make([]*chat.Response, len(answers))
	for i, a := range answers {
		if a == nil {
			return nil, &Error{Provider: x.Target.Provider, Model: x.Target.Model, Kind: KindCanceled, Err: context.Canceled}
		}
		responses[i] = a.Response
	}
	r, err := chat.JoinVectors(responses, x.Request)
	if err != nil {
		return nil, unsendable(x, &Error{Kind: KindBroken, Err: err})
	}
	return &Answer{Response: r, Header: answers[0].Header, Dropped: answers[0].Dropped}, nil
}
