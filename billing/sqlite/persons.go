package sqlite

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/breakdown"
)

const (
	selectPseudonym = `SELECT stored FROM end_users WHERE shown = ? AND erased_at IS NULL`
	insertPseudonym = `INSERT INTO end_users (stored, shown) VALUES ('eu_' || lower(hex(randomblob(10))), ?) RETURNING stored`
)

// pseudonym returns what a row stores in place of an end user. The mapping to the name is
// written in the transaction of the first row that needs it.
func pseudonym(ctx context.Context, tx *session, endUser string) (stored string, err error) {
	if endUser == "" || billing.IsPseudonym(endUser) {
		return endUser, nil
	}
	known, err := tx.row(ctx, selectPseudonym, []any{endUser}, &stored)
	if err == nil && !known {
		_, err = tx.row(ctx, insertPseudonym, []any{endUser}, &stored)
	}
	return stored, err
}

const (
	// personNames selects the names that rows may store for a person: the name itself, unless it
	// is erased, and every stored name that is shown as it.
	personNames = `SELECT ?1 AS stored WHERE NOT EXISTS (SELECT 1 FROM end_users WHERE stored = ?1 AND erased_at IS NOT NULL)
UNION SELECT stored FROM end_users WHERE shown = ?1`
	personRows = `SELECT {columns} FROM json_each(?1) days CROSS JOIN spend_events e ON e.report_day = days.value
WHERE e.end_user IN (SELECT value FROM json_each(?2))
ORDER BY e.occurred_at, e.request_id, e.attempt`
)

// PersonRows implements billing.Persons.
func (s *Store) PersonRows(ctx context.Context, name string, each func(billing.Spend) error) error {
	columns := "e." + strings.Join(strings.Fields(strings.ReplaceAll(eventColumns, ",", " ")), ", e.")
	query := strings.Replace(personRows, "{columns}", columns, 1)
	return s.inSnapshot(ctx, func(tx *session) error {
		var names []string
		err := tx.rows(ctx, personNames, []any{billing.CleanText(name)}, func(scan scanner) error {
			var stored string
			err := scan(&stored)
			names = append(names, stored)
			return err
		})
		if err != nil {
			return err
		}
		of, err := breakdown.DaysOf(ctx, snapshot{tx}, days, names)
		if err != nil {
			return err
		}
		return tx.rows(ctx, query, []any{asJSON(of), asJSON(names)}, func(scan scanner) error {
			var r billing.Spend
			if err := scanEvent(scan, &r); err != nil {
				return err
			}
			return each(r)
		})
	})
}

const (
	forgetAccess = `UPDATE access_log SET address = '', user_agent = ''
WHERE at >= ?2 AND at < ?3 AND request_id IN (SELECT value FROM json_each(?1)) AND (address <> '' OR user_agent <> '')`
	forgetResponses = `DELETE FROM stored_responses WHERE id IN (SELECT 'resp_' || substr(value, 5) FROM json_each(?1))`
)

// around is how far an entry of the access log may be from the beginning of its request.
const around = 24 * time.Hour

// ForgetRequests implements billing.Persons.
func (s *Store) ForgetRequests(ctx context.Context, r billing.ForgottenRequests) (found billing.Traces, err error) {
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		ids := asJSON(r.IDs)
		if found.Access, err = tx.exec(ctx, forgetAccess, ids, stamp(r.From.Add(-around)), stamp(r.To.Add(around))); err != nil {
			return err
		}
		found.Responses, err = tx.exec(ctx, forgetResponses, ids)
		return err
	})
	return found, err
}

const (
	selectPerson   = `SELECT stored, shown FROM end_users WHERE (shown = ?1 OR stored = ?1) AND erased_at IS NULL`
	deletePerson   = `DELETE FROM end_users WHERE stored = ? AND erased_at IS NULL`
	overlayPerson  = `INSERT INTO end_users (stored, shown, erased_at) VALUES (?, ?, ?) ON CONFLICT (stored) DO NOTHING`
	newPseudonym   = `SELECT 'eu_' || lower(hex(randomblob(10)))`
	selectRejected = `SELECT id, spend FROM spend_rejects`
	updateRejected = `UPDATE spend_rejects SET spend = ? WHERE id = ?`
)

// ErasePerson implements billing.Persons.
func (s *Store) ErasePerson(ctx context.Context, e billing.PersonErasure) (done billing.Erased, err error) {
	err = s.write.do(ctx, func(ctx context.Context, tx *session) error {
		done = billing.Erased{}
		name := billing.CleanText(e.Name)
		known, err := tx.row(ctx, selectPerson, []any{name}, &done.Pseudonym, &name)
		if err == nil && known {
			_, err = tx.exec(ctx, deletePerson, done.Pseudonym)
		} else if e.Again {
			done.Pseudonym = name
		} else if err == nil {
			_, err = tx.row(ctx, newPseudonym, nil, &done.Pseudonym)
		}
		if err == nil && name != done.Pseudonym {
			done.Rejects, err = eraseRejected(ctx, tx, name, done.Pseudonym)
		}
		if err == nil && e.Plain {
			_, err = tx.exec(ctx, overlayPerson, name, done.Pseudonym, stamp(e.Now))
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
	return done, err
}

// eraseRejected replaces a name by its pseudonym in the rows that the ledger rejected, and
// returns how many it changed.
func eraseRejected(ctx context.Context, tx *session, name, pseudonym string) (n int64, err error) {
	changed := make(map[int64]string)
	err = tx.rows(ctx, selectRejected, nil, func(scan scanner) error {
		var id int64
		var raw []byte
		if err := scan(&id, &raw); err != nil {
			return err
		}
		var rows []billing.Spend
		if err := json.Unmarshal(raw, &rows); err != nil {
			return err
		}
		for i := range rows {
			if rows[i].EndUser == name {
				rows[i].EndUser = pseudonym
				if changed[id], err = asWill(rows); err != nil {
					return err
				}
			}
		}
		return nil
	})
	for id, raw := range changed {
		if err == nil {
			_, err = tx.exec(ctx, updateRejected, []byte(raw), id)
		}
	}
	return int64(len(changed)), err
}
