package sqlite

import (
	"context"
	"time"

	"tallyroute/billing"
)

const (
	insertSession = `INSERT INTO admin_sessions (id, principal_id, hash, created_at, authenticated_at, expires_at, last_used_at, source,
  user_agent, strength)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	dropSessions   = `DELETE FROM admin_sessions WHERE expires_at < ?`
	sessionColumns = `SELECT id, principal_id, created_at, authenticated_at, expires_at, last_used_at, ended_at, source, user_agent,
	  strength
FROM admin_sessions `
	sessionOf     = sessionColumns + `WHERE hash = ?`
	listSessions  = sessionColumns + `WHERE (?1 = '' OR principal_id = ?1) AND ended_at IS NULL AND expires_at > ?2 ORDER BY id DESC`
	touchSession  = `UPDATE admin_sessions SET last_used_at = ?2 WHERE id = ?1 AND last_used_at < ?2`
	touchWhoLogin = `UPDATE principals SET last_seen_at = ?2 WHERE id = (SELECT principal_id FROM admin_sessions WHERE id = ?1)
  AND coalesce(last_seen_at, '') < ?2`
	sessionThere = `SELECT count(*) FROM admin_sessions WHERE id = ?`
	endSession   = `UPDATE admin_sessions SET ended_at = ?2 WHERE id = ?1 AND ended_at IS NULL`
)

// keptSessions is how long expired sessions are kept.
const keptSessions = 90 * 24 * time.Hour

// CreateSession implements billing.Sessions.
func (s *Store) CreateSession(ctx context.Context, one billing.Session, notes ...*billing.Change) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		if _, err := tx.exec(ctx, dropSessions, stamp(one.CreatedAt.Add(-keptSessions))); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, insertSession, one.ID, one.PrincipalID, one.Hash[:], stamp(one.CreatedAt), stamp(one.AuthenticatedAt),
			stamp(one.ExpiresAt), stamp(one.LastUsedAt), billing.CleanText(one.Source), billing.CleanText(one.UserAgent),
			billing.CleanText(one.Strength)); err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
}

func scanSession(scan scanner) (one billing.Session, err error) {
	err = scan(&one.ID, &one.PrincipalID, instant{&one.CreatedAt}, instant{&one.AuthenticatedAt}, instant{&one.ExpiresAt},
		instant{&one.LastUsedAt}, instant{&one.EndedAt}, &one.Source, &one.UserAgent, &one.Strength)
	return one, err
}

// SessionByHash implements billing.Sessions.
func (s *Store) SessionByHash(ctx context.Context, hash [32]byte) (one billing.Session, p billing.Principal, err error) {
	err = s.inSnapshot(ctx, func(tx *session) error {
		err := tx.rows(ctx, sessionOf, []any{hash[:]}, func(scan scanner) (err error) {
			one, err = scanSession(scan)
			return err
		})
		if err != nil {
			return err
		}
		if one.ID == "" {
			return billing.ErrUnknownToken
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
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		for _, statement := range []string{touchSession, touchWhoLogin} {
			if _, err := tx.exec(ctx, statement, id, stamp(at)); err != nil {
				return err
			}
		}
		return nil
	})
}

// EndSession implements billing.Sessions.
func (s *Store) EndSession(ctx context.Context, id string, at time.Time, notes ...*billing.Change) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		var n int
		if _, err := tx.row(ctx, sessionThere, []any{id}, &n); err != nil {
			return err
		}
		if n == 0 {
			return &billing.NotFoundError{What: "session", ID: id}
		}
		if _, err := tx.exec(ctx, endSession, id, stamp(at)); err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
}

// ListSessions implements billing.Sessions.
func (s *Store) ListSessions(ctx context.Context, principal string, now time.Time) (list []billing.Session, err error) {
	err = s.inSnapshot(ctx, func(tx *session) error {
		return tx.rows(ctx, listSessions, []any{principal, stamp(now)}, func(scan scanner) error {
			one, err := scanSession(scan)
			list = append(list, one)
			return err
		})
	})
	return list, err
}
