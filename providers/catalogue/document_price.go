package catalogue

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
)

// written is a price as written in a document: the standard price first, then those of its
// tiers. They all take effect together.
type written struct {
	tiers []billing.Price
	since time.Time
	force bool
	path  string
}

// prices reads all prices of a model, which replace any set before.
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

// standard returns the latest standard price, or nil if there is none.
func (m *Model) standard() *billing.Price {
	for i, p := range slices.Backward(m.Prices) {
		if p.MinInput == 0 && p.ServiceTier == billing.TierStandard {
			return &m.Prices[i]
		}
	}
	return nil
}

// leap refuses a price that is far from the one before it: nearly always, it was written per
// thousand tokens, or a digit slipped.
func (d document) leap(path string, before, now billing.Price) {
	if j, far := leapOf(before, now); far {
		d.fault(path, "%s goes from $%s to $%s per million tokens; if that is right, add force: true", j.kind, j.from.Short(), j.to.Short())
	}
}

// jump is a large change of a rate, by the rate's name in a document.
type jump struct {
	kind     string
	from, to billing.Money
}

// leapOf finds a rate in now that differs from before by a factor of more than twenty.
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
	in   int // index of the kind that contains it and supplies its default rate; -1 for none
}

// The indexes of the kinds that contain others.
const (
	inNone       = -1
	inPrompt     = 0
	inCompletion = 1
	inCacheWrite = 3
)

// kinds returns the rates of p. A kind that contains others comes before them.
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

// price reads one price in dollars per million tokens, which billing keeps as nano-dollars
// per million tokens.
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

// tier reads the price of a service tier, of long prompts, or of both. The fee per request
// is the same in all tiers.
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

// tiersFit refuses duplicate tiers, and tiers that leave short prompts without a price.
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

// rates reads the rates of p among other members. A kind that is not listed costs as much as
// the kind that contains it; in a tier, it also costs no less than its standard rate if that
// is a surcharge. A kind other than cache reads and writes can't be free if its container is
// not, since such prices are always a mistake.
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

// surcharged returns a kind's standard rate if it is higher than the rate of the kind that
// contains it, and 0 otherwise.
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

// dearest is far above any real price.
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

// Fees are the prices, from an instant on, of meters that do not count tokens. A meter that
// is not listed keeps its earlier price.
type Fees struct {
	Since time.Time
	Rates []billing.FeeRate // by meter
}

// inForce returns all rates in force at t; if several lists price a meter, the last one wins.
func inForce(t time.Time, lists ...[]Fees) (rates []billing.FeeRate) {
	for _, list := range lists {
		for _, f := range list {
			if f.Since.After(t) {
				continue
			}
			for _, r := range f.Rates {
				i, found := slices.BinarySearchFunc(rates, r.Meter,
					func(r billing.FeeRate, meter string) int { return strings.Compare(r.Meter, meter) })
				if found {
					rates[i] = r
				} else {
					rates = slices.Insert(rates, i, r)
				}
			}
		}
	}
	return rates
}

// Dated returns the prices of a model with the fees that apply alongside them. If fees change
// while a price is in force, the price is repeated, under the same ID, with the new fees.
func (m Model) Dated() []billing.Price {
	if len(m.Prices) == 0 || len(m.Fees) == 0 {
		return m.Prices
	}
	at := []time.Time{}
	for _, p := range m.Prices {
		at = append(at, p.Since)
	}
	for _, f := range m.Fees {
		if f.Since.After(m.Prices[0].Since) {
			at = append(at, f.Since)
		}
	}
	slices.SortFunc(at, time.Time.Compare)
	at = slices.CompactFunc(at, time.Time.Equal)
	var all []billing.Price
	for _, t := range at {
		fees := inForce(t, m.Fees)
		for _, p := range together(m.Prices, t) {
			p.Since, p.Fees = t, fees
			all = append(all, p)
		}
	}
	return all
}

// together returns the prices in force at t: the ones that took effect last, the standard
// price first and then those of its tiers.
func together(prices []billing.Price, t time.Time) (list []billing.Price) {
	for _, p := range slices.Backward(prices) {
		if p.Since.After(t) || len(list) > 0 && !p.Since.Equal(list[0].Since) {
			continue
		}
		list = append(list, p)
	}
	slices.Reverse(list)
	return list
}

// over overlays the fees of a model on those of its provider. A provider's later fees do not
// override what the model already sets.
func over(provider, model []Fees) []Fees {
	if len(provider) == 0 || len(model) == 0 {
		return append(slices.Clone(provider), model...)
	}
	var all []Fees
	for _, f := range slices.Concat(provider, model) {
		all = append(all, Fees{f.Since, inForce(f.Since, provider, model)})
	}
	slices.SortStableFunc(all, func(a, b Fees) int { return a.Since.Compare(b.Since) })
	return all
}

// fees reads all fees of a provider or a model, which replace any set before.
func (d document) fees(into *[]Fees) read {
	return func(path string, n node) {
		var list []Fees
		d.list(func(path string, n node) {
			if f := d.feesFrom(path, n); len(f.Rates) > 0 {
				list = append(list, f)
			}
		})(path, n)
		slices.SortStableFunc(list, func(a, b Fees) int { return a.Since.Compare(b.Since) })
		*into = list
	}
}

// feesFrom reads the fees that apply from one date on.
func (d document) feesFrom(path string, n node) (f Fees) {
	meters := providers.Meters()
	units := make([]*billing.Money, len(meters))
	members := map[string]read{"since": scalar(d.reader, &f.Since, date)}
	for i, meter := range meters {
		members[meter] = scalar(d.reader, &units[i], fee)
	}
	faults := len(d.faults)
	d.object(path, n, members)
	for i, unit := range units {
		if unit != nil {
			f.Rates = append(f.Rates, billing.FeeRate{Meter: meters[i], Unit: *unit})
		}
	}
	if len(d.faults) == faults && (f.Since.IsZero() || len(f.Rates) == 0) {
		d.fault(path, "fees need since and at least one meter")
	}
	return f
}

func fee(s string) (*billing.Money, error) {
	m, err := dollars(s)
	return &m, err
}

// priceID derives an ID from the facts of a price, so that every replica gives the same price
// the same ID after every start, and a changed price another one.
func priceID(p billing.Price) string {
	facts := fmt.Appendf(nil, "%q %q %s %d %d %d %d %d %q", p.Provider, p.Model, p.Since.UTC().Format(time.RFC3339Nano),
		p.Input, p.CacheRead, p.CacheWrite, p.Output, p.Request, p.Source)
	whole := billing.Price{Input: p.Input, CacheWrite: p.CacheWrite, Output: p.Output}.Resolved()
	if p = p.Resolved(); p.CacheWrite1h != whole.CacheWrite1h || p.Reasoning != whole.Reasoning || p.AudioInput != whole.AudioInput ||
		p.AudioOutput != whole.AudioOutput || p.ServiceTier != whole.ServiceTier || p.MinInput > 0 {
		facts = fmt.Appendf(facts, " %d %d %d %d %q %d", p.CacheWrite1h, p.Reasoning, p.AudioInput, p.AudioOutput, p.ServiceTier,
			p.MinInput)
	}
	sum := sha256.Sum256(facts)
	return "price_" + hex.EncodeToString(sum[:10])
}
