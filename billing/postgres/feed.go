package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"tallyroute/billing"
)

// keysChannel is what the trigger on api_keys notifies.
const keysChannel = "tallyroute_keys"

var _ billing.KeyFeed = (*Store)(nil)

// FollowKeys implements billing.KeyFeed. It keeps a connection of its own, on the way
// that does not lead through a pooler.
func (s *Store) FollowKeys(ctx context.Context, live func(), tell func(billing.KeyNotice)) error {
	connecting, cancel := context.WithTimeout(ctx, connecting)
	defer cancel()
	c, err := s.dial(connecting, map[string]string{"application_name": "tallyroute keys"})
	if err != nil {
		return fault(ctx, err)
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }() // nothing was done on it
	if s.directly.pooled.Load() {
		return billing.ErrNoFeed
	}
	if _, err := c.Exec(connecting, "LISTEN "+keysChannel); err != nil {
		return fault(ctx, err)
	}
	live()
	for {
		n, err := c.WaitForNotification(ctx)
		if err != nil {
			return fault(ctx, err)
		}
		if notice, ok := noticeOf(n.Payload); ok {
			tell(notice)
		}
	}
}

// noticeOf reads "key_… version milliseconds".
func noticeOf(payload string) (n billing.KeyNotice, ok bool) {
	var id string
	var ms int64
	if _, err := fmt.Sscan(payload, &id, &n.Version, &ms); err != nil || !strings.HasPrefix(id, "key_") {
		return n, false
	}
	n.KeyID, n.At = billing.KeyID(id), time.UnixMilli(ms)
	return n, true
}
