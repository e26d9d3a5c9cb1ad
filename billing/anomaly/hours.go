package anomaly

import "time"

// Figure is something that is counted of a key.
type Figure string

// The figures.
const (
	Requests Figure = "requests"
	Spend    Figure = "spend"   // in nano-dollars
	Errors   Figure = "errors"  // of the client: what it asks for is wrong or is not there
	Denials  Figure = "denials" // what it may not do, or not so often
	Answers  Figure = "answers" // in bytes
)

// Figures are all figures.
func Figures() []Figure { return []Figure{Requests, Spend, Errors, Denials, Answers} }

// Sums are the figures of some time.
type Sums struct {
	Requests, Errors, Denials int64
	Answers                   int64
	Tokens, Spend             int64
}

// Of is one of them.
func (s Sums) Of(f Figure) int64 {
	switch f {
	case Requests:
		return s.Requests
	case Spend:
		return s.Spend
	case Errors:
		return s.Errors
	case Denials:
		return s.Denials
	case Answers:
		return s.Answers
	}
	return 0
}

// Refused says as what a refused request counts, by its status. Faults of ours, of
// providers and of the way to them are none of the key's.
func Refused(status int) (errors, denials int64) {
	switch {
	case status == 401, status == 402, status == 403, status == 429:
		return 0, 1
	case status >= 400 && status < 500:
		return 1, 0
	}
	return 0, 0
}

// Plus is s and t.
func (s Sums) Plus(t Sums) Sums {
	return Sums{
		Requests: s.Requests + t.Requests, Errors: s.Errors + t.Errors, Denials: s.Denials + t.Denials,
		Answers: s.Answers + t.Answers, Tokens: s.Tokens + t.Tokens, Spend: s.Spend + t.Spend,
	}
}

// Hour is what a key did in the hour that begins at an instant.
type Hour struct {
	KeyID string
	At    time.Time
	Sums
}

// Caller is from where and as what a key was used.
type Caller struct {
	KeyID, Address, Agent string
	Requests              int64
	First, Last           time.Time
}

// Use is what a key used of a model.
type Use struct {
	KeyID, Model            string
	Requests, Tokens, Spend int64
	First, Last             time.Time
}

// Activity is what keys did in some time.
type Activity struct {
	Hours   []Hour // in the whole of each hour that the time touches
	Callers []Caller
	Uses    []Use

	index map[hourOf]int // of Hours
}

type hourOf struct {
	key string
	at  int64
}

// AddHour adds what a key did in an hour, of which a part may be there.
func (a *Activity) AddHour(h Hour) {
	key := hourOf{h.KeyID, h.At.Unix()}
	i, there := a.index[key]
	if !there {
		if a.index == nil {
			a.index = make(map[hourOf]int)
		}
		a.index[key] = len(a.Hours)
		a.Hours = append(a.Hours, Hour{KeyID: h.KeyID, At: h.At.UTC()})
		i = len(a.Hours) - 1
	}
	a.Hours[i].Sums = a.Hours[i].Plus(h.Sums)
}

// AddUse adds what a key used in an hour.
func (a *Activity) AddUse(u Use, hour time.Time) {
	a.Uses = append(a.Uses, u)
	a.AddHour(Hour{KeyID: u.KeyID, At: hour, Sums: Sums{Tokens: u.Tokens, Spend: u.Spend}})
}

// Kept is how long hours are kept: eight weeks, and the day before them.
const Kept = 57 * day

const (
	day  = 24 * time.Hour
	week = 7 * day
)

// History is what a key did, hour by hour.
type History struct {
	first int64 // the number of the first hour
	hours []Sums
}

// number counts hours.
func number(at time.Time) int64 { return at.Unix() / 3600 }

// HistoryOf puts hours together, in any order, as far as they are kept at an instant. What
// is not there was quiet.
func HistoryOf(hours []Hour, at time.Time) History {
	least, first, last := number(at.Add(-Kept)), number(at), number(at)
	for i := range hours {
		if n := number(hours[i].At); n >= least && n < first {
			first = n
		}
	}
	h := History{first: first, hours: make([]Sums, last-first+1)}
	for i := range hours {
		if n := number(hours[i].At); n >= first && n <= last {
			h.hours[n-first] = hours[i].Sums
		}
	}
	return h
}

// at are the sums of an hour; false before the first.
func (h History) at(n int64) (Sums, bool) {
	if i := n - h.first; i >= 0 && i < int64(len(h.hours)) {
		return h.hours[i], true
	}
	return Sums{}, false
}

// Last are the sums of so many hours up to the one with at in it, and whether none of them
// was before the first.
func (h History) Last(at time.Time, hours int64) (sum Sums, whole bool) {
	return h.until(number(at), hours)
}

func (h History) until(n, hours int64) (sum Sums, whole bool) {
	whole = true
	for i := n - hours + 1; i <= n; i++ {
		s, known := h.at(i)
		sum, whole = sum.Plus(s), whole && known
	}
	return sum, whole
}
