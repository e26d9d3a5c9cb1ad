package providers

import (
	"context"
	"sync"

	"tallyroute/providers/chat"
)

// batchCalls is how many calls are made at once for one request.
const batchCalls = 4

// batched answers a request that one call cannot have all of. The first
// call goes alone, so that a provider that refuses does so once; of the others a
// few go at a time, and the first failure ends them all.
func (c *Client) batched(ctx context.Context, x Exchange, parts []*chat.Request) (*Answer, error) {
	ctx, end := context.WithCancel(ctx)
	defer end()
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
		return nil, partly(err, parts, answers, failed)
	}
	a, err := joined(x, answers)
	if err != nil {
		return nil, partly(err, parts, answers, failed)
	}
	return a, nil
}

// partly is the failure of a request of which one call at least was answered.
func partly(err error, parts []*chat.Request, answers []*Answer, failed []error) *Error {
	e := *asError(err)
	e.Sent, e.Free, e.Usage, e.Parts = true, false, nil, &Parts{}
	for i, part := range parts {
		var u *chat.Usage
		switch {
		case failed[i] != nil:
			call := asError(failed[i])
			if u = call.Usage; !call.Charged() {
				continue
			}
		case answers[i] != nil:
			u = answers[i].Response.Usage
		default:
			continue // never made
		}
		if !u.Some() || u.Invalid {
			e.Parts.Unsure = append(e.Parts.Unsure, part)
			continue
		}
		used := &e.Parts.Used
		used.Input, used.CacheRead, used.CacheWrite = used.Input+u.Input, used.CacheRead+u.CacheRead, used.CacheWrite+u.CacheWrite
		used.Output, used.Cost = used.Output+u.Output, used.Cost.Plus(u.Cost)
	}
	return &e
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

// joined is one answer of several.
func joined(x Exchange, answers []*Answer) (*Answer, error) {
	responses := make([]*chat.Response, len(answers))
	for i, a := range answers {
		if a == nil {
			return nil, &Error{Provider: x.Target.Provider, Model: x.Target.Model, Kind: KindCanceled, Err: context.Canceled}
		}
		responses[i] = a.Response
	}
	r, err := operations[x.Operation].join(x, responses)
	if err != nil {
		return nil, unsendable(x, &Error{Kind: KindBroken, Err: err})
	}
	return &Answer{Response: r, Header: answers[0].Header, Dropped: answers[0].Dropped}, nil
}
