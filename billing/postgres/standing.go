package postgres

import (
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"tallyroute/billing"
)

// standing is a row that joins a budget with one of its counters. All of it is
// null where an outer join found nothing.
type standing struct {
	id, scope, scopeID, period, zone           pgtype.Text
	tokenLimit, amountNano                     pgtype.Int8
	start, end                                 pgtype.Timestamptz
	usedTokens, heldTokens, usedNano, heldNano pgtype.Int8
}

func (s *standing) columns() []any {
	return []any{
		&s.id, &s.scope, &s.scopeID, &s.period, &s.zone, &s.tokenLimit, &s.amountNano,
		&s.start, &s.end, &s.usedTokens, &s.heldTokens, &s.usedNano, &s.heldNano,
	}
}

// balance reports false for a row of nulls.
func (s *standing) balance() (billing.Balance, bool) {
	b := billing.Balance{
		Budget: billing.Budget{
			ID: s.id.String, Scope: billing.Scope(s.scope.String), ScopeID: s.scopeID.String,
			Period: billing.Period(s.period.String), Zone: s.zone.String,
		},
		Window:     window(s.start, s.end),
		UsedTokens: s.usedTokens.Int64, HeldTokens: s.heldTokens.Int64,
		UsedMoney: billing.Money(s.usedNano.Int64), HeldMoney: billing.Money(s.heldNano.Int64),
	}
	if s.tokenLimit.Valid {
		b.Budget.Tokens = &s.tokenLimit.Int64
	}
	if s.amountNano.Valid {
		money := billing.Money(s.amountNano.Int64)
		b.Budget.Money = &money
	}
	return b, s.id.Valid
}

func scanStanding(row pgx.CollectableRow) (s standing, err error) {
	return s, row.Scan(s.columns()...)
}
