package catalogue

import (
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
)

// Fees are the prices of meters that count no tokens, from an instant on. A meter that
// is not among them costs what it did before.
type Fees struct {
	Since time.Time
	Rates []billing.FeeRate // by meter
}

// inForce are all rates of lists at t; of what two lists price, the last one counts.
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

// Dated are the prices of a model with the fees that hold beside them. Where fees
// change while a price is in force, that goes on under its own name with the new ones.
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

// together are the prices in force at t: those that began last, the standard one
// first, then those of tiers.
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

// over lays the fees of a model over those of its provider. What a model says once
// is not taken back by what its provider says later.
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

// fees reads all fees of a provider or a model in place of the ones before.
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

// feesFrom reads the fees from one date on.
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
