package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
)

const (
	setCeilingSQL = `
INSERT INTO team_ceilings (team_id, keys, period, zone, amount_nano, token_limit, request_limit, life_s, models, updated_at, updated_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (team_id) DO UPDATE SET keys = excluded.keys, period = excluded.period, zone = excluded.zone,
  amount_nano = excluded.amount_nano, token_limit = excluded.token_limit, request_limit = excluded.request_limit,
  life_s = excluded.life_s, models = excluded.models, updated_at = excluded.updated_at, updated_by = excluded.updated_by`
	removeCeilingSQL = "DELETE FROM team_ceilings WHERE team_id = $1"
	ceilingsSQL      = `
SELECT team_id, keys, period, zone, amount_nano, token_limit, request_limit, life_s, models, updated_at, updated_by
  FROM team_ceilings WHERE $1 = '' OR team_id = $1 ORDER BY team_id`
	// ownUseSQL returns each key that a member has in a team, with its budget for the
	// ceiling's period as it was set, and its usage in the current window.
	ownUseSQL = `
SELECT k.id, k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $4), b.amount_nano, b.token_limit, b.request_limit,
       coalesce(c.nano, 0), coalesce(c.tokens, 0), coalesce(c.requests, 0)
  FROM api_keys k
  JOIN projects p ON p.id = k.project_id
  LEFT JOIN budgets b ON b.scope = 'key' AND b.scope_id = k.id AND b.period = $3
    AND b.part = '' AND b.parent_id IS NULL AND b.archived_at IS NULL
  LEFT JOIN LATERAL (
    SELECT sum(c.used_nano + c.held_nano + c.leased_nano)::bigint AS nano,
           sum(c.used_tokens + c.held_tokens + c.leased_tokens)::bigint AS tokens,
           sum(c.used_requests + c.held_requests + c.leased_requests)::bigint AS requests
      FROM budget_counters c JOIN budgets o ON o.id = c.budget_id
     WHERE o.scope = 'key' AND o.scope_id = k.id AND o.period = $3 AND c.window_start <= $4 AND c.window_end > $4
  ) AS c ON true
 WHERE k.owner_id = $1 AND p.team_id = $2
 ORDER BY k.id`

	raisesSQL = `
SELECT r.id, r.budget_id, r.key_id, r.principal_id, r.tokens, r.nano, r.requests, r.ends_at, r.reason, r.asked_at, r.outcome,
       r.decided_at, r.decided_by, r.answer, p.team_id, p.id
  FROM raise_requests r JOIN api_keys k ON k.id = r.key_id JOIN projects p ON p.id = k.project_id
 WHERE ($1 = '' OR r.id = $1) AND ($2 = '' OR r.principal_id = $2) AND ($3 = '' OR r.outcome = $3)
   AND ($4 OR p.team_id = ANY ($5) OR p.id = ANY ($6)) AND ($8 = '' OR r.id < $8)
 ORDER BY r.id DESC LIMIT $7`
	askRaiseSQL = `
INSERT INTO raise_requests (id, budget_id, key_id, principal_id, tokens, nano, requests, ends_at, reason, asked_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`
	decideRaiseSQL = "UPDATE raise_requests SET outcome = $2, decided_at = $3, decided_by = $4, answer = $5 WHERE id = $1"
)

// SetCeiling implements billing.SelfService.
func (s *Store) SetCeiling(ctx context.Context, c billing.Ceiling, notes ...*billing.Change) error {
	models, err := json.Marshal(append([]string{}, billing.CleanTexts(c.Models)...))
	if err != nil {
		return err
	}
	return s.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := mustExist(ctx, tx, billing.ScopeTeam, c.TeamID); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, setCeilingSQL, c.TeamID, c.Keys, c.Period, c.Zone, c.Money, c.Tokens, c.Requests,
			int64(c.Life/time.Second), string(models), c.UpdatedAt, billing.CleanText(c.UpdatedBy)); err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
}

// RemoveCeiling implements billing.SelfService.
func (s *Store) RemoveCeiling(ctx context.Context, teamID string, notes ...*billing.Change) error {
	return s.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, removeCeilingSQL, teamID)
		if err == nil && tag.RowsAffected() == 0 {
			err = &billing.NotFoundError{What: "ceiling", ID: teamID}
		}
		if err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
}

func scanCeiling(row pgx.CollectableRow) (c billing.Ceiling, err error) {
	var life int64
	var models string
	err = row.Scan(&c.TeamID, &c.Keys, &c.Period, &c.Zone, &c.Money, &c.Tokens, &c.Requests, &life, &models, &c.UpdatedAt, &c.UpdatedBy)
	if err != nil {
		return c, err
	}
	c.Life, c.UpdatedAt = time.Duration(life)*time.Second, c.UpdatedAt.UTC()
	if models == "[]" {
		return c, nil // nil allows all models, an empty list would allow none
	}
	return c, json.Unmarshal([]byte(models), &c.Models)
}

// ListCeilings implements billing.SelfService.
func (s *Store) ListCeilings(ctx context.Context) ([]billing.Ceiling, error) {
	return all(ctx, s, scanCeiling, ceilingsSQL, "")
}

func scanOwnUse(row pgx.CollectableRow) (u billing.OwnUse, err error) {
	err = row.Scan(&u.ID, &u.InForce, &u.Money, &u.Tokens, &u.Requests, &u.Used.Money, &u.Used.Tokens, &u.Used.Requests)
	return u, err
}

// CreateOwnKey implements billing.SelfService.
func (s *Store) CreateOwnKey(
	ctx context.Context, k billing.Key, hash [32]byte, now time.Time, fill func(*billing.Key, billing.Ceiling, []billing.OwnUse) error,
	notes ...*billing.Change,
) error {
	return s.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		c, err := one(ctx, tx, scanCeiling, ceilingsSQL, k.TeamID)
		if err != nil {
			return missing(err, "ceiling", k.TeamID)
		}
		rows, err := tx.Query(ctx, ownUseSQL, k.OwnerID, k.TeamID, c.Period, now)
		if err != nil {
			return err
		}
		own, err := pgx.CollectRows(rows, scanOwnUse)
		if err != nil {
			return err
		}
		made := k
		if err := fill(&made, c, own); err != nil {
			return err
		}
		if err := putKey(ctx, tx, made, hash); err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
}

// AskRaise implements billing.SelfService.
func (s *Store) AskRaise(ctx context.Context, r billing.RaiseRequest, notes ...*billing.Change) error {
	err := s.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		b, err := one(ctx, tx, scanBudget, findBudgetSQL, r.BudgetID)
		if err = missing(err, "budget", r.BudgetID); err == nil {
			err = billing.Raise{BudgetID: r.BudgetID, By: r.By, From: r.AskedAt, Until: r.Until, At: r.AskedAt}.Check(b)
		}
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, askRaiseSQL, r.ID, r.BudgetID, r.KeyID, r.PrincipalID, r.By.Tokens, r.By.Money, r.By.Requests, r.Until,
			billing.CleanText(r.Reason), r.AskedAt); err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
	if code(err) == uniqueViolation {
		return &billing.ConflictError{Detail: "a raise of budget " + r.BudgetID + " was asked for and is not decided yet"}
	}
	return err
}

func scanRaise(row pgx.CollectableRow) (r billing.RaiseRequest, err error) {
	var decided *time.Time
	err = row.Scan(&r.ID, &r.BudgetID, &r.KeyID, &r.PrincipalID, &r.By.Tokens, &r.By.Money, &r.By.Requests, &r.Until, &r.Reason, &r.AskedAt,
		&r.Outcome, &decided, &r.DecidedBy, &r.Answer, &r.TeamID, &r.ProjectID)
	r.Until, r.AskedAt, r.DecidedAt = r.Until.UTC(), r.AskedAt.UTC(), utc(decided)
	return r, err
}

// ListRaises implements billing.SelfService.
func (s *Store) ListRaises(ctx context.Context, f billing.RaiseFilter) ([]billing.RaiseRequest, error) {
	everywhere, teams, projects := within(f.Within)
	return all(ctx, s, scanRaise, raisesSQL, billing.CleanText(f.ID), billing.CleanText(f.PrincipalID), f.Outcome, everywhere, teams,
		projects, f.Most(), billing.CleanText(f.Before))
}

// DecideRaise implements billing.SelfService.
func (s *Store) DecideRaise(
	ctx context.Context, id string, decide func(*billing.RaiseRequest) error, notes ...*billing.Change,
) (r billing.RaiseRequest, err error) {
	err = s.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		r, err = one(ctx, tx, scanRaise, raisesSQL, billing.CleanText(id), "", "", true, nil, nil, 1, "")
		if err != nil {
			return missing(err, "raise", id)
		}
		if err := errors.Join(r.Decided(), decide(&r)); err != nil {
			return err
		}
		if r.Outcome == billing.RaiseApproved {
			if err := raise(ctx, tx, r.Raise()); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, decideRaiseSQL, id, r.Outcome, r.DecidedAt, billing.CleanText(r.DecidedBy),
			billing.CleanText(r.Answer)); err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
	return r, err
}
