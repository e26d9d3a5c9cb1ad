package sqlite

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"tallyroute/billing"
)

const (
	passGate = `UPDATE replicas SET posted_seq = ?, seen_at = ?, expires_at = ? WHERE id = ? AND epoch = ? AND posted_seq = ?`
	// canMove finds a lease and its counter if both have the amount to be taken from them.
	canMove = `SELECT 1 FROM leases l JOIN budget_counters c USING (budget_id, window_start)
WHERE l.budget_id = ?1 AND l.window_start = ?2 AND l.replica_id = ?3 AND l.epoch = ?4
  AND min(l.tokens, c.leased_tokens) >= ?5 AND min(l.nano, c.leased_nano) >= ?6
  AND min(l.requests, c.leased_requests) >= ?7`
	lowLease = `UPDATE leases SET tokens = tokens - ?1, nano = nano - ?2, busy_tokens = min(?3, tokens - ?1),
  busy_nano = min(?4, nano - ?2),
  requests = requests - ?9, busy_requests = min(?10, requests - ?9)
WHERE budget_id = ?5 AND window_start = ?6 AND replica_id = ?7 AND epoch = ?8`
	lowLeased = `UPDATE budget_counters SET leased_tokens = leased_tokens - ?, leased_nano = leased_nano - ?,
  leased_requests = leased_requests - ? WHERE budget_id = ? AND window_start = ?`
	hasRow = `SELECT 1 FROM spend_events WHERE kind = 'usage' AND request_id = ? AND attempt = ?`
)

// Post implements billing.Allowances. The balances it returns are those of the leases that
// moved.
func (s *Store) Post(ctx context.Context, p billing.Posting) (posted billing.Posted, err error) {
	rows, err := tidied(p.Rows)
	if err != nil {
		return posted, err
	}
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		posted = billing.Posted{}
		if posted.Inserted, err = s.postRows(ctx, tx, rows, ""); err != nil {
			return err
		}
		if err := s.reject(ctx, tx, p.Rejects); err != nil {
			return err
		}
		if err := s.tell(ctx, tx, p.AllEvents()...); err != nil {
			return err
		}
		return s.pass(ctx, tx, p, &posted)
	})
	return posted, err
}

// tidied returns rows as they will be written, or a *billing.RowError for the first invalid one.
func tidied(all []billing.Spend) ([]billing.Spend, error) {
	rows := make([]billing.Spend, len(all))
	for i, r := range all {
		rows[i] = r.Tidy()
		if err := rows[i].Check(); err != nil {
			return nil, &billing.RowError{Index: i, Err: err}
		}
	}
	return rows, nil
}

// postRows books the rows that are not in the ledger yet and returns how many there were. If a
// row had been rejected, its earlier charge is taken back, so that it counts only once.
func (s *Store) postRows(ctx context.Context, tx *session, rows []billing.Spend, by string) (inserted int, err error) {
	var one int
	waiting, err := tx.row(ctx, anyReject, nil, &one)
	due := make(charges)
	for i := range rows {
		if err != nil {
			return inserted, err
		}
		var there bool
		if there, err = tx.row(ctx, hasRow, []any{rows[i].RequestID, rows[i].Attempt}, &one); err == nil && !there {
			inserted++
			if err = s.bookOne(ctx, tx, rows[i], i); err == nil {
				due.add(rows[i])
			}
		}
		if err == nil && waiting {
			err = s.unreject(ctx, tx, rows[i], by)
		}
	}
	if err != nil {
		return inserted, err
	}
	return inserted, due.post(ctx, tx)
}

// bookOne books a row. It returns a *billing.RowError if the row itself is at fault, rather than
// the database.
func (s *Store) bookOne(ctx context.Context, tx *session, row billing.Spend, index int) error {
	err := s.insertEvent(ctx, tx, row)
	if err != nil && !errors.Is(err, billing.ErrUnavailable) {
		return &billing.RowError{Index: index, Err: err}
	}
	if err == nil {
		err = s.follow(ctx, tx, row)
	}
	return err
}

// follow does what the insertion of a row entails, apart from the rollup and the counters.
func (s *Store) follow(ctx context.Context, tx *session, row billing.Spend) error {
	if err := s.overran(ctx, tx, row); err != nil {
		return err
	}
	return s.tell(ctx, tx, billing.RowEvents([]billing.Spend{row})...)
}

// pass moves the leases of a posting if it is that posting's turn and all of them can move.
func (s *Store) pass(ctx context.Context, tx *session, p billing.Posting, posted *billing.Posted) error {
	now, r := s.clock(), p.Replica
	can, err := s.movable(ctx, tx, p)
	if err != nil {
		return err
	}
	var n int64
	if can {
		if n, err = tx.exec(ctx, passGate, p.Seq, stamp(now), stamp(now.Add(r.TTL)), r.ID, r.Epoch, p.Seq-1); err != nil {
			return err
		}
	}
	if n == 0 {
		var seq int64
		known, err := tx.row(ctx, selectReplica, []any{r.ID, r.Epoch}, &seq)
		if posted.Fenced = !known || seq < p.Seq; err == nil && known && posted.Fenced {
			_, err = giveBackEpoch(ctx, tx, r.ID, r.Epoch)
		}
		return err
	}
	budgets, starts := make([]string, len(p.Leases)), make([]string, len(p.Leases))
	for i, l := range p.Leases {
		budgets[i], starts[i] = l.BudgetID, stamp(l.WindowStart)
		down, busy := l.Down, l.Busy
		_, err := tx.exec(ctx, lowLease, down.Tokens, int64(down.Money), busy.Tokens, int64(busy.Money), l.BudgetID, starts[i],
			r.ID, r.Epoch, down.Requests, busy.Requests)
		if err == nil {
			_, err = tx.exec(ctx, lowLeased, down.Tokens, int64(down.Money), down.Requests, l.BudgetID, starts[i])
		}
		if err != nil {
			return err
		}
	}
	posted.Balances, err = balancesOf(ctx, tx, windows{asJSON(budgets), asJSON(starts)})
	return err
}

// movable reports whether every lease of a posting has what it is to give back.
func (s *Store) movable(ctx context.Context, tx *session, p billing.Posting) (bool, error) {
	for _, l := range p.Leases {
		if l.Down == (billing.Amount{}) {
			continue
		}
		var one int
		can, err := tx.row(ctx, canMove, []any{
			l.BudgetID, stamp(l.WindowStart), p.Replica.ID, p.Replica.Epoch, l.Down.Tokens, int64(l.Down.Money),
			l.Down.Requests,
		}, &one)
		if !can || err != nil {
			return false, err
		}
	}
	return true, nil
}

const (
	eventColumns = eventsBefore + `end_user` + eventsAfter
	eventsBefore = `event_id, occurred_at, report_day, kind, request_id, attempt, final, key_id, project_id, team_id, cost_center,
  environment, `
	eventsAfter = `, tags, requested_model, provider, model, service_tier, route_reason, status, error_kind, streamed, usage_source,
  input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, overrun_tokens, overrun_nano,
  cache_write_1h_tokens, audio_input_tokens, audio_output_tokens,
  pricing, price_id, input_price_nano, cache_read_price_nano, cache_write_price_nano, output_price_nano,
  input_cost_nano, cache_read_cost_nano, cache_write_cost_nano, output_cost_nano, fee_nano, cost_nano, baseline_cost_nano,
  cache_savings_nano, provider_cost_nano, disputed, reported, fees, region, upstream_credential, endpoint, session, bytes_in, bytes_out,
  first_token_ms, took_ms, fingerprint, prefixes, answered_model, unpriced_members, limits,
  provider_request_id, adjusts_event, adjusts_period, reason, actor, recorded_at`
)

const insertEvent = `INSERT INTO spend_events (` + eventColumns + `) VALUES (
  ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
  ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
  ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

// insertEvent adds a row that has been tidied and checked. If its month is closed, the row is
// booked on the first day of the next open month.
func (s *Store) insertEvent(ctx context.Context, tx *session, r billing.Spend) error {
	r.ReportDay = cmp.Or(r.ReportDay, r.OccurredAt.In(s.reporting).Format(time.DateOnly))
	err := s.insertOn(ctx, tx, r)
	if !errors.As(err, new(*billing.ConflictError)) {
		return err
	}
	late, moved, openErr := bookLate(ctx, tx, r)
	if openErr != nil || !moved {
		return errors.Join(openErr, err)
	}
	return s.insertOn(ctx, tx, late)
}

const nextOpenDay = `WITH RECURSIVE day (first) AS (
  SELECT ?
  UNION ALL
  SELECT date(first, '+1 month') FROM day WHERE EXISTS (SELECT 1 FROM billing_periods WHERE period = day.first AND status = 'closed')
)
SELECT max(first) FROM day`

// bookLate gives a row whose month is closed the first day of the next open month as its
// ReportDay, and its own month as AdjustsPeriod. It reports false if the month is open.
func bookLate(ctx context.Context, tx *session, r billing.Spend) (billing.Spend, bool, error) {
	month := billing.MonthOf(r.ReportDay)
	var open string
	_, err := tx.row(ctx, nextOpenDay, []any{month.First()}, &open)
	if err != nil || open == month.First() {
		return r, false, err
	}
	r.ReportDay, r.AdjustsPeriod = open, month.First()
	return r, true, nil
}

// insertOn adds a row on its ReportDay.
func (s *Store) insertOn(ctx context.Context, tx *session, r billing.Spend) error {
	if r.EventID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return fmt.Errorf("billing/sqlite: %w", err)
		}
		r.EventID = id.String()
	}
	amount := func(m billing.Money) any { return int64(m) }
	if r.Pricing == billing.Unpriced {
		amount = func(billing.Money) any { return nil }
	}
	endUser, err := pseudonym(ctx, tx, r.EndUser)
	if err != nil {
		return err
	}
	o, t, p, c := r.Owner, r.Tokens, r.Price, r.Cost
	_, err = tx.exec(ctx, insertEvent,
		r.EventID, stamp(r.OccurredAt), r.ReportDay, string(r.Kind), r.RequestID, r.Attempt, r.Final,
		string(o.KeyID), o.ProjectID, o.TeamID, o.CostCenter, o.Environment,
		text(endUser), asJSON(r.Tags), r.RequestedModel, r.Provider, r.Model, r.ServiceTier, string(r.RouteReason), string(r.Status),
		text(r.ErrorKind), r.Streamed, string(r.UsageSource),
		t.Input, t.CacheRead, t.CacheWrite, t.Output, t.Reasoning, r.OverrunTokens, int64(r.OverrunMoney),
		t.CacheWrite1h, t.AudioInput, t.AudioOutput,
		string(r.Pricing), text(p.ID), amount(p.Input), amount(p.CacheRead), amount(p.CacheWrite), amount(p.Output),
		amount(c.Input), amount(c.CacheRead), amount(c.CacheWrite), amount(c.Output), amount(c.Fee), amount(c.Total), amount(r.Baseline),
		nonzero(r.CacheSavings), orNull(r.ProviderCost), r.Disputed, jsonOrNull(r.Reported), jsonOrNull(r.Fees),
		text(r.Region), text(r.Credential), text(r.Endpoint), text(r.Session), orNull(r.BytesIn), orNull(r.BytesOut),
		orNull(billing.Millis(r.FirstToken)), orNull(billing.Millis(r.Took)), blob(r.Fingerprint), blob(r.Prefixes),
		text(r.AnsweredModel), jsonOrNull(r.UnpricedMembers), jsonOrNull(r.Limits),
		text(r.ProviderRequestID), text(r.AdjustsEvent), text(r.AdjustsPeriod), text(r.Reason), text(r.Actor), stamp(s.clock()))
	if errors.As(err, new(*billing.ConflictError)) && strings.Contains(err.Error(), "already there") {
		return fmt.Errorf("billing/sqlite: %w: attempt %d of request %s", billing.ErrDuplicate, r.Attempt, r.RequestID)
	}
	return err
}

const (
	selectEvents    = `SELECT ` + eventColumns + ` FROM spend_events `
	shownUser       = `coalesce((SELECT shown FROM end_users WHERE stored = end_user), end_user)`
	showEvents      = `SELECT ` + eventsBefore + shownUser + eventsAfter + ` FROM spend_events `
	eventsOfRequest = showEvents + `WHERE request_id = ?1 AND (?2 = '' OR key_id = ?2)` + newestFirst
	eventsOfKey     = showEvents + `WHERE ?1 = '' AND key_id = ?2` + newestFirst
	eventsOfAll     = showEvents + `WHERE ?1 = '' AND ?2 = ''` + newestFirst
	newestFirst     = ` ORDER BY occurred_at DESC, request_id DESC, attempt DESC LIMIT ?3`
)

// Events implements billing.Reports. The price of each row has only its id and the four rates.
func (s *Store) Events(ctx context.Context, q billing.EventQuery) ([]billing.Spend, error) {
	if q.Limit <= 0 {
		q.Limit = 100
	}
	query := eventsOfAll
	switch {
	case q.RequestID != "":
		query = eventsOfRequest
	case q.KeyID != "":
		query = eventsOfKey
	}
	var rows []billing.Spend
	err := s.read.rows(ctx, query, []any{q.RequestID, string(q.KeyID), min(q.Limit, 1000)}, func(scan scanner) error {
		var r billing.Spend
		err := scanEvent(scan, &r)
		rows = append(rows, r)
		return err
	})
	return rows, err
}

func scanEvent(scan scanner, r *billing.Spend) error {
	o, t, p, c := &r.Owner, &r.Tokens, &r.Price, &r.Cost
	var first, took *int64
	err := scan(
		&r.EventID, instant{&r.OccurredAt}, &r.ReportDay, &r.Kind, &r.RequestID, &r.Attempt, &r.Final,
		&o.KeyID, &o.ProjectID, &o.TeamID, &o.CostCenter, &o.Environment,
		orEmpty{&r.EndUser}, jsonText{&r.Tags}, &r.RequestedModel, &r.Provider, &r.Model, &r.ServiceTier, &r.RouteReason, &r.Status,
		orEmpty{&r.ErrorKind}, &r.Streamed, &r.UsageSource,
		&t.Input, &t.CacheRead, &t.CacheWrite, &t.Output, &t.Reasoning, &r.OverrunTokens, &r.OverrunMoney,
		&t.CacheWrite1h, &t.AudioInput, &t.AudioOutput,
		&r.Pricing, orEmpty{&p.ID}, orZero{&p.Input}, orZero{&p.CacheRead}, orZero{&p.CacheWrite}, orZero{&p.Output},
		orZero{&c.Input}, orZero{&c.CacheRead}, orZero{&c.CacheWrite}, orZero{&c.Output}, orZero{&c.Fee}, orZero{&c.Total},
		orZero{&r.Baseline},
		orZero{&r.CacheSavings}, &r.ProviderCost, &r.Disputed, orNil{&r.Reported}, orNil{&r.Fees},
		orEmpty{&r.Region}, orEmpty{&r.Credential}, orEmpty{&r.Endpoint}, orEmpty{&r.Session}, &r.BytesIn, &r.BytesOut,
		&first, &took, &r.Fingerprint, &r.Prefixes, orEmpty{&r.AnsweredModel}, orNil{&r.UnpricedMembers}, orNil{&r.Limits},
		orEmpty{&r.ProviderRequestID}, orEmpty{&r.AdjustsEvent}, orEmpty{&r.AdjustsPeriod}, orEmpty{&r.Reason}, orEmpty{&r.Actor},
		instant{&r.RecordedAt})
	r.FirstToken, r.Took = billing.FromMillis(first), billing.FromMillis(took)
	return err
}

// orEmpty scans NULL as "", orZero scans NULL as zero, and orNil scans JSON, leaving its target
// alone for NULL.
type (
	orEmpty struct{ to *string }
	orZero  struct{ to *billing.Money }
	orNil   struct{ to any }
)

// Scan implements sql.Scanner.
func (n orNil) Scan(v any) error {
	s, ok := v.(string)
	if !ok {
		return nil
	}
	return json.Unmarshal([]byte(s), n.to)
}

// Scan implements sql.Scanner.
func (e orEmpty) Scan(v any) error {
	*e.to, _ = v.(string)
	return nil
}

// Scan implements sql.Scanner.
func (z orZero) Scan(v any) error {
	n, _ := v.(int64)
	*z.to = billing.Money(n)
	return nil
}
