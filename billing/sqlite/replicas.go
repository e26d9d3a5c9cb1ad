package sqlite

import (
	"context"
	"fmt"
	"time"

	"tallyroute/billing"
)

const (
	joinReplica = `INSERT INTO replicas (id, epoch, name, started_at, seen_at, expires_at) VALUES (?, ?, ?, ?, ?, ?) ON ` +
		`CONFLICT DO NOTHING`
	renewReplica = `UPDATE replicas SET seen_at = ?, expires_at = ? WHERE id = ? AND epoch = ?`
	// selectWanted begins with the windows that anybody wants, of which there are few.
	selectWanted = `SELECT c.budget_id, c.window_start FROM budget_counters c INDEXED BY budget_counters_wanted
CROSS JOIN leases l ON l.budget_id = c.budget_id AND l.window_start = c.window_start AND l.replica_id = ?2 AND l.epoch = ?3
WHERE c.exact_until > '' AND c.exact_until > ?1 AND l.tokens + l.nano > 0`
)

// Renew implements billing.Allowances.
func (s *Store) Renew(ctx context.Context, r billing.Replica, first billing.Join) (h billing.Heartbeat, err error) {
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		h = billing.Heartbeat{Now: s.clock()}
		now, until := stamp(h.Now), stamp(h.Now.Add(r.TTL))
		if first == billing.Joining {
			if _, err := tx.exec(ctx, joinReplica, r.ID, r.Epoch, billing.CleanText(r.Name), now, now, until); err != nil {
				return err
			}
		}
		n, err := tx.exec(ctx, renewReplica, now, until, r.ID, r.Epoch)
		if h.Fenced = n == 0; h.Fenced || err != nil {
			return err
		}
		if _, err := tx.row(ctx, selectReplica, []any{r.ID, r.Epoch}, &h.Seq); err != nil {
			return err
		}
		return tx.rows(ctx, selectWanted, []any{now, r.ID, r.Epoch}, func(scan scanner) error {
			var id billing.LeaseID
			err := scan(&id.BudgetID, instant{&id.WindowStart})
			h.Exact = append(h.Exact, id)
			return err
		})
	})
	return h, err
}

const (
	returnLeased = `UPDATE budget_counters AS c
	  SET leased_tokens = max(leased_tokens - l.tokens, 0), leased_nano = max(leased_nano - l.nano, 0)
FROM (SELECT budget_id, window_start, tokens, nano FROM leases WHERE replica_id = ?1 AND epoch = ?2) AS l
WHERE c.budget_id = l.budget_id AND c.window_start = l.window_start`
	deleteLeases = `DELETE FROM leases WHERE replica_id = ? AND epoch = ?`
	deleteEpoch  = `DELETE FROM replicas WHERE id = ? AND epoch = ?`
	selectEpochs = `SELECT epoch, expires_at FROM replicas WHERE id = ? ORDER BY epoch`
)

// Return implements billing.Allowances.
func (s *Store) Return(ctx context.Context, id, keep string) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		epochs, err := epochsOf(ctx, tx, id)
		for name := range epochs {
			if name == keep || err != nil {
				continue
			}
			_, err = giveBackEpoch(ctx, tx, id, name)
		}
		return err
	})
}

func epochsOf(ctx context.Context, tx *session, id string) (map[string]time.Time, error) {
	epochs := make(map[string]time.Time)
	err := tx.rows(ctx, selectEpochs, []any{id}, func(scan scanner) error {
		var name string
		var until time.Time
		err := scan(&name, instant{&until})
		epochs[name] = until
		return err
	})
	return epochs, err
}

// giveBackEpoch says how many leases there were.
func giveBackEpoch(ctx context.Context, tx *session, id, epoch string) (int, error) {
	if _, err := tx.exec(ctx, returnLeased, id, epoch); err != nil {
		return 0, err
	}
	n, err := tx.exec(ctx, deleteLeases, id, epoch)
	if err == nil {
		_, err = tx.exec(ctx, deleteEpoch, id, epoch)
	}
	return int(n), err
}

// What an epoch was using is leased under another name before it is given back.
const (
	forgetEpoch = `INSERT INTO replicas (id, epoch, name, started_at, seen_at, expires_at)
SELECT id, ?3, name, started_at, seen_at, expires_at FROM replicas WHERE id = ?1 AND epoch = ?2
  AND EXISTS (SELECT 1 FROM leases WHERE replica_id = ?1 AND epoch = ?2 AND (busy_tokens > 0 OR busy_nano > 0))`
	keepBusy = `INSERT INTO leases (budget_id, window_start, replica_id, epoch, tokens, nano, busy_tokens, busy_nano)
SELECT budget_id, window_start, replica_id, ?3, busy_tokens, busy_nano, busy_tokens, busy_nano
FROM leases WHERE replica_id = ?1 AND epoch = ?2 AND (busy_tokens > 0 OR busy_nano > 0)`
	leaveIdle = `UPDATE leases SET tokens = tokens - busy_tokens, nano = nano - busy_nano, busy_tokens = 0, busy_nano = 0
WHERE replica_id = ?1 AND epoch = ?2 AND ?3 <> ''`
)

// setBusyAside keeps what an epoch was using leased.
func setBusyAside(ctx context.Context, tx *session, id, epoch string) error {
	if billing.IsForgotten(epoch) {
		return nil
	}
	for _, sql := range []string{forgetEpoch, keepBusy, leaveIdle} {
		if _, err := tx.exec(ctx, sql, id, epoch, billing.Forgotten(epoch)); err != nil {
			return err
		}
	}
	return nil
}

// ForgetReplica implements billing.Replicas.
func (s *Store) ForgetReplica(ctx context.Context, id string, notes ...*billing.Change) (leases int, err error) {
	return s.forget(ctx, id, setBusyAside, notes...)
}

// forget gives back what the epochs of a replica have leased, each after first.
func (s *Store) forget(ctx context.Context, id string, first func(ctx context.Context, tx *session, id, epoch string) error,
	notes ...*billing.Change,
) (leases int, err error) {
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		leases = 0
		epochs, err := epochsOf(ctx, tx, id)
		if err != nil {
			return err
		}
		if len(epochs) == 0 {
			return &billing.NotFoundError{What: "replica", ID: id}
		}
		for name, until := range epochs {
			if until.After(s.clock()) {
				return &billing.ConflictError{Detail: fmt.Sprintf("replica %s may still be running: it can be forgotten when its leases "+
					"have expired", id)}
			}
			if err := first(ctx, tx, id, name); err != nil {
				return err
			}
			n, err := giveBackEpoch(ctx, tx, id, name)
			if err != nil {
				return err
			}
			leases += n
		}
		return note(ctx, tx, notes)
	})
	return leases, err
}

const selectLost = `SELECT id FROM replicas GROUP BY id HAVING max(expires_at) < ? ORDER BY id`

// ForgetLost implements billing.Replicas.
func (s *Store) ForgetLost(ctx context.Context, after time.Duration) ([]string, error) {
	var lost []string
	err := s.read.rows(ctx, selectLost, []any{stamp(s.clock().Add(-after))}, func(scan scanner) error {
		var id string
		err := scan(&id)
		lost = append(lost, id)
		return err
	})
	for i, id := range lost {
		_, err := s.forget(ctx, id, func(context.Context, *session, string, string) error { return nil })
		if err != nil {
			return lost[:i], err
		}
	}
	return lost, err
}

const selectReplicas = `SELECT r.id, r.epoch, r.name, r.started_at, r.seen_at, r.expires_at, r.expires_at > ?1, count(l.budget_id),
  coalesce(sum(l.tokens), 0), coalesce(sum(l.nano), 0), coalesce(sum(l.busy_tokens), 0), coalesce(sum(l.busy_nano), 0)
FROM replicas r LEFT JOIN leases l ON l.replica_id = r.id AND l.epoch = r.epoch AND l.tokens + l.nano > 0
GROUP BY r.id, r.epoch ORDER BY r.id, r.started_at`

// ListReplicas implements billing.Replicas.
func (s *Store) ListReplicas(ctx context.Context) ([]billing.ReplicaState, error) {
	var list []billing.ReplicaState
	err := s.read.rows(ctx, selectReplicas, []any{stamp(s.clock())}, func(scan scanner) error {
		var r billing.ReplicaState
		err := scan(&r.ID, &r.Epoch, &r.Name, instant{&r.StartedAt}, instant{&r.SeenAt}, instant{&r.ExpiresAt}, &r.Live, &r.Leases,
			&r.Leased.Tokens, &r.Leased.Money, &r.Busy.Tokens, &r.Busy.Money)
		list = append(list, r)
		return err
	})
	return list, err
}

// Wanted implements billing.Replicas: SQLite does not tell other processes.
func (s *Store) Wanted(ctx context.Context, _ func()) error {
	<-ctx.Done()
	return ctx.Err()
}
