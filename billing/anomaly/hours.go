package anomaly

import "time"

// Figure is something counted for each key.
type Figure string

// The figures.
const (
	Requests Figure = "requests"
	Spend    Figure = "spend"   // in nano-dollars
	Errors   Figure = "errors"  // the client's: its request is wrong, or what it asks for doesn't exist
	Denials  Figure = "denials" // the client isn't allowed to, or not so often
	Answers  Figure = "answers" // in bytes
)

// Figures returns all the figures.
func Figures() []Figure { return []Figure{Requests, Spend, Errors, Denials, Answers} }

// Sums are the figures of a period.
type Sums struct {
	Requests, Errors, Denials int64
	Answers                   int64
	Tokens, Spend             int64
}

// Of returns one of the figures.
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

// Refused classifies a refused request by its status. Our own faults, those of providers
// and those on the way to them don't count against the key.
func Refused(status int) (errors, denials int64) {
	switch {
	case status == 401, status == 402, status == 403, status == 429:
		return 0, 1
	case status >= 400 && status < 500:
		return 1, 0
	}
	return 0, 0
}

// Plus returns the sum of s and t.
func (s Sums) Plus(t Sums) Sums {
	return Sums{
		Requests: s.Requests + t.Requests, Errors: s.Errors + t.Errors, Denials: s.Denials + t.Denials,
		Answers: s.Answers + t.Answers, Tokens: s.Tokens + t.Tokens, Spend: s.Spend + t.Spend,
	}
}

// Hour is what a key did in the hour starting at an instant.
type Hour struct {
	KeyID string
	At    time.Time
	Sums
}

// Caller says from where, and by which program, a key was used.
type Caller struct {
	KeyID, Address, Agent string
	Requests              int64
	First, Last           time.Time
}

// Use is a key's use of a model.
type Use struct {
	KeyID, Model            string
	Requests, Tokens, Spend int64
	First, Last             time.Time
}

// Activity is what keys did in a period.
type Activity struct {
	Hours   []Hour // the whole of each hour that overlaps the period
	Callers []Caller
	Uses    []Use

	index map[hourOf]int // of Hours
}

type hourOf struct {
	key string
	at  int64
}

// AddHour adds what a key did in an hour; part of it may have been added before.
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

// AddUse adds a key's use of a model in an hour.
func (a *Activity) AddUse(u Use, hour time.Time) {
	a.Uses = append(a.Uses, u)
	a.AddHour(Hour{KeyID: u.KeyID, At: hour, Sums: Sums{Tokens: u.Tokens, Spend: u.Spend}})
}

// Kept is how long hours are kept: eight weeks, plus the day before.
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

// number returns the number of an hour since 1970.
func number(at time.Time) int64 { return at.Unix() / 3600 }

// HistoryOf assembles hours, given in any order, as far as they are kept at an instant.
// Missing hours had no use.
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

// at returns the sums of an hour; false before the first one.
func (h History) at(n int64) (Sums, bool) {
	if i := n - h.first; i >= 0 && i < int64(len(h.hours)) {
		return h.hours[i], true
	}
	return Sums{}, false
}

// Last returns the sums of the last so many hours, up to the one that contains at, and
// whether none of them is before the first.
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
