package sqlite

import (
	"context"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/anomaly"
)

const (
	takeTurn = `UPDATE key_watch SET claimed_until = ?2 WHERE claimed_until <= ?1 RETURNING watched_at`
	endTurn  = `UPDATE key_watch SET watched_at = ?2, claimed_until = ?3 WHERE claimed_until = ?1`

	hourSums = `SELECT key_id, substr(at, 1, 14) || '00:00.000000000Z', count(*),
  count(*) FILTER (WHERE decision <> 'allowed' AND status BETWEEN 400 AND 499 AND status NOT IN (401, 402, 403, 429)),
  count(*) FILTER (WHERE decision <> 'allowed' AND status IN (401, 402, 403, 429)), sum(bytes_out)
FROM access_log WHERE at >= ?1 AND at < ?2 AND key_id <> '' GROUP BY 1, 2`
	keyCallers = `SELECT key_id, address, user_agent, count(*), min(at), max(at)
FROM access_log WHERE at >= ?1 AND at < ?2 AND key_id <> '' GROUP BY 1, 2, 3 ORDER BY 5 LIMIT 50000`
	modelUses = `SELECT key_id, substr(occurred_at, 1, 14) || '00:00.000000000Z', requested_model, count(DISTINCT request_id),
  sum(input_tokens + cache_read_tokens + cache_write_tokens + output_tokens), coalesce(sum(cost_nano), 0),
  min(occurred_at), max(occurred_at)
FROM spend_events WHERE occurred_at >= ?1 AND occurred_at < ?2 AND kind = 'usage' GROUP BY 1, 2, 3`

	keyHours = `SELECT key_id, hour, requests, errors, denials, answers, tokens, nano FROM key_hours
WHERE key_id IN (SELECT value FROM json_each(?1)) AND hour >= ?2`
	keySights = `SELECT key_id, kind, value, first_at, last_at FROM key_sights
WHERE key_id IN (SELECT value FROM json_each(?1)) ORDER BY key_id, kind, first_at, value`
	putHour = `INSERT INTO key_hours (key_id, hour, requests, errors, denials, answers, tokens, nano) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key_id, hour) DO UPDATE SET requests = excluded.requests, errors = excluded.errors, denials = excluded.denials,
  answers = excluded.answers, tokens = excluded.tokens, nano = excluded.nano`
	putSight = `INSERT INTO key_sights (key_id, kind, value, first_at, last_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (key_id, kind, value) DO UPDATE SET first_at = excluded.first_at, last_at = excluded.last_at`
	forgetHours  = `DELETE FROM key_hours WHERE (key_id, hour) IN (SELECT key_id, hour FROM key_hours WHERE hour < ? LIMIT 5000)`
	forgetSights = `DELETE FROM key_sights WHERE last_at < ?1 AND key_id IN (SELECT key_id FROM key_sights WHERE last_at < ?1 LIMIT 1000)`
)

// TakeTurn implements billing.Anomalies.
func (s *Store) TakeTurn(ctx context.Context, now, until time.Time) (watched time.Time, mine bool, err error) {
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		mine, err = tx.row(ctx, takeTurn, []any{stamp(now), stamp(until)}, instant{&watched})
		return err
	})
	return watched, mine, err
}

// KeyActivity implements billing.Anomalies.
func (s *Store) KeyActivity(ctx context.Context, from, to time.Time) (a anomaly.Activity, err error) {
	span := []any{stamp(from), stamp(to)}
	if err = s.read.rows(ctx, hourSums, span, func(scan scanner) error {
		var h anomaly.Hour
		err := scan(&h.KeyID, instant{&h.At}, &h.Requests, &h.Errors, &h.Denials, &h.Answers)
		a.AddHour(h)
		return err
	}); err != nil {
		return a, err
	}
	if err = s.read.rows(ctx, keyCallers, span, func(scan scanner) error {
		var c anomaly.Caller
		err := scan(&c.KeyID, &c.Address, &c.Agent, &c.Requests, instant{&c.First}, instant{&c.Last})
		a.Callers = append(a.Callers, c)
		return err
	}); err != nil {
		return a, err
	}
	err = s.read.rows(ctx, modelUses, span, func(scan scanner) error {
		var u anomaly.Use
		var hour time.Time
		err := scan(&u.KeyID, instant{&hour}, &u.Model, &u.Requests, &u.Tokens, &u.Spend, instant{&u.First}, instant{&u.Last})
		a.AddUse(u, hour)
		return err
	})
	return a, err
}

// KeyHours implements billing.Anomalies.
func (s *Store) KeyHours(ctx context.Context, keys []string, since time.Time) (all []anomaly.Hour, err error) {
	err = s.read.rows(ctx, keyHours, []any{asJSON(keys), stamp(since)}, func(scan scanner) error {
		var h anomaly.Hour
		err := scan(&h.KeyID, instant{&h.At}, &h.Requests, &h.Errors, &h.Denials, &h.Answers, &h.Tokens, &h.Spend)
		all = append(all, h)
		return err
	})
	return all, err
}

// KeySights implements billing.Anomalies.
func (s *Store) KeySights(ctx context.Context, keys []string) (all []anomaly.Sight, err error) {
	err = s.read.rows(ctx, keySights, []any{asJSON(keys)}, func(scan scanner) error {
		var one anomaly.Sight
		err := scan(&one.KeyID, &one.Kind, &one.Value, instant{&one.First}, instant{&one.Last})
		all = append(all, one)
		return err
	})
	return all, err
}

// EndTurn implements billing.Anomalies.
func (s *Store) EndTurn(ctx context.Context, w billing.Watched) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		n, err := tx.exec(ctx, endTurn, stamp(w.Turn), stamp(w.At), stamp(w.Next))
		if err != nil {
			return err
		}
		if n == 0 {
			return billing.ErrTurnLost
		}
		for _, h := range w.Hours {
			if _, err := tx.exec(ctx, putHour, h.KeyID, stamp(h.At), h.Requests, h.Errors, h.Denials, h.Answers, h.Tokens,
				h.Spend); err != nil {
				return err
			}
		}
		for _, one := range w.Sights {
			if _, err := tx.exec(ctx, putSight, one.KeyID, string(one.Kind), billing.CleanText(one.Value), stamp(one.First),
				stamp(one.Last)); err != nil {
				return err
			}
		}
		if err := s.tell(ctx, tx, w.Events...); err != nil {
			return err
		}
		for _, forget := range []string{forgetHours, forgetSights} {
			if _, err := tx.exec(ctx, forget, stamp(w.Forget)); err != nil {
				return err
			}
		}
		return nil
	})
}
