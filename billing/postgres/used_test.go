package postgres

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
	"tallyroute/billing/postgres/pgtest"
)

// fillSQL spreads rows over three months, reported in time zones at both ends of the
// world. One in five occurred exactly on the hour.
const fillSQL = `
INSERT INTO spend_events (event_id, occurred_at, report_day, request_id, key_id, project_id, team_id, cost_center, environment,
  requested_model, provider, model, input_tokens, pricing, input_cost_nano, cache_read_cost_nano, cache_write_cost_nano,
    output_cost_nano, fee_nano, cost_nano)
SELECT gen_random_uuid(), at, (at AT TIME ZONE zone)::date, n::text, 'key_' || n % 3, 'proj_' || n % 2, 'team', '', 'prod',
       '', '', '', n, 'priced', n, 0, 0, 0, 0, n
  FROM (SELECT n, (ARRAY['UTC', 'Pacific/Kiritimati', 'Etc/GMT+12', 'Asia/Kolkata'])[1 + n % 4] AS zone,
               CASE WHEN n % 5 = 0 THEN date_trunc('hour', timestamptz '2026-09-01Z' + n * interval '1 hour')
                    ELSE timestamptz '2026-09-01Z' + n * interval '61 minutes 7 seconds' END AS at
          FROM generate_series(1, 2000) n) AS rows`

const sumSQL = `
SELECT coalesce(sum(input_tokens), 0)::bigint FROM spend_events
 WHERE occurred_at >= $1 AND occurred_at < $2 AND $4 = CASE $3 WHEN 'key' THEN key_id WHEN 'project' THEN project_id 
   WHEN 'team' THEN team_id ELSE 'org' END`

// A counter starts with the sum of the rows in its window, although most of
// it is read from the rollup.
func TestUsed_IsTheSumOfTheRows(t *testing.T) {
	s, err := Open(t.Context(), pgtest.DSN(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	var rows []billing.Spend
	for _, day := range []string{"2026-08-31", "2026-09-01", "2026-10-01", "2026-11-01", "2026-12-01"} {
		rows = append(rows, billing.Spend{ReportDay: day})
	}
	if err := s.addPartitions(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	scopes := []billing.Budget{
		{Scope: billing.ScopeKey, ScopeID: "key_1"},
		{Scope: billing.ScopeProject, ScopeID: "proj_1"},
		{Scope: billing.ScopeTeam, ScopeID: "team"},
		{Scope: billing.ScopeOrg, ScopeID: "org"},
		{Scope: billing.ScopeTeam, ScopeID: "other"},
	}
	windows := randomWindows()
	err = s.within(t.Context(), lane{s.requests.pool, time.Minute, time.Minute}, func(ctx context.Context, c *pgx.Conn) error {
		if _, err := c.Exec(ctx, fillSQL); err != nil {
			return err
		}
		for i, w := range windows {
			b := scopes[i%len(scopes)]
			sum, err := used(ctx, c, b, w)
			if err != nil {
				return err
			}
			start, end := bounds(w)
			var want int64
			if err := c.QueryRow(ctx, sumSQL, start, end, b.Scope, b.ScopeID).Scan(&want); err != nil {
				return err
			}
			if sum.Tokens != want || sum.Money != billing.Money(want) {
				t.Errorf("%s %s in %v: %+v, want %d of both", b.Scope, b.ScopeID, w, sum, want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func randomWindows() []billing.Window {
	from := time.Date(2026, 8, 30, 0, 0, 0, 0, time.UTC)
	rnd := rand.New(rand.NewPCG(1, 2))
	windows := []billing.Window{{}}
	for range 400 {
		start := from.Add(time.Duration(rnd.IntN(95*24*4)) * 15 * time.Minute)
		length := time.Duration(1+rnd.IntN(4*24*4)) * 15 * time.Minute
		if rnd.IntN(2) == 0 {
			length = time.Duration(1+rnd.IntN(60*24)) * time.Hour
		}
		windows = append(windows, billing.Window{Start: start, End: start.Add(length)})
	}
	return append(windows, billing.Window{Start: from.AddDate(0, 1, 0)}, billing.Window{End: from.AddDate(0, 1, 0)})
}
