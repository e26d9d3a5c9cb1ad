package sqlite

import (
	"context"
	"errors"
	"time"

	"tallyroute/billing"
)

const (
	putCeiling = `INSERT INTO team_ceilings (team_id, keys, period, zone, amount_nano, token_limit, request_limit, life_s, models,
  updated_at, updated_by)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (team_id) DO UPDATE SET keys = excluded.keys, period = excluded.period, zone = excluded.zone,
  amount_nano = excluded.amount_nano, token_limit = excluded.token_limit, request_limit = excluded.request_limit,
  life_s = excluded.life_s, models = excluded.models, updated_at = excluded.updated_at, updated_by = excluded.updated_by`
	removeCeiling  = `DELETE FROM team_ceilings WHERE team_id = ?`
	selectCeilings = `SELECT team_id, keys, period, zone, amount_nano, token_limit, request_limit, life_s, models, updated_at, updated_by
FROM team_ceilings WHERE ?1 = '' OR team_id = ?1 ORDER BY team_id`
	// selectOwnUse returns each key of a member in a team, with its budget for the ceiling's
	// period as it was set, and what the key has used or reserved in the current window.
	selectOwnUse = `SELECT k.id, k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > ?4), b.amount_nano, b.token_limit,
  b.request_limit, coalesce(c.nano, 0), coalesce(c.tokens, 0), coalesce(c.requests, 0)
FROM api_keys k
JOIN projects p ON p.id = k.project_id
LEFT JOIN budgets b ON b.scope = 'key' AND b.scope_id = k.id AND b.period = ?3
    AND b.part = '' AND b.parent_id IS NULL AND b.archived_at IS NULL
LEFT JOIN (
  SELECT o.scope_id AS id, sum(c.used_nano + c.held_nano + c.leased_nano) AS nano,
         sum(c.used_tokens + c.held_tokens + c.leased_tokens) AS tokens,
         sum(c.used_requests + c.held_requests + c.leased_requests) AS requests
  FROM budget_counters c JOIN budgets o ON o.id = c.budget_id
  WHERE o.scope = 'key' AND o.period = ?3 AND c.window_start <= ?4 AND c.window_end > ?4
    AND o.scope_id IN (SELECT id FROM api_keys WHERE owner_id = ?1)
  GROUP BY o.scope_id
) AS c ON c.id = k.id
WHERE k.owner_id = ?1 AND p.team_id = ?2
ORDER BY k.id`

	insertAsked = `INSERT INTO raise_requests (id, budget_id, key_id, principal_id, tokens, nano, requests, ends_at, reason, asked_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	askedBefore  = `SELECT count(*) FROM raise_requests WHERE budget_id = ? AND outcome = 'pending'`
	selectRaises = `SELECT r.id, r.budget_id, r.key_id, r.principal_id, r.tokens, r.nano, r.requests, r.ends_at, r.reason, r.asked_at,
  r.outcome, r.decided_at, r.decided_by, r.answer, p.team_id, p.id
FROM raise_requests r JOIN api_keys k ON k.id = r.key_id JOIN projects p ON p.id = k.project_id
WHERE (?1 = '' OR r.id = ?1) AND (?2 = '' OR r.principal_id = ?2) AND (?3 = '' OR r.outcome = ?3)
  AND (?4 IS NULL OR p.team_id IN (SELECT value FROM json_each(?4)) OR p.id IN (SELECT value FROM json_each(?4))) AND (?6 = '' OR r.id < ?6)
ORDER BY r.id DESC LIMIT ?5`
	decideRaise = `UPDATE raise_requests SET outcome = ?2, decided_at = ?3, decided_by = ?4, answer = ?5 WHERE id = ?1`
)

// SetCeiling implements billing.SelfService.
func (s *Store) SetCeiling(ctx context.Context, c billing.Ceiling, notes ...*billing.Change) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		if err := wantScope(ctx, tx, billing.ScopeTeam, c.TeamID); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, putCeiling, c.TeamID, c.Keys, string(c.Period), c.Zone, c.Money, c.Tokens, c.Requests,
			int64(c.Life/time.Second), asJSON(append([]string{}, billing.CleanTexts(c.Models)...)), stamp(c.UpdatedAt),
			billing.CleanText(c.UpdatedBy)); err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
}

// RemoveCeiling implements billing.SelfService.
func (s *Store) RemoveCeiling(ctx context.Context, teamID string, notes ...*billing.Change) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		n, err := tx.exec(ctx, removeCeiling, teamID)
		if err == nil && n == 0 {
			err = &billing.NotFoundError{What: "ceiling", ID: teamID}
		}
		if err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
}

func ceilings(ctx context.Context, from *session, teamID string) (list []billing.Ceiling, err error) {
	err = from.rows(ctx, selectCeilings, []any{teamID}, func(scan scanner) error {
		var c billing.Ceiling
		err := scan(&c.TeamID, &c.Keys, &c.Period, &c.Zone, &c.Money, &c.Tokens, &c.Requests, seconds{&c.Life}, jsonText{&c.Models},
			instant{&c.UpdatedAt}, &c.UpdatedBy)
		list = append(list, c)
		return err
	})
	return list, err
}

// ListCeilings implements billing.SelfService.
func (s *Store) ListCeilings(ctx context.Context) ([]billing.Ceiling, error) {
	return ceilings(ctx, s.read, "")
}

// CreateOwnKey implements billing.SelfService.
func (s *Store) CreateOwnKey(
	ctx context.Context, k billing.Key, hash [32]byte, now time.Time, fill func(*billing.Key, billing.Ceiling, []billing.OwnUse) error,
	notes ...*billing.Change,
) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		of, err := ceilings(ctx, tx, k.TeamID)
		if err == nil && len(of) == 0 {
			err = &billing.NotFoundError{What: "ceiling", ID: k.TeamID}
		}
		if err != nil {
			return err
		}
		var own []billing.OwnUse
		err = tx.rows(ctx, selectOwnUse, []any{k.OwnerID, k.TeamID, string(of[0].Period), stamp(now)}, func(scan scanner) error {
			var u billing.OwnUse
			err := scan(&u.ID, &u.InForce, &u.Money, &u.Tokens, &u.Requests, &u.Used.Money, &u.Used.Tokens, &u.Used.Requests)
			own = append(own, u)
			return err
		})
		if err != nil {
			return err
		}
		made := k
		if err := fill(&made, of[0], own); err != nil {
			return err
		}
		if err := putKey(ctx, tx, made, hash, now); err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
}

// AskRaise implements billing.SelfService.
func (s *Store) AskRaise(ctx context.Context, r billing.RaiseRequest, notes ...*billing.Change) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		b, err := budgetOf(ctx, tx, r.BudgetID)
		if err == nil {
			err = billing.Raise{BudgetID: r.BudgetID, By: r.By, From: r.AskedAt, Until: r.Until, At: r.AskedAt}.Check(b)
		}
		var before int
		if err == nil {
			_, err = tx.row(ctx, askedBefore, []any{r.BudgetID}, &before)
		}
		if err == nil && before > 0 {
			err = &billing.ConflictError{Detail: "a raise of budget " + r.BudgetID + " was asked for and is not decided yet"}
		}
		if err != nil {
			return err
		}
		if _, err := tx.exec(ctx, insertAsked, r.ID, r.BudgetID, string(r.KeyID), r.PrincipalID, r.By.Tokens, int64(r.By.Money),
			r.By.Requests, stamp(r.Until), billing.CleanText(r.Reason), stamp(r.AskedAt)); err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
}

func raises(ctx context.Context, from *session, f billing.RaiseFilter) (list []billing.RaiseRequest, err error) {
	args := []any{f.ID, f.PrincipalID, string(f.Outcome), within(f.Within), f.Most(), f.Before}
	err = from.rows(ctx, selectRaises, args, func(scan scanner) error {
		var r billing.RaiseRequest
		err := scan(&r.ID, &r.BudgetID, &r.KeyID, &r.PrincipalID, &r.By.Tokens, &r.By.Money, &r.By.Requests, instant{&r.Until}, &r.Reason,
			instant{&r.AskedAt}, &r.Outcome, instant{&r.DecidedAt}, &r.DecidedBy, &r.Answer, &r.TeamID, &r.ProjectID)
		list = append(list, r)
		return err
	})
	return list, err
}

// ListRaises implements billing.SelfService.
func (s *Store) ListRaises(ctx context.Context, f billing.RaiseFilter) ([]billing.RaiseRequest, error) {
	return raises(ctx, s.read, f)
}

// DecideRaise implements billing.SelfService.
func (s *Store) DecideRaise(
	ctx context.Context, id string, decide func(*billing.RaiseRequest) error, notes ...*billing.Change,
) (r billing.RaiseRequest, err error) {
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		found, err := raises(ctx, tx, billing.RaiseFilter{ID: id})
		if err == nil && (len(found) == 0 || id == "") {
			err = &billing.NotFoundError{What: "raise", ID: id}
		}
		if err != nil {
			return err
		}
		r = found[0]
		if err := errors.Join(r.Decided(), decide(&r)); err != nil {
			return err
		}
		if r.Outcome == billing.RaiseApproved {
			err := withBudget(ctx, tx, r.BudgetID, func(ctx context.Context, tx *session, b billing.Budget) error {
				return raise(ctx, tx, b, r.Raise())
			})
			if err != nil {
				return err
			}
		}
		if _, err := tx.exec(ctx, decideRaise, id, string(r.Outcome), stamp(r.DecidedAt), billing.CleanText(r.DecidedBy),
			billing.CleanText(r.Answer)); err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
	return r, err
}
