package catalogue

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"tallyroute/billing"
)

// written is a price as it stands in a document: the standard price first, then
// those of its tiers. They begin together.
type written struct {
	tiers []billing.Price
	since time.Time
	force bool
	path  string
}

// prices reads all prices of a model in place of the ones before.
func (d document) prices(m *Model) read {
	return func(path string, n node) {
		var list []written
		d.list(func(path string, n node) {
			if p, ok := d.price(path, n); ok {
				list = append(list, p)
			}
		})(path, n)
		slices.SortStableFunc(list, func(a, b written) int { return a.since.Compare(b.since) })
		before := m.standard()
		m.Prices = nil
		for i, w := range list {
			if i > 0 && list[i-1].since.Equal(w.since) {
				d.fault(w.path, "another price of the model has the same since")
			}
			if before != nil && !w.force {
				d.leap(w.path, *before, w.tiers[0])
			}
			m.Prices = append(m.Prices, w.tiers...)
			before = &list[i].tiers[0]
		}
	}
}

// standard is the last price that is not one of a tier, nil if there is none.
func (m *Model) standard() *billing.Price {
	for i, p := range slices.Backward(m.Prices) {
		if p.MinInput == 0 && p.ServiceTier == billing.TierStandard {
			return &m.Prices[i]
		}
	}
	return nil
}

// leap refuses a price that is far from the one before it: nearly always it
// was written for a thousand tokens, or a digit slipped.
func (d document) leap(path string, before, now billing.Price) {
	if j, far := leapOf(before, now); far {
		d.fault(path, "%s goes from $%s to $%s per million tokens; if that is right, add force: true", j.kind, j.from.Short(), j.to.Short())
	}
}

// jump is a rate that goes far, by the name it has in a document.
type jump struct {
	kind     string
	from, to billing.Money
}

// leapOf finds a rate of now that is more than twenty times off that of before.
func leapOf(before, now billing.Price) (j jump, far bool) {
	old, fresh := kinds(&before), kinds(&now)
	for i := range old {
		low, high := min(*old[i].rate, *fresh[i].rate), max(*old[i].rate, *fresh[i].rate)
		if high > low*maxLeap {
			return jump{old[i].name, *old[i].rate, *fresh[i].rate}, true
		}
	}
	return jump{}, false
}

const maxLeap = 20

// kind is a rate of a price and its name in a document.
type kind struct {
	name string
	rate *billing.Money
	in   int // which kind it is inside, whose rate holds where it has none; -1 for none
}

// The places of the kinds that others are inside.
const (
	inNone       = -1
	inPrompt     = 0
	inCompletion = 1
	inCacheWrite = 3
)

// kinds are the rates of p. Those that others are inside come before these.
func kinds(p *billing.Price) []kind {
	return []kind{
		{"prompt", &p.Input, inNone},
		{"completion", &p.Output, inNone},
		{"cache_read", &p.CacheRead, inPrompt},
		{"cache_write", &p.CacheWrite, inPrompt},
		{"cache_write_1h", &p.CacheWrite1h, inCacheWrite},
		{"reasoning", &p.Reasoning, inCompletion},
		{"audio_prompt", &p.AudioInput, inPrompt},
		{"audio_completion", &p.AudioOutput, inCompletion},
	}
}

// price reads one price in dollars per million tokens, which is nano-dollars
// per million tokens as billing has it.
func (d document) price(path string, n node) (written, bool) {
	w := written{path: path}
	base := billing.Price{Source: d.source, ServiceTier: billing.TierStandard}
	faults := len(d.faults)
	d.rates(path, n, &base, nil, map[string]read{
		"since":   scalar(d.reader, &w.since, date),
		"request": scalar(d.reader, &base.Request, dollars),
		"source":  scalar(d.reader, &base.Source, oneOf(sourceCatalog, sourceContract, sourceManual)),
		"force":   scalar(d.reader, &w.force, yesNo),
		"tiers":   done,
	})
	if len(d.faults) == faults && w.since.IsZero() {
		d.fault(path, "a price needs since, prompt and completion")
	}
	base.Since = w.since
	w.tiers = []billing.Price{base}
	d.member(path, n, "tiers", d.list(func(path string, n node) { d.tier(path, n, &w) }))
	if len(d.faults) == faults {
		d.tiersFit(w)
	}
	return w, len(d.faults) == faults
}

// tier reads the price of a service tier, of long prompts, or of both. The fee
// of a request is the same in all.
func (d document) tier(path string, n node, w *written) {
	p := w.tiers[0]
	p = billing.Price{Source: p.Source, Since: p.Since, Request: p.Request, ServiceTier: p.ServiceTier}
	var over int64
	d.rates(path, n, &p, &w.tiers[0], map[string]read{
		"service": scalar(d.reader, &p.ServiceTier, oneOf(billing.TierStandard, billing.TierBatch, billing.TierFlex, billing.TierPriority,
			billing.TierFast, billing.TierUS, billing.TierFastUS)),
		"over": scalar(d.reader, &over, tokens),
	})
	if over > 0 {
		p.MinInput = over + 1
	}
	w.tiers = append(w.tiers, p)
}

// tiersFit refuses tiers that are the same, or that leave short prompts without
// a price.
func (d document) tiersFit(w written) {
	type tier struct {
		name string
		from int64
	}
	seen := make(map[tier]bool)
	for _, p := range w.tiers {
		at := tier{p.ServiceTier, p.MinInput}
		if seen[at] {
			d.fault(w.path, "two tiers are for the same: say service, over, or both")
		}
		seen[at] = true
	}
	for at := range seen {
		if !seen[tier{at.name, 0}] {
			d.fault(w.path, "service %s needs a price without over", at.name)
			return
		}
	}
}

// rates reads the rates of p beside other members. A kind that is not named
// costs as much as the one that it is inside; in a tier also no less than in the
// standard, where it is dearer than that one. It may not be free where the other
// is not, since such prices are always a mistake.
func (d document) rates(path string, n node, p, standard *billing.Price, members map[string]read) {
	faults := len(d.faults)
	list := kinds(p)
	given := make([]*billing.Money, len(list))
	for i, k := range list {
		members[k.name] = scalar(d.reader, &given[i], rate)
	}
	d.object(path, n, members)
	if len(d.faults) > faults {
		return
	}
	if given[inPrompt] == nil || given[inCompletion] == nil {
		d.fault(path, "a price needs since, prompt and completion")
		return
	}
	for i, k := range list {
		if k.in == inNone {
			*k.rate = *given[i]
			continue
		}
		whole := *list[k.in].rate
		least := max(whole, surcharged(standard, i))
		*k.rate = *cmp.Or(given[i], &least)
		if *k.rate == 0 && whole > 0 && k.name != "cache_read" && k.name != "cache_write" {
			d.fault(path, "%s cannot be free where %s is not", k.name, list[k.in].name)
		}
	}
}

// surcharged is the rate of a kind in the standard price where it is dearer than
// the one that it is inside; else 0.
func surcharged(standard *billing.Price, kind int) billing.Money {
	if standard == nil {
		return 0
	}
	list := kinds(standard)
	k := list[kind]
	if k.in == inNone || *k.rate <= *list[k.in].rate {
		return 0
	}
	return *k.rate
}

var (
	errRate    = errors.New(`want dollars per million tokens, such as "0.50"`)
	errDollars = errors.New(`want dollars, such as "0.005"`)
	errDate    = errors.New("want a date such as 2026-01-31")
)

// dearest is far above any price there is.
const dearest = 100_000 * billing.NanoPerUSD

func rate(s string) (*billing.Money, error) {
	m, err := billing.ParseMoney(s)
	if err != nil || m < 0 || m > dearest {
		return nil, errRate
	}
	return &m, nil
}

func dollars(s string) (billing.Money, error) {
	m, err := billing.ParseMoney(s)
	if err != nil || m < 0 || m > dearest {
		return 0, errDollars
	}
	return m, nil
}

func date(s string) (time.Time, error) {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, errDate
}
