package postgres

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
)

//nolint:gosec // statements about credentials, not credentials
const (
	credentialsSQL = `
SELECT id, provider, name, owner, weight, created_at, created_by, expires_at, disabled_at
  FROM credentials WHERE $1 = '' OR id = $1 ORDER BY provider, name`
	credentialVersionsSQL = `
SELECT credential_id, number, sealed, remote_id, created_at, ends_at
  FROM credential_versions WHERE $1 = '' OR credential_id = $1 ORDER BY credential_id, number DESC`
	putCredentialSQL = `
INSERT INTO credentials (id, provider, name, owner, weight, created_at, created_by, expires_at, disabled_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, owner = excluded.owner, weight = excluded.weight, expires_at = excluded.expires_at,
  disabled_at = excluded.disabled_at`
	putVersionSQL = `
INSERT INTO credential_versions (credential_id, number, sealed, remote_id, created_at, ends_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (credential_id, number) DO UPDATE SET sealed = excluded.sealed, ends_at = excluded.ends_at`
	dropVersionsSQL   = "DELETE FROM credential_versions WHERE credential_id = $1 AND number <> ALL ($2)"
	revisedSQL        = "UPDATE provider_changes SET revision = revision + 1"
	usedCredentialSQL = `
INSERT INTO credential_uses AS u (provider, credential, used_at, failed_at, failure) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (provider, credential) DO UPDATE SET used_at = greatest(u.used_at, excluded.used_at),
  failure = CASE WHEN excluded.failed_at > coalesce(u.failed_at, '-infinity') THEN excluded.failure ELSE u.failure END,
  failed_at = greatest(u.failed_at, excluded.failed_at)`
	usesSQL            = "SELECT provider, credential, used_at, failed_at, failure FROM credential_uses ORDER BY provider, credential"
	storedProvidersSQL = "SELECT name, document, updated_at, updated_by FROM stored_providers ORDER BY name"
	putProviderSQL     = `
INSERT INTO stored_providers (name, document, updated_at, updated_by) VALUES ($1, $2, $3, $4)
ON CONFLICT (name) DO UPDATE SET document = excluded.document, updated_at = excluded.updated_at, updated_by = excluded.updated_by`
)

// ListCredentials implements billing.Credentials.
func (s *Store) ListCredentials(ctx context.Context) (list []billing.Credential, err error) {
	err = s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		list, err = credentials(ctx, c, "")
		return err
	})
	return list, err
}

// credentials returns the credential with an id, or all if id is "".
func credentials(ctx context.Context, q querier, id string) ([]billing.Credential, error) {
	rows, err := q.Query(ctx, credentialsSQL, id)
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c billing.Credential, err error) {
		var expires, disabled *time.Time
		err = row.Scan(&c.ID, &c.Provider, &c.Name, &c.Owner, &c.Weight, &c.CreatedAt, &c.CreatedBy, &expires, &disabled)
		c.CreatedAt, c.ExpiresAt, c.DisabledAt = c.CreatedAt.UTC(), utc(expires), utc(disabled)
		return c, err
	})
	if err != nil {
		return nil, err
	}
	if rows, err = q.Query(ctx, credentialVersionsSQL, id); err != nil {
		return nil, err
	}
	var of string
	var number int
	var sealed []byte
	var remote string
	var created time.Time
	var ends *time.Time
	_, err = pgx.ForEachRow(rows, []any{&of, &number, &sealed, &remote, &created, &ends}, func() error {
		if i := slices.IndexFunc(list, func(c billing.Credential) bool { return c.ID == of }); i >= 0 {
			list[i].Versions = append(list[i].Versions, billing.CredentialVersion{
				Number: number, Sealed: slices.Clone(sealed), RemoteID: remote, CreatedAt: created.UTC(), EndsAt: utc(ends),
			})
		}
		return nil
	})
	return list, err
}

// CreateCredential implements billing.Credentials.
func (s *Store) CreateCredential(ctx context.Context, c billing.Credential, notes ...*billing.Change) error {
	err := s.change(ctx, func(ctx context.Context, tx pgx.Tx) error { return putCredential(ctx, tx, c, notes) })
	return taken(err, "credential", c.Provider+"/"+c.Name)
}

// UpdateCredential implements billing.Credentials.
func (s *Store) UpdateCredential(
	ctx context.Context, id string, change func(*billing.Credential) error, notes ...*billing.Change,
) (c billing.Credential, err error) {
	err = s.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		list, err := credentials(ctx, tx, id)
		if err != nil {
			return err
		}
		if id == "" || len(list) == 0 {
			return &billing.NotFoundError{What: "credential", ID: id}
		}
		c = list[0]
		if err := change(&c); err != nil {
			return err
		}
		return putCredential(ctx, tx, c, notes)
	})
	return c, taken(err, "credential", c.Provider+"/"+c.Name)
}

func putCredential(ctx context.Context, tx pgx.Tx, c billing.Credential, notes []*billing.Change) error {
	var batch pgx.Batch
	batch.Queue(putCredentialSQL, c.ID, c.Provider, billing.CleanText(c.Name), billing.CleanText(c.Owner), c.Weight, c.CreatedAt,
		billing.CleanText(c.CreatedBy), orNull(c.ExpiresAt), orNull(c.DisabledAt))
	numbers := make([]int, len(c.Versions))
	for i, v := range c.Versions {
		numbers[i] = v.Number
		batch.Queue(putVersionSQL, c.ID, v.Number, v.Sealed, billing.CleanText(v.RemoteID), v.CreatedAt, orNull(v.EndsAt))
	}
	batch.Queue(dropVersionsSQL, c.ID, numbers)
	batch.Queue(revisedSQL)
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return err
	}
	return note(ctx, tx, notes)
}

// DeleteCredential implements billing.Credentials.
func (s *Store) DeleteCredential(ctx context.Context, id string, notes ...*billing.Change) error {
	return s.drop(ctx, "DELETE FROM credentials WHERE id = $1", "credential", id, notes)
}

// drop deletes the object with an id and bumps the provider revision.
func (s *Store) drop(ctx context.Context, sql, what, id string, notes []*billing.Change) error {
	return s.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, sql, id)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return &billing.NotFoundError{What: what, ID: id}
		}
		if _, err := tx.Exec(ctx, revisedSQL); err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
}

// UseCredentials implements billing.Credentials. It goes by name, so that two routers cannot
// deadlock.
func (s *Store) UseCredentials(ctx context.Context, uses []billing.CredentialUse) error {
	byName := slices.SortedFunc(slices.Values(uses), func(a, b billing.CredentialUse) int {
		return cmp.Or(cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Credential, b.Credential))
	})
	var batch pgx.Batch
	for _, u := range byName {
		batch.Queue(usedCredentialSQL, u.Provider, u.Credential, orNull(u.UsedAt), orNull(u.FailedAt), billing.CleanText(u.Failure))
	}
	return s.on(ctx, func(ctx context.Context, c *pgx.Conn) error { return c.SendBatch(ctx, &batch).Close() })
}

// CredentialUses implements billing.Credentials.
func (s *Store) CredentialUses(ctx context.Context) ([]billing.CredentialUse, error) {
	return all(ctx, s, func(row pgx.CollectableRow) (u billing.CredentialUse, err error) {
		var used, failed *time.Time
		err = row.Scan(&u.Provider, &u.Credential, &used, &failed, &u.Failure)
		u.UsedAt, u.FailedAt = utc(used), utc(failed)
		return u, err
	}, usesSQL)
}

// ListProviders implements billing.StoredProviders.
func (s *Store) ListProviders(ctx context.Context) ([]billing.StoredProvider, error) {
	return all(ctx, s, func(row pgx.CollectableRow) (p billing.StoredProvider, err error) {
		err = row.Scan(&p.Name, &p.Document, &p.UpdatedAt, &p.UpdatedBy)
		p.UpdatedAt = p.UpdatedAt.UTC()
		return p, err
	}, storedProvidersSQL)
}

// PutProvider implements billing.StoredProviders.
func (s *Store) PutProvider(ctx context.Context, p billing.StoredProvider, notes ...*billing.Change) error {
	return s.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var batch pgx.Batch
		batch.Queue(putProviderSQL, p.Name, p.Document, p.UpdatedAt, billing.CleanText(p.UpdatedBy))
		batch.Queue(revisedSQL)
		if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
			return err
		}
		return note(ctx, tx, notes)
	})
}

// DeleteProvider implements billing.StoredProviders.
func (s *Store) DeleteProvider(ctx context.Context, name string, notes ...*billing.Change) error {
	return s.drop(ctx, "DELETE FROM stored_providers WHERE name = $1", "provider", name, notes)
}

// ProviderRevision implements billing.StoredProviders.
func (s *Store) ProviderRevision(ctx context.Context) (n int64, err error) {
	err = s.on(ctx, func(ctx context.Context, c *pgx.Conn) error {
		return c.QueryRow(ctx, "SELECT revision FROM provider_changes").Scan(&n)
	})
	return n, err
}
