package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
)

const (
	insertSessionSQL = `
INSERT INTO admin_sessions (id, principal_id, hash, created_at, authenticated_at, expires_at, last_used_at, source, user_agent, strength)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`
	dropSessionsSQL   = "DELETE FROM admin_sessions WHERE expires_at < $1"
	sessionColumnsSQL = `
SELECT id, principal_id, created_at, authenticated_at, expires_at, last_used_at, ended_at, source, user_agent, strength
  FROM admin_sessions `
	sessionOfSQL    = sessionColumnsSQL + "WHERE hash = $1"
	listSessionsSQL = sessionColumnsSQL + `
 WHERE ($1 = '' OR principal_id = $1) AND ended_at IS NULL AND expires_at > $2 ORDER BY id DESC`
	touchSessionSQL = `
WITH seen AS (
  UPDATE principals SET last_seen_at = greatest(last_seen_at, $2) WHERE id = (SELECT principal_id FROM admin_sessions WHERE id = $1)
  RETURNING id
)
UPDATE admin_sessions SET last_used_at = greatest(last_used_at, $2) WHERE id = $1 AND EXISTS (SELECT FROM seen)`
	endSessionSQL = "UPDATE admin_sessions SET ended_at = coalesce(ended_at, $2) WHERE id = $1"
)

// keptSessions is how long expired sessions are kept.
const keptSessions = 90 * 24 * time.Hour

// CreateSession implements billing.Sessions.
func (s *Store) CreateSession(ctx context.Context, one billing.Session, notes ...*billing.Change) error {
	return s.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, dropSessionsSQL, one.CreatedAt.Add(-keptSessions)); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, insertSessionSQL, one.ID, one.PrincipalID, one.Hash[:], one.CreatedAt, one.AuthenticatedAt, one.ExpiresAt,
			one.LastUsedAt, billing.CleanText(one.Source), billing.CleanText(one.UserAgent), billing.CleanText(one.Strength)); err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
}

func scanSession(row pgx.CollectableRow) (one billing.Session, err error) {
	var ended *time.Time
	err = row.Scan(&one.ID, &one.PrincipalID, &one.CreatedAt, &one.AuthenticatedAt, &one.ExpiresAt, &one.LastUsedAt, &ended, &one.Source,
		&one.UserAgent, &one.Strength)
	one.CreatedAt, one.AuthenticatedAt, one.ExpiresAt = one.CreatedAt.UTC(), one.AuthenticatedAt.UTC(), one.ExpiresAt.UTC()
	one.LastUsedAt, one.EndedAt = one.LastUsedAt.UTC(), utc(ended)
	return one, err
}

// SessionByHash implements billing.Sessions.
func (s *Store) SessionByHash(ctx context.Context, hash [32]byte) (one billing.Session, p billing.Principal, err error) {
	err = s.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		rows, err := tx.Query(ctx, sessionOfSQL, hash[:])
		if err != nil {
			return err
		}
		if one, err = pgx.CollectExactlyOneRow(rows, scanSession); err != nil {
			if errors.Is(err, pgx.ErrNoRows) {
				err = billing.ErrUnknownToken
			}
			return err
		}
		list, err := principals(ctx, tx, one.PrincipalID)
		if err == nil {
			p = list[0]
		}
		return err
	})
	return one, p, err
}

// TouchSession implements billing.Sessions.
func (s *Store) TouchSession(ctx context.Context, id string, at time.Time) error {
	return s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, touchSessionSQL, id, at)
		return err
	})
}

// EndSession implements billing.Sessions.
func (s *Store) EndSession(ctx context.Context, id string, at time.Time, notes ...*billing.Change) error {
	return s.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		done, err := tx.Exec(ctx, endSessionSQL, id, at)
		if err != nil {
			return err
		}
		if done.RowsAffected() == 0 {
			return &billing.NotFoundError{What: "session", ID: id}
		}
		return note(ctx, tx, notes)
	})
}

// ListSessions implements billing.Sessions.
func (s *Store) ListSessions(ctx context.Context, principal string, now time.Time) (list []billing.Session, err error) {
	err = s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		rows, err := c.Query(ctx, listSessionsSQL, principal, now)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, scanSession)
		return err
	})
	return list, err
}
