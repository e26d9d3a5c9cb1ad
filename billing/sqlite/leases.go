package sqlite

import (
	"context"
	"fmt"
	"time"

	"tallyroute/billing"
)

// exactFor is how long a window grants only what requests are waiting for, once a replica has
// run dry.
const exactFor = 5 * time.Second

const (
	selectReplica = `SELECT posted_seq FROM replicas WHERE id = ? AND epoch = ?`
	selectExact   = `SELECT exact_until FROM budget_counters WHERE budget_id = ? AND window_start = ?`
	selectMine    = `SELECT tokens, nano, requests FROM leases WHERE budget_id = ? AND window_start = ? AND replica_id = ? AND epoch = ?`
	// selectIdle looks for what other live replicas have leased but do not use.
	selectIdle = `SELECT 1 FROM leases l JOIN replicas p ON p.id = l.replica_id AND p.epoch = l.epoch AND p.expires_at > ?1
WHERE l.budget_id = ?2 AND l.window_start = ?3 AND (l.replica_id <> ?4 OR l.epoch <> ?5)
  AND (?6 AND l.tokens > l.busy_tokens OR ?7 AND l.nano > l.busy_nano OR ?8 AND l.requests > l.busy_requests) LIMIT 1`
	addLeased = `UPDATE budget_counters SET leased_tokens = leased_tokens + ?, leased_nano = leased_nano + ?,
  leased_requests = leased_requests + ? WHERE budget_id = ? AND window_start = ?`
	addLease = `INSERT INTO leases (budget_id, window_start, replica_id, epoch, tokens, nano, busy_tokens, busy_nano, requests,
  busy_requests)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET tokens = tokens + excluded.tokens, nano = nano + excluded.nano,
  busy_tokens = min(busy_tokens + excluded.busy_tokens, tokens + excluded.tokens),
  busy_nano = min(busy_nano + excluded.busy_nano, nano + excluded.nano),
  requests = requests + excluded.requests, busy_requests = min(busy_requests + excluded.busy_requests, requests + excluded.requests)`
	markExact = `UPDATE budget_counters SET exact_until = ? WHERE budget_id = ? AND window_start = ?`
)

// Grant implements billing.Allowances. Beyond what is needed, it grants as much as the asker's
// other requests wait for, or so much that at most one sixteenth of what is left lies idle with
// the asker, whichever is more. So the end of a budget is shared out in single holds, and a
// process that dies takes little with it.
func (s *Store) Grant(ctx context.Context, r billing.Replica, wants []billing.Want) (granted []billing.Granted, ok bool, err error) {
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		var seq int64
		known, err := tx.row(ctx, selectReplica, []any{r.ID, r.Epoch}, &seq)
		if err != nil {
			return err
		}
		if !known {
			return fmt.Errorf("billing/sqlite: %w: %s", billing.ErrFenced, r.ID)
		}
		g := granting{tx: tx, r: r, now: s.clock()}
		granted, ok, err = g.all(ctx, wants)
		for i := range granted {
			granted[i].Seq = seq
		}
		return err
	})
	return granted, ok, err
}

// granting is a grant under way.
type granting struct {
	tx  *session
	r   billing.Replica
	now time.Time
}

func (g granting) all(ctx context.Context, wants []billing.Want) ([]billing.Granted, bool, error) {
	lines := make([]billing.HoldLine, len(wants))
	for i, w := range wants {
		lines[i] = w.HoldLine
	}
	balances, err := beginCounters(ctx, g.tx, lines)
	if err != nil {
		return nil, false, err
	}
	granted, ok := make([]billing.Granted, len(wants)), true
	for i, w := range wants {
		if balances[i].Budget, err = currentBudget(ctx, g.tx, w.Budget.ID); err != nil {
			return nil, false, err
		}
		if granted[i], err = g.judge(ctx, w, balances[i]); err != nil {
			return nil, false, err
		}
		ok = ok && granted[i].Fits
	}
	for i := range granted {
		do := g.lease
		if !ok {
			do = g.mark
		}
		if err := do(ctx, wants[i], &granted[i]); err != nil {
			return nil, false, err
		}
	}
	return granted, ok, nil
}

const selectBudget = `SELECT id, scope, scope_id, period, zone, token_limit, amount_nano, request_limit, starts, near_action, thresholds,
  part, named, parent_id
FROM budgets_now WHERE id = ? AND archived_at IS NULL`

// currentBudget returns a budget as it is now, whatever the caller remembers of it, or
// billing.ErrStaleKey if it is gone.
func currentBudget(ctx context.Context, tx *session, id string) (b billing.Budget, err error) {
	found, err := tx.row(ctx, selectBudget, []any{id}, budgetScan(&b)...)
	if err == nil && !found {
		err = billing.ErrStaleKey
	}
	return b, err
}

// judge works out what a window can grant for a want. It changes nothing.
func (g granting) judge(ctx context.Context, w billing.Want, b billing.Balance) (billing.Granted, error) {
	out := billing.Granted{Balance: b, Fits: true}
	start := stamp(w.Window.Start)
	var until string
	if _, err := g.tx.row(ctx, selectExact, []any{w.Budget.ID, start}, &until); err != nil {
		return out, err
	}
	if _, err := g.tx.row(ctx, selectMine, []any{w.Budget.ID, start, g.r.ID, g.r.Epoch}, &out.Leased.Tokens,
		&out.Leased.Money, &out.Leased.Requests); err != nil {
		return out, err
	}
	out.Exact = until > stamp(g.now)
	need := w.Need.AtMost(billing.MostHeld())
	idle := w.Idle.AtLeast(billing.Amount{})
	wish := w.Wish.AtMost(billing.MostHeld()).Minus(idle).AtLeast(need)
	waiting := w.Waiting.AtMost(billing.MostHeld())
	tokens := share{
		limit: b.Budget.Tokens, spoken: b.UsedTokens + b.HeldTokens, exact: out.Exact,
		need: need.Tokens, waiting: waiting.Tokens, head: w.Headroom.Tokens, wish: wish.Tokens, idle: idle.Tokens,
	}
	money := share{
		limit: (*int64)(b.Budget.Money), spoken: int64(b.UsedMoney + b.HeldMoney), exact: out.Exact,
		need: int64(need.Money), waiting: int64(waiting.Money), head: int64(w.Headroom.Money), wish: int64(wish.Money),
		idle: int64(idle.Money),
	}
	requests := share{
		limit: b.Budget.Requests, spoken: b.UsedRequests + b.HeldRequests, exact: out.Exact,
		need: need.Requests, waiting: waiting.Requests, wish: wish.Requests, idle: idle.Requests,
	}
	if !b.Budget.Binds() {
		tokens.limit, money.limit, requests.limit = nil, nil, nil
	}
	out.Amount = billing.Amount{Tokens: tokens.amount(), Money: billing.Money(money.amount()), Requests: requests.amount()}.
		AtMost(billing.MostHeld())
	if out.Fits = tokens.fits() && money.fits() && requests.fits(); out.Fits {
		return out, nil
	}
	var one int
	var err error
	out.Idle, err = g.tx.row(ctx, selectIdle, []any{
		stamp(g.now), w.Budget.ID, start, g.r.ID, g.r.Epoch, !tokens.fits(),
		!money.fits(), !requests.fits(),
	}, &one)
	return out, err
}

// share is one component of a want (tokens, money or requests), with the figures of the window
// that it is asked of.
type share struct {
	limit                                   *int64
	spoken, need, waiting, head, wish, idle int64
	exact                                   bool
}

// left returns what nobody has claimed once the need is met.
func (s share) left() int64 { return *s.limit - s.spoken - s.need }

func (s share) fits() bool { return s.limit == nil || s.left() >= s.head }

// busy returns what requests need, including those that wait, as far as there is room for them.
func (s share) busy() int64 {
	if s.limit == nil {
		return s.need + s.waiting
	}
	return s.need + min(s.waiting, max(s.left()-s.head, 0))
}

func (s share) amount() int64 {
	switch {
	case s.limit == nil:
		return max(s.wish, s.busy())
	case s.exact:
		return s.busy()
	}
	return max(s.busy(), s.need+min(s.wish-s.need, max(s.left()/16-s.idle, 0)))
}

// mark makes other replicas give back what lies idle with them.
func (g granting) mark(ctx context.Context, w billing.Want, out *billing.Granted) error {
	out.Amount = billing.Amount{}
	if !out.Idle {
		return nil
	}
	_, err := g.tx.exec(ctx, markExact, stamp(g.now.Add(exactFor)), w.Budget.ID, stamp(w.Window.Start))
	return err
}

// lease records what was granted as leased.
func (g granting) lease(ctx context.Context, w billing.Want, out *billing.Granted) error {
	start := stamp(w.Window.Start)
	out.Balance = out.Balance.Stands(out.Balance.Used(), out.Balance.Held().Plus(out.Amount))
	out.Leased = out.Leased.Plus(out.Amount)
	if out.Amount == (billing.Amount{}) {
		return nil
	}
	busy := w.Need.Plus(w.Waiting).AtMost(out.Amount)
	_, err := g.tx.exec(ctx, addLeased, out.Amount.Tokens, int64(out.Amount.Money), out.Amount.Requests, w.Budget.ID, start)
	if err == nil {
		_, err = g.tx.exec(ctx, addLease, w.Budget.ID, start, g.r.ID, g.r.Epoch, out.Amount.Tokens, int64(out.Amount.Money),
			busy.Tokens, int64(busy.Money), out.Amount.Requests, busy.Requests)
	}
	return err
}

const (
	joinReplica = `INSERT INTO replicas (id, epoch, name, started_at, seen_at, expires_at) VALUES (?, ?, ?, ?, ?, ?) ON ` +
		`CONFLICT DO NOTHING`
	renewReplica = `UPDATE replicas SET seen_at = ?, expires_at = ? WHERE id = ? AND epoch = ?`
	// selectWanted starts from the windows that some replica wants, since there are few of them.
	selectWanted = `SELECT c.budget_id, c.window_start FROM budget_counters c INDEXED BY budget_counters_wanted
CROSS JOIN leases l ON l.budget_id = c.budget_id AND l.window_start = c.window_start AND l.replica_id = ?2 AND l.epoch = ?3
WHERE c.exact_until > '' AND c.exact_until > ?1 AND l.tokens + l.nano + l.requests > 0`
)

// These statements find and give back what replicas that have expired leased of concurrency
// budgets.
const (
	deadConcurrent = `SELECT l.budget_id, l.replica_id, l.epoch, l.tokens, l.nano, l.requests
FROM leases l JOIN replicas p ON p.id = l.replica_id AND p.epoch = l.epoch AND p.expires_at < ?1
WHERE l.window_start = '9999-01-01T00:00:00.000000000Z'`
	returnConcurrent = `UPDATE budget_counters AS c
  SET leased_tokens = max(leased_tokens - l.tokens, 0), leased_nano = max(leased_nano - l.nano, 0),
    leased_requests = max(leased_requests - l.requests, 0)
FROM (SELECT budget_id, sum(tokens) AS tokens, sum(nano) AS nano, sum(requests) AS requests FROM (` + deadConcurrent + `) GROUP BY 1) AS l
WHERE c.budget_id = l.budget_id AND c.window_start = '9999-01-01T00:00:00.000000000Z'`
	forgetConcurrent = `DELETE FROM leases WHERE window_start = '9999-01-01T00:00:00.000000000Z'
  AND (budget_id, replica_id, epoch) IN (SELECT budget_id, replica_id, epoch FROM (` + deadConcurrent + `))`
)

// returnDead gives back what expired replicas have leased of concurrency budgets.
func returnDead(ctx context.Context, tx *session, now string) error {
	n, err := tx.exec(ctx, returnConcurrent, now)
	if err == nil && n > 0 {
		_, err = tx.exec(ctx, forgetConcurrent, now)
	}
	return err
}

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
		if err := returnDead(ctx, tx, now); err != nil {
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
	  SET leased_tokens = max(leased_tokens - l.tokens, 0), leased_nano = max(leased_nano - l.nano, 0),
    leased_requests = max(leased_requests - l.requests, 0)
FROM (SELECT budget_id, window_start, tokens, nano, requests FROM leases WHERE replica_id = ?1 AND epoch = ?2) AS l
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

// giveBackEpoch gives back the leases of an epoch, deletes the epoch, and returns how many
// leases there were.
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

// What an epoch was using is leased under another epoch name before the rest is given back.
const (
	forgetEpoch = `INSERT INTO replicas (id, epoch, name, started_at, seen_at, expires_at)
SELECT id, ?3, name, started_at, seen_at, expires_at FROM replicas WHERE id = ?1 AND epoch = ?2
  AND EXISTS (SELECT 1 FROM leases WHERE replica_id = ?1 AND epoch = ?2 AND (busy_tokens > 0 OR busy_nano > 0 OR busy_requests > 0))`
	keepBusy = `INSERT INTO leases (budget_id, window_start, replica_id, epoch, tokens, nano, requests, busy_tokens, busy_nano,
  busy_requests)
SELECT budget_id, window_start, replica_id, ?3, busy_tokens, busy_nano, busy_requests, busy_tokens, busy_nano, busy_requests
FROM leases WHERE replica_id = ?1 AND epoch = ?2 AND (busy_tokens > 0 OR busy_nano > 0 OR busy_requests > 0)`
	leaveIdle = `UPDATE leases SET tokens = tokens - busy_tokens, nano = nano - busy_nano, requests = requests - busy_requests,
  busy_tokens = 0, busy_nano = 0, busy_requests = 0
WHERE replica_id = ?1 AND epoch = ?2 AND ?3 <> ''`
)

// setBusyAside keeps leased what an epoch was using.
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

// forget gives back what the epochs of a replica have leased, calling first before each of them.
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
  coalesce(sum(l.tokens), 0), coalesce(sum(l.nano), 0), coalesce(sum(l.requests), 0),
  coalesce(sum(l.busy_tokens), 0), coalesce(sum(l.busy_nano), 0), coalesce(sum(l.busy_requests), 0)
FROM replicas r LEFT JOIN leases l ON l.replica_id = r.id AND l.epoch = r.epoch AND l.tokens + l.nano + l.requests > 0
GROUP BY r.id, r.epoch ORDER BY r.id, r.started_at`

// ListReplicas implements billing.Replicas.
func (s *Store) ListReplicas(ctx context.Context) ([]billing.ReplicaState, error) {
	var list []billing.ReplicaState
	err := s.read.rows(ctx, selectReplicas, []any{stamp(s.clock())}, func(scan scanner) error {
		var r billing.ReplicaState
		err := scan(&r.ID, &r.Epoch, &r.Name, instant{&r.StartedAt}, instant{&r.SeenAt}, instant{&r.ExpiresAt}, &r.Live, &r.Leases,
			&r.Leased.Tokens, &r.Leased.Money, &r.Leased.Requests, &r.Busy.Tokens, &r.Busy.Money, &r.Busy.Requests)
		list = append(list, r)
		return err
	})
	return list, err
}

// Wanted implements billing.Replicas. It only waits for ctx to end, because SQLite cannot notify
// other processes.
func (s *Store) Wanted(ctx context.Context, _ func()) error {
	<-ctx.Done()
	return ctx.Err()
}
