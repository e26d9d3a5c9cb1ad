package providers

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// CountingCodec is a codec of a format that counts the tokens of a prompt, for nothing.
type CountingCodec interface {
	ChatCodec
	// Count is the call that counts the prompt of what Encode wrote; false where the target
	// has none.
	Count(x Exchange, call Call) (Call, bool)
	// Counted reads the answer to it.
	Counted(body []byte) (tokens int64, ok bool)
}

// ErrUncounted is a prompt that its provider does not count.
var ErrUncounted = errors.New("providers: the provider counted no prompt")

// mostCount is more than the answer to a count has.
const mostCount = 64 << 10

// countAgain is when a provider is asked again that has no counter.
const countAgain = 10 * time.Minute

// uncounted are the targets that have no counter, and until when they are not asked.
type uncounted struct{ until sync.Map }

func (u *uncounted) is(t *Target) bool {
	until, ok := u.until.Load(t.Name())
	return ok && time.Now().Before(until.(time.Time)) //nolint:forcetypeassert // nothing else is in it
}

func (u *uncounted) note(t *Target) { u.until.Store(t.Name(), time.Now().Add(countAgain)) }

// Count has the provider count the tokens of a prompt. ErrUncounted where it has no way
// to, or gives no count.
func (c *Client) Count(ctx context.Context, x Exchange) (int64, error) {
	codec, ok := x.Target.Adapter.Chat.(CountingCodec)
	if !ok || c.uncounted.is(&x.Target) {
		return 0, ErrUncounted
	}
	call, err := c.encode(ctx, x)
	if err != nil {
		return 0, err
	}
	if call, ok = codec.Count(x, call); !ok {
		return 0, ErrUncounted
	}
	t, err := c.begin(ctx, x, call)
	if err != nil {
		return 0, err
	}
	defer t.cancel(errClosed)
	resp, err := t.send()
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := t.body(resp).readAll(resp.ContentLength, mostCount)
	if err != nil {
		return 0, err
	}
	switch resp.StatusCode {
	case http.StatusOK:
		if n, ok := codec.Counted(body); ok {
			return n, nil
		}
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented, http.StatusForbidden:
		c.uncounted.note(&x.Target)
	}
	return 0, ErrUncounted
}
