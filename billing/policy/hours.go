package policy

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Hours are a period on certain days of the week. If they end before they begin, they end
// on the following day.
type Hours struct {
	Days  []string `json:"days,omitempty" doc:"mon, tue, wed, thu, fri, sat, sun; all by default."`
	From  string   `json:"from" required:"true" doc:"Such as 08:00."`
	Until string   `json:"until" required:"true" doc:"Such as 18:00; 24:00 is the end of the day."`
	Zone  string   `json:"zone,omitempty" doc:"Default: UTC."`
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// hours is the compiled form of Hours.
type hours struct {
	days        [7]bool
	from, until int // minutes of the day
	zone        *time.Location
}

// fault says what is wrong with the hours; "" means nothing.
func (h Hours) fault() string {
	for _, d := range h.Days {
		if !slices.Contains(weekdays, d) {
			return "has a day other than mon, tue, wed, thu, fri, sat and sun"
		}
	}
	from, ok := minutes(h.From)
	until, fine := minutes(h.Until)
	switch {
	case !ok || !fine || from == 24*60:
		return "must have from and until as HH:MM, such as 08:00"
	case from == until:
		return "must not end when it begins: 00:00 to 24:00 is the whole day"
	}
	if _, err := zoneOf(h.Zone); err != nil {
		return "must have a zone such as Europe/Berlin"
	}
	return ""
}

func zoneOf(name string) (*time.Location, error) {
	if name == "Local" { // it would differ from router to router
		return nil, strconv.ErrSyntax
	}
	return time.LoadLocation(name)
}

// minutes parses "08:30".
func minutes(text string) (int, bool) {
	hour, minute, _ := strings.Cut(text, ":")
	h, err := strconv.ParseUint(hour, 10, 8)
	m, failed := strconv.ParseUint(minute, 10, 8)
	n := int(h)*60 + int(m)
	return n, len(hour) == 2 && len(minute) == 2 && err == nil && failed == nil && m < 60 && n <= 24*60
}

// compile compiles hours that have no fault.
func (h Hours) compile() (c hours) {
	c.from, _ = minutes(h.From)
	c.until, _ = minutes(h.Until)
	c.zone, _ = zoneOf(h.Zone)
	for i, d := range weekdays {
		c.days[i] = len(h.Days) == 0 || slices.Contains(h.Days, d)
	}
	return c
}

// contain reports whether an instant falls within the hours.
func (h *hours) contain(at time.Time) bool {
	at = at.In(h.zone)
	return h.covers(int(at.Weekday()), at.Hour()*60+at.Minute())
}

// covers is contain for a minute of a day of the week.
func (h *hours) covers(day, minute int) bool {
	if h.from < h.until {
		return h.days[day] && minute >= h.from && minute < h.until
	}
	return h.days[day] && minute >= h.from || h.days[(day+6)%7] && minute < h.until
}
