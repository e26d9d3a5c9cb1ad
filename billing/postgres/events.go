package postgres

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
)

// writeEventsSQL inserts events in the order of their ids, so that two writers of the same
// events cannot deadlock.
const writeEventsSQL = `
INSERT INTO events (dedup_id, occurred_at, kind, object, severity, text, data)
SELECT dedup_id, occurred_at, kind, object, severity, text, data::jsonb
  FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
       AS e (dedup_id, occurred_at, kind, object, severity, text, data)
 ORDER BY dedup_id
ON CONFLICT DO NOTHING`

// queueEvents adds a statement that writes events to b, if there are any.
func queueEvents(b *pgx.Batch, events []billing.Event) {
	if len(events) > 0 {
		b.Queue(writeEventsSQL, eventArgs(events)...)
	}
}

func eventArgs(events []billing.Event) []any {
	n := len(events)
	var texts [6][]string // dedup id, kind, object, severity, text, data
	for i := range texts {
		texts[i] = make([]string, n)
	}
	times := make([]time.Time, n)
	for i, e := range events {
		e = e.Tidy()
		for j, text := range []string{e.DedupID, string(e.Kind), e.Object, string(e.Severity), e.Text, tagsJSON(e.Data)} {
			texts[j][i] = text
		}
		times[i] = e.At
	}
	return []any{texts[0], times, texts[1], texts[2], texts[3], texts[4], texts[5]}
}

// WriteEvents implements billing.EventLog.
func (s *Store) WriteEvents(ctx context.Context, events ...billing.Event) error {
	return s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, writeEventsSQL, eventArgs(events)...)
		return err
	})
}

// pruneEventsSQL deletes a limited batch and leaves the rest for the next run, so that
// locks are held only briefly.
const pruneEventsSQL = `
DELETE FROM events WHERE id IN (
  SELECT id FROM events WHERE recorded_at < $1 ORDER BY recorded_at LIMIT 5000 FOR UPDATE SKIP LOCKED)`

// PruneEvents implements billing.EventLog.
func (s *Store) PruneEvents(ctx context.Context, before time.Time) (n int, err error) {
	err = s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		tag, err := c.Exec(ctx, pruneEventsSQL, before)
		n = int(tag.RowsAffected())
		return err
	})
	return n, err
}

const listEventsSQL = `SELECT kind, object, severity, text, data, dedup_id, occurred_at FROM events
WHERE ($1 = '' OR kind = $1) AND ($2 = '' OR object = $2) AND occurred_at >= $3
  AND ($5 = '' OR id < (SELECT id FROM events WHERE dedup_id = $5)) ORDER BY id DESC LIMIT $4`

// ListEvents implements billing.EventLog.
func (s *Store) ListEvents(ctx context.Context, f billing.EventFilter) ([]billing.Event, error) {
	return all(ctx, s, scanEvent, listEventsSQL, string(f.Kind), f.Object, f.Since, f.Most(), billing.CleanText(f.Before))
}

func scanEvent(row pgx.CollectableRow) (e billing.Event, err error) {
	var data []byte
	if err := row.Scan(&e.Kind, &e.Object, &e.Severity, &e.Text, &data, &e.DedupID, &e.At); err != nil {
		return e, err
	}
	e.At = e.At.UTC()
	return e, json.Unmarshal(data, &e.Data)
}
