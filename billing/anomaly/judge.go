package anomaly

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Finding is something unusual about the use of a key.
type Finding struct {
	KeyID    string
	Critical bool
	Minor    bool // recorded, but not reported to anybody
	At       time.Time
	Since    time.Time // when it began
	Text     string    // in one sentence

	Figure   Figure // that is too high; "" if the finding is about something new
	Baseline Baseline
	Value    int64

	Kind Kind // of what is new
	Seen string
}

// What returns what the finding is about: a figure or a kind.
func (f Finding) What() string { return cmp.Or(string(f.Figure), "new_"+string(f.Kind)) }

// Key is what is known about a key: what it did, and what it has been seen with.
type Key struct {
	ID        string
	Baselines []Baseline // for the hour being judged
	Unit      int64      // nano-dollars per 1000 tokens so far; 0 if unknown
	Requests  int64      // so far
	Sights    []Sight
}

// KeyOf returns what is known about a key from the hours before the one that contains at.
func KeyOf(id string, h History, at time.Time) Key {
	k := Key{ID: id, Baselines: h.Baselines(at)}
	all, _ := h.until(number(at)-1, number(at)-h.first)
	k.Requests, k.Unit = all.Requests, unit(all.Spend, all.Tokens)
	return k
}

// unit returns the cost of 1000 tokens; 0 if there were none.
func unit(spend, tokens int64) int64 {
	if tokens < 1 {
		return 0
	}
	if spend > most/1000 {
		return spend / tokens * 1000
	}
	return spend * 1000 / tokens
}

// Present is what a key is doing now.
type Present struct {
	At        time.Time
	Hour, Day Sums // in this hour, and in the last 24 including it
	Callers   []Caller
	Uses      []Use
}

// quiet is how long something reported must have been over before it is reported again.
const quiet = 12 * time.Hour

// Judge returns what is unusual about what a key is doing now, and what it has been seen
// with so far.
func (k Key) Judge(p Present, countries Countries) (found []Finding, sights []Sight) {
	all := seenOf(k.Sights)
	began := p.At
	for _, of := range all {
		for _, s := range of {
			if s.First.Before(began) {
				began = s.First
			}
		}
	}
	j := judging{Key: k, now: p, all: all, began: began, countries: countries}
	j.figures()
	j.callers()
	j.models()
	for kind := range all {
		for _, s := range all[kind] {
			if !slices.Contains(k.Sights, *s) {
				sights = append(sights, *s)
			}
		}
	}
	slices.SortFunc(sights, func(a, b Sight) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Value, b.Value)) })
	return j.found, sights
}

// judging is a key while it is being judged.
type judging struct {
	Key
	now       Present
	all       seen
	began     time.Time // when the key was first seen
	countries Countries
	found     []Finding
}

// figures finds figures that are too high. Something that continues is reported once.
func (j *judging) figures() {
	for _, b := range j.Baselines {
		value := j.now.Hour.Of(b.Figure)
		since := j.now.At.Truncate(time.Hour)
		if b.Span == ByDay {
			value, since = j.now.Day.Of(b.Figure), since.Add(-23*time.Hour)
		}
		if value <= b.Limit {
			continue
		}
		if was := j.all[Told][string(b.Figure)]; was != nil && j.now.At.Sub(was.Last) < quiet {
			was.refresh(j.now.At)
			continue
		}
		delete(j.all[Told], string(b.Figure))
		j.all.note(Sight{KeyID: j.ID, Kind: Told, Value: string(b.Figure), First: j.now.At, Last: j.now.At})
		j.found = append(j.found, Finding{
			KeyID: j.ID, At: j.now.At, Since: since, Figure: b.Figure, Baseline: b, Value: value,
			Critical: b.Figure == Spend && value > 3*b.Limit,
			Text: fmt.Sprintf("The key has %s in %s; usual are about %s, and up to %s (%s).", b.Figure.words(value), b.Span.words(since),
				b.Figure.Plain(b.Median), b.Figure.Plain(b.Limit), b.Basis),
		})
	}
}

// mature reports whether the key has been watched for long enough to know what is new.
func (j *judging) mature() bool {
	return j.now.At.Sub(j.began) >= learned && j.Requests >= learnedFrom
}

// isNew notes a sight, and reports whether it is the first of its kind and value and
// whether that is worth reporting.
func (j *judging) isNew(kind Kind, value string, first, last time.Time) (fresh, tell bool) {
	if value == "" {
		return false, false
	}
	varies := j.all.varies(kind, j.began, first)
	fresh = j.all.note(Sight{KeyID: j.ID, Kind: kind, Value: value, First: first, Last: last})
	return fresh, fresh && j.mature() && !varies
}

// callers finds new networks, countries and programs.
func (j *judging) callers() {
	slices.SortFunc(j.now.Callers, func(a, b Caller) int {
		return cmp.Or(a.First.Compare(b.First), cmp.Compare(a.Address, b.Address), cmp.Compare(a.Agent, b.Agent))
	})
	for _, c := range j.now.Callers {
		country := ""
		if at, err := netip.ParseAddr(c.Address); err == nil && j.countries != nil {
			country = j.countries.Country(at)
		}
		fresh, newNetwork := j.isNew(Network, networkOf(c.Address), c.First, c.Last)
		_, newCountry := j.isNew(Country, country, c.First, c.Last)
		newCountry = newCountry && fresh // otherwise it is the countries file that is new
		_, newAgent := j.isNew(Agent, agentOf(c.Agent), c.First, c.Last)
		// Only the network, because an address may identify a person and alerts are kept for long.
		from := fmt.Sprintf("%d requests from %s as %q", c.Requests, cmp.Or(networkOf(c.Address), "an unknown address"), short(c.Agent))
		switch {
		case newCountry:
			j.new(Country, country, c.First, Finding{
				Critical: true, Text: "The key was never used from " + country + " before: " + from + ".",
			})
		case newNetwork:
			j.new(Network, networkOf(c.Address), c.First, Finding{
				Critical: newAgent, Minor: !newAgent && country != "",
				Text: "The key was never used from the network " + networkOf(c.Address) + " before: " + from + ".",
			})
		case newAgent:
			j.new(Agent, agentOf(c.Agent), c.First, Finding{
				Minor: true, Text: "The key was never used by this program before: " + from + ".",
			})
		}
	}
}

// dearer is how many times as much per token as the key's previous use a new model must
// cost to be reported.
const dearer = 3

// models finds new models.
func (j *judging) models() {
	slices.SortFunc(j.now.Uses, func(a, b Use) int { return cmp.Or(a.First.Compare(b.First), cmp.Compare(a.Model, b.Model)) })
	for _, u := range j.now.Uses {
		if _, tell := j.isNew(Model, short(u.Model), u.First, u.Last); !tell {
			continue
		}
		text := fmt.Sprintf("The key never used the model %s before: %d requests.", short(u.Model), u.Requests)
		times := int64(0)
		if j.Unit > 0 {
			times = unit(u.Spend, u.Tokens) / j.Unit
		}
		if times >= dearer {
			text = fmt.Sprintf("The key never used the model %s before, which costs %d times as much for a token as what it used: "+
				"%d requests for %s.", short(u.Model), times, u.Requests, Spend.Plain(u.Spend))
		}
		j.new(Model, short(u.Model), u.First, Finding{Minor: times < dearer, Text: text})
	}
}

func (j *judging) new(kind Kind, value string, since time.Time, f Finding) {
	f.KeyID, f.At, f.Since, f.Kind, f.Seen = j.ID, j.now.At, since, kind, value
	j.found = append(j.found, f)
}

// Plain formats a value for people.
func (f Figure) Plain(n int64) string {
	if f == Spend {
		return fmt.Sprintf("$%d.%02d", n/1_000_000_000, n%1_000_000_000/10_000_000)
	}
	if f == Answers {
		return fmt.Sprintf("%d.%d MB", n>>20, n%(1<<20)*10>>20)
	}
	return fmt.Sprint(n)
}

// words formats a value together with its unit.
func (f Figure) words(n int64) string {
	switch f {
	case Requests:
		return fmt.Sprintf("made %d requests", n)
	case Spend:
		return "spent " + f.Plain(n)
	case Errors:
		return fmt.Sprintf("asked %d times for what is wrong or not there", n)
	case Denials:
		return fmt.Sprintf("been refused %d times", n)
	case Answers:
	}
	return "taken " + f.Plain(n) + " of answers"
}

func (s Span) words(since time.Time) string {
	if s == ByDay {
		return "24 hours"
	}
	return "the hour from " + since.UTC().Format("15:04") + " UTC"
}
