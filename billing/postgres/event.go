package postgres

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"tallyroute/billing"
)

// eventColumns are the columns of spend_events that a settlement writes.
const eventColumns = `event_id, occurred_at, report_day, kind, request_id, attempt, final,
  key_id, project_id, team_id, cost_center, environment, end_user, tags,
  requested_model, provider, model, service_tier, route_reason, status, error_kind, streamed, usage_source,
  input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, overrun_tokens, overrun_nano,
  cache_write_1h_tokens, audio_input_tokens, audio_output_tokens,
  pricing, price_id, input_price_nano, cache_read_price_nano, cache_write_price_nano, output_price_nano,
  input_cost_nano, cache_read_cost_nano, cache_write_cost_nano, output_cost_nano, fee_nano, cost_nano, baseline_cost_nano,
  provider_request_id, adjusts_event, adjusts_period, reason, actor`

// eventRow is a row of spend_events as JSON, which the database turns into a
// row by the names of its columns. Pointers and empty texts are null.
type eventRow struct {
	EventID             string            `json:"event_id"`
	OccurredAt          time.Time         `json:"occurred_at"`
	ReportDay           string            `json:"report_day"`
	Kind                string            `json:"kind"`
	RequestID           string            `json:"request_id"`
	Attempt             int               `json:"attempt"`
	Final               bool              `json:"final"`
	KeyID               string            `json:"key_id"`
	ProjectID           string            `json:"project_id"`
	TeamID              string            `json:"team_id"`
	CostCenter          string            `json:"cost_center"`
	Environment         string            `json:"environment"`
	EndUser             *string           `json:"end_user,omitempty"`
	Tags                map[string]string `json:"tags"`
	RequestedModel      string            `json:"requested_model"`
	Provider            string            `json:"provider"`
	Model               string            `json:"model"`
	ServiceTier         string            `json:"service_tier"`
	RouteReason         string            `json:"route_reason"`
	Status              string            `json:"status"`
	ErrorKind           *string           `json:"error_kind,omitempty"`
	Streamed            bool              `json:"streamed"`
	UsageSource         string            `json:"usage_source"`
	InputTokens         int64             `json:"input_tokens"`
	CacheReadTokens     int64             `json:"cache_read_tokens"`
	CacheWriteTokens    int64             `json:"cache_write_tokens"`
	OutputTokens        int64             `json:"output_tokens"`
	ReasoningTokens     int64             `json:"reasoning_tokens"`
	OverrunTokens       int64             `json:"overrun_tokens"`
	OverrunNano         billing.Money     `json:"overrun_nano"`
	CacheWrite1hTokens  int64             `json:"cache_write_1h_tokens"`
	AudioInputTokens    int64             `json:"audio_input_tokens"`
	AudioOutputTokens   int64             `json:"audio_output_tokens"`
	Pricing             string            `json:"pricing"`
	PriceID             *string           `json:"price_id,omitempty"`
	InputPriceNano      *billing.Money    `json:"input_price_nano,omitempty"`
	CacheReadPriceNano  *billing.Money    `json:"cache_read_price_nano,omitempty"`
	CacheWritePriceNano *billing.Money    `json:"cache_write_price_nano,omitempty"`
	OutputPriceNano     *billing.Money    `json:"output_price_nano,omitempty"`
	InputCostNano       *billing.Money    `json:"input_cost_nano,omitempty"`
	CacheReadCostNano   *billing.Money    `json:"cache_read_cost_nano,omitempty"`
	CacheWriteCostNano  *billing.Money    `json:"cache_write_cost_nano,omitempty"`
	OutputCostNano      *billing.Money    `json:"output_cost_nano,omitempty"`
	FeeNano             *billing.Money    `json:"fee_nano,omitempty"`
	CostNano            *billing.Money    `json:"cost_nano,omitempty"`
	BaselineCostNano    *billing.Money    `json:"baseline_cost_nano,omitempty"`
	ProviderRequestID   *string           `json:"provider_request_id,omitempty"`
	AdjustsEvent        *string           `json:"adjusts_event,omitempty"`
	AdjustsPeriod       *string           `json:"adjusts_period,omitempty"`
	Reason              *string           `json:"reason,omitempty"`
	Actor               *string           `json:"actor,omitempty"`
}

// eventRows encodes the attempts of one request.
func (s *Store) eventRows(attempts []billing.Spend) ([]byte, error) {
	if len(attempts) == 0 {
		return nil, errors.New("billing/postgres: a settlement needs an attempt")
	}
	rows := make([]eventRow, len(attempts))
	for i, a := range attempts {
		if a.RequestID != attempts[0].RequestID || !a.OccurredAt.Equal(attempts[0].OccurredAt) || a.Owner != attempts[0].Owner {
			return nil, fmt.Errorf("billing/postgres: attempts %d and %d are not of one request", attempts[0].Attempt, a.Attempt)
		}
		a = a.Tidy()
		a.OccurredAt = a.OccurredAt.Truncate(time.Microsecond) // what the database keeps
		if err := a.Check(); err != nil {
			return nil, fmt.Errorf("billing/postgres: %w", err)
		}
		row, err := s.eventRow(a)
		if err != nil {
			return nil, err
		}
		rows[i] = row
	}
	return json.Marshal(rows)
}

func (s *Store) eventRow(a billing.Spend) (eventRow, error) {
	id := a.EventID
	if id == "" {
		v7, err := uuid.NewV7()
		if err != nil {
			return eventRow{}, fmt.Errorf("billing/postgres: %w", err)
		}
		id = v7.String()
	}
	row := eventRow{
		EventID: id, OccurredAt: a.OccurredAt, ReportDay: s.reportDay(a.OccurredAt), Kind: string(a.Kind),
		RequestID: a.RequestID, Attempt: a.Attempt, Final: a.Final,
		KeyID: string(a.Owner.KeyID), ProjectID: a.Owner.ProjectID, TeamID: a.Owner.TeamID,
		CostCenter: a.Owner.CostCenter, Environment: a.Owner.Environment,
		EndUser: text(a.EndUser), Tags: a.Tags,
		RequestedModel: a.RequestedModel, Provider: a.Provider, Model: a.Model, ServiceTier: a.ServiceTier,
		RouteReason: string(a.RouteReason), Status: string(a.Status), ErrorKind: text(a.ErrorKind), Streamed: a.Streamed,
		UsageSource: string(a.UsageSource), InputTokens: a.Tokens.Input, CacheReadTokens: a.Tokens.CacheRead,
		CacheWriteTokens: a.Tokens.CacheWrite, OutputTokens: a.Tokens.Output, ReasoningTokens: a.Tokens.Reasoning,
		CacheWrite1hTokens: a.Tokens.CacheWrite1h, AudioInputTokens: a.Tokens.AudioInput, AudioOutputTokens: a.Tokens.AudioOutput,
		OverrunTokens: a.OverrunTokens, OverrunNano: a.OverrunMoney, Pricing: string(a.Pricing),
		ProviderRequestID: text(a.ProviderRequestID), AdjustsEvent: text(a.AdjustsEvent), AdjustsPeriod: text(a.AdjustsPeriod),
		Reason: text(a.Reason), Actor: text(a.Actor),
	}
	if a.AdjustsPeriod != "" && a.ReportDay != "" {
		row.ReportDay = a.ReportDay // of a closed month, booked in another
	}
	row.setMoney(a)
	return row, nil
}

// setMoney leaves everything null where there is no price: what an attempt
// cost is then unknown, which is not nothing.
func (r *eventRow) setMoney(a billing.Spend) {
	if a.Pricing == billing.Unpriced {
		return
	}
	r.PriceID = text(a.Price.ID)
	r.InputPriceNano, r.CacheReadPriceNano = &a.Price.Input, &a.Price.CacheRead
	r.CacheWritePriceNano, r.OutputPriceNano = &a.Price.CacheWrite, &a.Price.Output
	r.InputCostNano, r.CacheReadCostNano = &a.Cost.Input, &a.Cost.CacheRead
	r.CacheWriteCostNano, r.OutputCostNano = &a.Cost.CacheWrite, &a.Cost.Output
	r.FeeNano, r.CostNano, r.BaselineCostNano = &a.Cost.Fee, &a.Cost.Total, &a.Baseline
}

// reportDay is the day that an attempt at t is reported on.
func (s *Store) reportDay(t time.Time) string { return t.In(s.reporting).Format(time.DateOnly) }

// text is nil for "".
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
