package router

import (
	"context"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/chat"
)

// If another model answers, the higher of the two prices is charged, and the row names that
// model if its price differs or is not known.
func TestAnotherModelThatAnswersIsToldAndChargedAsTheDearer(t *testing.T) {
	dear, cheap, equal := target("a", "10", "20"), target("a", "0.1", "0.2"), target("a", "1", "2")
	dear.Model, cheap.Model, equal.Model = "dear", "cheap", "equal"
	for _, tt := range []struct {
		said  string
		told  string
		price string
		cost  billing.Money
	}{
		{"", "", "m", 19_000},
		{"up-a", "", "m", 19_000},
		{"M-2026-01-01", "", "m", 19_000},
		{"dear-2026-01-01", "dear-2026-01-01", "dear", 190_000},
		{"cheap", "cheap", "m", 19_000},
		{"equal", "", "m", 19_000},
		{"nobody/knows-it", "nobody/knows-it", "m", 19_000},
	} {
		u := &chat.Usage{Input: 5, Output: 7}
		whole := func(context.Context, providers.Exchange) (*providers.Answer, error) {
			return &providers.Answer{Response: &chat.Response{Body: []byte(`{}`), Usage: u, Text: "seven..", Model: tt.said}}, nil
		}
		list := words("seven", "..")
		for i := range list {
			list[i].Model = []byte(strconv.Quote(tt.said))
		}
		list[1].Usage, list[1].Finish = u, "stop"
		for name, step := range map[string]step{"whole": whole, "streamed": streams(io.EOF, list...)} {
			g := newRig(t, keyWith(moneyBudget("1")), target("a", "1", "2"), dear, cheap, equal)
			var prices []billing.Price
			for _, each := range []providers.Target{target("a", "1", "2"), dear, cheap, equal} {
				price := pricesOf(each)[0]
				price.ID = "price_" + each.Model
				prices = append(prices, price)
			}
			g.Prices = billing.NewPriceBook(prices)
			g.sender.then(step)
			a, err := g.ask(t.Context(), hi)
			if err != nil {
				t.Fatal(err)
			}
			for a.live != nil && err == nil {
				_, err = a.Next()
			}
			row := a.Outcome().Spend
			if row.AnsweredModel != tt.told || row.Price.ID != "price_"+tt.price || row.Cost.Total != tt.cost || row.Disputed {
				t.Errorf("%s %q: told %q, %s, $%s", name, tt.said, row.AnsweredModel, row.Price.ID, row.Cost.Total)
			}
			events := billing.RowEvents([]billing.Spend{row})
			isModel := func(e billing.Event) bool { return e.Kind == billing.EventModel }
			if slices.ContainsFunc(events, isModel) != (tt.told != "") {
				t.Errorf("%s %q: events %+v", name, tt.said, events)
			}
		}
	}
}

// Only the last refusal is final: a request that fits with a lower bound was not denied.
func TestRefusalIsFinalOnlyWhereNoLowerBoundFits(t *testing.T) {
	for _, tt := range []struct {
		tokens int64
		body   string
		final  bool
	}{
		{100, hiOpen, false},
		{int64(len(hiOpen) / 10), hiOpen, true},
		{10, hi, true},
	} {
		g := newRig(t, keyWith(tokenBudget(tt.tokens)), target("a", "1", "2"))
		_, err := g.ask(t.Context(), tt.body)
		if (err != nil) != tt.final || g.ledger.denied != tt.final {
			t.Errorf("%d tokens: %v, denied: %t, want %t", tt.tokens, err, g.ledger.denied, tt.final)
		}
	}
}

// Members that were sent although their cost is unknown appear in the row.
func TestUnpricedMembersStandInTheRow(t *testing.T) {
	g := newRig(t, keyWith(), target("a", "1", "2"))
	g.ok(t, `{"model":"m","nobody_knows":1,"plugins":[{"id":"web"}],"messages":[{"role":"user","content":"hi"}],"max_tokens":10}`)
	row := g.ledger.settled(t)[0]
	if len(row.UnpricedMembers) != 2 || row.UnpricedMembers[0] != "nobody_knows" {
		t.Errorf("row %+v", row.UnpricedMembers)
	}
}

// TestClientsCannotTakeAnotherPersonsLine: an end user whose name looks like a pseudonym, or
// like the line for requests without a name, is booked under a separate name.
func TestClientsCannotTakeAnotherPersonsLine(t *testing.T) {
	const pseudonym = "eu_0123456789abcdef0123"
	for said, want := range map[string]string{
		"ann": "ann", "~ann": "~ann", "eu_1": "eu_1", pseudonym: "~" + pseudonym, "~" + pseudonym: "~~" + pseudonym,
		billing.NoneGroup: "~(none)", billing.ArchivedGroup: "~(archived)",
	} {
		g := newRig(t, keyWith(), target("a", "1", "2"))
		g.ok(t, strings.Replace(hi, `{`, `{"user":"`+said+`",`, 1))
		if row := g.ledger.settled(t)[0]; row.EndUser != want {
			t.Errorf("%q is booked as %q, want %q", said, row.EndUser, want)
		}
	}
}
