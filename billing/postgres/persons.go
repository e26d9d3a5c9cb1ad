package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
	"tallyroute/billing/breakdown"
)

const newPseudonym = `'eu_' || right(replace(gen_random_uuid()::text, '-', ''), 20)`

// nameUsersSQL gives pseudonyms to end users that have none. It is a separate statement
// ahead of the one that inserts rows, so that the latter also sees pseudonyms that other
// transactions have assigned in the meantime. It runs before any lock is taken, in order
// of name, so that it cannot deadlock.
const nameUsersSQL = `
INSERT INTO end_users (stored, shown)
SELECT ` + newPseudonym + `, name FROM unnest($1::text[]) AS n (name)
 WHERE NOT EXISTS (SELECT FROM end_users u WHERE u.shown = n.name AND u.erased_at IS NULL)
 ORDER BY name
ON CONFLICT DO NOTHING`

// pseudonymSQL is the pseudonym that row r stores in place of an end user. If the end user
// is being erased at that moment, it is a new pseudonym that no name is recorded for.
const pseudonymSQL = `CASE WHEN r.end_user IS NULL OR r.end_user ~ '^eu_[0-9a-f]{20}$' THEN r.end_user
    ELSE coalesce((SELECT u.stored FROM end_users u WHERE u.shown = r.end_user AND u.erased_at IS NULL), ` + newPseudonym + `) END`

// namedUsers returns the distinct end users of rows that are given by name, sorted.
func namedUsers(rows []billing.Spend) []string {
	var names []string
	for i := range rows {
		if name := rows[i].EndUser; name != "" && !billing.IsPseudonym(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// lockNamedSQL names users and locks scopes in one statement. It names users before it locks
// any scope, so that a transaction that waits for another one to assign the same name does
// not keep others from opening a counter.
const lockNamedSQL = `WITH named AS (` + nameUsersSQL + ` RETURNING stored)
SELECT pg_advisory_xact_lock_shared(l) FROM unnest($2::bigint[]) AS l WHERE (SELECT count(*) FROM named) >= 0`

// queueScopes adds a statement to b that names the end users of rows and locks scopes.
func queueScopes(b *pgx.Batch, rows []billing.Spend, locks []int64) {
	if names := namedUsers(rows); len(names) > 0 {
		b.Queue(lockNamedSQL, names, locks)
		return
	}
	b.Queue(lockScopesSQL, locks)
}

const (
	// personNamesSQL returns the values that rows may hold for a person: the name, unless it
	// is an erased pseudonym, and every pseudonym that is shown as that name.
	personNamesSQL = `
SELECT ARRAY(
  SELECT $1::text WHERE NOT EXISTS (SELECT FROM end_users WHERE stored = $1 AND erased_at IS NOT NULL)
  UNION SELECT stored FROM end_users WHERE shown = $1)`
	personRowsSQL = selectEventsSQL + `
 WHERE e.report_day = ANY ($1::text[]::date[]) AND e.end_user = ANY ($2)
 ORDER BY e.occurred_at, e.request_id, e.attempt`
)

// PersonRows implements billing.Persons.
func (s *Store) PersonRows(ctx context.Context, name string, each func(billing.Spend) error) error {
	return s.wide(ctx, func(ctx context.Context, c querier) error {
		var names []string
		if err := c.QueryRow(ctx, personNamesSQL, billing.CleanText(name)).Scan(&names); err != nil {
			return err
		}
		of, err := breakdown.DaysOf(ctx, snapshot{c}, days, names)
		if err != nil {
			return err
		}
		rows, err := c.Query(ctx, personRowsSQL, of, names)
		if err != nil {
			return err
		}
		return eachSpend(rows, each)
	})
}

const (
	forgetAccessSQL = `
UPDATE access_log SET address = '', user_agent = ''
 WHERE at >= $2 AND at < $3 AND request_id = ANY ($1::text[]) AND (address <> '' OR user_agent <> '')`
	forgetResponsesSQL = `DELETE FROM stored_responses WHERE id IN (SELECT 'resp_' || substr(r, 5) FROM unnest($1::text[]) AS r)`
)

// around is how far the access-log entry of a request may be from the start of the request.
const around = 24 * time.Hour

// ForgetRequests implements billing.Persons.
func (s *Store) ForgetRequests(ctx context.Context, r billing.ForgottenRequests) (found billing.Traces, err error) {
	err = s.long(ctx, func(ctx context.Context, c *pgx.Conn) error {
		return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
			tag, err := tx.Exec(ctx, forgetAccessSQL, r.IDs, r.From.Add(-around), r.To.Add(around))
			if err != nil {
				return err
			}
			found.Access = tag.RowsAffected()
			tag, err = tx.Exec(ctx, forgetResponsesSQL, r.IDs)
			found.Responses = tag.RowsAffected()
			return err
		})
	})
	return found, err
}

const (
	deletePersonSQL   = `DELETE FROM end_users WHERE (shown = $1 OR stored = $1) AND erased_at IS NULL RETURNING stored, shown`
	newPseudonymSQL   = `SELECT ` + newPseudonym
	overlayPersonSQL  = `INSERT INTO end_users (stored, shown, erased_at) VALUES ($1, $2, $3) ON CONFLICT (stored) DO NOTHING`
	selectRejectedSQL = `SELECT id, spend FROM spend_rejects ORDER BY id FOR UPDATE`
	updateRejectedSQL = `UPDATE spend_rejects SET spend = $2 WHERE id = $1`
)

// ErasePerson implements billing.Persons.
func (s *Store) ErasePerson(ctx context.Context, e billing.PersonErasure) (done billing.Erased, err error) {
	err = s.long(ctx, func(ctx context.Context, c *pgx.Conn) error {
		return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
			done = billing.Erased{}
			name := billing.CleanText(e.Name)
			err := tx.QueryRow(ctx, deletePersonSQL, name).Scan(&done.Pseudonym, &name)
			known := err == nil
			if errors.Is(err, pgx.ErrNoRows) && e.Again {
				done.Pseudonym, err = name, nil
			} else if errors.Is(err, pgx.ErrNoRows) {
				err = tx.QueryRow(ctx, newPseudonymSQL).Scan(&done.Pseudonym)
			}
			if err == nil && name != done.Pseudonym {
				done.Rejects, err = eraseRejected(ctx, tx, name, done.Pseudonym)
			}
			if err == nil && e.Plain {
				_, err = tx.Exec(ctx, overlayPersonSQL, name, done.Pseudonym, e.Now)
			}
			if err != nil {
				return err
			}
			if !known && !e.Plain && !e.Again && done.Rejects == 0 {
				return &billing.NotFoundError{What: "end user", ID: e.Name}
			}
			for _, n := range e.Notes {
				n.Object = done.Pseudonym
			}
			return note(ctx, tx, e.Notes)
		})
	})
	return done, err
}

// eraseRejected replaces a name with a pseudonym in rows that the ledger rejected.
func eraseRejected(ctx context.Context, tx pgx.Tx, name, pseudonym string) (n int64, err error) {
	type reject struct {
		ID  int64
		Row []byte
	}
	rows, err := tx.Query(ctx, selectRejectedSQL)
	if err != nil {
		return 0, err
	}
	rejects, err := pgx.CollectRows(rows, pgx.RowToStructByPos[reject])
	if err != nil {
		return 0, err
	}
	for _, r := range rejects {
		var row billing.Spend
		if err := json.Unmarshal(r.Row, &row); err != nil {
			return n, err
		}
		if row.EndUser != name {
			continue
		}
		row.EndUser = pseudonym
		raw, err := json.Marshal(row)
		if err != nil {
			return n, err
		}
		if _, err := tx.Exec(ctx, updateRejectedSQL, r.ID, raw); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
