package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
)

const joinSQL = `
INSERT INTO replicas (id, epoch, name, expires_at) VALUES ($1, $2, $3, now() + $4::bigint * interval '1 millisecond')
ON CONFLICT (id, epoch) DO NOTHING`

// renewSQL also throws away leases of which nothing is left, and lists those
// that others want.
const renewSQL = `
WITH me AS (
  UPDATE replicas SET seen_at = now(), expires_at = now() + $3::bigint * interval '1 millisecond'
   WHERE id = $1 AND epoch = $2
  RETURNING true
), empty AS (
  DELETE FROM leases WHERE replica_id = $1 AND epoch = $2 AND tokens = 0 AND nano = 0
)
SELECT now(), EXISTS (SELECT FROM me), w.budget_id, w.window_start, w.window_start
  FROM (VALUES (1)) AS one LEFT JOIN (
    SELECT l.budget_id, l.window_start
      FROM leases l JOIN budget_counters c USING (budget_id, window_start)
     WHERE l.replica_id = $1 AND l.epoch = $2 AND c.exact_until > now() AND l.tokens + l.nano > 0
  ) AS w ON true`

// Renew implements billing.Allowances.
func (s *Store) Renew(ctx context.Context, r billing.Replica, first billing.Join) (billing.Heartbeat, error) {
	var h billing.Heartbeat
	err := s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		if first == billing.Joining {
			if _, err := c.Exec(ctx, joinSQL, r.ID, r.Epoch, billing.CleanText(r.Name), r.TTL.Milliseconds()); err != nil {
				return err
			}
		}
		rows, err := c.Query(ctx, renewSQL, r.ID, r.Epoch, r.TTL.Milliseconds())
		if err != nil {
			return err
		}
		h, err = readHeartbeat(rows)
		return err
	})
	return h, err
}

func readHeartbeat(rows pgx.Rows) (billing.Heartbeat, error) {
	defer rows.Close()
	var h billing.Heartbeat
	for rows.Next() {
		var known bool
		var st standing
		if err := rows.Scan(&h.Now, &known, &st.id, &st.start, &st.end); err != nil {
			return h, err
		}
		h.Fenced = !known
		if st.id.Valid {
			h.Exact = append(h.Exact, billing.LeaseID{BudgetID: st.id.String, WindowStart: window(st.start, st.end).Start})
		}
	}
	return h, rows.Err()
}

// returnSQL gives back the leases of the epochs in $2 of a replica, and forgets
// those. Counters are locked in the order of everybody else. A counter that was
// made to say less than was leased, by whomever, keeps no lease from going.
const returnSQL = `
WITH back AS (
  SELECT budget_id, window_start, sum(tokens)::bigint AS tokens, sum(nano)::bigint AS nano
    FROM leases WHERE replica_id = $1 AND epoch = ANY ($2::text[]) GROUP BY 1, 2
), locked AS MATERIALIZED (
  SELECT c.budget_id, c.window_start
    FROM budget_counters c JOIN back USING (budget_id, window_start)
   ORDER BY c.budget_id, c.window_start
     FOR UPDATE OF c
), moved AS (
  UPDATE budget_counters c
     SET leased_tokens = greatest(c.leased_tokens - back.tokens, 0), leased_nano = greatest(c.leased_nano - back.nano, 0)
    FROM back JOIN locked USING (budget_id, window_start)
   WHERE c.budget_id = back.budget_id AND c.window_start = back.window_start
)
DELETE FROM leases WHERE replica_id = $1 AND epoch = ANY ($2::text[])`

const (
	// The row of a replica is locked before its leases are read, so that nothing
	// can be granted to it or posted by it meanwhile.
	lockEpochsSQL   = `SELECT epoch, expires_at > now() FROM replicas WHERE id = $1 ORDER BY epoch FOR UPDATE`
	deleteEpochsSQL = `DELETE FROM replicas WHERE id = $1 AND epoch = ANY ($2::text[])`
)

// Return implements billing.Allowances.
func (s *Store) Return(ctx context.Context, id, keep string) error {
	_, err := s.giveBack(ctx, id, func(epochs []epoch) ([]string, error) {
		var gone []string
		for _, e := range epochs {
			if e.name != keep {
				gone = append(gone, e.name)
			}
		}
		return gone, nil
	})
	return err
}

// epoch is a start of a replica.
type epoch struct {
	name string
	live bool // may still use its leases
}

// giveBack returns the leases of the epochs that choose names, and says how
// many those were.
func (s *Store) giveBack(ctx context.Context, id string, choose func([]epoch) ([]string, error)) (leases int, err error) {
	err = s.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		rows, err := tx.Query(ctx, lockEpochsSQL, id)
		if err != nil {
			return err
		}
		epochs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e epoch, err error) {
			return e, row.Scan(&e.name, &e.live)
		})
		if err != nil {
			return err
		}
		gone, err := choose(epochs)
		if err != nil || len(gone) == 0 {
			return err
		}
		tag, err := tx.Exec(ctx, returnSQL, id, gone)
		if err != nil {
			return err
		}
		leases = int(tag.RowsAffected())
		_, err = tx.Exec(ctx, deleteEpochsSQL, id, gone)
		return err
	})
	return leases, err
}

// ForgetReplica implements billing.Replicas.
func (s *Store) ForgetReplica(ctx context.Context, id string) (int, error) {
	return s.giveBack(ctx, id, func(epochs []epoch) ([]string, error) {
		if len(epochs) == 0 {
			return nil, &billing.NotFoundError{What: "replica", ID: id}
		}
		names := make([]string, len(epochs))
		for i, e := range epochs {
			if names[i] = e.name; e.live {
				return nil, &billing.ConflictError{Detail: fmt.Sprintf("replica %s may still be running: it can be forgotten when its leases have expired", id)}
			}
		}
		return names, nil
	})
}

const lostSQL = `
SELECT id FROM replicas GROUP BY id HAVING max(expires_at) < now() - $1::bigint * interval '1 millisecond' ORDER BY id`

// ForgetLost implements billing.Replicas.
func (s *Store) ForgetLost(ctx context.Context, after time.Duration) ([]string, error) {
	lost, err := all(ctx, s, pgx.RowTo[string], lostSQL, after.Milliseconds())
	for i, id := range lost {
		if _, err := s.ForgetReplica(ctx, id); err != nil {
			return lost[:i], err
		}
	}
	return lost, err
}

const replicasSQL = `
SELECT r.id, r.epoch, r.name, r.started_at, r.seen_at, r.expires_at, r.expires_at > now(), count(l.budget_id),
       coalesce(sum(l.tokens), 0)::bigint, coalesce(sum(l.nano), 0)::bigint,
       coalesce(sum(l.busy_tokens), 0)::bigint, coalesce(sum(l.busy_nano), 0)::bigint
  FROM replicas r LEFT JOIN leases l ON l.replica_id = r.id AND l.epoch = r.epoch AND l.tokens + l.nano > 0
 GROUP BY r.id, r.epoch
 ORDER BY r.id, r.started_at`

// ListReplicas implements billing.Replicas.
func (s *Store) ListReplicas(ctx context.Context) ([]billing.ReplicaState, error) {
	return all(ctx, s, func(row pgx.CollectableRow) (r billing.ReplicaState, err error) {
		return r, row.Scan(&r.ID, &r.Epoch, &r.Name, &r.StartedAt, &r.SeenAt, &r.ExpiresAt, &r.Live, &r.Leases,
			&r.Leased.Tokens, &r.Leased.Money, &r.Busy.Tokens, &r.Busy.Money)
	}, replicasSQL)
}

// Wanted implements billing.Replicas, on a connection of its own: it must be a
// direct one, since poolers between forget who listens.
func (s *Store) Wanted(ctx context.Context, wake func()) error {
	conn, err := pgx.ConnectConfig(ctx, s.direct.Copy())
	if err != nil {
		return fault(ctx, err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is lost with it
	if _, err := conn.Exec(ctx, "LISTEN "+wantedChannel); err != nil {
		return fault(ctx, err)
	}
	for {
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return fault(ctx, err)
		}
		wake()
	}
}
