package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"tallyroute/billing"
)

const joinSQL = `
INSERT INTO replicas (id, epoch, name, expires_at) VALUES ($1, $2, $3, now() + $4::bigint * interval '1 millisecond')
ON CONFLICT (id, epoch) DO NOTHING`

// renewSQL renews a replica. It also returns whether expired replicas still have leases for
// requests in flight, and lists the replica's leases that others want. It starts from the
// windows that anyone wants, of which there are few at a time; the LIMIT keeps each lookup of
// a lease an index lookup, whatever the planner knows about the tables.
var renewSQL = `
WITH me AS (
  UPDATE replicas SET seen_at = now(), expires_at = now() + $3::bigint * interval '1 millisecond'
   WHERE id = $1 AND epoch = $2
  RETURNING posted_seq
), wanted AS MATERIALIZED (
  SELECT budget_id, window_start FROM budget_counters WHERE exact_until > '-infinity' AND exact_until > now()
)
SELECT now(), me.posted_seq, w.budget_id, w.window_start, w.window_start, EXISTS (` + deadConcurrentSQL + `)
  FROM (VALUES (1)) AS one LEFT JOIN me ON true LEFT JOIN (
    SELECT wanted.* FROM wanted CROSS JOIN LATERAL (
      SELECT FROM leases l
       WHERE l.budget_id = wanted.budget_id AND l.window_start = wanted.window_start AND l.replica_id = $1 AND l.epoch = $2
         AND l.tokens + l.nano + l.requests > 0
       LIMIT 1) AS mine
  ) AS w ON true`

// deadConcurrentSQL finds leases for requests in flight whose replicas have expired. Those
// requests ended with their router or were cut off with it.
const deadConcurrentSQL = `
  SELECT l.budget_id, l.window_start, l.replica_id, l.epoch
    FROM leases l JOIN replicas p ON p.id = l.replica_id AND p.epoch = l.epoch AND p.expires_at < now()
   WHERE l.window_start = '9999-01-01T00:00:00Z'`

// returnConcurrentSQL gives back the leases that deadConcurrentSQL finds. It first fences their
// epochs: a posting that is under way has read which leases it may lower before it waits for us.
const returnConcurrentSQL = `
WITH expired AS MATERIALIZED (
  SELECT id, epoch FROM replicas
   WHERE expires_at < now() AND (id, epoch) IN (SELECT replica_id, epoch FROM (` + deadConcurrentSQL + `) AS d)
   ORDER BY id, epoch
     FOR NO KEY UPDATE
), fenced AS (
  UPDATE replicas p SET posted_seq = -1 FROM expired e WHERE p.id = e.id AND p.epoch = e.epoch RETURNING p.id, p.epoch
), dead AS MATERIALIZED (
  SELECT d.* FROM fenced f JOIN (` + deadConcurrentSQL + `) AS d ON d.replica_id = f.id AND d.epoch = f.epoch
), locked AS MATERIALIZED (
  SELECT c.budget_id, c.window_start
    FROM budget_counters c
   WHERE (c.budget_id, c.window_start) IN (SELECT budget_id, window_start FROM dead)
   ORDER BY c.budget_id, c.window_start
     FOR UPDATE OF c
), gone AS (
  DELETE FROM leases l USING dead JOIN locked USING (budget_id, window_start)
   WHERE l.budget_id = dead.budget_id AND l.window_start = dead.window_start AND l.replica_id = dead.replica_id AND l.epoch = dead.epoch
  RETURNING l.budget_id, l.window_start, l.tokens, l.nano, l.requests
)
UPDATE budget_counters c
   SET leased_tokens = greatest(c.leased_tokens - back.tokens, 0), leased_nano = greatest(c.leased_nano - back.nano, 0),
       leased_requests = greatest(c.leased_requests - back.requests, 0)
  FROM (SELECT budget_id, window_start, sum(tokens)::bigint AS tokens, sum(nano)::bigint AS nano, sum(requests)::bigint AS requests
          FROM gone GROUP BY 1, 2) AS back
 WHERE c.budget_id = back.budget_id AND c.window_start = back.window_start`

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
		var dead bool
		if h, dead, err = readHeartbeat(rows); err == nil && dead {
			_, err = c.Exec(ctx, returnConcurrentSQL)
		}
		return err
	})
	return h, err
}

// readHeartbeat also returns whether leases of dead replicas need to be given back.
func readHeartbeat(rows pgx.Rows) (h billing.Heartbeat, dead bool, err error) {
	defer rows.Close()
	for rows.Next() {
		var seq pgtype.Int8
		var st standing
		if err := rows.Scan(&h.Now, &seq, &st.id, &st.start, &st.end, &dead); err != nil {
			return h, dead, err
		}
		h.Fenced, h.Seq = !seq.Valid || seq.Int64 < 0, seq.Int64 // see returnConcurrentSQL
		if st.id.Valid {
			h.Exact = append(h.Exact, billing.LeaseID{BudgetID: st.id.String, WindowStart: window(st.start, st.end).Start})
		}
	}
	return h, dead, rows.Err()
}

// lockLeasedSQL locks the counters that a replica's epochs in $2 have leased from.
const lockLeasedSQL = `
SELECT FROM budget_counters
 WHERE (budget_id, window_start) IN (SELECT budget_id, window_start FROM leases WHERE replica_id = $1 AND epoch = ANY ($2::text[]))
 ORDER BY budget_id, window_start
   FOR UPDATE`

// returnSQL gives back and deletes the leases of a replica's epochs in $2. A counter that
// shows less than was leased, for whatever reason, does not stop a lease from being deleted.
const returnSQL = `
WITH back AS (
  SELECT budget_id, window_start, sum(tokens)::bigint AS tokens, sum(nano)::bigint AS nano,
         sum(requests)::bigint AS requests
    FROM leases WHERE replica_id = $1 AND epoch = ANY ($2::text[]) GROUP BY 1, 2
), moved AS (
  UPDATE budget_counters c
     SET leased_tokens = greatest(c.leased_tokens - back.tokens, 0), leased_nano = greatest(c.leased_nano - back.nano, 0),
         leased_requests = greatest(c.leased_requests - back.requests, 0)
    FROM back
   WHERE c.budget_id = back.budget_id AND c.window_start = back.window_start
)
DELETE FROM leases WHERE replica_id = $1 AND epoch = ANY ($2::text[])`

const (
	// The epochs' rows are locked before their leases are read, so that nothing
	// can be granted to them or posted by them in the meantime. The epoch that
	// continues is left alone.
	lockEpochsSQL   = `SELECT epoch, expires_at > now() FROM replicas WHERE id = $1 AND epoch <> $2 ORDER BY epoch FOR UPDATE`
	deleteEpochsSQL = `DELETE FROM replicas WHERE id = $1 AND epoch = ANY ($2::text[])`
)

// Return implements billing.Allowances.
func (s *Store) Return(ctx context.Context, id, keep string) error {
	_, err := s.giveBack(ctx, id, keep, func(context.Context, pgx.Tx, []epoch) error { return nil })
	return err
}

// epoch is one run of a replica, from its start.
type epoch struct {
	name string
	live bool // its leases have not expired
}

// giveBack gives back the leases of all epochs except keep, unless first refuses, and
// returns how many there were. It locks the epochs and the counters of their leases before
// it calls first.
func (s *Store) giveBack(ctx context.Context, id, keep string, first func(context.Context, pgx.Tx, []epoch) error,
	notes ...*billing.Change,
) (leases int, err error) {
	err = s.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		rows, err := tx.Query(ctx, lockEpochsSQL, id, keep)
		if err != nil {
			return err
		}
		epochs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e epoch, err error) {
			return e, row.Scan(&e.name, &e.live)
		})
		if err != nil {
			return err
		}
		gone := make([]string, len(epochs))
		for i, e := range epochs {
			gone[i] = e.name
		}
		if _, err := tx.Exec(ctx, lockLeasedSQL, id, gone); err != nil {
			return err
		}
		if err := first(ctx, tx, epochs); err != nil || len(epochs) == 0 {
			return err
		}
		if leases, err = dropEpochs(ctx, tx, id, gone); err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
	return leases, err
}

// dropEpochs gives back the leases of epochs, and deletes the epochs. These and the counters
// that they have leased from are locked.
func dropEpochs(ctx context.Context, tx pgx.Tx, id string, gone []string) (leases int, err error) {
	tag, err := tx.Exec(ctx, returnSQL, id, gone)
	if err == nil {
		_, err = tx.Exec(ctx, deleteEpochsSQL, id, gone)
	}
	return int(tag.RowsAffected()), err
}

const lockEpochSQL = `SELECT FROM replicas WHERE id = $1 AND epoch = $2 FOR UPDATE`

// end gives back the leases of one epoch, and deletes it.
func (s *Store) end(ctx context.Context, r billing.Replica) error {
	return s.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, lockEpochSQL, r.ID, r.Epoch)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		if _, err = tx.Exec(ctx, lockLeasedSQL, r.ID, []string{r.Epoch}); err == nil {
			_, err = dropEpochs(ctx, tx, r.ID, []string{r.Epoch})
		}
		return err
	})
}

// The part of an epoch's leases that was in use moves to a forgotten epoch; only the rest
// is given back.
const (
	forgetEpochSQL = `
INSERT INTO replicas (id, epoch, name, started_at, seen_at, expires_at)
SELECT id, $3, name, started_at, seen_at, expires_at FROM replicas WHERE id = $1 AND epoch = $2
   AND EXISTS (SELECT FROM leases WHERE replica_id = $1 AND epoch = $2 AND (busy_tokens > 0 OR busy_nano > 0 OR busy_requests > 0))`
	keepBusySQL = `
INSERT INTO leases (budget_id, window_start, replica_id, epoch, tokens, nano, requests, busy_tokens, busy_nano, busy_requests)
SELECT budget_id, window_start, replica_id, $3, busy_tokens, busy_nano, busy_requests, busy_tokens, busy_nano, busy_requests
  FROM leases WHERE replica_id = $1 AND epoch = $2 AND (busy_tokens > 0 OR busy_nano > 0 OR busy_requests > 0)`
	leaveIdleSQL = `
UPDATE leases SET tokens = tokens - busy_tokens, nano = nano - busy_nano, requests = requests - busy_requests,
  busy_tokens = 0, busy_nano = 0, busy_requests = 0
 WHERE replica_id = $1 AND epoch = $2 AND $3 <> ''`
)

// gone returns an error if a replica is unknown, or might still be running.
func gone(id string, epochs []epoch) error {
	if len(epochs) == 0 {
		return &billing.NotFoundError{What: "replica", ID: id}
	}
	for _, e := range epochs {
		if e.live {
			return &billing.ConflictError{Detail: fmt.Sprintf("replica %s may still be running: it can be forgotten when its leases "+
				"have expired", id)}
		}
	}
	return nil
}

// ForgetReplica implements billing.Replicas.
func (s *Store) ForgetReplica(ctx context.Context, id string, notes ...*billing.Change) (int, error) {
	return s.giveBack(ctx, id, "", func(ctx context.Context, tx pgx.Tx, epochs []epoch) error {
		if err := gone(id, epochs); err != nil {
			return err
		}
		for _, e := range epochs {
			if billing.IsForgotten(e.name) {
				continue
			}
			for _, sql := range []string{forgetEpochSQL, keepBusySQL, leaveIdleSQL} {
				if _, err := tx.Exec(ctx, sql, id, e.name, billing.Forgotten(e.name)); err != nil {
					return err
				}
			}
		}
		return nil
	}, notes...)
}

const lostSQL = `
SELECT id FROM replicas GROUP BY id HAVING max(expires_at) < now() - $1::bigint * interval '1 millisecond' ORDER BY id`

// ForgetLost implements billing.Replicas.
func (s *Store) ForgetLost(ctx context.Context, after time.Duration) ([]string, error) {
	lost, err := all(ctx, s, pgx.RowTo[string], lostSQL, after.Milliseconds())
	for i, id := range lost {
		_, err := s.giveBack(ctx, id, "", func(_ context.Context, _ pgx.Tx, epochs []epoch) error { return gone(id, epochs) })
		if err != nil {
			return lost[:i], err
		}
	}
	return lost, err
}

const replicasSQL = `
SELECT r.id, r.epoch, r.name, r.started_at, r.seen_at, r.expires_at, r.expires_at > now(), count(l.budget_id),
       coalesce(sum(l.tokens), 0)::bigint, coalesce(sum(l.nano), 0)::bigint, coalesce(sum(l.requests), 0)::bigint,
       coalesce(sum(l.busy_tokens), 0)::bigint, coalesce(sum(l.busy_nano), 0)::bigint, coalesce(sum(l.busy_requests), 0)::bigint
  FROM replicas r LEFT JOIN leases l ON l.replica_id = r.id AND l.epoch = r.epoch AND l.tokens + l.nano + l.requests > 0
 GROUP BY r.id, r.epoch
 ORDER BY r.id, r.started_at`

// ListReplicas implements billing.Replicas.
func (s *Store) ListReplicas(ctx context.Context) ([]billing.ReplicaState, error) {
	return all(ctx, s, func(row pgx.CollectableRow) (r billing.ReplicaState, err error) {
		return r, row.Scan(&r.ID, &r.Epoch, &r.Name, &r.StartedAt, &r.SeenAt, &r.ExpiresAt, &r.Live, &r.Leases,
			&r.Leased.Tokens, &r.Leased.Money, &r.Leased.Requests, &r.Busy.Tokens, &r.Busy.Money, &r.Busy.Requests)
	}, replicasSQL)
}

// Wanted implements billing.Replicas, on its own connection. LISTEN does not work through
// a pooler, so Wanted polls there, unless there is a direct route.
func (s *Store) Wanted(ctx context.Context, wake func()) error {
	conn, err := s.dial(ctx, nil)
	if err != nil {
		return fault(ctx, err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is lost with it
	if pooled, direct := s.Pooled(); pooled && !direct {
		return poll(ctx, wake)
	}
	if _, err := conn.Exec(ctx, "LISTEN "+wantedChannel); err != nil {
		return fault(ctx, err)
	}
	for {
		n, err := s.nextNotice(ctx, conn)
		if err != nil {
			return fault(ctx, err)
		}
		if n != nil {
			wake()
		}
	}
}
