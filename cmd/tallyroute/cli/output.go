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
)

// Format is how a list is printed: the flag -o.
type Format struct {
	Output string `short:"o" help:"How to print: ${enum}." enum:"table,json,csv" default:"table" placeholder:"FORMAT"`
}

// PlainFormat is format for what has no columns.
type PlainFormat struct {
	Output string `short:"o" help:"How to print: ${enum}." enum:"table,json" default:"table" placeholder:"FORMAT"`
}

// Cell is one value of a table. A number is never quoted for a spreadsheet.
type Cell struct {
	text   string
	number bool
}

// Text is a cell of words.
func Text(s string) Cell { return Cell{text: s} }

// Number is a cell of a whole number.
func Number(n int64) Cell { return Cell{strconv.FormatInt(n, 10), true} }

// Figure is a number that is written already.
func Figure(s string) Cell { return Cell{s, true} }

// Money is an amount to the nano-dollar.
func Money(m billing.Money) Cell { return Cell{m.String(), true} }

// Dollars is an amount as people read it.
func Dollars(m billing.Money) Cell { return Cell{m.Short(), true} }

// Table is a list for people and spreadsheets, with the records behind it for programs.
type Table struct {
	Header  []string
	rows    [][]Cell
	Records any // a slice, for JSON
}

// Add adds a row.
func (t *Table) Add(cells ...Cell) { t.rows = append(t.rows, cells) }

// Write prints t as the flag -o says.
func (t *Table) Write(w io.Writer, how string) error {
	switch how {
	case "json":
		return PrintJSON(w, t.Records)
	case "csv":
		return t.printCSV(w)
	}
	return t.PrintTable(w)
}

// PrintJSON prints v in indented lines.
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

// visible is s without characters that move a terminal's cursor or its columns.
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
				words[i] = inert(c.text)
			}
		}
		rows = append(rows, words)
	}
	return cw.WriteAll(rows)
}

// inert is a text that a spreadsheet will not run as a formula.
func inert(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

// Day is a date for people, "-" for a time that is not set.
func Day(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02")
}

// Ago says how long before now t was.
func Ago(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return Span(now.Sub(t)) + " ago"
}

// Span is a duration in its largest unit: "6 days", "2 h".
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

// OrElse is s, or otherwise where s is empty.
func OrElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// Timestamp is an instant as programs read it; empty for a time that is not set.
func Timestamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
