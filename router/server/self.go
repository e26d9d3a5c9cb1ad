package server

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"tallyroute/billing"
	"tallyroute/billing/ephemeral"
	"tallyroute/billing/manage"
	"tallyroute/billing/policy"
	"tallyroute/providers/chat"
	"tallyroute/router/federation"
	"tallyroute/router/web"
)

// self is GET /v1/key: what the holder of a key may know about it, in the form in which
// operators see it.
type self struct {
	Object      string              `json:"object"`
	ID          string              `json:"id"`
	Name        string              `json:"name"`
	Display     string              `json:"display"`
	Status      string              `json:"status"`
	Project     manage.Named        `json:"project"`
	Team        manage.Named        `json:"team"`
	Environment string              `json:"environment"`
	Models      []string            `json:"models"`   // null: all
	Policies    policies            `json:"policies"` // that apply to the key
	Limits      manage.Limits       `json:"limits"`
	Budgets     []manage.BudgetView `json:"budgets"`
	Remaining   left                `json:"remaining"`
	CreatedAt   *string             `json:"created_at"`
	ExpiresAt   *string             `json:"expires_at"` // null: never
}

// policies are those that apply to a key; null means none.
type policies struct {
	Team    *policy.Policy `json:"team"`
	Project *policy.Policy `json:"project"`
	Key     *policy.Policy `json:"key"`

	Temporary *policy.Policy `json:"temporary_key"` // the policy of the temporary key used for the request
}

func getKey(x *exchange) {
	caller, err := x.caller(policy.Self)
	if err != nil {
		x.fail(err)
		return
	}
	key, balances, err := x.Router.Self(x.ctx, caller)
	if x.of(key); err != nil {
		x.fail(err)
		return
	}
	describeKey(&x.Head, key.Secret.Ends(x.Start))
	describeBudgets(&x.Head, balances)
	x.JSON(http.StatusOK, selfOf(key, balances, x.Start))
}

func selfOf(k *billing.Key, balances []billing.Balance, now time.Time) self {
	v := manage.ViewKey(k, now)
	return self{
		Object: "key", ID: v.ID, Name: v.Name, Display: v.Display, Status: v.Status, Project: v.Project, Team: v.Team,
		Environment: v.Environment, Models: v.Models, Policies: policies(k.Policies), Limits: v.Limits,
		Budgets:   manage.ViewBalances(k, balances, now),
		Remaining: remaining(balances), CreatedAt: v.CreatedAt, ExpiresAt: v.ExpiresAt,
	}
}

// receipt is GET /v1/requests/{id}: the result and cost of one request of the key.
type receipt struct {
	Object     string    `json:"object"`
	ID         string    `json:"id"`
	Model      string    `json:"model"` // as asked for
	Status     string    `json:"status"`
	OccurredAt string    `json:"occurred_at"`
	CostUSD    *string   `json:"cost_usd"` // null: an attempt has no price
	Tokens     int64     `json:"tokens"`
	Attempts   []attempt `json:"attempts"`
}

type attempt struct {
	Attempt         int             `json:"attempt"`
	Provider        string          `json:"provider"`
	Model           string          `json:"model"`
	RouteReason     string          `json:"route_reason"`
	Status          string          `json:"status"`
	Error           *string         `json:"error"`
	Streamed        bool            `json:"streamed"`
	UsageSource     string          `json:"usage_source"`
	Tokens          billing.Tokens  `json:"tokens"`
	Disputed        bool            `json:"disputed"`    // what the provider reported cannot be right, or cannot be explained
	Reported        *billing.Tokens `json:"reported"`    // what the provider reported; null if exactly that is booked
	CostStatus      string          `json:"cost_status"` // as in the header
	Overrun         overrun         `json:"overrun"`
	ProviderCostUSD *string         `json:"provider_cost_usd"` // null: the provider does not report it
	Rejected        bool            `json:"rejected"`          // the ledger refused the row, which waits to be booked
	Pricing         string          `json:"pricing"`
	PriceID         *string         `json:"price_id"`
	CostUSD         *string         `json:"cost_usd"`
	Cost            *costDetails    `json:"cost_details"`
}

// overrun is how far an attempt exceeded what was held for its request.
type overrun struct {
	Tokens int64  `json:"tokens"`
	USD    string `json:"usd"`
}

type costDetails struct {
	Input      string `json:"input"`
	CacheRead  string `json:"cache_read"`
	CacheWrite string `json:"cache_write"`
	Output     string `json:"output"`
	Fee        string `json:"fee"`
	Currency   string `json:"currency"`
}

func getRequest(x *exchange) {
	caller, err := x.caller(policy.Self)
	if err != nil {
		x.fail(err)
		return
	}
	id := x.C.Param("id")
	if !isRequestID(id) {
		x.fail(errNoRequest)
		return
	}
	key, rows, err := x.Router.Events(x.ctx, caller, id)
	x.of(key)
	var rejected []billing.RejectedRow
	if err == nil && !slices.ContainsFunc(rows, func(s billing.Spend) bool { return s.Final }) {
		rejected, err = x.Router.Rejected(x.ctx, caller, id)
	}
	for _, r := range rejected {
		rows = append(rows, r.Row)
	}
	if err == nil && len(rows) == 0 {
		err = errNoRequest
	}
	if err != nil {
		x.fail(err)
		return
	}
	receipt := receiptOf(id, rows)
	for _, r := range rejected {
		for i := range receipt.Attempts {
			receipt.Attempts[i].Rejected = receipt.Attempts[i].Rejected || receipt.Attempts[i].Attempt == r.Row.Attempt
		}
	}
	x.JSON(http.StatusOK, receipt)
}

// isRequestID spares the database lookups of strings that cannot be our ids.
func isRequestID(s string) bool {
	text, ok := strings.CutPrefix(s, "req_")
	_, err := ulid.ParseStrict(text)
	return ok && err == nil
}

// receiptOf adds up the rows of one request. Corrections count towards the totals, but are not
// attempts.
func receiptOf(id string, rows []billing.Spend) receipt {
	slices.SortStableFunc(rows, func(a, b billing.Spend) int { return cmp.Compare(a.Attempt, b.Attempt) })
	r := receipt{Object: "request", ID: id, Attempts: []attempt{}}
	var cost billing.Money
	priced := true
	for _, s := range rows {
		cost = cost.Add(s.Cost.Total)
		if s.Kind != billing.KindUsage {
			continue
		}
		r.Attempts = append(r.Attempts, attemptOf(s))
		r.Tokens += s.Tokens.Total()
		priced = priced && (s.Pricing != billing.Unpriced || s.Tokens.Total() == 0)
		r.Model, r.Status, r.OccurredAt = s.RequestedModel, string(s.Status), s.OccurredAt.UTC().Format(time.RFC3339Nano)
	}
	if priced {
		r.CostUSD = shortOrNull(&cost)
	}
	return r
}

func attemptOf(s billing.Spend) attempt {
	a := attempt{
		Attempt: s.Attempt, Provider: s.Provider, Model: s.Model, RouteReason: string(s.RouteReason),
		Status: string(s.Status), Error: manage.TextOrNull(s.ErrorKind), Streamed: s.Streamed,
		UsageSource: string(s.UsageSource), Tokens: s.Tokens, Pricing: string(s.Pricing),
		Disputed: s.Disputed, Reported: s.Reported, CostStatus: costStatus(s),
		Overrun: overrun{s.OverrunTokens, s.OverrunMoney.Short()}, ProviderCostUSD: shortOrNull(s.ProviderCost),
	}
	if s.Pricing == billing.Unpriced {
		return a
	}
	c := s.Cost
	a.PriceID, a.CostUSD = manage.TextOrNull(s.Price.ID), shortOrNull(&c.Total)
	a.Cost = &costDetails{c.Input.Short(), c.CacheRead.Short(), c.CacheWrite.Short(), c.Output.Short(), c.Fee.Short(), "USD"}
	return a
}

// Temporary makes and opens temporary keys.
type Temporary struct {
	Ring *ephemeral.Ring
	// Allot stores what one may use.
	Allot func(ctx context.Context, a billing.Allotment) error
	// Identity exchanges identity tokens; nil accepts none.
	Identity *federation.Exchange
}

// With returns t with identity tokens of other issuers.
func (t *Temporary) With(identity *federation.Exchange) *Temporary {
	next := *t
	next.Identity = identity
	return &next
}

// open returns the temporary key that text represents; nil if text does not look like one.
func (t *Temporary) open(ctx context.Context, text string, now time.Time) (*ephemeral.Opened, error) {
	switch {
	case t == nil:
		return nil, nil
	case ephemeral.Is(text):
		return t.Ring.Open(text, now)
	case t.Identity != nil && federation.Is(text):
		return t.Identity.Open(ctx, text, now)
	}
	return nil, nil
}

// errTemporary refuses to make a temporary key with another one.
var errTemporary = errors.New("server: a temporary key makes no other")

// wanted is the body of POST /v1/key/tokens.
type wanted struct {
	ExpiresIn *int64            `json:"expires_in"` // in seconds
	Policy    *policy.Policy    `json:"policy"`
	Budget    *wantedBudget     `json:"budget"`
	Tags      map[string]string `json:"tags"`
	EndUser   string            `json:"end_user"`
}

// readWanted reads the body of POST /v1/key/tokens, which may be {}.
func readWanted(body []byte) (w wanted, wish ephemeral.Wish, err error) {
	if err := web.Exactly(body, &w); err != nil {
		return w, wish, err
	}
	wish = ephemeral.Wish{Policy: w.Policy, Tags: w.Tags, EndUser: w.EndUser}
	if w.ExpiresIn != nil {
		life := time.Duration(max(-1, min(*w.ExpiresIn, int64(2*ephemeral.Longest/time.Second)))) * time.Second
		wish.Life = &life
	}
	if b := w.Budget; b != nil {
		if b.USD == nil && b.Tokens == nil {
			return w, wish, &chat.FieldError{Code: codeInvalidValue, Param: "budget", Message: "must hold usd or tokens"}
		}
		wish.Tokens = b.Tokens
		if b.USD != nil {
			usd, err := billing.ParseMoney(*b.USD)
			if err != nil {
				return w, wish, &chat.FieldError{
					Code: codeInvalidValue, Param: "budget.usd",
					Message: `want an amount in dollars with at most nine decimals, as text: "0.50"`,
				}
			}
			wish.Money = &usd
		}
	}
	return w, wish, nil
}

// wantedBudget is the most that a temporary key may use.
type wantedBudget struct {
	USD    *string `json:"usd"`
	Tokens *int64  `json:"tokens"`
}

// temporaryKey is a temporary key as it is shown, once.
type temporaryKey struct {
	Object    string            `json:"object"`
	ID        string            `json:"id"`
	Token     string            `json:"token"`
	KeyID     billing.KeyID     `json:"key_id"`
	ExpiresAt string            `json:"expires_at"`
	ExpiresIn int64             `json:"expires_in"`
	Policy    *policy.Policy    `json:"policy"`
	Budget    *wantedBudget     `json:"budget"`
	Tags      map[string]string `json:"tags"`
	EndUser   *string           `json:"end_user"`
}

// makeTemporary is POST /v1/key/tokens: a temporary key for a key.
func makeTemporary(x *exchange) {
	made, err := x.makeTemporary()
	if err != nil {
		x.fail(err)
		return
	}
	x.Head.Set("Cache-Control", "no-store")
	x.JSON(http.StatusCreated, made)
}

func (x *exchange) makeTemporary() (made temporaryKey, err error) {
	caller, err := x.caller(policy.Tokens)
	if err != nil {
		return made, err
	}
	if caller.Temporary != nil {
		return made, errTemporary
	}
	parent, err := x.Router.Identify(x.ctx, caller)
	if x.of(parent); err != nil {
		return made, err
	}
	body, err := x.Body(x.room)
	if err != nil {
		return made, err
	}
	w, wish, err := readWanted(body)
	if err != nil {
		return made, err
	}
	k, err := wish.Key(parent, x.Start)
	if err != nil {
		return made, err
	}
	made.ID, made.KeyID = k.ID, parent.ID
	if made.Token, err = x.Temporary.Ring.Seal(k, caller.Secret); err != nil {
		return made, err
	}
	if a := k.Allotment(); a != nil {
		if err := x.Temporary.Allot(x.ctx, *a); err != nil {
			return made, err
		}
	}
	made.Object, made.Policy, made.Budget, made.Tags, made.EndUser = "key.token", k.Policy, w.Budget, k.Tags, manage.TextOrNull(k.EndUser)
	made.ExpiresAt, made.ExpiresIn = k.Until().Format(time.RFC3339), k.Ends-x.Start.Unix()
	return made, nil
}

// The terms of RFC 8693 for what is exchanged.
const (
	grantExchange   = "urn:ietf:params:oauth:grant-type:token-exchange"
	typeAccessToken = "urn:ietf:params:oauth:token-type:access_token" //nolint:gosec // a name
	typePrefix      = "urn:ietf:params:oauth:token-type:"
)

// mostForm is the maximum size of an exchange's form, in bytes.
const mostForm = 32 << 10

// granted is the answer to an exchange.
type granted struct {
	AccessToken     string `json:"access_token"`
	IssuedTokenType string `json:"issued_token_type"`
	TokenType       string `json:"token_type"`
	ExpiresIn       int64  `json:"expires_in"`
}

// notGranted is the refusal of an exchange, in the form of RFC 6749.
type notGranted struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

// refuseGrant answers that an exchange is refused.
func (x *exchange) refuseGrant(code, why string) {
	x.Refused = code
	x.JSON(http.StatusBadRequest, notGranted{code, why})
}

// exchangeIdentity is POST /v1/oauth/token: a temporary key for an identity token.
func exchangeIdentity(x *exchange) {
	x.Head.Set("Cache-Control", "no-store")
	x.C.Request.Body = http.MaxBytesReader(x.C.Writer, x.C.Request.Body, mostForm)
	if err := x.C.Request.ParseForm(); err != nil {
		x.refuseGrant("invalid_request", "the body is not a form (application/x-www-form-urlencoded) of at most 32 KB")
		return
	}
	form := x.C.Request.PostForm
	kind, isType := strings.CutPrefix(form.Get("subject_token_type"), typePrefix)
	switch {
	case form.Get("grant_type") != grantExchange:
		x.refuseGrant("unsupported_grant_type", "grant_type must be "+grantExchange)
		return
	case !isType || !slices.Contains([]string{"jwt", "id_token", "access_token"}, kind):
		x.refuseGrant("invalid_request", "subject_token_type must be "+typePrefix+"jwt, …id_token or …access_token")
		return
	}
	for name, values := range form {
		if len(values) > 1 {
			x.refuseGrant("invalid_request", "a parameter is there twice: "+web.Label(name, 64))
			return
		}
	}
	if wanted := form.Get("requested_token_type"); wanted != "" && wanted != typeAccessToken {
		x.refuseGrant("invalid_request", "requested_token_type must be "+typeAccessToken)
		return
	}
	made, err := x.exchangeIdentity(form.Get("subject_token"))
	switch {
	case errors.Is(err, federation.ErrRefused):
		x.Err = err
		x.refuseGrant("invalid_grant", strings.TrimPrefix(err.Error(), "federation: "))
	case err != nil:
		x.fail(err)
	default:
		x.JSON(http.StatusOK, made)
	}
}

func (x *exchange) exchangeIdentity(token string) (granted, error) {
	k, err := x.Temporary.Identity.Key(x.ctx, token, x.Start)
	if err != nil {
		return granted{}, err
	}
	c := x.stranger(policy.Tokens)
	c.Temporary = ephemeral.Open(k)
	c.Secret = c.Temporary.Parent()
	key, err := x.Router.Identify(x.ctx, c)
	if x.of(key); err != nil {
		return granted{}, err
	}
	if !key.ExpiresAt.IsZero() {
		k.Ends = min(k.Ends, key.ExpiresAt.Unix())
	}
	text, err := x.Temporary.Ring.SealKey(k)
	return granted{text, typeAccessToken, "Bearer", k.Ends - x.Start.Unix()}, err
}
