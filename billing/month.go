package billing

import (
	"fmt"
	"time"
)

// Month is a month of the books, in the reporting zone: "2026-11".
type Month string

const monthLayout = "2006-01"

// ParseMonth parses a month such as "2026-11".
func ParseMonth(s string) (Month, error) {
	if _, err := time.Parse(monthLayout, s); err != nil {
		return "", fmt.Errorf("billing: %q is not a month such as 2026-11", s)
	}
	return Month(s), nil
}

// MonthOf returns the month of a day written as YYYY-MM-DD.
func MonthOf(day string) Month { return Month(day[:min(len(day), len(monthLayout))]) }

// First returns the first day of the month, as YYYY-MM-DD.
func (m Month) First() string { return string(m) + "-01" }

// Next returns the following month.
func (m Month) Next() Month {
	first, err := time.Parse(monthLayout, string(m))
	if err != nil {
		return m
	}
	return Month(first.AddDate(0, 1, 0).Format(monthLayout))
}

// Span returns the half-open span of time that the month covers in a zone.
func (m Month) Span(zone *time.Location) (start, end time.Time) {
	first, err := time.Parse(monthLayout, string(m))
	if err != nil {
		return time.Time{}, time.Time{}
	}
	begin := func(t time.Time) time.Time { return date{t.Year(), t.Month(), 1}.begin(zone) }
	return begin(first), begin(first.AddDate(0, 1, 0))
}
