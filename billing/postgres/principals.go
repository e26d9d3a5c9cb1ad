package postgres

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
)

//nolint:gosec // statements about tokens, not tokens
const (
	principalsSQL = `
SELECT id, kind, name, email, coalesce(issuer, ''), coalesce(subject, ''), created_at, created_by, disabled_at, last_seen_at
  FROM principals WHERE $1 = '' OR id = $1 ORDER BY id`
	grantsSQL = `
SELECT principal_id, id, role, scope, scope_id, created_at, created_by, approved_by, reason, expires_at, ended_at, from_group, must
  FROM grants WHERE $1 = '' OR principal_id = $1 ORDER BY id`
	tokensSQL = `
SELECT principal_id, id, name, display, created_at, created_by, expires_at, ended_at, last_used_at
  FROM admin_tokens WHERE $1 = '' OR principal_id = $1 ORDER BY id`
	putPrincipalSQL = `
INSERT INTO principals (id, kind, name, email, issuer, subject, created_at, created_by, disabled_at)
VALUES ($1, $2, $3, $4, nullif($5, ''), nullif($6, ''), $7, $8, $9)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, email = excluded.email, issuer = excluded.issuer, subject = excluded.subject,
  disabled_at = excluded.disabled_at, version = principals.version + 1`
	putGrantSQL = `
INSERT INTO grants (id, principal_id, role, scope, scope_id, created_at, created_by, approved_by, reason, expires_at, ended_at, from_group,
                    must)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (id) DO UPDATE SET ended_at = excluded.ended_at`
	putTokenSQL = `
INSERT INTO admin_tokens (id, principal_id, name, display, hash, created_at, created_by, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
	endTokenSQL  = "UPDATE admin_tokens SET ended_at = $2 WHERE id = $1"
	findTokenSQL = "SELECT principal_id, id FROM admin_tokens WHERE hash = $1"
	// touchTokenSQL locks the principal first, as UpdatePrincipal does.
	touchTokenSQL = `
WITH seen AS (
  UPDATE principals SET last_seen_at = greatest(last_seen_at, $2) WHERE id = (SELECT principal_id FROM admin_tokens WHERE id = $1)
  RETURNING id
)
UPDATE admin_tokens SET last_used_at = greatest(last_used_at, $2) WHERE id = $1 AND EXISTS (SELECT FROM seen)`
)

// CreatePrincipal implements billing.Principals.
func (s *Store) CreatePrincipal(ctx context.Context, p billing.Principal, notes ...*billing.Change) error {
	err := s.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := putPrincipal(ctx, tx, billing.Principal{}, p); err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
	return taken(err, "principal", p.Name)
}

// UpdatePrincipal implements billing.Principals.
func (s *Store) UpdatePrincipal(
	ctx context.Context, id string, change func(p *billing.Principal, all []billing.Principal) error, notes ...*billing.Change,
) (p billing.Principal, err error) {
	err = s.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		list, err := principals(ctx, tx, "")
		if err != nil {
			return err
		}
		was, is, err := billing.ChangePrincipal(list, id, change)
		if err != nil {
			return err
		}
		if err := putPrincipal(ctx, tx, was, is); err != nil {
			return err
		}
		p = is
		return note(ctx, tx, notes)
	})
	return p, taken(err, "principal", p.Name)
}

// putPrincipal stores a principal, with those grants and tokens that differ from was.
func putPrincipal(ctx context.Context, tx pgx.Tx, was, p billing.Principal) error {
	var batch pgx.Batch
	batch.Queue(putPrincipalSQL, p.ID, p.Kind, billing.CleanText(p.Name), billing.CleanText(p.Email), p.Issuer, p.Subject, p.CreatedAt,
		billing.CleanText(p.CreatedBy), orNull(p.DisabledAt))
	for i, g := range p.Grants {
		if i < len(was.Grants) && was.Grants[i] == g {
			continue
		}
		batch.Queue(putGrantSQL, g.ID, p.ID, g.Role, g.Scope, g.ScopeID, g.CreatedAt, billing.CleanText(g.CreatedBy),
			billing.CleanText(g.ApprovedBy), billing.CleanText(g.Reason), orNull(g.ExpiresAt), orNull(g.EndedAt),
			billing.CleanText(g.FromGroup), g.Must)
	}
	for i, t := range p.Tokens {
		switch {
		case i >= len(was.Tokens):
			batch.Queue(putTokenSQL, t.ID, p.ID, billing.CleanText(t.Name), t.Display, t.Hash[:], t.CreatedAt,
				billing.CleanText(t.CreatedBy), orNull(t.ExpiresAt))
		case was.Tokens[i] != t:
			batch.Queue(endTokenSQL, t.ID, orNull(t.EndedAt))
		}
	}
	return tx.SendBatch(ctx, &batch).Close()
}

// principals returns the principal with an id, or all if id is "".
func principals(ctx context.Context, q querier, id string) ([]billing.Principal, error) {
	rows, err := q.Query(ctx, principalsSQL, id)
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p billing.Principal, err error) {
		var disabled, seen *time.Time
		err = row.Scan(&p.ID, &p.Kind, &p.Name, &p.Email, &p.Issuer, &p.Subject, &p.CreatedAt, &p.CreatedBy, &disabled, &seen)
		p.CreatedAt, p.DisabledAt, p.LastSeenAt = p.CreatedAt.UTC(), utc(disabled), utc(seen)
		return p, err
	})
	if err != nil {
		return nil, err
	}
	of := make(map[string]*billing.Principal, len(list))
	for i := range list {
		of[list[i].ID] = &list[i]
	}
	if rows, err = q.Query(ctx, grantsSQL, id); err != nil {
		return nil, err
	}
	var owner string
	var g billing.Grant
	var expires, ended, used *time.Time
	_, err = pgx.ForEachRow(rows, []any{
		&owner, &g.ID, &g.Role, &g.Scope, &g.ScopeID, &g.CreatedAt, &g.CreatedBy, &g.ApprovedBy, &g.Reason, &expires, &ended, &g.FromGroup,
		&g.Must,
	}, func() error {
		g.CreatedAt, g.ExpiresAt, g.EndedAt = g.CreatedAt.UTC(), utc(expires), utc(ended)
		of[owner].Grants = append(of[owner].Grants, g)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if rows, err = q.Query(ctx, tokensSQL, id); err != nil {
		return nil, err
	}
	var t billing.AdminToken
	_, err = pgx.ForEachRow(rows, []any{&owner, &t.ID, &t.Name, &t.Display, &t.CreatedAt, &t.CreatedBy, &expires, &ended, &used},
		func() error {
			t.CreatedAt, t.ExpiresAt, t.EndedAt, t.LastUsedAt = t.CreatedAt.UTC(), utc(expires), utc(ended), utc(used)
			of[owner].Tokens = append(of[owner].Tokens, t)
			return nil
		})
	return list, err
}

// ListPrincipals implements billing.Principals.
func (s *Store) ListPrincipals(ctx context.Context) (list []billing.Principal, err error) {
	err = s.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		list, err = principals(ctx, tx, "")
		return err
	})
	return list, err
}

// PrincipalByToken implements billing.Principals.
func (s *Store) PrincipalByToken(ctx context.Context, hash [32]byte) (p billing.Principal, t billing.AdminToken, err error) {
	err = s.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var owner, id string
		err := tx.QueryRow(ctx, findTokenSQL, hash[:]).Scan(&owner, &id)
		if errors.Is(err, pgx.ErrNoRows) {
			return billing.ErrUnknownToken
		}
		if err != nil {
			return err
		}
		list, err := principals(ctx, tx, owner)
		if err != nil {
			return err
		}
		p = list[0]
		t = p.Tokens[slices.IndexFunc(p.Tokens, func(t billing.AdminToken) bool { return t.ID == id })]
		return nil
	})
	return p, t, err
}

// TouchToken implements billing.Principals.
func (s *Store) TouchToken(ctx context.Context, id string, at time.Time) error {
	return s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, touchTokenSQL, id, at)
		return err
	})
}
