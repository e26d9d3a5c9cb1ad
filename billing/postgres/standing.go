package postgres

import (
	"encoding/json"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"tallyroute/billing"
)

// standing is a row that joins a budget with one of its counters. All columns are
// null if an outer join found nothing.
type standing struct {
	id, scope, scopeID, period, zone           pgtype.Text
	starts, action, thresholds                 pgtype.Text
	part, named, parent                        pgtype.Text
	tokenLimit, amountNano, requestLimit       pgtype.Int8
	start, end                                 pgtype.Timestamptz
	usedTokens, heldTokens, usedNano, heldNano pgtype.Int8
	usedRequests, heldRequests                 pgtype.Int8
}

func (s *standing) columns() []any {
	return []any{
		&s.id, &s.scope, &s.scopeID, &s.period, &s.zone, &s.starts, &s.action, &s.thresholds,
		&s.tokenLimit, &s.amountNano, &s.requestLimit, &s.part, &s.named, &s.parent,
		&s.start, &s.end, &s.usedTokens, &s.heldTokens, &s.usedNano, &s.heldNano, &s.usedRequests, &s.heldRequests,
	}
}

// budgetColumns returns the budget columns that a standing reads first. Use it with
// budgets_now for the limits that apply at the moment.
func budgetColumns(of string) string {
	return strings.ReplaceAll(`b.id, b.scope, b.scope_id, b.period, b.zone, b.starts, b.near_action, b.thresholds,
       b.token_limit, b.amount_nano, b.request_limit, b.part, b.named, b.parent_id`, "b.", of+".")
}

// balance returns the standing as a balance, and false for a row of nulls.
func (s *standing) balance() (billing.Balance, bool) {
	b := billing.Balance{
		Budget: billing.Budget{
			ID: s.id.String, Scope: billing.Scope(s.scope.String), ScopeID: s.scopeID.String,
			Period: billing.Period(s.period.String), Zone: s.zone.String,
			Starts: s.starts.String, Action: billing.Action(s.action.String), Thresholds: thresholds(s.thresholds.String),
			Part: billing.Part(s.part.String), Named: s.named.String, Parent: s.parent.String,
		},
		Window:     window(s.start, s.end),
		UsedTokens: s.usedTokens.Int64, HeldTokens: s.heldTokens.Int64,
		UsedMoney: billing.Money(s.usedNano.Int64), HeldMoney: billing.Money(s.heldNano.Int64),
		UsedRequests: s.usedRequests.Int64, HeldRequests: s.heldRequests.Int64,
	}
	if s.tokenLimit.Valid {
		b.Budget.Tokens = &s.tokenLimit.Int64
	}
	if s.amountNano.Valid {
		money := billing.Money(s.amountNano.Int64)
		b.Budget.Money = &money
	}
	if s.requestLimit.Valid {
		b.Budget.Requests = &s.requestLimit.Int64
	}
	return b, s.id.Valid
}

// thresholds parses thresholds in their stored form.
func thresholds(text string) (list []int) {
	_ = json.Unmarshal([]byte(text), &list) // validated when it was written
	return list
}

func scanStanding(row pgx.CollectableRow) (s standing, err error) {
	return s, row.Scan(s.columns()...)
}
