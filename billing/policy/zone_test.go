package policy

import (
	"testing"
	"time"
)

// A condition sees the clock of a zone as it is there on that day.
func TestConditionsKnowTheTimeInAZone(t *testing.T) {
	office := Layers{Key: &Policy{Conditions: []Condition{{"office", "in_zone(time, 'Europe/Berlin').hour >= 8 and " +
		"in_zone(time, 'Europe/Berlin').weekday not in ['sat', 'sun'] and in_zone(time, 'Asia/Tokyo').date != '2026-12-25'"}}}}
	r := office.Compile(KeyFacts{})
	for at, passes := range map[string]bool{
		"2026-01-15T06:59:00Z": false, "2026-01-15T07:00:00Z": true, // winter
		"2026-07-15T05:59:00Z": false, "2026-07-15T06:00:00Z": true, // summer
		"2026-03-29T10:00:00Z": false,                               // a Sunday
		"2026-12-24T14:59:00Z": true, "2026-12-24T15:00:00Z": false, // Christmas has begun in Tokyo
	} {
		when, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Ask(&Request{Entry: Entry{At: when}}); (err == nil) != passes {
			t.Errorf("at %s: %v", at, err)
		}
	}
	for _, must := range []string{
		"in_zone(time, 'Mars/Olympus').hour > 1", "in_zone(time, request.model).hour > 1", "in_zone(time).hour > 1",
		"in_zone(address, 'UTC').hour > 1", "in_zone(time, '../../etc/passwd').hour > 1", "in_zone(time, 'Local').hour > 1",
	} {
		if _, err := (Condition{"c", must}).compile(); err == nil {
			t.Errorf("%s is a condition", must)
		}
	}
}
