package postgres

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
	"tallyroute/billing/access"
)

const (
	accessColumns = "at, request_id, key_id, version, address, user_agent, endpoint, decision, status, bytes_in, bytes_out"
	// accessWhereSQL selects the entries that match a query.
	accessWhereSQL = `
 WHERE ($1 = '' OR key_id = $1) AND ($2 = '' OR address = $2) AND ($3 = '' OR user_agent = $3)
   AND ($4 = '' OR decision = $4 OR $4 = 'refused' AND decision <> 'allowed') AND at >= $5 AND at < $6`
	listAccessSQL = "SELECT " + accessColumns + " FROM access_log" + accessWhereSQL +
		" AND (at, request_id) < ($7, $8) ORDER BY at DESC, request_id DESC LIMIT $9"
	accessDaySQL   = "SELECT access_log_day($1::date)"
	eraseAccessSQL = "DELETE FROM access_log" + accessWhereSQL
	pruneAccessSQL = "SELECT access_log_drop($1)"
)

// Placeholders for bounds that a query leaves open.
var (
	beforeAll = time.Unix(0, 0).UTC()
	afterAll  = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
)

// AppendAccess implements billing.AccessLog.
func (s *Store) AppendAccess(ctx context.Context, entries []access.Entry) error {
	days := make(map[time.Time]bool)
	rows := make([][]any, len(entries))
	for i, e := range entries {
		days[e.At.UTC().Truncate(24*time.Hour)] = true
		rows[i] = []any{
			e.At, e.RequestID, e.KeyID, e.Version, access.From(e.Address), billing.CleanText(e.Agent), e.Endpoint, e.Decision, e.Status,
			e.BytesIn, e.BytesOut,
		}
	}
	into, columns := pgx.Identifier{"access_log"}, strings.Split(accessColumns, ", ")
	return s.within(ctx, s.postings, func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.CopyFrom(ctx, into, columns, pgx.CopyFromRows(rows))
		if code(err) != checkViolation { // no partition for a day
			return err
		}
		for day := range days {
			if _, err := c.Exec(ctx, accessDaySQL, day); err != nil {
				return err
			}
		}
		_, err = c.CopyFrom(ctx, into, columns, pgx.CopyFromRows(rows))
		return err
	})
}

// accessArgs returns the arguments of accessWhereSQL.
func accessArgs(q access.Query) []any {
	until := q.Until
	if until.IsZero() {
		until = afterAll
	}
	since := q.Since
	if since.Before(beforeAll) {
		since = beforeAll
	}
	return []any{q.KeyID, access.From(q.Address), q.Agent, q.Decision, since, until}
}

// ListAccess implements billing.AccessLog.
func (s *Store) ListAccess(ctx context.Context, q access.Query) ([]access.Entry, error) {
	before := q.Before
	if before.At.IsZero() {
		before.At = afterAll
	}
	return all(ctx, s, func(row pgx.CollectableRow) (e access.Entry, err error) {
		var from string
		err = row.Scan(&e.At, &e.RequestID, &e.KeyID, &e.Version, &from, &e.Agent, &e.Endpoint, &e.Decision, &e.Status, &e.BytesIn,
			&e.BytesOut)
		e.At = e.At.UTC()
		e.Address, _ = netip.ParseAddr(from) // "" means unknown
		return e, err
	}, listAccessSQL, append(accessArgs(q), before.At, before.RequestID, q.Most())...)
}

// countAccessSQL groups by the given columns; the others are empty or 0.
func countAccessSQL(by []access.Column) string {
	return "SELECT " + access.Select(by) + `, count(*), count(*) FILTER (WHERE decision <> 'allowed'), sum(bytes_in)::bigint,
  sum(bytes_out)::bigint, min(at), max(at) FROM access_log` + accessWhereSQL + `
 GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 7 DESC, 1, 2, 3, 4, 5, 6 LIMIT ` + fmt.Sprint(access.MostCounts)
}

// CountAccess implements billing.AccessLog.
func (s *Store) CountAccess(ctx context.Context, q access.Query, by ...access.Column) (counts []access.Count, err error) {
	err = s.long(ctx, func(ctx context.Context, c *pgx.Conn) error {
		rows, err := c.Query(ctx, countAccessSQL(by), accessArgs(q)...)
		if err != nil {
			return err
		}
		counts, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (n access.Count, err error) {
			err = row.Scan(&n.KeyID, &n.Version, &n.Address, &n.Agent, &n.Endpoint, &n.Decision, &n.Requests, &n.Refused, &n.BytesIn,
				&n.BytesOut, &n.First, &n.Last)
			n.First, n.Last = n.First.UTC(), n.Last.UTC()
			return n, err
		})
		return err
	})
	return counts, err
}

// eraseCallerSQL forgets how secrets were used in their last hour, where that names an address.
const eraseCallerSQL = `UPDATE api_key_secrets SET usage = '' WHERE strpos(usage, $1) > 0`

// EraseAccess implements billing.AccessLog.
func (s *Store) EraseAccess(ctx context.Context, q access.Query, notes ...*billing.Change) (n int64, err error) {
	err = s.long(ctx, func(ctx context.Context, c *pgx.Conn) error {
		return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
			tag, err := tx.Exec(ctx, eraseAccessSQL, accessArgs(q)...)
			if err != nil {
				return err
			}
			n = tag.RowsAffected()
			if q.Address.IsValid() {
				if _, err := tx.Exec(ctx, eraseCallerSQL, strconv.Quote(q.Address.String())); err != nil {
					return err
				}
			}
			billing.Tally(notes, "entries", n)
			return note(ctx, tx, notes)
		})
	})
	return n, err
}

// PruneAccess implements billing.AccessLog. It drops whole days.
func (s *Store) PruneAccess(ctx context.Context, before time.Time) error {
	return s.within(ctx, s.postings, func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, pruneAccessSQL, before)
		return err
	})
}
