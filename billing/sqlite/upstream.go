package sqlite

import (
	"context"
	"slices"

	"tallyroute/billing"
)

//nolint:gosec // statements about credentials, not credentials
const (
	selectCredentials = `SELECT id, provider, name, owner, weight, created_at, created_by, expires_at, disabled_at
FROM credentials WHERE ?1 = '' OR id = ?1 ORDER BY provider, name`
	credentialNamed  = `SELECT count(*) FROM credentials WHERE provider = ? AND name = ? AND id <> ?`
	selectVersionsOf = `SELECT credential_id, number, sealed, remote_id, created_at, ends_at
FROM credential_versions WHERE ?1 = '' OR credential_id = ?1 ORDER BY credential_id, number DESC`
	upsertCredential = `INSERT INTO credentials (id, provider, name, owner, weight, created_at, created_by, expires_at, disabled_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, owner = excluded.owner, weight = excluded.weight, expires_at = excluded.expires_at,
  disabled_at = excluded.disabled_at`
	upsertVersion = `INSERT INTO credential_versions (credential_id, number, sealed, remote_id, created_at, ends_at)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (credential_id, number) DO UPDATE SET sealed = excluded.sealed, ends_at = excluded.ends_at`
	dropVersion = `DELETE FROM credential_versions WHERE credential_id = ? AND number = ?`
	revised     = `UPDATE provider_changes SET revision = revision + 1`
	upsertUse   = `INSERT INTO credential_uses (provider, credential, used_at, failed_at, failure) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (provider, credential) DO UPDATE SET
  used_at = nullif(max(coalesce(used_at, ''), coalesce(excluded.used_at, '')), ''),
  failure = CASE WHEN excluded.failed_at > coalesce(failed_at, '') THEN excluded.failure ELSE failure END,
  failed_at = nullif(max(coalesce(failed_at, ''), coalesce(excluded.failed_at, '')), '')`
	selectUses      = `SELECT provider, credential, used_at, failed_at, failure FROM credential_uses ORDER BY provider, credential`
	selectProviders = `SELECT name, document, updated_at, updated_by FROM stored_providers ORDER BY name`
	upsertProvider  = `INSERT INTO stored_providers (name, document, updated_at, updated_by) VALUES (?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET document = excluded.document, updated_at = excluded.updated_at, updated_by = excluded.updated_by`
)

// ListCredentials implements billing.Credentials.
func (s *Store) ListCredentials(ctx context.Context) ([]billing.Credential, error) {
	return credentials(ctx, s.read, "")
}

// credentials returns the credential with an id, or all of them if id is empty.
func credentials(ctx context.Context, from *session, id string) (list []billing.Credential, err error) {
	err = from.rows(ctx, selectCredentials, []any{id}, func(scan scanner) error {
		var c billing.Credential
		err := scan(&c.ID, &c.Provider, &c.Name, &c.Owner, &c.Weight, instant{&c.CreatedAt}, &c.CreatedBy, instant{&c.ExpiresAt},
			instant{&c.DisabledAt})
		list = append(list, c)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = from.rows(ctx, selectVersionsOf, []any{id}, func(scan scanner) error {
		var of string
		var v billing.CredentialVersion
		if err := scan(&of, &v.Number, &v.Sealed, &v.RemoteID, instant{&v.CreatedAt}, instant{&v.EndsAt}); err != nil {
			return err
		}
		if i := slices.IndexFunc(list, func(c billing.Credential) bool { return c.ID == of }); i >= 0 {
			list[i].Versions = append(list[i].Versions, v)
		}
		return nil
	})
	return list, err
}

// CreateCredential implements billing.Credentials.
func (s *Store) CreateCredential(ctx context.Context, c billing.Credential, notes ...*billing.Change) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		return putCredential(ctx, tx, billing.Credential{}, c, notes)
	})
}

// UpdateCredential implements billing.Credentials.
func (s *Store) UpdateCredential(
	ctx context.Context, id string, change func(*billing.Credential) error, notes ...*billing.Change,
) (c billing.Credential, err error) {
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		list, err := credentials(ctx, tx, id)
		if err != nil {
			return err
		}
		if id == "" || len(list) == 0 {
			return &billing.NotFoundError{What: "credential", ID: id}
		}
		was := list[0]
		c = was
		c.Versions = slices.Clone(was.Versions)
		if err := change(&c); err != nil {
			return err
		}
		return putCredential(ctx, tx, was, c, notes)
	})
	return c, err
}

func putCredential(ctx context.Context, tx *session, was, c billing.Credential, notes []*billing.Change) error {
	name := billing.CleanText(c.Name)
	if err := wantFree(ctx, tx, "credential", c.Provider+"/"+name, credentialNamed, c.Provider, name, c.ID); err != nil {
		return err
	}
	if _, err := tx.exec(ctx, upsertCredential, c.ID, c.Provider, name, billing.CleanText(c.Owner), c.Weight, stamp(c.CreatedAt),
		billing.CleanText(c.CreatedBy), stampOrNull(c.ExpiresAt), stampOrNull(c.DisabledAt)); err != nil {
		return err
	}
	for _, v := range c.Versions {
		if _, err := tx.exec(ctx, upsertVersion, c.ID, v.Number, v.Sealed, billing.CleanText(v.RemoteID), stamp(v.CreatedAt),
			stampOrNull(v.EndsAt)); err != nil {
			return err
		}
	}
	for _, v := range was.Versions {
		if slices.ContainsFunc(c.Versions, func(kept billing.CredentialVersion) bool { return kept.Number == v.Number }) {
			continue
		}
		if _, err := tx.exec(ctx, dropVersion, c.ID, v.Number); err != nil {
			return err
		}
	}
	return revise(ctx, tx, notes)
}

// revise completes a change of credentials or providers: it raises their revision and notes the
// change.
func revise(ctx context.Context, tx *session, notes []*billing.Change) error {
	if _, err := tx.exec(ctx, revised); err != nil {
		return err
	}
	return note(ctx, tx, notes)
}

// DeleteCredential implements billing.Credentials.
func (s *Store) DeleteCredential(ctx context.Context, id string, notes ...*billing.Change) error {
	return s.drop(ctx, `DELETE FROM credentials WHERE id = ?`, "credential", id, notes)
}

// drop deletes the row with an id and raises the revision of the providers.
func (s *Store) drop(ctx context.Context, query, what, id string, notes []*billing.Change) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		n, err := tx.exec(ctx, query, id)
		if err != nil {
			return err
		}
		if n == 0 {
			return &billing.NotFoundError{What: what, ID: id}
		}
		return revise(ctx, tx, notes)
	})
}

// UseCredentials implements billing.Credentials.
func (s *Store) UseCredentials(ctx context.Context, uses []billing.CredentialUse) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		for _, u := range uses {
			if _, err := tx.exec(ctx, upsertUse, u.Provider, u.Credential, stampOrNull(u.UsedAt), stampOrNull(u.FailedAt),
				billing.CleanText(u.Failure)); err != nil {
				return err
			}
		}
		return nil
	})
}

// CredentialUses implements billing.Credentials.
func (s *Store) CredentialUses(ctx context.Context) (list []billing.CredentialUse, err error) {
	err = s.read.rows(ctx, selectUses, nil, func(scan scanner) error {
		var u billing.CredentialUse
		err := scan(&u.Provider, &u.Credential, instant{&u.UsedAt}, instant{&u.FailedAt}, &u.Failure)
		list = append(list, u)
		return err
	})
	return list, err
}

// ListProviders implements billing.StoredProviders.
func (s *Store) ListProviders(ctx context.Context) (list []billing.StoredProvider, err error) {
	err = s.read.rows(ctx, selectProviders, nil, func(scan scanner) error {
		var p billing.StoredProvider
		err := scan(&p.Name, &p.Document, instant{&p.UpdatedAt}, &p.UpdatedBy)
		list = append(list, p)
		return err
	})
	return list, err
}

// PutProvider implements billing.StoredProviders.
func (s *Store) PutProvider(ctx context.Context, p billing.StoredProvider, notes ...*billing.Change) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		if _, err := tx.exec(ctx, upsertProvider, p.Name, p.Document, stamp(p.UpdatedAt), billing.CleanText(p.UpdatedBy)); err != nil {
			return err
		}
		return revise(ctx, tx, notes)
	})
}

// DeleteProvider implements billing.StoredProviders.
func (s *Store) DeleteProvider(ctx context.Context, name string, notes ...*billing.Change) error {
	return s.drop(ctx, `DELETE FROM stored_providers WHERE name = ?`, "provider", name, notes)
}

// ProviderRevision implements billing.StoredProviders.
func (s *Store) ProviderRevision(ctx context.Context) (n int64, err error) {
	_, err = s.read.row(ctx, `SELECT revision FROM provider_changes`, nil, &n)
	return n, err
}
