package anomaly

import "slices"

// Life is what is known about a key whose hours are judged one after another.
type Life struct {
	ID     string
	hours  []Hour
	sights []Sight
	past   Sums
}

// Judge returns what is unusual about an hour, which counts as known from then on. Its Day
// is computed from what is known.
func (l *Life) Judge(p Present, countries Countries) []Finding {
	before := HistoryOf(l.hours, p.At)
	hour := Hour{KeyID: l.ID, At: p.At, Sums: p.Hour}
	day, _ := before.until(number(p.At)-1, 23)
	p.Day = day.Plus(p.Hour)
	known := Key{ID: l.ID, Requests: l.past.Requests, Unit: unit(l.past.Spend, l.past.Tokens)}
	if Worth(p.Hour, p.Day) {
		known = KeyOf(l.ID, before, p.At)
	}
	known.Sights = l.sights
	found, sights := known.Judge(p, countries)
	for _, s := range sights {
		l.sights = slices.DeleteFunc(l.sights, func(o Sight) bool { return o.Kind == s.Kind && o.Value == s.Value })
		l.sights = append(l.sights, s)
	}
	l.hours, l.past = append(l.hours, hour), l.past.Plus(p.Hour)
	return found
}
