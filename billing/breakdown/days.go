package breakdown

import (
	"context"
	"database/sql"
	"strings"
)

// Snapshot is a consistent view of the database at one moment.
type Snapshot interface {
	// Each calls each for every row of a query's result.
	Each(ctx context.Context, query string, each func(scan func(columns ...any) error) error, args ...any) error
}

// Dialect is where the databases differ.
type Dialect struct {
	Day, OtherDay string // the first parameter as a day, and the second
	RowsOfDay     string // the condition that row e belongs to the first parameter's day
	CacheSavings  string // what row e adds to the savings of caching
}

// day is a day of the ledger, and where its lines are.
type day struct {
	name     string // such as 2026-11-30
	packed   bool   // in a breakdown that covers all of its rows
	archived bool   // if not packed, then only in the rollup
}

// archivedMonths selects the months whose rows are gone.
const archivedMonths = "(SELECT substr(CAST(period AS text), 1, 7) FROM billing_periods WHERE archived_at IS NOT NULL)"

// Current is the condition that a breakdown b has all columns. Routers of an earlier version
// make breakdowns without the column that was added last. One that lost all its columns is
// not of an earlier version: the integrity check finds it.
const Current = "(EXISTS (SELECT 1 FROM spend_breakdowns p " +
	"WHERE p.report_day = b.report_day AND p.part = 1 AND p.name = 'cache_savings_nano') " +
	"OR NOT EXISTS (SELECT 1 FROM spend_breakdowns p WHERE p.report_day = b.report_day))"

// daysSQL has the days of the ledger, of which there are breakdowns with all their rows,
// and the months of which were archived.
const daysSQL = `
SELECT CAST(d.report_day AS text), CASE WHEN b.report_day IS NULL THEN 0 ELSE 1 END,
       CASE WHEN substr(CAST(d.report_day AS text), 1, 7) IN ` + archivedMonths + ` THEN 1 ELSE 0 END
  FROM (
    SELECT report_day, sum(ledger_rows) AS ledger_rows FROM spend_daily
     WHERE report_day >= {day} AND report_day < {other day} GROUP BY report_day
  ) AS d
  LEFT JOIN breakdown_days b ON b.report_day = d.report_day AND b.ledger_rows = d.ledger_rows AND ` + Current + `
 ORDER BY 1`

// days returns the days of the ledger from from up to, but not including, to.
func days(ctx context.Context, s Snapshot, d Dialect, from, to string) (list []day, err error) {
	query := strings.NewReplacer("{day}", d.Day, "{other day}", d.OtherDay).Replace(daysSQL)
	err = s.Each(ctx, query, func(scan func(...any) error) error {
		var found day
		var packed, gone int
		err := scan(&found.name, &packed, &gone)
		found.packed, found.archived = packed == 1, gone == 1
		list = append(list, found)
		return err
	}, from, to)
	return list, err
}

// PackRows packs the rows of a day and their daily sums, and returns the number of rows.
func PackRows(ctx context.Context, s Snapshot, d Dialect, name string, flush func(*Part) error) (rows int64, err error) {
	all, daily := NewBuilder(flush), NewBuilder(flush)
	daily.daily = true
	err = eachRow(ctx, s, d, name, func(l *Line) error {
		if err := all.Add(l); err != nil {
			return err
		}
		return daily.Add(l)
	})
	if err != nil {
		return 0, err
	}
	if err := all.Close(); err != nil {
		return 0, err
	}
	return all.Rows, daily.Close()
}

// eachRow calls each for every row of a day as a line, which it must not retain.
func eachRow(ctx context.Context, s Snapshot, d Dialect, name string, each func(*Line) error) error {
	var l Line
	var maybe [len(texts)]sql.NullString
	columns := make([]any, 0, len(texts)+len(numbers))
	for i := range texts {
		columns = append(columns, &maybe[i])
	}
	for i := range numbers {
		columns = append(columns, &l.Numbers[i])
	}
	return s.Each(ctx, rowsSQL(d)+d.RowsOfDay, func(scan func(...any) error) error {
		if err := scan(columns...); err != nil {
			return err
		}
		for i, t := range maybe {
			if l.Texts[i] = t.String; !t.Valid {
				l.Texts[i] = absent
			}
		}
		return each(&l)
	}, name)
}

// eachSum calls each for every line of a day in the rollup.
func eachSum(ctx context.Context, s Snapshot, d Dialect, name string, each func(*Line) error) error {
	var l Line
	columns := make([]any, 0, ofRollup+len(numbers))
	for i := range l.Texts {
		if l.Texts[i] = archived; i < ofRollup {
			columns = append(columns, &l.Texts[i])
		}
	}
	for i := range numbers {
		columns = append(columns, &l.Numbers[i])
	}
	return s.Each(ctx, rollupSQL()+d.Day, func(scan func(...any) error) error {
		if err := scan(columns...); err != nil {
			return err
		}
		return each(&l)
	}, name)
}

// eachPacked calls each for every part of the breakdown of a day, with the given columns.
func eachPacked(ctx context.Context, s Snapshot, d Dialect, name string, columns []string, each func(*Part) error) error {
	query := "SELECT part, name, data FROM spend_breakdowns WHERE report_day = " + d.Day +
		" AND name IN ('" + strings.Join(columns, "', '") + "') ORDER BY part"
	var p *Part
	last, found := int64(-1), 0
	end := func() error {
		if p == nil {
			return nil
		}
		if found != len(columns) {
			return errDamaged
		}
		return each(p)
	}
	err := s.Each(ctx, query, func(scan func(...any) error) error {
		var part int64
		var c Column
		if err := scan(&part, &c.Name, &c.Data); err != nil {
			return err
		}
		if part != last {
			if err := end(); err != nil {
				return err
			}
			p, last, found = &Part{}, part, 0
		}
		found++
		return p.read(c)
	}, name)
	if err != nil {
		return err
	}
	return end()
}

// eachPart calls each for all the lines of a day that a query needs, wherever they are
// stored, in parts that have at least the query's columns.
func eachPart(ctx context.Context, s Snapshot, d Dialect, of day, g *grouping, each func(*Part) error) error {
	if of.packed {
		return eachPacked(ctx, s, d, of.name, g.columns, each)
	}
	b := NewBuilder(each)
	read := eachRow
	if of.archived || g.query.Daily() {
		read = eachSum
	}
	if err := read(ctx, s, d, of.name, b.Add); err != nil {
		return err
	}
	return b.Close()
}

// DaysOf returns the days that may have rows of the given end users: those without a
// breakdown, and those whose breakdown names one of them.
func DaysOf(ctx context.Context, s Snapshot, d Dialect, endUsers []string) (names []string, err error) {
	all, err := days(ctx, s, d, "0001-01-01", "9999-12-31")
	if err != nil {
		return nil, err
	}
	wanted := make(map[string]bool)
	for _, u := range endUsers {
		wanted[u] = true
	}
	column := textColumn("end_user")
	for _, of := range all {
		found := !of.packed
		if of.packed {
			err := eachPacked(ctx, s, d, of.name, []string{"end_user"}, func(p *Part) error {
				for _, u := range p.texts[column].texts {
					found = found || wanted[u]
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
		}
		if found {
			names = append(names, of.name)
		}
	}
	return names, nil
}
