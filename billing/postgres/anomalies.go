package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
	"tallyroute/billing/anomaly"
)

const (
	takeTurnSQL = `
UPDATE key_watch SET claimed_until = $2 WHERE claimed_until <= $1
RETURNING CASE WHEN isfinite(watched_at) THEN watched_at END`
	endTurnSQL = `
UPDATE key_watch SET watched_at = $2, claimed_until = $3 WHERE claimed_until = $1`

	hourSumsSQL = `
SELECT key_id, date_trunc('hour', at, 'UTC'), count(*),
       count(*) FILTER (WHERE decision <> 'allowed' AND status BETWEEN 400 AND 499 AND status NOT IN (401, 402, 403, 429)),
       count(*) FILTER (WHERE decision <> 'allowed' AND status IN (401, 402, 403, 429)), sum(bytes_out)::bigint
  FROM access_log WHERE at >= $1 AND at < $2 AND key_id <> '' GROUP BY 1, 2`
	keyCallersSQL = `
SELECT key_id, address, user_agent, count(*), min(at), max(at)
  FROM access_log WHERE at >= $1 AND at < $2 AND key_id <> '' GROUP BY 1, 2, 3 ORDER BY 5 LIMIT 50000`
	modelUsesSQL = `
SELECT key_id, date_trunc('hour', occurred_at, 'UTC'), requested_model, count(DISTINCT request_id),
       sum(input_tokens + cache_read_tokens + cache_write_tokens + output_tokens)::bigint, coalesce(sum(cost_nano), 0)::bigint,
       min(occurred_at), max(occurred_at)
  FROM spend_events WHERE occurred_at >= $1 AND occurred_at < $2 AND kind = 'usage' GROUP BY 1, 2, 3`

	keyHoursSQL = `
SELECT key_id, hour, requests, errors, denials, answers, tokens, nano FROM key_hours WHERE key_id = ANY($1) AND hour >= $2`
	keySightsSQL = `
SELECT key_id, kind, value, first_at, last_at FROM key_sights WHERE key_id = ANY($1) ORDER BY key_id, kind, first_at, value`
	putHoursSQL = `
INSERT INTO key_hours (key_id, hour, requests, errors, denials, answers, tokens, nano)
SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
ON CONFLICT (key_id, hour) DO UPDATE SET requests = excluded.requests, errors = excluded.errors, denials = excluded.denials,
  answers = excluded.answers, tokens = excluded.tokens, nano = excluded.nano`
	putSightsSQL = `
INSERT INTO key_sights (key_id, kind, value, first_at, last_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[])
ON CONFLICT (key_id, kind, value) DO UPDATE SET first_at = excluded.first_at, last_at = excluded.last_at`
	forgetHoursSQL  = "DELETE FROM key_hours WHERE (key_id, hour) IN (SELECT key_id, hour FROM key_hours WHERE hour < $1 LIMIT 5000)"
	forgetSightsSQL = `
DELETE FROM key_sights WHERE last_at < $1 AND key_id IN (SELECT key_id FROM key_sights WHERE last_at < $1 LIMIT 1000)`
)

// TakeTurn implements billing.Anomalies.
func (s *Store) TakeTurn(ctx context.Context, now, until time.Time) (watched time.Time, mine bool, err error) {
	turns, err := all(ctx, s, pgx.RowTo[*time.Time], takeTurnSQL, now, until)
	if err != nil || len(turns) == 0 {
		return watched, false, err
	}
	return utc(turns[0]), true, nil
}

// KeyActivity implements billing.Anomalies.
func (s *Store) KeyActivity(ctx context.Context, from, to time.Time) (a anomaly.Activity, err error) {
	err = s.long(ctx, func(ctx context.Context, c *pgx.Conn) error {
		a = anomaly.Activity{}
		rows, err := c.Query(ctx, hourSumsSQL, from, to)
		if err != nil {
			return err
		}
		var h anomaly.Hour
		if _, err = pgx.ForEachRow(rows, []any{&h.KeyID, &h.At, &h.Requests, &h.Errors, &h.Denials, &h.Answers}, func() error {
			a.AddHour(h)
			return nil
		}); err != nil {
			return err
		}
		if rows, err = c.Query(ctx, keyCallersSQL, from, to); err != nil {
			return err
		}
		var by anomaly.Caller
		if _, err = pgx.ForEachRow(rows, []any{&by.KeyID, &by.Address, &by.Agent, &by.Requests, &by.First, &by.Last}, func() error {
			by.First, by.Last = by.First.UTC(), by.Last.UTC()
			a.Callers = append(a.Callers, by)
			return nil
		}); err != nil {
			return err
		}
		if rows, err = c.Query(ctx, modelUsesSQL, from, to); err != nil {
			return err
		}
		var u anomaly.Use
		var hour time.Time
		_, err = pgx.ForEachRow(rows, []any{&u.KeyID, &hour, &u.Model, &u.Requests, &u.Tokens, &u.Spend, &u.First, &u.Last}, func() error {
			u.First, u.Last = u.First.UTC(), u.Last.UTC()
			a.AddUse(u, hour)
			return nil
		})
		return err
	})
	return a, err
}

// KeyHours implements billing.Anomalies.
func (s *Store) KeyHours(ctx context.Context, keys []string, since time.Time) ([]anomaly.Hour, error) {
	return all(ctx, s, func(row pgx.CollectableRow) (h anomaly.Hour, err error) {
		err = row.Scan(&h.KeyID, &h.At, &h.Requests, &h.Errors, &h.Denials, &h.Answers, &h.Tokens, &h.Spend)
		h.At = h.At.UTC()
		return h, err
	}, keyHoursSQL, keys, since)
}

// KeySights implements billing.Anomalies.
func (s *Store) KeySights(ctx context.Context, keys []string) ([]anomaly.Sight, error) {
	return all(ctx, s, func(row pgx.CollectableRow) (one anomaly.Sight, err error) {
		err = row.Scan(&one.KeyID, &one.Kind, &one.Value, &one.First, &one.Last)
		one.First, one.Last = one.First.UTC(), one.Last.UTC()
		return one, err
	}, keySightsSQL, keys)
}

// EndTurn implements billing.Anomalies.
func (s *Store) EndTurn(ctx context.Context, w billing.Watched) error {
	return s.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, endTurnSQL, w.Turn, w.At, w.Next)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return billing.ErrTurnLost
		}
		b := &pgx.Batch{}
		if len(w.Hours) > 0 {
			b.Queue(putHoursSQL, hourArgs(w.Hours)...)
		}
		if len(w.Sights) > 0 {
			b.Queue(putSightsSQL, sightArgs(w.Sights)...)
		}
		queueEvents(b, w.Events)
		b.Queue(forgetHoursSQL, w.Forget)
		b.Queue(forgetSightsSQL, w.Forget)
		return tx.SendBatch(ctx, b).Close()
	})
}

func hourArgs(hours []anomaly.Hour) []any {
	n := len(hours)
	keys, at := make([]string, n), make([]time.Time, n)
	var sums [6][]int64
	for i := range sums {
		sums[i] = make([]int64, n)
	}
	for i, h := range hours {
		keys[i], at[i] = h.KeyID, h.At
		for j, v := range [...]int64{h.Requests, h.Errors, h.Denials, h.Answers, h.Tokens, h.Spend} {
			sums[j][i] = v
		}
	}
	return []any{keys, at, sums[0], sums[1], sums[2], sums[3], sums[4], sums[5]}
}

func sightArgs(sights []anomaly.Sight) []any {
	n := len(sights)
	keys, kinds, values := make([]string, n), make([]string, n), make([]string, n)
	first, last := make([]time.Time, n), make([]time.Time, n)
	for i, one := range sights {
		keys[i], kinds[i], values[i] = one.KeyID, string(one.Kind), billing.CleanText(one.Value)
		first[i], last[i] = one.First, one.Last
	}
	return []any{keys, kinds, values, first, last}
}
