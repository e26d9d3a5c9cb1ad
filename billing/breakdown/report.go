package breakdown

import (
	"context"
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
)

// Spend answers a query from columns. It takes as much memory as mostGroups groups need: a
// report with more is computed in several passes, each for a share of the groups.
func Spend(ctx context.Context, s Snapshot, d Dialect, q billing.SpendQuery) (report billing.SpendReport, err error) {
	from, to, err := q.Days()
	if err != nil {
		return report, err
	}
	list, err := days(ctx, s, d, from, to)
	if err != nil {
		return report, err
	}
	names, err := readNames(ctx, s, q)
	if err != nil {
		return report, err
	}
	g, seed := newGrouping(q, names), maphash.MakeSeed()
	for shares := 1; ; shares *= 2 {
		report = billing.SpendReport{}
		fits := true
		for share := 0; share < shares && fits; share++ {
			sums := newSums(seed, share, shares)
			for _, of := range list {
				err := eachPart(ctx, s, d, of, g, func(p *Part) error {
					sums.add(g, p, of.name)
					return ctx.Err()
				})
				if err != nil {
					return report, err
				}
				if fits = len(sums.groups) <= mostGroups; !fits {
					break
				}
			}
			if fits {
				sums.into(&report, g)
			}
		}
		if fits {
			return report, nil
		}
	}
}

// mostGroups is the maximum number of groups added up at a time.
const mostGroups = 400_000

// source says where a word that identifies a line comes from: a column, a tag, or the day.
type source struct {
	word   string
	column int                         // index of the text column; -1 is the day
	read   func(stored string) string  // applied to the stored value; nil leaves it
	shown  func(grouped string) string // applied after adding up; nil leaves it
}

// grouping is a query in terms of columns.
type grouping struct {
	query   billing.SpendQuery
	sources []source
	columns []string // those needed
}

// Indexes of numeric columns that are needed by name.
var sumColumns = struct{ rows, attempts, cost, baseline, cacheSavings int }{0, 2, 15, 16, 17}

func newGrouping(q billing.SpendQuery, n names) *grouping {
	g := &grouping{query: q}
	for _, by := range q.GroupBy {
		if tag, ok := by.Tag(); ok {
			g.sources = append(g.sources, source{
				word: string(by), column: textColumn("tags"),
				read:  func(packed string) string { return tagOf(packed, tag) },
				shown: shown,
			})
			continue
		}
		for _, w := range by.Words() {
			if !slices.ContainsFunc(g.sources, func(s source) bool { return s.word == w }) {
				g.sources = append(g.sources, sourceOf(w, n))
			}
		}
	}
	needed := map[string]bool{"pricing": true, "usage_source": true, "team_id": true, "project_id": true, "key_id": true}
	for _, f := range q.Only.Columns() {
		needed[f.Name] = true
	}
	for _, s := range g.sources {
		if s.column >= 0 {
			needed[texts[s.column].name] = true
		}
	}
	prefix := ""
	if q.Daily() {
		prefix = ofDaily
	}
	for _, t := range texts {
		if needed[t.name] {
			g.columns = append(g.columns, prefix+t.name)
		}
	}
	for _, n := range numbers {
		g.columns = append(g.columns, prefix+n.name)
	}
	return g
}

func sourceOf(word string, n names) source {
	switch word {
	case "team":
		return source{word, textColumn("team_id"), nil, n.teams.name}
	case "project":
		return source{word, textColumn("project_id"), nil, n.projects.name}
	case "key":
		return source{word, textColumn("key_id"), nil, n.keys.name}
	case "day":
		return source{word, -1, nil, nil}
	case "week":
		return source{word, -1, monday, nil}
	case "month":
		return source{word, -1, func(day string) string { return day[:len("2026-11")] }, nil}
	case "end_user":
		return source{word, textColumn(word), n.endUsers.name, shown}
	}
	return source{word, textColumn(word), nil, shown}
}

// monday returns the first day of the week that contains a day.
func monday(day string) string {
	at, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return day
	}
	return at.AddDate(0, 0, -(int(at.Weekday())+6)%7).Format(time.DateOnly)
}

// shown returns a text as shown in reports. A client-supplied text that looks like the word
// that reports use for a missing name is put in quotes, so that the two lines aren't mixed
// up.
func shown(text string) string {
	switch text {
	case absent:
		return billing.NoneGroup
	case archived:
		return billing.ArchivedGroup
	}
	if bare := strings.Trim(text, `"`); bare == billing.NoneGroup || bare == billing.ArchivedGroup {
		return `"` + text + `"`
	}
	return text
}

// nameList maps stored values to names.
type nameList map[string]string

func (l nameList) name(stored string) string {
	if name, ok := l[stored]; ok {
		return name
	}
	return stored
}

type names struct{ teams, projects, keys, endUsers nameList }

// readNames reads the names shown in a report.
func readNames(ctx context.Context, s Snapshot, q billing.SpendQuery) (n names, err error) {
	words := q.Words()
	for _, c := range []struct {
		word, query string
		into        *nameList
	}{
		{"team", "SELECT id, name FROM teams", &n.teams},
		{"project", "SELECT id, name FROM projects", &n.projects},
		{"key", "SELECT id, name FROM api_keys", &n.keys},
		{"end_user", "SELECT stored, shown FROM end_users", &n.endUsers},
	} {
		if !slices.Contains(words, c.word) {
			continue
		}
		list := make(nameList)
		*c.into = list
		err := s.Each(ctx, c.query, func(scan func(...any) error) error {
			var stored, name string
			err := scan(&stored, &name)
			list[stored] = name
			return err
		})
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
