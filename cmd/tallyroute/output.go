package main

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

// format is how a list is printed: the flag -o.
type format struct {
	Output string `short:"o" help:"How to print: ${enum}." enum:"table,json,csv" default:"table" placeholder:"FORMAT"`
}

// plainFormat is format for what has no columns.
type plainFormat struct {
	Output string `short:"o" help:"How to print: ${enum}." enum:"table,json" default:"table" placeholder:"FORMAT"`
}

// cell is one value of a table. A number is never quoted for a spreadsheet.
type cell struct {
	text   string
	number bool
}

func text(s string) cell           { return cell{text: s} }
func number(n int64) cell          { return cell{strconv.FormatInt(n, 10), true} }
func money(m billing.Money) cell   { return cell{m.String(), true} }
func dollars(m billing.Money) cell { return cell{m.Short(), true} }

// table is a list for people and spreadsheets, with the records behind it for programs.
type table struct {
	header  []string
	rows    [][]cell
	records any // a slice, for JSON
}

func (t *table) add(cells ...cell) { t.rows = append(t.rows, cells) }

// write prints t as the flag -o says.
func (t *table) write(w io.Writer, how string) error {
	switch how {
	case "json":
		return printJSON(w, t.records)
	case "csv":
		return t.printCSV(w)
	}
	return t.printTable(w)
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func (t *table) printTable(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(t.header) > 0 {
		fmt.Fprintln(tw, strings.Join(t.header, "\t"))
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

func (t *table) printCSV(w io.Writer) error {
	cw := csv.NewWriter(w)
	rows := [][]string{t.header}
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

// day is a date for people, "-" for a time that is not set.
func day(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02")
}

// ago says how long before now t was.
func ago(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return span(now.Sub(t)) + " ago"
}

// span is a duration in its largest unit: "6 days", "2 h".
func span(d time.Duration) string {
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

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func timestamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
