package postgres

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"

	"tallyroute/billing"
)

// column is a column of spend_events that a settlement writes. Rows are sent as one
// array per column, which the database unnests into rows again.
type column struct {
	name, kind string // kind is the type of the array's elements
	cast       string // from the element's type to the column's, if they differ
	as         string // the expression to write instead of the element, if any
	array      func(rows []billing.Spend) any
}

// columns lists every column that a settlement writes.
var columns = []column{
	{name: "event_id", kind: "text", cast: "::uuid", array: texts(func(e *billing.Spend) string { return e.EventID })},
	{name: "occurred_at", kind: "timestamptz", array: values(func(e *billing.Spend) time.Time { return e.OccurredAt })},
	{name: "report_day", kind: "text", cast: "::date", array: texts(func(e *billing.Spend) string { return e.ReportDay })},
	{name: "kind", kind: "text", array: texts(func(e *billing.Spend) string { return string(e.Kind) })},
	{name: "request_id", kind: "text", array: texts(func(e *billing.Spend) string { return e.RequestID })},
	{name: "attempt", kind: "int2", array: values(func(e *billing.Spend) int16 { return int16(e.Attempt) })}, // Check limits its range
	{name: "final", kind: "bool", array: values(func(e *billing.Spend) bool { return e.Final })},
	{name: "key_id", kind: "text", array: texts(func(e *billing.Spend) string { return string(e.Owner.KeyID) })},
	{name: "project_id", kind: "text", array: texts(func(e *billing.Spend) string { return e.Owner.ProjectID })},
	{name: "team_id", kind: "text", array: texts(func(e *billing.Spend) string { return e.Owner.TeamID })},
	{name: "cost_center", kind: "text", array: texts(func(e *billing.Spend) string { return e.Owner.CostCenter })},
	{name: "environment", kind: "text", array: texts(func(e *billing.Spend) string { return e.Owner.Environment })},
	{name: "end_user", kind: "text", as: pseudonymSQL, array: textsOrNull(func(e *billing.Spend) string { return e.EndUser })},
	{name: "tags", kind: "text", cast: "::jsonb", array: texts(func(e *billing.Spend) string { return tagsJSON(e.Tags) })},
	{name: "requested_model", kind: "text", array: texts(func(e *billing.Spend) string { return e.RequestedModel })},
	{name: "provider", kind: "text", array: texts(func(e *billing.Spend) string { return e.Provider })},
	{name: "model", kind: "text", array: texts(func(e *billing.Spend) string { return e.Model })},
	{name: "service_tier", kind: "text", array: texts(func(e *billing.Spend) string { return e.ServiceTier })},
	{name: "route_reason", kind: "text", array: texts(func(e *billing.Spend) string { return string(e.RouteReason) })},
	{name: "status", kind: "text", array: texts(func(e *billing.Spend) string { return string(e.Status) })},
	{name: "error_kind", kind: "text", array: textsOrNull(func(e *billing.Spend) string { return e.ErrorKind })},
	{name: "streamed", kind: "bool", array: values(func(e *billing.Spend) bool { return e.Streamed })},
	{name: "usage_source", kind: "text", array: texts(func(e *billing.Spend) string { return string(e.UsageSource) })},
	{name: "input_tokens", kind: "int8", array: values(func(e *billing.Spend) int64 { return e.Tokens.Input })},
	{name: "cache_read_tokens", kind: "int8", array: values(func(e *billing.Spend) int64 { return e.Tokens.CacheRead })},
	{name: "cache_write_tokens", kind: "int8", array: values(func(e *billing.Spend) int64 { return e.Tokens.CacheWrite })},
	{name: "output_tokens", kind: "int8", array: values(func(e *billing.Spend) int64 { return e.Tokens.Output })},
	{name: "reasoning_tokens", kind: "int8", array: values(func(e *billing.Spend) int64 { return e.Tokens.Reasoning })},
	{name: "cache_write_1h_tokens", kind: "int8", array: values(func(e *billing.Spend) int64 { return e.Tokens.CacheWrite1h })},
	{name: "audio_input_tokens", kind: "int8", array: values(func(e *billing.Spend) int64 { return e.Tokens.AudioInput })},
	{name: "audio_output_tokens", kind: "int8", array: values(func(e *billing.Spend) int64 { return e.Tokens.AudioOutput })},
	{name: "overrun_tokens", kind: "int8", array: values(func(e *billing.Spend) int64 { return e.OverrunTokens })},
	{name: "overrun_nano", kind: "int8", array: values(func(e *billing.Spend) int64 { return int64(e.OverrunMoney) })},
	{name: "pricing", kind: "text", array: texts(func(e *billing.Spend) string { return string(e.Pricing) })},
	{name: "price_id", kind: "text", array: textsOrNull(func(e *billing.Spend) string {
		if e.Pricing == billing.Unpriced {
			return ""
		}
		return e.Price.ID
	})},
	{name: "input_price_nano", kind: "int8", array: amounts(func(e *billing.Spend) billing.Money { return e.Price.Input })},
	{name: "cache_read_price_nano", kind: "int8", array: amounts(func(e *billing.Spend) billing.Money { return e.Price.CacheRead })},
	{name: "cache_write_price_nano", kind: "int8", array: amounts(func(e *billing.Spend) billing.Money { return e.Price.CacheWrite })},
	{name: "output_price_nano", kind: "int8", array: amounts(func(e *billing.Spend) billing.Money { return e.Price.Output })},
	{name: "input_cost_nano", kind: "int8", array: amounts(func(e *billing.Spend) billing.Money { return e.Cost.Input })},
	{name: "cache_read_cost_nano", kind: "int8", array: amounts(func(e *billing.Spend) billing.Money { return e.Cost.CacheRead })},
	{name: "cache_write_cost_nano", kind: "int8", array: amounts(func(e *billing.Spend) billing.Money { return e.Cost.CacheWrite })},
	{name: "output_cost_nano", kind: "int8", array: amounts(func(e *billing.Spend) billing.Money { return e.Cost.Output })},
	{name: "fee_nano", kind: "int8", array: amounts(func(e *billing.Spend) billing.Money { return e.Cost.Fee })},
	{name: "cost_nano", kind: "int8", array: amounts(func(e *billing.Spend) billing.Money { return e.Cost.Total })},
	{name: "baseline_cost_nano", kind: "int8", array: amounts(func(e *billing.Spend) billing.Money { return e.Baseline })},
	{name: "cache_savings_nano", kind: "int8", array: values(func(e *billing.Spend) pgtype.Int8 {
		return pgtype.Int8{Int64: int64(e.CacheSavings), Valid: e.CacheSavings != 0}
	})},
	{name: "provider_cost_nano", kind: "int8", array: numbersOrNull(func(e *billing.Spend) *int64 { return (*int64)(e.ProviderCost) })},
	{name: "disputed", kind: "bool", array: values(func(e *billing.Spend) bool { return e.Disputed })},
	{
		name: "reported", kind: "text", cast: "::jsonb",
		array: textsOrNull(func(e *billing.Spend) string { return reportedJSON(e.Reported) }),
	},
	{name: "fees", kind: "text", cast: "::jsonb", array: textsOrNull(func(e *billing.Spend) string { return listJSON(e.Fees) })},
	{name: "region", kind: "text", array: textsOrNull(func(e *billing.Spend) string { return e.Region })},
	{name: "upstream_credential", kind: "text", array: textsOrNull(func(e *billing.Spend) string { return e.Credential })},
	{name: "endpoint", kind: "text", array: textsOrNull(func(e *billing.Spend) string { return e.Endpoint })},
	{name: "session", kind: "text", array: textsOrNull(func(e *billing.Spend) string { return e.Session })},
	{name: "bytes_in", kind: "int8", array: numbersOrNull(func(e *billing.Spend) *int64 { return e.BytesIn })},
	{name: "bytes_out", kind: "int8", array: numbersOrNull(func(e *billing.Spend) *int64 { return e.BytesOut })},
	{name: "first_token_ms", kind: "int8", array: numbersOrNull(func(e *billing.Spend) *int64 { return billing.Millis(e.FirstToken) })},
	{name: "took_ms", kind: "int8", array: numbersOrNull(func(e *billing.Spend) *int64 { return billing.Millis(e.Took) })},
	{name: "fingerprint", kind: "bytea", array: values(func(e *billing.Spend) []byte { return bytesOrNil(e.Fingerprint) })},
	{name: "prefixes", kind: "bytea", array: values(func(e *billing.Spend) []byte { return bytesOrNil(e.Prefixes) })},
	{name: "answered_model", kind: "text", array: textsOrNull(func(e *billing.Spend) string { return e.AnsweredModel })},
	{
		name: "unpriced_members", kind: "text", cast: "::jsonb",
		array: textsOrNull(func(e *billing.Spend) string { return listJSON(e.UnpricedMembers) }),
	},
	{name: "limits", kind: "text", cast: "::text[]", array: textsOrNull(func(e *billing.Spend) string { return listText(e.Limits) })},
	{name: "provider_request_id", kind: "text", array: textsOrNull(func(e *billing.Spend) string { return e.ProviderRequestID })},
	{name: "adjusts_event", kind: "text", cast: "::uuid", array: textsOrNull(func(e *billing.Spend) string { return e.AdjustsEvent })},
	{name: "adjusts_period", kind: "text", cast: "::date", array: textsOrNull(func(e *billing.Spend) string { return e.AdjustsPeriod })},
	{name: "reason", kind: "text", array: textsOrNull(func(e *billing.Spend) string { return e.Reason })},
	{name: "actor", kind: "text", array: textsOrNull(func(e *billing.Spend) string { return e.Actor })},
}

// insertEventsSQL returns a statement that inserts rows, whose arrays are its parameters
// from number first onwards.
func insertEventsSQL(first int) string {
	names, casts, arrays := make([]string, len(columns)), make([]string, len(columns)), make([]string, len(columns))
	for i, c := range columns {
		names[i], casts[i] = c.name, cmp.Or(c.as, c.name+c.cast)
		arrays[i] = "$" + strconv.Itoa(first+i) + "::" + c.kind + "[]"
	}
	all := strings.Join(names, ", ")
	return "INSERT INTO spend_events (" + all + ")\n  SELECT " + strings.Join(casts, ", ") +
		"\n    FROM unnest(" + strings.Join(arrays, ", ") + ") AS r (" + all + ")"
}

// arrays returns the parameters of insertEventsSQL.
func arrays(rows []billing.Spend) []any {
	all := make([]any, len(columns))
	for i, c := range columns {
		all[i] = c.array(rows)
	}
	return all
}

func values[T any](of func(*billing.Spend) T) func([]billing.Spend) any {
	return func(rows []billing.Spend) any {
		all := make([]T, len(rows))
		for i := range rows {
			all[i] = of(&rows[i])
		}
		return all
	}
}

func texts(of func(*billing.Spend) string) func([]billing.Spend) any { return values(of) }

// textsOrNull writes null for "".
func textsOrNull(of func(*billing.Spend) string) func([]billing.Spend) any {
	return values(func(e *billing.Spend) pgtype.Text {
		s := of(e)
		return pgtype.Text{String: s, Valid: s != ""}
	})
}

// numbersOrNull writes null for an unknown value.
func numbersOrNull(of func(*billing.Spend) *int64) func([]billing.Spend) any {
	return values(func(e *billing.Spend) pgtype.Int8 {
		n := of(e)
		if n == nil {
			return pgtype.Int8{}
		}
		return pgtype.Int8{Int64: *n, Valid: true}
	})
}

func bytesOrNil(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

// amounts writes null if there is no price: the cost of the attempt is then unknown,
// which is not the same as zero.
func amounts(of func(*billing.Spend) billing.Money) func([]billing.Spend) any {
	return values(func(e *billing.Spend) pgtype.Int8 {
		return pgtype.Int8{Int64: int64(of(e)), Valid: e.Pricing != billing.Unpriced}
	})
}

// events checks the attempts of one request and prepares them for writing.
func (s *Store) events(attempts []billing.Spend) ([]billing.Spend, error) {
	if len(attempts) == 0 {
		return nil, errors.New("billing/postgres: a settlement needs an attempt")
	}
	rows := make([]billing.Spend, len(attempts))
	for i, a := range attempts {
		if a.RequestID != attempts[0].RequestID || !a.OccurredAt.Equal(attempts[0].OccurredAt) || a.Owner != attempts[0].Owner {
			return nil, fmt.Errorf("billing/postgres: attempts %d and %d are not of one request", attempts[0].Attempt, a.Attempt)
		}
		row, err := s.event(a)
		if err != nil {
			return nil, err
		}
		rows[i] = row
	}
	return rows, nil
}

// event checks a row and fills in everything that the database requires.
func (s *Store) event(a billing.Spend) (billing.Spend, error) {
	a = a.Tidy()
	a.OccurredAt = a.OccurredAt.Truncate(time.Microsecond) // the database's precision
	if a.ReportDay == "" {
		a.ReportDay = s.reportDay(a.OccurredAt)
	}
	if err := a.Check(); err != nil {
		return a, fmt.Errorf("billing/postgres: %w", err)
	}
	if a.EventID == "" {
		v7, err := uuid.NewV7()
		if err != nil {
			return a, fmt.Errorf("billing/postgres: %w", err)
		}
		a.EventID = v7.String()
	}
	return a, nil
}

// reportDay returns the day that an attempt at t is reported on.
func (s *Store) reportDay(t time.Time) string { return t.In(s.reporting).Format(time.DateOnly) }

// reportedJSON returns the usage that a provider reported as JSON, or "" if there is none.
func reportedJSON(t *billing.Tokens) string {
	if t == nil {
		return ""
	}
	b, err := json.Marshal(t)
	if err != nil {
		return "" // unreachable: numbers always marshal
	}
	return string(b)
}

// listJSON returns a list as JSON, or "" if it is empty.
func listJSON[T any](list []T) string {
	if len(list) == 0 {
		return ""
	}
	b, err := json.Marshal(list)
	if err != nil {
		return "" // unreachable: strings and numbers always marshal
	}
	return string(b)
}

// tagsJSON returns tags as a JSON object.
func tagsJSON(tags map[string]string) string {
	if len(tags) == 0 {
		return "{}"
	}
	b, err := json.Marshal(tags)
	if err != nil {
		return "{}" // unreachable: maps of strings always marshal
	}
	return string(b)
}

// listText returns ids as a PostgreSQL array literal, or "" if there are none.
func listText(ids []string) string {
	if len(ids) == 0 {
		return ""
	}
	return "{" + strings.Join(ids, ",") + "}"
}
