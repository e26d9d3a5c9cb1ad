package manage

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/policy"
)

// KeyView is a key in JSON.
type KeyView struct {
	ID                   string            `json:"id"`
	Name                 string            `json:"name"`
	Display              string            `json:"display"`
	Status               string            `json:"status"`
	Project              Named             `json:"project"`
	Team                 Named             `json:"team"`
	CostCenter           string            `json:"cost_center"`
	Environment          string            `json:"environment"`
	Models               []string          `json:"models" nullable:"true"`        // null: all
	AllowedCIDRs         []string          `json:"allowed_cidrs" nullable:"true"` // null: from anywhere
	Limits               Limits            `json:"limits"`
	AllowUnpriced        bool              `json:"allow_unpriced"`
	AllowProviderObjects bool              `json:"allow_provider_objects"`
	KeepResponses        bool              `json:"keep_responses"`
	Tags                 map[string]string `json:"tags"`
	Budgets              []BudgetView      `json:"budgets"` // all that apply to the key, including its owners'
	CreatedBy            string            `json:"created_by"`
	CreatedAt            *string           `json:"created_at"`
	ExpiresAt            *string           `json:"expires_at"` // null: never
	RevokedAt            *string           `json:"revoked_at"`
	RevokedReason        *string           `json:"revoked_reason"`
	StoppedAt            *string           `json:"stopped_at"`     // null: it isn't
	OverrunTokens        int64             `json:"overrun_tokens"` // since it was made or last enabled
	OverrunUSD           string            `json:"overrun_usd"`
	EnabledAt            *string           `json:"enabled_at"` // when it was last enabled
	EnabledBy            string            `json:"enabled_by,omitempty"`
	EnabledReason        string            `json:"enabled_reason,omitempty"`
	DisabledAt           *string           `json:"disabled_at"` // null: it isn't
	DisabledBy           string            `json:"disabled_by,omitempty"`
	DisabledReason       string            `json:"disabled_reason,omitempty"`
	ArchivedAt           *string           `json:"archived_at"`
	LastUsedAt           *string           `json:"last_used_at"`
	Purpose              string            `json:"purpose"`
	Owner                *string           `json:"owner"` // the address of its owner
	Sensitivity          string            `json:"sensitivity"`
	Client               string            `json:"client" enum:"server,browser"`
	DataClass            string            `json:"data_class"` // of its project
	RotateEvery          string            `json:"rotate_every"`
	RotatedAt            *string           `json:"rotated_at"` // when its newest secret was made
	RotationDueAt        *string           `json:"rotation_due_at"`
	Policy               *policy.Policy    `json:"policy"` // its own; null: none
	Version              int64             `json:"version"`
}

// Named is an owner of a key.
type Named struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Limits are a key's per-minute and concurrency limits, from its own budgets.
type Limits struct {
	RequestsPerMinute  *int64 `json:"requests_per_minute"` // null: no limit
	TokensPerMinute    *int64 `json:"tokens_per_minute"`
	ConcurrentRequests *int64 `json:"concurrent_requests"`
}

func limitsOf(k *billing.Key) (l Limits) {
	if b := k.Own(billing.PeriodMinute); b != nil {
		l.RequestsPerMinute, l.TokensPerMinute = b.Requests, b.Tokens
	}
	if b := k.Own(billing.PeriodConcurrent); b != nil {
		l.ConcurrentRequests = b.Requests
	}
	return l
}

// BudgetView is a budget in JSON and, on request, its state.
type BudgetView struct {
	ID      string `json:"id"`
	Scope   string `json:"scope"`
	ScopeID string `json:"scope_id"`
	// ScopeName is the name of the key, project or team; omitted if it was not looked up.
	ScopeName string  `json:"scope_name,omitempty"`
	Period    string  `json:"period"`
	Zone      string  `json:"zone"`
	USD       *string `json:"usd"` // null: no limit
	Currency  string  `json:"currency"`
	Tokens    *int64  `json:"tokens"` // null: no limit
	Requests  *int64  `json:"requests"`
	Starts    string  `json:"starts,omitempty"` // first day of the fiscal year, MM-DD
	Action    string  `json:"action"`
	Part      string  `json:"part,omitempty"`  // the part of the usage that is limited; omitted if all of it is
	Named     string  `json:"named,omitempty"` // the name to which the limit applies; if omitted, each has its own
	// Thresholds are the percentages of the limits that are reported.
	Thresholds []int     `json:"thresholds"`
	Standing   *Standing `json:"standing,omitempty"`
}

// Standing is the state of a budget in the current period.
type Standing struct {
	UsedUSD           string  `json:"used_usd"`
	HeldUSD           string  `json:"held_usd"`
	RemainingUSD      *string `json:"remaining_usd"` // null: no limit
	UsedTokens        int64   `json:"used_tokens"`
	HeldTokens        int64   `json:"held_tokens"`
	RemainingTokens   *int64  `json:"remaining_tokens"` // null: no limit
	UsedRequests      int64   `json:"used_requests"`
	HeldRequests      int64   `json:"held_requests"`
	RemainingRequests *int64  `json:"remaining_requests"`
	Since             *string `json:"since"`     // when the period began
	ResetsAt          *string `json:"resets_at"` // null: never
	// ForecastUSD, ForecastTokens and ForecastRequests are the usage expected by the reset;
	// null if ForecastMethod says that there is no forecast.
	ForecastUSD      *string `json:"forecast_usd"`
	ForecastTokens   *int64  `json:"forecast_tokens"`
	ForecastRequests *int64  `json:"forecast_requests"`
	ForecastMethod   string  `json:"forecast_method"`
	Raised           *Raised `json:"raised"` // null: the limits are as they were set
}

// Raised is how far the limits of a budget are temporarily above what was set.
type Raised struct {
	USD      string `json:"usd"`
	Tokens   int64  `json:"tokens"`
	Requests int64  `json:"requests"`
	Until    string `json:"until"` // when the first of several raises ends
}

// ViewKey converts a key to JSON form.
func ViewKey(k *billing.Key, now time.Time) KeyView {
	v := KeyView{
		ID: string(k.ID), Name: k.Name, Display: k.Display, Status: k.Status(now),
		Project: Named{k.ProjectID, k.Project}, Team: Named{k.TeamID, k.Team}, CostCenter: k.CostCenter, Environment: k.Environment,
		Models: k.Models, AllowUnpriced: k.AllowUnpriced, AllowProviderObjects: k.AllowProviderObjects, KeepResponses: k.KeepResponses,
		Tags: k.Tags, Budgets: []BudgetView{},
		Limits:    limitsOf(k),
		Policy:    k.Policies.Key,
		CreatedBy: k.CreatedBy, CreatedAt: Instant(k.CreatedAt), ExpiresAt: Instant(k.ExpiresAt),
		StoppedAt: Instant(k.StoppedAt), OverrunTokens: k.Overrun.Tokens, OverrunUSD: k.Overrun.Money.Short(),
		EnabledAt: Instant(k.EnabledAt), EnabledBy: k.EnabledBy, EnabledReason: k.EnabledReason,
		DisabledAt: Instant(k.DisabledAt), DisabledBy: k.DisabledBy, DisabledReason: k.DisabledReason, ArchivedAt: Instant(k.ArchivedAt),
		Purpose: k.Purpose, Owner: TextOrNull(k.Address), Sensitivity: string(k.Sensitivity),
		Client: string(cmp.Or(k.Client, billing.ClientServer)), DataClass: k.DataClass,
		RotateEvery: Span(cmp.Or(k.RotateEvery, k.Sensitivity.RotateEvery())), RotatedAt: Instant(k.RotatedAt),
		RotationDueAt: Instant(k.RotationDue()),
		RevokedAt:     Instant(k.RevokedAt), RevokedReason: TextOrNull(k.RevokedReason), LastUsedAt: Instant(k.LastUsedAt),
		Version: k.Version,
	}
	if len(k.Models) == 0 {
		v.Models = nil
	}
	if k.Tags == nil {
		v.Tags = map[string]string{}
	}
	for _, p := range k.AllowedCIDRs {
		v.AllowedCIDRs = append(v.AllowedCIDRs, p.String())
	}
	for _, b := range k.Budgets {
		v.Budgets = append(v.Budgets, ViewBudget(b))
	}
	nameScopes(v.Budgets, k)
	inOrder(v.Budgets)
	return v
}

// comparable returns the JSON form of a key, with its budgets in a fixed order and without
// the names of what they apply to.
func comparable(k *billing.Key, at time.Time) KeyView {
	v := ViewKey(k, at)
	for i := range v.Budgets {
		v.Budgets[i].ScopeName = ""
	}
	slices.SortFunc(v.Budgets, func(a, b BudgetView) int { return cmp.Compare(a.ID, b.ID) })
	return v
}

// nameScopes adds the names of the objects to which a key's budgets apply.
func nameScopes(budgets []BudgetView, k *billing.Key) {
	names := map[billing.Scope]string{
		billing.ScopeKey: k.Name, billing.ScopeProject: k.Team + "/" + k.Project, billing.ScopeTeam: k.Team,
	}
	for i, b := range budgets {
		budgets[i].ScopeName = names[billing.Scope(b.Scope)]
	}
}

// inOrder puts the budgets that KeyLimits is shorthand for last.
func inOrder(budgets []BudgetView) {
	last := func(b BudgetView) int {
		if billing.Period(b.Period).Passes() {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(budgets, func(a, b BudgetView) int { return cmp.Compare(last(a), last(b)) })
}

// ViewBudget converts a budget to JSON form.
func ViewBudget(b billing.Budget) BudgetView {
	v := BudgetView{
		ID: b.ID, Scope: string(b.Scope), ScopeID: b.ScopeID, Period: string(b.Period), Zone: cmp.Or(b.Zone, "UTC"),
		Currency: "USD", Tokens: b.Tokens, Requests: b.Requests, Starts: b.Starts,
		Action: string(cmp.Or(b.Action, billing.ActionBlock)), Thresholds: b.Told(), Part: string(b.Part), Named: b.Named,
	}
	if b.Money != nil {
		v.USD = TextOrNull(b.Money.Short())
	}
	return v
}

// ViewBalances converts the budgets of a key, with their state, to JSON form.
func ViewBalances(k *billing.Key, list []billing.Balance, now time.Time) []BudgetView {
	views := make([]BudgetView, len(list))
	for i, b := range list {
		views[i] = ViewBalance(b, now)
	}
	nameScopes(views, k)
	inOrder(views)
	return views
}

// ViewBalance converts a budget with its state to JSON form. A budget for a part has no
// state of its own.
func ViewBalance(b billing.Balance, now time.Time) BudgetView {
	v := ViewBudget(b.Budget)
	if b.Budget.Part != "" && b.Budget.Parent == "" { // each of the names has its own state
		return v
	}
	v.Standing = &Standing{
		UsedUSD: b.UsedMoney.Short(), HeldUSD: b.HeldMoney.Short(), UsedTokens: b.UsedTokens, HeldTokens: b.HeldTokens,
		UsedRequests: b.UsedRequests, HeldRequests: b.HeldRequests,
		ResetsAt: Instant(b.Window.End),
	}
	expected, method := b.Forecast(now)
	if v.Standing.ForecastMethod = method; method == billing.ForecastLinear {
		v.Standing.ForecastUSD = TextOrNull(expected.Money.Short())
		v.Standing.ForecastTokens, v.Standing.ForecastRequests = &expected.Tokens, &expected.Requests
	}
	if r := b.Raised; r != nil {
		v.Standing.Raised = &Raised{r.By.Money.Short(), r.By.Tokens, r.By.Requests, *Instant(r.Until)}
	}
	if !b.Window.Concurrent() {
		v.Standing.Since = Instant(b.Window.Start)
	}
	if free, ok := b.FreeMoney(); ok {
		text := free.Short()
		v.Standing.RemainingUSD = &text
	}
	if free, ok := b.FreeTokens(); ok {
		v.Standing.RemainingTokens = &free
	}
	if free, ok := b.FreeRequests(); ok {
		v.Standing.RemainingRequests = &free
	}
	return v
}

// Span formats a duration as in 90d, 36h, 90m0s.
func Span(d time.Duration) string {
	switch {
	case d > 0 && d%(24*time.Hour) == 0:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d > 0 && d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return d.String()
}

// Instant formats t as RFC 3339 in UTC; nil if it is zero.
func Instant(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := t.UTC().Format(time.RFC3339)
	return &text
}

func positive(n int64) *int64 {
	if n <= 0 {
		return nil
	}
	return &n
}

// TeamView is a team in JSON.
type TeamView struct {
	ID         string         `json:"id"`
	Name       string         `json:"name"`
	CostCenter string         `json:"cost_center"`
	OwnerEmail *string        `json:"owner_email"`
	CreatedAt  *string        `json:"created_at"`
	ArchivedAt *string        `json:"archived_at"`
	Policy     *policy.Policy `json:"policy"` // for all keys below; null: none
}

// ProjectView is a project in JSON.
type ProjectView struct {
	ID          string         `json:"id"`
	Name        string         `json:"name"`
	Team        Named          `json:"team"`
	CostCenter  string         `json:"cost_center"`
	Environment string         `json:"environment"`
	DataClass   string         `json:"data_class"` // "": unspecified
	CreatedAt   *string        `json:"created_at"`
	ArchivedAt  *string        `json:"archived_at"`
	Policy      *policy.Policy `json:"policy"` // for its keys; null: none
}

// ViewTeam converts a team to JSON form.
func ViewTeam(t billing.Team) TeamView {
	return TeamView{t.ID, t.Name, t.CostCenter, TextOrNull(t.OwnerEmail), Instant(t.CreatedAt), Instant(t.ArchivedAt), t.Policy}
}

// ViewProject converts a project to JSON form.
func ViewProject(p billing.Project) ProjectView {
	return ProjectView{
		p.ID, p.Name,
		Named{p.TeamID, p.Team},
		p.CostCenter, p.Environment, p.DataClass, Instant(p.CreatedAt),
		Instant(p.ArchivedAt), p.Policy,
	}
}

// TextOrNull returns s, or nil if it is empty.
func TextOrNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// PeriodView is a month of the ledger in JSON.
type PeriodView struct {
	Month      billing.Month        `json:"month"`
	Status     billing.PeriodStatus `json:"status"`
	Rows       int64                `json:"rows"`
	CostUSD    string               `json:"cost_usd"`
	Unpriced   int64                `json:"unpriced_attempts"`
	SHA256     *string              `json:"sha256"`
	ClosedAt   *string              `json:"closed_at"`
	ClosedBy   *string              `json:"closed_by"`
	ArchivedAt *string              `json:"archived_at"`
}

// ViewPeriod converts a month to JSON form.
func ViewPeriod(p billing.PeriodStanding) PeriodView {
	return PeriodView{
		Month: p.Month, Status: p.Status, Rows: p.Rows, CostUSD: p.Money.Short(), Unpriced: p.Unpriced, SHA256: TextOrNull(p.SHA256),
		ClosedAt: Instant(p.ClosedAt), ClosedBy: TextOrNull(p.ClosedBy), ArchivedAt: Instant(p.ArchivedAt),
	}
}

// AdjustmentView is a correction in JSON.
type AdjustmentView struct {
	RequestID string        `json:"request_id"`
	KeyID     billing.KeyID `json:"key_id"`
	Kind      billing.Kind  `json:"kind"`
	AmountUSD string        `json:"amount_usd"` // what was charged; negative if given back
	Month     billing.Month `json:"month,omitempty"`
	Reason    string        `json:"reason"`
	Actor     string        `json:"actor"`
}

// ViewAdjustment converts a correction to JSON form.
func ViewAdjustment(row billing.Spend) AdjustmentView {
	return AdjustmentView{
		RequestID: row.RequestID, KeyID: row.Owner.KeyID, Kind: row.Kind, AmountUSD: row.Cost.Total.Short(),
		Month: billing.Month(strings.TrimSuffix(row.AdjustsPeriod, "-01")), Reason: row.Reason, Actor: row.Actor,
	}
}

// RepricedView is the result of a repricing, in JSON.
type RepricedView struct {
	DryRun     bool   `json:"dry_run"`
	Rows       int64  `json:"rows"`
	Adjusted   int64  `json:"adjusted"`
	Priced     int64  `json:"priced_for_the_first_time"`
	Unpriced   int64  `json:"still_unpriced"`
	Difference string `json:"difference_usd"`
}

// ViewRepriced converts the result of a repricing to JSON form.
func ViewRepriced(r Repricing, sum billing.Repriced) RepricedView {
	return RepricedView{r.DryRun, sum.Rows, sum.Adjusted, sum.Priced, sum.Unpriced, sum.Difference.Short()}
}

// RejectView is a row that the ledger refused and that is waiting to be booked, in JSON.
type RejectView struct {
	RequestID  string        `json:"request_id"`
	Attempt    int           `json:"attempt"`
	KeyID      billing.KeyID `json:"key_id"`
	RejectedAt *string       `json:"rejected_at"`
	OccurredAt *string       `json:"occurred_at"`
	Provider   string        `json:"provider"`
	Model      string        `json:"model"`
	Tokens     int64         `json:"tokens"`
	CostUSD    string        `json:"cost_usd"`
	Reason     string        `json:"reason"`
}

// ViewReject converts a refused row to JSON form.
func ViewReject(r billing.RejectedRow) RejectView {
	used := r.Used()
	return RejectView{
		RequestID: r.Row.RequestID, Attempt: r.Row.Attempt, KeyID: r.Row.Owner.KeyID, RejectedAt: Instant(r.At),
		OccurredAt: Instant(r.Row.OccurredAt),
		Provider:   r.Row.Provider, Model: r.Row.Model, Tokens: used.Tokens, CostUSD: used.Money.Short(), Reason: r.Reason,
	}
}

// EventView is an event, in JSON.
type EventView struct {
	Kind       string            `json:"kind"`
	Object     string            `json:"object"`
	ObjectName string            `json:"object_name,omitempty"` // of a key, budget, team, project or principal
	Severity   string            `json:"severity"`
	OccurredAt *string           `json:"occurred_at"`
	Text       string            `json:"text"`
	Data       map[string]string `json:"data"`
	ID         string            `json:"id"` // the same for the same event, however often it is reported
}

// ViewEvent converts an event to JSON form.
func ViewEvent(e billing.Event) EventView {
	return EventView{
		Kind: string(e.Kind), Object: e.Object, Severity: string(e.Severity), OccurredAt: Instant(e.At), Text: e.Text, Data: e.Data,
		ID: e.DedupID,
	}
}

// ReplicaView is a router that holds allowances, in JSON.
type ReplicaView struct {
	ID           string    `json:"id"`
	Name         string    `json:"name"`
	Status       string    `json:"status"` // live, lost (its leases have expired) or forgotten
	StartedAt    time.Time `json:"started_at"`
	SeenAt       time.Time `json:"seen_at"`
	ExpiresAt    time.Time `json:"expires_at"`
	Leases       int       `json:"leases"`
	LeasedTokens int64     `json:"leased_tokens"`
	LeasedUSD    string    `json:"leased_usd"`
	BusyTokens   int64     `json:"busy_tokens"`
	BusyUSD      string    `json:"busy_usd"`
}

// ViewReplica converts a router to JSON form.
func ViewReplica(r billing.ReplicaState) ReplicaView {
	status := "lost"
	if r.Live {
		status = "live"
	}
	if billing.IsForgotten(r.Epoch) {
		status = "forgotten" // what it was using is still leased
	}
	return ReplicaView{
		ID: r.ID, Name: r.Name, Status: status, StartedAt: r.StartedAt, SeenAt: r.SeenAt, ExpiresAt: r.ExpiresAt, Leases: r.Leases,
		LeasedTokens: r.Leased.Tokens, LeasedUSD: r.Leased.Money.Short(), BusyTokens: r.Busy.Tokens, BusyUSD: r.Busy.Money.Short(),
	}
}

// IntegrityView is the result of an integrity check, in JSON.
type IntegrityView struct {
	RanAt    *string   `json:"ran_at"`
	Breaches int64     `json:"breaches"`
	Laws     []LawView `json:"laws"`
}

// LawView is a law of the ledger and whether it holds.
type LawView struct {
	Law      string      `json:"law"`
	Says     string      `json:"says"`
	OK       bool        `json:"ok"`
	Breaches int64       `json:"breaches"`
	First    *BreachView `json:"first"`
}

// BreachView is one place where a law does not hold.
type BreachView struct {
	Where    string `json:"where"`
	Expected string `json:"expected"`
	Found    string `json:"found"`
}

// ViewIntegrity converts an integrity check to JSON form.
func ViewIntegrity(r billing.IntegrityReport) IntegrityView {
	v := IntegrityView{RanAt: Instant(r.RanAt), Breaches: r.Breaches, Laws: make([]LawView, len(r.Laws))}
	for i, l := range r.Laws {
		v.Laws[i] = LawView{Law: l.Name, Says: l.Says, OK: l.Breaches == 0, Breaches: l.Breaches}
		if l.Breaches > 0 {
			v.Laws[i].First = &BreachView{l.First.Where, l.First.Expected, l.First.Found}
		}
	}
	return v
}
