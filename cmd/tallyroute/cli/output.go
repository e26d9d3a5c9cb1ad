package cli

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"tallyroute/billing"
	"tallyroute/router/admin/wire"
)

// Format is how a list is printed: the flag -o.
type Format struct {
	Output string `short:"o" help:"How to print: ${enum}." enum:"table,json,csv" default:"table" placeholder:"FORMAT"`
}

// PlainFormat is the flag -o for output that has no columns.
type PlainFormat struct {
	Output string `short:"o" help:"How to print: ${enum}." enum:"table,json" default:"table" placeholder:"FORMAT"`
}

// Cell is one value of a table. Numbers are never escaped for spreadsheets.
type Cell struct {
	text   string
	number bool
}

// Text returns a cell with text.
func Text(s string) Cell { return Cell{text: s} }

// Number returns a cell with an integer.
func Number(n int64) Cell { return Cell{strconv.FormatInt(n, 10), true} }

// Figure returns a cell with a number that is already formatted.
func Figure(s string) Cell { return Cell{s, true} }

// Money returns a cell with an exact amount, to the nano-dollar.
func Money(m billing.Money) Cell { return Cell{m.String(), true} }

// Dollars returns a cell with an amount in the short form for people.
func Dollars(m billing.Money) Cell { return Cell{m.Short(), true} }

// Table is a list for people and spreadsheets, with the underlying records for programs.
type Table struct {
	Header  []string
	rows    [][]Cell
	Records any // a slice, for JSON
}

// Add adds a row.
func (t *Table) Add(cells ...Cell) { t.rows = append(t.rows, cells) }

// Write prints t in the format that the flag -o selects.
func (t *Table) Write(w io.Writer, how string) error {
	switch how {
	case "json":
		return PrintJSON(w, t.Records)
	case "csv":
		return t.printCSV(w)
	}
	return t.PrintTable(w)
}

// PrintJSON prints v as indented JSON.
func PrintJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func (t *Table) PrintTable(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(t.Header) > 0 {
		fmt.Fprintln(tw, strings.Join(t.Header, "\t"))
	}
	for _, row := range t.rows {
		words := make([]string, len(row))
		for i, c := range row {
			words[i] = visible(c.text)
		}
		fmt.Fprintln(tw, strings.Join(words, "\t"))
	}
	return tw.Flush()
}

// visible returns s without characters that would move a terminal's cursor or break its
// columns.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || (r >= 0x7f && r < 0xa0) || r == '\u2028' || r == '\u2029' {
			return '·'
		}
		return r
	}, s)
}

func (t *Table) printCSV(w io.Writer) error {
	cw := csv.NewWriter(w)
	rows := [][]string{t.Header}
	for _, row := range t.rows {
		words := make([]string, len(row))
		for i, c := range row {
			words[i] = c.text
			if !c.number {
				words[i] = wire.Inert(c.text)
			}
		}
		rows = append(rows, words)
	}
	return cw.WriteAll(rows)
}

// Day formats a date for people; "-" if the time is zero.
func Day(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02")
}

// Ago says how long ago t was.
func Ago(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return Span(now.Sub(t)) + " ago"
}

// Span formats a duration in its largest unit: "6 days", "2 h".
func Span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(max(d, 0).Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// OrElse returns s, or otherwise if s is empty.
func OrElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// Timestamp formats an instant for programs; "" if the time is zero.
func Timestamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
