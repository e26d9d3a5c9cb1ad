package sqlite

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/access"
)

const (
	accessColumns = `at, request_id, key_id, version, address, user_agent, endpoint, decision, status, bytes_in, bytes_out`
	appendAccess  = `INSERT INTO access_log (` + accessColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	// accessWhere holds the conditions of an access.Query.
	accessWhere = `
WHERE (?1 = '' OR key_id = ?1) AND (?2 = '' OR address = ?2) AND (?3 = '' OR user_agent = ?3)
  AND (?4 = '' OR decision = ?4 OR ?4 = 'refused' AND decision <> 'allowed') AND at >= ?5 AND at < ?6`
	listAccess = `SELECT ` + accessColumns + ` FROM access_log` + accessWhere + `
  AND (at, request_id) < (?7, ?8) ORDER BY at DESC, request_id DESC LIMIT ?9`
	eraseAccess = `DELETE FROM access_log` + accessWhere
	pruneAccess = `DELETE FROM access_log WHERE rowid IN (SELECT rowid FROM access_log WHERE at < ? ORDER BY at LIMIT ?)`
)

// AppendAccess implements billing.AccessLog.
func (s *Store) AppendAccess(ctx context.Context, entries []access.Entry) error {
	return s.write.do(ctx, func(ctx context.Context, tx *session) error {
		for _, e := range entries {
			if _, err := tx.exec(ctx, appendAccess, stamp(e.At), e.RequestID, e.KeyID, e.Version, access.From(e.Address),
				billing.CleanText(e.Agent), e.Endpoint, e.Decision, e.Status, e.BytesIn, e.BytesOut); err != nil {
				return err
			}
		}
		return nil
	})
}

// accessArgs returns the arguments of accessWhere.
func accessArgs(q access.Query) []any {
	return []any{q.KeyID, access.From(q.Address), q.Agent, q.Decision, stamp(q.Since), stampEnd(q.Until)}
}

// ListAccess implements billing.AccessLog.
func (s *Store) ListAccess(ctx context.Context, q access.Query) (entries []access.Entry, err error) {
	args := append(accessArgs(q), stampEnd(q.Before.At), q.Before.RequestID, q.Most())
	err = s.read.rows(ctx, listAccess, args, func(scan scanner) error {
		var e access.Entry
		var from string
		err := scan(instant{&e.At}, &e.RequestID, &e.KeyID, &e.Version, &from, &e.Agent, &e.Endpoint, &e.Decision, &e.Status, &e.BytesIn,
			&e.BytesOut)
		e.Address, _ = netip.ParseAddr(from) // "" stands for unknown
		entries = append(entries, e)
		return err
	})
	return entries, err
}

// countAccess returns a query that groups by the given columns; the others are empty or 0.
func countAccess(by []access.Column) string {
	return `SELECT ` + access.Select(by) + `, count(*), count(*) FILTER (WHERE decision <> 'allowed'), sum(bytes_in),
  sum(bytes_out), min(at), max(at) FROM access_log` + accessWhere + `
GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 7 DESC, 1, 2, 3, 4, 5, 6 LIMIT ` + fmt.Sprint(access.MostCounts)
}

// CountAccess implements billing.AccessLog.
func (s *Store) CountAccess(ctx context.Context, q access.Query, by ...access.Column) (counts []access.Count, err error) {
	err = s.read.rows(ctx, countAccess(by), accessArgs(q), func(scan scanner) error {
		var n access.Count
		err := scan(&n.KeyID, &n.Version, &n.Address, &n.Agent, &n.Endpoint, &n.Decision, &n.Requests, &n.Refused, &n.BytesIn, &n.BytesOut,
			instant{&n.First}, instant{&n.Last})
		counts = append(counts, n)
		return err
	})
	return counts, err
}

// eraseCaller forgets how secrets were used in their last hour, where that names an address.
const eraseCaller = `UPDATE api_key_secrets SET usage = '' WHERE instr(usage, ?) > 0`

// EraseAccess implements billing.AccessLog.
func (s *Store) EraseAccess(ctx context.Context, q access.Query, notes ...*billing.Change) (n int64, err error) {
	err = s.write.do(ctx, func(ctx context.Context, tx *session) (err error) {
		if n, err = tx.exec(ctx, eraseAccess, accessArgs(q)...); err != nil {
			return err
		}
		if q.Address.IsValid() {
			if _, err := tx.exec(ctx, eraseCaller, strconv.Quote(q.Address.String())); err != nil {
				return err
			}
		}
		billing.Tally(notes, "entries", n)
		return note(ctx, tx, notes)
	})
	return n, err
}

// PruneAccess implements billing.AccessLog.
func (s *Store) PruneAccess(ctx context.Context, before time.Time) error {
	return s.prune(ctx, pruneAccess, stamp(before), pruneBatch)
}
