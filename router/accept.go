package router

import (
	"context"
	"hash/maphash"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/router/health"
)

// accepted is a request of a known key whose body was read and whose rate was taken.
type accepted struct {
	in      Inbound
	key     *billing.Key
	request *chat.Request
	native  *providers.Native // the request as its client wrote it, where that is not a chat completion
	origin  health.Origin     // whose failures its own are counted with
	rates   []Rate            // limits per minute
	taken   int64             // from the key's tokens per minute
	started time.Time         // by our own clock
	waited  time.Duration     // for the client to send the body
}

// claims reports that the request may be sent again and is to be answered once: it
// goes on without its client where there is room.
func (a accepted) claims() bool { return a.in.Idempotency != "" }

// accept finds out whose request it is and what it asks for. Nothing of the body is
// read before the key is known and its rate was taken. Beside an error it returns as
// much as is known, for the record.
func (r *Router) accept(ctx context.Context, inbound Inbound) (accepted, error) {
	a := accepted{in: inbound, started: r.o.Clock()}
	var err error
	if a.key, err = r.verify(ctx, inbound.Caller); err != nil {
		return a, err
	}
	if a.rates, err = r.throttle(nil, a.key.ID, asked{"requests", a.key.RequestsPerMinute, 1}, inbound.Caller.At); err != nil {
		return a, err
	}
	inbound.Room.Of(string(a.key.ID))
	got, err := r.receive(ctx, a.key, inbound)
	if a.request, a.native, a.waited = got.request, got.native, got.waited; err != nil {
		return a, err
	}
	a.origin = health.Origin{Key: string(a.key.ID), Body: got.print}
	a.taken = tokensAsked(a.request)
	a.rates, err = r.throttle(a.rates, a.key.ID, asked{"tokens", a.key.TokensPerMinute, a.taken}, inbound.Caller.At)
	return a, err
}

// verify is the key of the caller, fit to be used from where the caller is.
func (r *Router) verify(ctx context.Context, c Caller) (key *billing.Key, err error) {
	if r.Verifier.Remembers(c.Secret) {
		key, err = r.Verifier.Verify(ctx, c.Secret, c.At)
	} else {
		key, err = r.strangers.look(ctx, r.Verifier, c)
	}
	if err != nil {
		return nil, err
	}
	if !key.AllowsAddress(c.From) {
		return nil, billing.ErrAddress
	}
	if at := &key.Secret; r.Watch != nil && (at.Shared || at.Old()) {
		r.Watch.Note(key, c.From, c.Agent, c.At)
	}
	return key, nil
}

// renew is the same request under the key as it is now.
func (r *Router) renew(ctx context.Context, a accepted) (accepted, error) {
	var err error
	if a.key, err = r.Verifier.Refresh(ctx, a.in.Caller.Secret, a.in.Caller.At); err == nil && !a.key.AllowsAddress(a.in.Caller.From) {
		err = billing.ErrAddress
	}
	return a, err
}

// received is a body that was read and checked.
type received struct {
	request *chat.Request
	native  *providers.Native
	print   uint64        // tells it from others
	waited  time.Duration // for the client to send it
}

// receive reads the body and checks it, a large one when the key's turn has come.
func (r *Router) receive(ctx context.Context, key *billing.Key, inbound Inbound) (received, error) {
	began := r.o.Clock()
	body, err := inbound.Read()
	got := received{waited: r.o.Clock().Sub(began)}
	if err != nil {
		return got, err
	}
	free, err := r.turn(ctx, key.ID, len(body))
	if err != nil {
		_, err = endOf(ctx)
		return got, err
	}
	defer free()
	asked := Asked{Body: body}
	if inbound.Translate != nil {
		if asked, err = inbound.Translate(body); err != nil {
			return got, err
		}
	}
	got.native = asked.Native
	if got.request, err = inbound.Operation.Parse(asked.Body, r.o.Requests); err == nil {
		got.print = maphash.Bytes(r.seed, body)
	}
	return got, err
}

// turn waits until the key may do with so many bytes what keeps a processor busy. free
// ends its turn.
func (r *Router) turn(ctx context.Context, key billing.KeyID, size int) (free func(), err error) {
	if size < providers.Heavy {
		return func() {}, nil
	}
	return r.Turns.Of(string(key)).Take(ctx)
}
