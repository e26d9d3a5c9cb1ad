package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"tallyroute/billing"
)

// selectEventsSQL selects the columns that scanSpend scans, as they are stored.
const selectEventsSQL = selectEventSQL + `coalesce(e.end_user, '')` + selectEventRestSQL

// shownEventsSQL is selectEventsSQL with end users as they are shown.
const shownEventsSQL = selectEventSQL + `coalesce((SELECT shown FROM end_users WHERE stored = e.end_user), e.end_user, '')` +
	selectEventRestSQL

const selectEventSQL = `
SELECT e.event_id::text, e.occurred_at, e.report_day::text, e.kind, e.request_id, e.attempt, e.final,
       e.key_id, e.project_id, e.team_id, e.cost_center, e.environment, `

const selectEventRestSQL = `, e.tags,
       e.requested_model, e.provider, e.model, e.service_tier, e.route_reason, e.status, coalesce(e.error_kind, ''), e.streamed,
       e.usage_source, e.input_tokens, e.cache_read_tokens, e.cache_write_tokens, e.output_tokens, e.reasoning_tokens,
         e.overrun_tokens, e.overrun_nano,
       e.cache_write_1h_tokens, e.audio_input_tokens, e.audio_output_tokens,
       e.pricing, coalesce(e.price_id, ''), coalesce(e.input_price_nano, 0), coalesce(e.cache_read_price_nano, 0),
       coalesce(e.cache_write_price_nano, 0), coalesce(e.output_price_nano, 0),
       coalesce(e.input_cost_nano, 0), coalesce(e.cache_read_cost_nano, 0), coalesce(e.cache_write_cost_nano, 0),
       coalesce(e.output_cost_nano, 0), coalesce(e.fee_nano, 0), coalesce(e.cost_nano, 0), coalesce(e.baseline_cost_nano, 0),
       coalesce(e.cache_savings_nano, 0),
       e.provider_cost_nano, e.disputed, e.reported, e.fees, coalesce(e.region, ''), coalesce(e.upstream_credential, ''),
       coalesce(e.endpoint, ''), coalesce(e.session, ''), e.bytes_in, e.bytes_out, e.first_token_ms::bigint, e.took_ms::bigint,
       e.fingerprint, e.prefixes, coalesce(e.answered_model, ''), e.unpriced_members, e.limits,
       coalesce(e.provider_request_id, ''), coalesce(e.adjusts_event::text, ''), coalesce(e.adjusts_period::text, ''),
       coalesce(e.reason, ''), coalesce(e.actor, ''), e.recorded_at, coalesce(r.source, ''), r.valid_from
  FROM spend_events e
  LEFT JOIN prices r ON r.id = e.price_id`

// eventsSQL names both kinds of rows separately, so that the index on each is used.
const eventsSQL = shownEventsSQL + `
 WHERE ($2 = '' OR e.request_id = $2 AND e.kind = 'usage' OR e.request_id = $2 AND e.kind <> 'usage')
   AND ($3 = '' OR e.key_id = $3)
 ORDER BY e.occurred_at DESC, e.attempt DESC, e.event_id DESC
 LIMIT $1`

const (
	newestEvents = 100
	mostEvents   = 1000
)

// Events implements billing.Reports.
func (s *Store) Events(ctx context.Context, q billing.EventQuery) ([]billing.Spend, error) {
	limit := q.Limit
	switch {
	case limit <= 0:
		limit = newestEvents
	case limit > mostEvents:
		limit = mostEvents
	}
	return all(ctx, s, scanSpend, eventsSQL, limit, billing.CleanText(q.RequestID), billing.CleanText(string(q.KeyID)))
}

func scanSpend(row pgx.CollectableRow) (e billing.Spend, err error) {
	var since *time.Time
	var first, took *int64
	err = row.Scan(&e.EventID, &e.OccurredAt, &e.ReportDay, &e.Kind, &e.RequestID, &e.Attempt, &e.Final,
		&e.Owner.KeyID, &e.Owner.ProjectID, &e.Owner.TeamID, &e.Owner.CostCenter, &e.Owner.Environment, &e.EndUser, &e.Tags,
		&e.RequestedModel, &e.Provider, &e.Model, &e.ServiceTier, &e.RouteReason, &e.Status, &e.ErrorKind, &e.Streamed,
		&e.UsageSource, &e.Tokens.Input, &e.Tokens.CacheRead, &e.Tokens.CacheWrite, &e.Tokens.Output, &e.Tokens.Reasoning, &e.OverrunTokens,
		&e.OverrunMoney,
		&e.Tokens.CacheWrite1h, &e.Tokens.AudioInput, &e.Tokens.AudioOutput,
		&e.Pricing, &e.Price.ID, &e.Price.Input, &e.Price.CacheRead, &e.Price.CacheWrite, &e.Price.Output,
		&e.Cost.Input, &e.Cost.CacheRead, &e.Cost.CacheWrite, &e.Cost.Output, &e.Cost.Fee, &e.Cost.Total, &e.Baseline, &e.CacheSavings,
		&e.ProviderCost, &e.Disputed, &e.Reported, &e.Fees, &e.Region, &e.Credential,
		&e.Endpoint, &e.Session, &e.BytesIn, &e.BytesOut, &first, &took,
		&e.Fingerprint, &e.Prefixes, &e.AnsweredModel, &e.UnpricedMembers, &e.Limits,
		&e.ProviderRequestID, &e.AdjustsEvent, &e.AdjustsPeriod, &e.Reason, &e.Actor, &e.RecordedAt, &e.Price.Source, &since)
	e.OccurredAt, e.RecordedAt, e.Price.Since = e.OccurredAt.UTC(), e.RecordedAt.UTC(), utc(since)
	e.FirstToken, e.Took = billing.FromMillis(first), billing.FromMillis(took)
	if e.Price.ID != "" {
		e.Price.Provider, e.Price.Model, e.Price.Request = e.Provider, e.Model, e.Cost.Fee
	}
	return e, err
}
