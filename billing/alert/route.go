package alert

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"tallyroute/billing"
)

// Channel is a destination for alerts, with a filter for which it gets.
type Channel struct {
	Name  string
	Kinds []billing.AlertKind // empty is all
	Least billing.Severity    // minimum; "" is all
	Teams []string            // names or ids; empty is all, including objects without a team
	Quiet Quiet
	// Owners restricts the channel to objects whose owner has an address.
	Owners bool
}

// takes reports whether the channel gets an alert.
func (c Channel) takes(a billing.Alert) bool {
	if len(c.Kinds) > 0 && !slices.Contains(c.Kinds, a.Kind) {
		return false
	}
	if rank(a.Severity) < rank(c.Least) || c.Owners && a.Owner == "" || a.Personal && !c.Owners {
		return false
	}
	return len(c.Teams) == 0 || a.TeamID != "" && (slices.Contains(c.Teams, a.TeamID) || slices.Contains(c.Teams, a.Team))
}

func rank(s billing.Severity) int {
	return slices.Index([]billing.Severity{billing.Info, billing.Warning, billing.Critical}, s)
}

// Route returns where an alert goes, and when. During quiet hours only critical alerts are
// sent; the others wait until the hours are over.
func Route(a billing.Alert, channels []Channel, now time.Time) (to []billing.NoticeTo) {
	for _, c := range channels {
		if !c.takes(a) {
			continue
		}
		due := now
		if a.Severity != billing.Critical {
			due = c.Quiet.after(now)
		}
		to = append(to, billing.NoticeTo{Channel: c.Name, Due: due})
	}
	return to
}

// Quiet are hours of every day during which nobody is to be woken. The zero value has none.
type Quiet struct {
	from, until int // minutes since midnight
	zone        *time.Location
}

var errQuiet = errors.New("want hours such as 22:00-07:00 or 22:00-07:00 Europe/Berlin")

// ParseQuiet parses "22:00-07:00 Europe/Berlin"; without a zone the hours are in UTC.
func ParseQuiet(text string) (q Quiet, err error) {
	if text == "" {
		return q, nil
	}
	hours, zone, _ := strings.Cut(text, " ")
	from, until, found := strings.Cut(hours, "-")
	var ok, fine bool
	q.from, ok = minutes(from)
	q.until, fine = minutes(until)
	if !found || !ok || !fine || q.from == q.until || zone == "Local" {
		return Quiet{}, errQuiet
	}
	if q.zone, err = time.LoadLocation(zone); err != nil {
		return Quiet{}, errQuiet
	}
	return q, nil
}

func minutes(text string) (int, bool) {
	hour, minute, _ := strings.Cut(text, ":")
	h, err := strconv.ParseUint(hour, 10, 8)
	m, failed := strconv.ParseUint(minute, 10, 8)
	return int(h)*60 + int(m), len(hour) == 2 && len(minute) == 2 && err == nil && failed == nil && h < 24 && m < 60
}

// after returns now, or the end of the quiet hours that now falls in. It checks the local
// time minute by minute, because an hour may be skipped or repeated.
func (q Quiet) after(now time.Time) time.Time {
	end := now
	for q.at(end) {
		end = end.Truncate(time.Minute).Add(time.Minute)
	}
	return end
}

// at reports whether t falls in quiet hours.
func (q Quiet) at(t time.Time) bool {
	if q.zone == nil {
		return false
	}
	hour, minute, _ := t.In(q.zone).Clock()
	of := hour*60 + minute
	if q.from > q.until {
		return of >= q.from || of < q.until
	}
	return of >= q.from && of < q.until
}
