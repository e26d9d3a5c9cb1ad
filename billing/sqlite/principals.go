package sqlite

import (
	"context"
	"slices"
	"time"

	"tallyroute/billing"
)

//nolint:gosec // statements about tokens, not tokens
const (
	selectPrincipals = `SELECT id, kind, name, email, coalesce(issuer, ''), coalesce(subject, ''), created_at, created_by, disabled_at,
  last_seen_at
FROM principals WHERE ?1 = '' OR id = ?1 ORDER BY id`
	principalNamed = `SELECT count(*) FROM principals WHERE name = ? AND id <> ?`
	selectGrants   = `SELECT principal_id, id, role, scope, scope_id, created_at, created_by, approved_by, reason, expires_at, ended_at,
  from_group, must
FROM grants WHERE ?1 = '' OR principal_id = ?1 ORDER BY id`
	selectTokens = `SELECT principal_id, id, name, display, created_at, created_by, expires_at, ended_at, last_used_at
FROM admin_tokens WHERE ?1 = '' OR principal_id = ?1 ORDER BY id`
	upsertPrincipal = `INSERT INTO principals (id, kind, name, email, issuer, subject, created_at, created_by, disabled_at)
VALUES (?, ?, ?, ?, nullif(?, ''), nullif(?, ''), ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, email = excluded.email, issuer = excluded.issuer, subject = excluded.subject,
  disabled_at = excluded.disabled_at, version = principals.version + 1`
	upsertGrant = `INSERT INTO grants (id, principal_id, role, scope, scope_id, created_at, created_by, approved_by, reason, expires_at,
  ended_at, from_group, must)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET ended_at = excluded.ended_at`
	insertToken = `INSERT INTO admin_tokens (id, principal_id, name, display, hash, created_at, created_by, expires_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)`
	endToken      = `UPDATE admin_tokens SET ended_at = ?2 WHERE id = ?1`
	selectTokenOf = `SELECT principal_id, id FROM admin_tokens WHERE hash = ?`
	touchToken    = `UPDATE admin_tokens SET last_used_at = ?2 WHERE id = ?1 AND coalesce(last_used_at, '') < ?2`
	touchWho      = `UPDATE principals SET last_seen_at = ?2 WHERE id = (SELECT principal_id FROM admin_tokens WHERE id = ?1)
  AND coalesce(last_seen_at, '') < ?2`
)

// CreatePrincipal implements billing.Principals.
func (s *Store) CreatePrincipal(ctx context.Context, p billing.Principal, notes ...*billing.Change) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		if err := putPrincipal(ctx, tx, billing.Principal{}, p); err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
}

// UpdatePrincipal implements billing.Principals.
func (s *Store) UpdatePrincipal(
	ctx context.Context, id string, change func(p *billing.Principal, all []billing.Principal) error, notes ...*billing.Change,
) (p billing.Principal, err error) {
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
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
	return p, err
}

// putPrincipal stores whatever has changed in a principal.
func putPrincipal(ctx context.Context, tx *session, was, p billing.Principal) error {
	if err := wantFree(ctx, tx, "principal", p.Name, principalNamed, billing.CleanText(p.Name), p.ID); err != nil {
		return err
	}
	if _, err := tx.exec(ctx, upsertPrincipal, p.ID, string(p.Kind), billing.CleanText(p.Name), billing.CleanText(p.Email), p.Issuer,
		p.Subject, stamp(p.CreatedAt), billing.CleanText(p.CreatedBy), stampOrNull(p.DisabledAt)); err != nil {
		return err
	}
	for i, g := range p.Grants {
		if i < len(was.Grants) && was.Grants[i] == g {
			continue
		}
		if _, err := tx.exec(ctx, upsertGrant, g.ID, p.ID, g.Role, string(g.Scope), g.ScopeID, stamp(g.CreatedAt),
			billing.CleanText(g.CreatedBy), billing.CleanText(g.ApprovedBy), billing.CleanText(g.Reason), stampOrNull(g.ExpiresAt),
			stampOrNull(g.EndedAt), billing.CleanText(g.FromGroup), g.Must); err != nil {
			return err
		}
	}
	for i, t := range p.Tokens {
		var err error
		switch {
		case i >= len(was.Tokens):
			_, err = tx.exec(ctx, insertToken, t.ID, p.ID, billing.CleanText(t.Name), t.Display, t.Hash[:], stamp(t.CreatedAt),
				billing.CleanText(t.CreatedBy), stampOrNull(t.ExpiresAt))
		case was.Tokens[i] != t:
			_, err = tx.exec(ctx, endToken, t.ID, stampOrNull(t.EndedAt))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// principals returns the principal with an id, or all of them if id is empty.
func principals(ctx context.Context, from *session, id string) (list []billing.Principal, err error) {
	err = from.rows(ctx, selectPrincipals, []any{id}, func(scan scanner) error {
		var p billing.Principal
		err := scan(&p.ID, &p.Kind, &p.Name, &p.Email, &p.Issuer, &p.Subject, instant{&p.CreatedAt}, &p.CreatedBy, instant{&p.DisabledAt},
			instant{&p.LastSeenAt})
		list = append(list, p)
		return err
	})
	if err != nil {
		return nil, err
	}
	of := make(map[string]*billing.Principal, len(list))
	for i := range list {
		of[list[i].ID] = &list[i]
	}
	err = from.rows(ctx, selectGrants, []any{id}, func(scan scanner) error {
		var owner string
		var g billing.Grant
		if err := scan(&owner, &g.ID, &g.Role, &g.Scope, &g.ScopeID, instant{&g.CreatedAt}, &g.CreatedBy, &g.ApprovedBy, &g.Reason,
			instant{&g.ExpiresAt}, instant{&g.EndedAt}, &g.FromGroup, &g.Must); err != nil {
			return err
		}
		of[owner].Grants = append(of[owner].Grants, g)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return list, from.rows(ctx, selectTokens, []any{id}, func(scan scanner) error {
		var owner string
		var t billing.AdminToken
		if err := scan(&owner, &t.ID, &t.Name, &t.Display, instant{&t.CreatedAt}, &t.CreatedBy, instant{&t.ExpiresAt},
			instant{&t.EndedAt}, instant{&t.LastUsedAt}); err != nil {
			return err
		}
		of[owner].Tokens = append(of[owner].Tokens, t)
		return nil
	})
}

// ListPrincipals implements billing.Principals.
func (s *Store) ListPrincipals(ctx context.Context) (list []billing.Principal, err error) {
	err = s.inSnapshot(ctx, func(tx *session) error {
		list, err = principals(ctx, tx, "")
		return err
	})
	return list, err
}

// PrincipalByToken implements billing.Principals.
func (s *Store) PrincipalByToken(ctx context.Context, hash [32]byte) (p billing.Principal, t billing.AdminToken, err error) {
	var owner, id string
	found, err := s.read.row(ctx, selectTokenOf, []any{hash[:]}, &owner, &id)
	if err != nil {
		return p, t, err
	}
	if !found {
		return p, t, billing.ErrUnknownToken
	}
	err = s.inSnapshot(ctx, func(tx *session) error {
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
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		for _, statement := range []string{touchToken, touchWho} {
			if _, err := tx.exec(ctx, statement, id, stamp(at)); err != nil {
				return err
			}
		}
		return nil
	})
}
