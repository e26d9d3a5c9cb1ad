package billing

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"time"
)

// MonthDigest is the proof of a month: the SHA-256 of its rows, each as one
// line of JSON, in the order of their event ids. It is also the format of the
// files of archived months.
type MonthDigest struct {
	Rows  int64
	Money Money
	hash  hash.Hash
}

// NewMonthDigest returns a digest of no rows.
func NewMonthDigest() *MonthDigest { return &MonthDigest{hash: sha256.New()} }

// Add adds the next row to the digest and returns its line.
func (d *MonthDigest) Add(s Spend) ([]byte, error) {
	line, err := json.Marshal(newMonthLine(s))
	if err != nil {
		return nil, fmt.Errorf("billing: row %s: %w", s.EventID, err)
	}
	line = append(line, '\n')
	d.AddLine(line, s.Cost.Total)
	return line, nil
}

// AddLine adds a line that Add once returned, including its newline, and its cost.
func (d *MonthDigest) AddLine(line []byte, cost Money) {
	d.hash.Write(line)
	d.Rows++
	d.Money = d.Money.Add(cost)
}

// SHA256 returns the digest so far, in hexadecimal.
func (d *MonthDigest) SHA256() string { return hex.EncodeToString(d.hash.Sum(nil)) }

// monthLine is a row as it is digested and archived. Fields are only ever added, at the
// end, and are omitted where they are zero, so that the digests of closed months do not
// change.
type monthLine struct {
	EventID         string            `json:"event_id"`
	OccurredAt      string            `json:"occurred_at"`
	ReportDay       string            `json:"report_day"`
	Kind            Kind              `json:"kind"`
	RequestID       string            `json:"request_id"`
	Attempt         int               `json:"attempt"`
	Final           bool              `json:"final"`
	KeyID           KeyID             `json:"key_id"`
	ProjectID       string            `json:"project_id"`
	TeamID          string            `json:"team_id"`
	CostCenter      string            `json:"cost_center"`
	Environment     string            `json:"environment"`
	EndUser         string            `json:"end_user,omitempty"`
	Tags            map[string]string `json:"tags,omitempty"`
	RequestedModel  string            `json:"requested_model"`
	Provider        string            `json:"provider"`
	Model           string            `json:"model"`
	ServiceTier     string            `json:"service_tier"`
	RouteReason     RouteReason       `json:"route_reason"`
	Status          Status            `json:"status"`
	ErrorKind       string            `json:"error_kind,omitempty"`
	Streamed        bool              `json:"streamed"`
	UsageSource     Provenance        `json:"usage_source"`
	Input           int64             `json:"input_tokens"`
	CacheRead       int64             `json:"cache_read_tokens"`
	CacheWrite      int64             `json:"cache_write_tokens"`
	Output          int64             `json:"output_tokens"`
	Reasoning       int64             `json:"reasoning_tokens"`
	Overrun         int64             `json:"overrun_tokens"`
	Pricing         Pricing           `json:"pricing"`
	PriceID         string            `json:"price_id,omitempty"`
	InputPrice      Money             `json:"input_price_nano"`
	CacheReadPrice  Money             `json:"cache_read_price_nano"`
	CacheWritePrice Money             `json:"cache_write_price_nano"`
	OutputPrice     Money             `json:"output_price_nano"`
	InputCost       Money             `json:"input_cost_nano"`
	CacheReadCost   Money             `json:"cache_read_cost_nano"`
	CacheWriteCost  Money             `json:"cache_write_cost_nano"`
	OutputCost      Money             `json:"output_cost_nano"`
	Fee             Money             `json:"fee_nano"`
	Cost            Money             `json:"cost_nano"` // 0 also where pricing is unpriced
	Baseline        Money             `json:"baseline_cost_nano"`

	ProviderRequestID string `json:"provider_request_id,omitempty"`
	AdjustsEvent      string `json:"adjusts_event,omitempty"`
	AdjustsPeriod     string `json:"adjusts_period,omitempty"`
	Reason            string `json:"reason,omitempty"`
	Actor             string `json:"actor,omitempty"`
	RecordedAt        string `json:"recorded_at"`

	CacheWrite1h int64 `json:"cache_write_1h_tokens,omitempty"`
	AudioInput   int64 `json:"audio_input_tokens,omitempty"`
	AudioOutput  int64 `json:"audio_output_tokens,omitempty"`
	OverrunMoney Money `json:"overrun_nano,omitempty"`

	Disputed     bool    `json:"disputed,omitempty"`
	Reported     *Tokens `json:"reported,omitempty"`
	ProviderCost *Money  `json:"provider_cost_nano,omitempty"`
	Fees         []Fee   `json:"fees,omitempty"`
	Region       string  `json:"region,omitempty"`
	Credential   string  `json:"upstream_credential,omitempty"`
	Endpoint     string  `json:"endpoint,omitempty"`
	Session      string  `json:"session,omitempty"`
	BytesIn      *int64  `json:"bytes_in,omitempty"`
	BytesOut     *int64  `json:"bytes_out,omitempty"`
	FirstToken   *int64  `json:"first_token_ms,omitempty"`
	Took         *int64  `json:"took_ms,omitempty"`
	Fingerprint  []byte  `json:"fingerprint,omitempty"`
	Prefixes     []byte  `json:"prefixes,omitempty"`

	AnsweredModel   string   `json:"answered_model,omitempty"`
	UnpricedMembers []string `json:"unpriced_members,omitempty"`
	Limits          []string `json:"limits,omitempty"`
	CacheSavings    Money    `json:"cache_savings_nano,omitempty"`
}

func newMonthLine(s Spend) monthLine {
	stamp := func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
	return monthLine{
		EventID: s.EventID, OccurredAt: stamp(s.OccurredAt), ReportDay: s.ReportDay, Kind: s.Kind,
		RequestID: s.RequestID, Attempt: s.Attempt, Final: s.Final,
		KeyID: s.Owner.KeyID, ProjectID: s.Owner.ProjectID, TeamID: s.Owner.TeamID,
		CostCenter: s.Owner.CostCenter, Environment: s.Owner.Environment, EndUser: s.EndUser, Tags: s.Tags,
		RequestedModel: s.RequestedModel, Provider: s.Provider, Model: s.Model, ServiceTier: s.ServiceTier,
		RouteReason: s.RouteReason, Status: s.Status, ErrorKind: s.ErrorKind, Streamed: s.Streamed, UsageSource: s.UsageSource,
		Input: s.Tokens.Input, CacheRead: s.Tokens.CacheRead, CacheWrite: s.Tokens.CacheWrite,
		Output: s.Tokens.Output, Reasoning: s.Tokens.Reasoning, Overrun: s.OverrunTokens,
		Pricing: s.Pricing, PriceID: s.Price.ID,
		InputPrice: s.Price.Input, CacheReadPrice: s.Price.CacheRead, CacheWritePrice: s.Price.CacheWrite, OutputPrice: s.Price.Output,
		InputCost: s.Cost.Input, CacheReadCost: s.Cost.CacheRead, CacheWriteCost: s.Cost.CacheWrite,
		OutputCost: s.Cost.Output, Fee: s.Cost.Fee, Cost: s.Cost.Total, Baseline: s.Baseline,
		ProviderRequestID: s.ProviderRequestID, AdjustsEvent: s.AdjustsEvent, AdjustsPeriod: s.AdjustsPeriod,
		Reason: s.Reason, Actor: s.Actor, RecordedAt: stamp(s.RecordedAt),
		CacheWrite1h: s.Tokens.CacheWrite1h, AudioInput: s.Tokens.AudioInput, AudioOutput: s.Tokens.AudioOutput,
		OverrunMoney: s.OverrunMoney,
		Disputed:     s.Disputed, Reported: s.Reported, ProviderCost: s.ProviderCost, Fees: s.Fees,
		Region: s.Region, Credential: s.Credential, Endpoint: s.Endpoint, Session: s.Session,
		BytesIn: s.BytesIn, BytesOut: s.BytesOut, FirstToken: Millis(s.FirstToken), Took: Millis(s.Took),
		Fingerprint: s.Fingerprint, Prefixes: s.Prefixes,
		AnsweredModel: s.AnsweredModel, UnpricedMembers: s.UnpricedMembers, Limits: s.Limits, CacheSavings: s.CacheSavings,
	}
}
