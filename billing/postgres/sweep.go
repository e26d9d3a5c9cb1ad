package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
)

// sweepBatch is the number of expired holds fetched at a time.
const sweepBatch = 100

// expiredSQL skips holds that are being settled or swept at the moment, and
// those that it has already listed.
const expiredSQL = `
SELECT id, expires_at, if_lost
  FROM holds
 WHERE expires_at < $1 AND (expires_at, id) > ($2, $3)
 ORDER BY expires_at, id
 LIMIT $4
   FOR UPDATE SKIP LOCKED`

type expiredHold struct {
	ID        string
	ExpiresAt time.Time
	IfLost    []byte
}

// Sweep implements billing.Sweeper. It settles each hold in a separate transaction, so
// that one that cannot be settled does not hold up the others. If two processes find
// the same hold, only the one that deletes it counts it.
func (s *Store) Sweep(ctx context.Context, now time.Time) (int, error) {
	swept, faults := 0, []error{s.releaseDoubts(ctx)}
	for last := (expiredHold{}); ; {
		holds, err := s.expired(ctx, now, last)
		if err != nil {
			return swept, errors.Join(append(faults, err)...)
		}
		for _, h := range holds {
			was, err := s.settleLost(ctx, h)
			if errors.Is(err, billing.ErrUnavailable) || ctx.Err() != nil {
				return swept, errors.Join(append(faults, err)...)
			}
			if err != nil {
				faults = append(faults, fmt.Errorf("billing/postgres: hold %s has expired: %w", h.ID, err))
			}
			if was {
				swept++
			}
		}
		if len(holds) < sweepBatch {
			return swept, errors.Join(faults...)
		}
		last = holds[len(holds)-1]
	}
}

func (s *Store) expired(ctx context.Context, now time.Time, after expiredHold) (holds []expiredHold, err error) {
	err = s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		rows, err := c.Query(ctx, expiredSQL, now, after.ExpiresAt, after.ID, sweepBatch)
		if err != nil {
			return err
		}
		holds, err = pgx.CollectRows(rows, pgx.RowToStructByName[expiredHold])
		return err
	})
	return holds, err
}

func (s *Store) settleLost(ctx context.Context, h expiredHold) (bool, error) {
	var lost []billing.Spend
	if err := json.Unmarshal(h.IfLost, &lost); err != nil {
		return false, err
	}
	was, _, err := s.settle(ctx, billing.Settlement{HoldID: h.ID, Attempts: lost})
	if was && err == nil && s.swept != nil {
		s.swept(lost)
	}
	return was, err
}

// doubts holds the ids of holds that may or may not have been taken, because the
// database became unavailable during Reserve. Their requests were refused, so they
// must not be billed when they expire.
type doubts struct {
	mu  sync.Mutex
	ids map[string]struct{}
}

// mostDoubts bounds memory use in a long outage. Beyond it, a hold that was taken
// after all is billed at its upper bound.
const mostDoubts = 100_000

func (d *doubts) add(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ids == nil {
		d.ids = make(map[string]struct{})
	}
	if len(d.ids) < mostDoubts {
		d.ids[id] = struct{}{}
	}
}

func (d *doubts) list() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	ids := make([]string, 0, len(d.ids))
	for id := range d.ids {
		ids = append(ids, id)
	}
	return ids
}

func (d *doubts) remove(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.ids, id)
}

// releaseDoubts releases the holds in doubt, in case they were taken after all.
func (s *Store) releaseDoubts(ctx context.Context) error {
	for _, id := range s.doubts.list() {
		if err := s.Release(ctx, id); err != nil {
			return err
		}
		s.doubts.remove(id)
	}
	return nil
}
