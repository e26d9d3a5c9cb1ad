package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tallyroute/billing"
)

// keysChannel is the channel that the trigger on api_keys notifies.
const keysChannel = "tallyroute_keys"

var _ billing.KeyFeed = (*Store)(nil)

// FollowKeys implements billing.KeyFeed. It keeps its own connection, on the route that
// bypasses the pooler.
func (s *Store) FollowKeys(ctx context.Context, live func(), tell func(billing.KeyNotice)) error {
	connecting, cancel := context.WithTimeout(ctx, connecting)
	defer cancel()
	c, err := s.dial(connecting, map[string]string{"application_name": "tallyroute keys"})
	if err != nil {
		return fault(ctx, err)
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }() // it has no work to lose
	if s.directly.pooled.Load() {
		return billing.ErrNoFeed
	}
	if _, err := c.Exec(connecting, "LISTEN "+keysChannel); err != nil {
		return fault(ctx, err)
	}
	live()
	for {
		n, err := s.nextNotice(ctx, c)
		if err != nil {
			return fault(ctx, err)
		}
		if n == nil {
			continue
		}
		if notice, ok := noticeOf(n.Payload); ok {
			tell(notice)
		}
	}
}

// quietFor is how long a connection may stay silent before it is pinged: a connection
// that was cut on the network gives no sign of it.
const quietFor = 5 * time.Second

// nextNotice waits for a notification. It returns nil if none arrived within quietFor but
// the server still responds, and errRelogin if the connection's login is out of date.
func (s *Store) nextNotice(ctx context.Context, c *pgx.Conn) (*pgconn.Notification, error) {
	if !s.directly.logins.current(ctx, c) {
		return nil, errRelogin
	}
	waiting, cancel := context.WithTimeout(ctx, quietFor)
	defer cancel()
	n, err := c.WaitForNotification(waiting)
	if err == nil || ctx.Err() != nil || waiting.Err() == nil {
		return n, err
	}
	asking, cancel := context.WithTimeout(ctx, connecting)
	defer cancel()
	return nil, c.Ping(asking)
}

// stateErrors maps the states that a notice can report for a key to their errors.
var stateErrors = map[string]error{
	"revoked": billing.ErrRevoked, "disabled": billing.ErrDisabled, "stopped": billing.ErrStopped, "usable": nil,
}

// noticeOf parses a payload of the form "key_… version milliseconds state".
func noticeOf(payload string) (n billing.KeyNotice, ok bool) {
	var id, state string
	var ms int64
	if _, err := fmt.Sscan(payload, &id, &n.Version, &ms, &state); err != nil || !strings.HasPrefix(id, "key_") {
		return n, false
	}
	n.KeyID, n.At = billing.KeyID(id), time.UnixMilli(ms)
	n.Ended, ok = stateErrors[state]
	return n, ok
}
