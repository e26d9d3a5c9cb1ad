package billing

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Dimension is what the lines of a report are grouped by: one of Dimensions, or
// TagDimension followed by the name of a tag.
type Dimension string

// TagDimension is the prefix of a dimension that is a tag: "tag:feature".
const TagDimension = "tag:"

// A report has at most two dimensions and at most MostLines lines; the default is
// DefaultLines.
const (
	MostDimensions = 2
	DefaultLines   = 10_000
	MostLines      = 100_000
)

// dimension is a dimension with a fixed name.
type dimension struct {
	name  Dimension
	words []string // the column names of a line
	daily bool     // the daily sums are enough to answer it
}

// dimensions are all that can be asked for, apart from tags.
var dimensions = []dimension{
	{"team", []string{"team", "cost_center"}, true},
	{"project", []string{"team", "project"}, true},
	{"cost_center", []string{"cost_center"}, true},
	{"environment", []string{"environment"}, true},
	{"key", []string{"team", "project", "key", "key_id"}, true},
	{"provider", []string{"provider"}, true},
	{"model", []string{"provider", "model"}, true},
	{"kind", []string{"kind"}, true},
	{"day", []string{"day"}, true},
	{"week", []string{"week"}, true},
	{"month", []string{"month"}, true},
	{"requested_model", []string{"requested_model"}, false},
	{"service_tier", []string{"service_tier"}, false},
	{"status", []string{"status"}, false},
	{"end_user", []string{"end_user"}, false},
	{"session", []string{"session"}, false},
	{"credential", []string{"provider", "credential"}, false},
	{"region", []string{"region"}, false},
}

// Dimensions returns the names of all dimensions except tags.
func Dimensions() []string {
	names := make([]string, len(dimensions))
	for i, d := range dimensions {
		names[i] = string(d.name)
	}
	return names
}

// Words returns the column names of a line in this dimension; none for an unknown
// dimension.
func (d Dimension) Words() []string {
	if name, ok := d.Tag(); ok {
		if name == "" || name != CleanText(name) {
			return nil
		}
		return []string{string(d)}
	}
	for _, known := range dimensions {
		if known.name == d {
			return known.words
		}
	}
	return nil
}

// Tag returns the name of the tag if the dimension is one.
func (d Dimension) Tag() (name string, ok bool) { return strings.CutPrefix(string(d), TagDimension) }

// Daily reports whether the daily sums have the dimension. Other dimensions, alone or
// combined, are added up from the breakdowns of days, or from the rows of days without
// a breakdown.
func (d Dimension) Daily() bool {
	return slices.ContainsFunc(dimensions, func(known dimension) bool { return known.name == d && known.daily })
}

// InTime reports whether its lines are in order of time.
func (d Dimension) InTime() bool { return d == "day" || d == "week" || d == "month" }

// SpendQuery asks for what was spent, by days of the reporting zone.
type SpendQuery struct {
	GroupBy []Dimension // none: only the total
	Month   Month       // an alternative to From and To
	From    string      // YYYY-MM-DD; empty means from the beginning
	To      string      // the day after the last; empty means to the end
	KeyID   KeyID       // empty means all
	Only    SpendFilter // the zero value means everything
	Within  *Within     // owners at the time of the spend; nil means everywhere
	Top     int         // how many of the dearest lines; 0: DefaultLines, with days, weeks and months in order
}

// SpendFilter is what rows must match to be included in a report; an empty field
// matches anything.
type SpendFilter struct {
	TeamID, ProjectID, CostCenter, Environment, Provider, Model string
}

// SpendColumn is a column of the ledger and the text it must contain.
type SpendColumn struct{ Name, Value string }

// Columns returns the columns that the filter restricts.
func (f SpendFilter) Columns() []SpendColumn {
	all := []SpendColumn{
		{"team_id", f.TeamID},
		{"project_id", f.ProjectID},
		{"cost_center", f.CostCenter},
		{"environment", f.Environment},
		{"provider", f.Provider},
		{"model", f.Model},
	}
	return slices.DeleteFunc(all, func(c SpendColumn) bool { return c.Value == "" })
}

// Days returns the bounds of the query as days that can be compared as text.
func (q SpendQuery) Days() (from, to string, err error) {
	from, to = q.From, q.To
	if q.Month != "" {
		m, err := ParseMonth(string(q.Month))
		if err != nil || from != "" || to != "" {
			return "", "", &FieldError{
				Field: "month", Code: "invalid_value",
				Detail: "must be a month such as 2026-11, without from and to",
			}
		}
		first, next := m.Span(time.UTC)
		return first.Format(time.DateOnly), next.Format(time.DateOnly), nil
	}
	for name, day := range map[string]*string{"from": &from, "to": &to} {
		if *day == "" {
			continue
		}
		if _, err := time.Parse(time.DateOnly, *day); err != nil {
			return "", "", &FieldError{Field: name, Code: "invalid_value", Detail: "must be a day such as 2026-11-30"}
		}
	}
	if from == "" {
		from = "0001-01-01"
	}
	if to == "" {
		to = "9999-12-31"
	}
	if from >= to {
		return "", "", &FieldError{Field: "to", Code: "invalid_value", Detail: "must be after from: it is the day after the last"}
	}
	return from, to, nil
}

// Lines returns the maximum number of lines in the answer.
func (q SpendQuery) Lines() int {
	if q.Top <= 0 {
		return DefaultLines
	}
	return min(q.Top, MostLines)
}

// Daily reports whether the daily sums answer the query.
func (q SpendQuery) Daily() bool {
	return !slices.ContainsFunc(q.GroupBy, func(d Dimension) bool { return !d.Daily() })
}

// BreakdownAge is how old a breakdown must be before it is recomputed because rows have
// come in since, unless there are as many new rows as there were before.
const BreakdownAge = time.Hour

// Words returns the column names of a line, each once.
func (q SpendQuery) Words() []string {
	var words []string
	for _, d := range q.GroupBy {
		for _, w := range d.Words() {
			if !slices.Contains(words, w) {
				words = append(words, w)
			}
		}
	}
	return words
}

// Check refuses invalid queries.
func (q SpendQuery) Check() error {
	if len(q.GroupBy) > MostDimensions {
		return &FieldError{Field: "group_by", Code: "invalid_value", Detail: fmt.Sprintf("must be at most %d of them", MostDimensions)}
	}
	for i, d := range q.GroupBy {
		if d.Words() == nil || slices.Contains(q.GroupBy[:i], d) {
			return &FieldError{
				Field: "group_by", Code: "invalid_value",
				Detail: "must be one or two of " + strings.Join(Dimensions(), ", ") + ", or " + TagDimension + "NAME",
			}
		}
	}
	if q.Top < 0 || q.Top > MostLines {
		return &FieldError{Field: "top", Code: "invalid_value", Detail: fmt.Sprintf("must be between 1 and %d", MostLines)}
	}
	_, _, err := q.Days()
	return err
}

// The names of lines for rows that have no such end user, tag or session, and for
// archived rows, of which only the daily sums are left.
const (
	NoneGroup     = "(none)"
	ArchivedGroup = "(archived)"
)

// SpendReport is what was spent: Total covers all lines, Rows contains the first of
// them.
type SpendReport struct {
	Rows  []SpendRow
	Total SpendRow
	Lines int64 // how many lines there are, shown or not
}

// SpendRow is one line of a report.
type SpendRow struct {
	Group    []string // in the order of SpendQuery.Words
	Requests int64
	Attempts int64
	Errors   int64
	Tokens   Tokens // in the four kinds that add up to the total
	Cost     Money
	Meters   Cost  // what Cost consists of, for attempts with a price
	Savings  Money // baseline - cost
	// CacheSavings is what the tokens of caches would have cost as input, less their cost.
	CacheSavings Money
	Unpriced     int64 // attempts without a price, which Cost does not include
	Overrun      int64 // tokens beyond what was held
	// OverrunMoney is what requests cost beyond what was held.
	OverrunMoney Money
	NotExact     int64 // attempts whose usage was counted or bounded rather than reported
}
