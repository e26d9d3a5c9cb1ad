package admin

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/billing/rbac"
	"tallyroute/router/admin/wire"
)

// listPeriods is GET /periods: the months, newest first. There are never enough of them to need
// pages.
func listPeriods(x *exchange, _ none) (wire.Page[manage.PeriodView], error) {
	all, err := x.Actions.Periods(x.ctx())
	return wire.ListOf(all, manage.ViewPeriod), err
}

// closing is the body of closePeriod.
type closing struct {
	AcceptUnpriced bool `json:"accept_unpriced" doc:"Close the month even if some of its attempts have no price."`
}

// closePeriod is POST /periods/2026-10/close.
func closePeriod(x *exchange, in closing) (manage.PeriodView, error) {
	p, err := x.Actions.ClosePeriod(x.ctx(), manage.Closing{Month: x.param("month"), AcceptUnpriced: in.AcceptUnpriced}, x.by(""))
	return manage.ViewPeriod(p), err
}

// reopenPeriod is POST /periods/2026-10/reopen. It needs a reason.
func reopenPeriod(x *exchange, in reasoned) (manage.PeriodView, error) {
	p, err := x.Actions.ReopenPeriod(x.ctx(), x.param("month"), x.by(in.Reason))
	return manage.ViewPeriod(p), err
}

// archiveRows is GET /periods/2026-10/rows: the rows of a closed month as JSON lines, for the
// archive file. Their digest is in the trailer X-Tallyroute-Sha256: without it the lines are
// incomplete.
func archiveRows(x *exchange, _ none) (none, error) {
	m, err := billing.ParseMonth(x.param("month"))
	if err != nil {
		return none{}, wire.Invalid("month", "must be a month such as 2026-11")
	}
	if err := x.Actions.Archivable(x.ctx(), m); err != nil {
		return none{}, err
	}
	const trailer = "X-Tallyroute-Sha256"
	digest := billing.NewMonthDigest()
	out := bufio.NewWriterSize(x.C.Writer, 64<<10)
	x.C.Header("Content-Type", "application/jsonl")
	x.C.Header("Trailer", trailer)
	err = x.Actions.MonthRows(x.ctx(), m, func(row billing.Spend) error {
		line, err := digest.Add(row)
		if err == nil {
			_, err = out.Write(line)
		}
		return err
	})
	if err == nil {
		err = out.Flush()
	}
	if err == nil {
		x.C.Writer.WriteHeaderNow() // even for a month without rows
		x.C.Writer.Header().Set(trailer, digest.SHA256())
	}
	return none{}, err
}

// archived describes the contents of a month's archive file: the body of archivePeriod and its
// answer.
type archived struct {
	Rows   int64        `json:"rows" required:"true"`
	Cost   *wire.Amount `json:"cost_usd" required:"true"`
	SHA256 string       `json:"sha256" required:"true"`
}

// ArchivedPeriod is a month whose rows were dropped.
type ArchivedPeriod struct {
	Month  billing.Month `json:"month"`
	Rows   int64         `json:"rows"`
	SHA256 string        `json:"sha256"`
}

// archivePeriod is POST /periods/2026-10/archive: once the rows are safe in a file, they are
// dropped from the database. The caller must state what the file contains.
func archivePeriod(x *exchange, in archived) (ArchivedPeriod, error) {
	a := billing.ArchivedMonth{Month: billing.Month(x.param("month")), Rows: in.Rows, SHA256: in.SHA256}
	if in.Cost != nil {
		a.Money = billing.Money(*in.Cost)
	}
	err := x.Actions.Archive(x.ctx(), a, x.by(""))
	return ArchivedPeriod{a.Month, a.Rows, a.SHA256}, err
}

// adjustment is the body of adjustSpend.
type adjustment struct {
	KeyID  billing.KeyID `json:"key_id" required:"true"`
	Kind   billing.Kind  `json:"kind" enum:"adjustment,credit,refund,fee" doc:"Default: adjustment."`
	Amount *wire.Amount  `json:"amount_usd" required:"true" doc:"The amount to charge; negative to give back."`
	Month  string        `json:"month" doc:"The month that it is for, such as 2026-11; the current one by default."`
	Reason string        `json:"reason" required:"true"`
	Actor  string        `json:"actor" doc:"Who makes the request: the admin token has no name."`
}

// adjustSpend is POST /spend/adjustments: it corrects what a key was charged.
func adjustSpend(x *exchange, in adjustment) (manage.AdjustmentView, error) {
	x.subject = wire.Shorten(string(in.KeyID))
	if in.Amount == nil {
		return manage.AdjustmentView{}, wire.Invalid("amount_usd", "is required")
	}
	at, err := x.placeOfKey(in.KeyID)
	if err != nil {
		return manage.AdjustmentView{}, err
	}
	if err := x.needs(rbac.SpendAdjust, at, &billing.NotFoundError{What: "key", ID: string(in.KeyID)}); err != nil {
		return manage.AdjustmentView{}, err
	}
	who := x.by(in.Reason)
	if in.Actor != "" {
		who.Actor += ":" + in.Actor
	}
	row, err := x.Actions.Adjust(x.ctx(), manage.Adjustment{
		KeyID: in.KeyID, Kind: in.Kind, Amount: billing.Money(*in.Amount), Month: in.Month,
	}, who)
	if err != nil {
		return manage.AdjustmentView{}, err
	}
	x.status = http.StatusCreated
	return manage.ViewAdjustment(row), nil
}

// repricing is the body of reprice.
type repricing struct {
	Provider string `json:"provider" doc:"Default: all providers."`
	Model    string `json:"model" doc:"Default: all models."`
	From     string `json:"from" required:"true" doc:"A day in the reporting time zone, or an instant."`
	To       string `json:"to" required:"true" doc:"The first day or instant that is not included."`
	DryRun   bool   `json:"dry_run" doc:"Only report what would be posted."`
	Reason   string `json:"reason" required:"true"`
}

// reprice is POST /prices/reprice: the usage in a span of time is priced again with the prices
// of the catalogue.
func reprice(x *exchange, in repricing) (manage.RepricedView, error) {
	r := manage.Repricing{Provider: in.Provider, Model: in.Model, DryRun: in.DryRun}
	var err error
	if r.From, err = x.moment("from", in.From); err != nil {
		return manage.RepricedView{}, err
	}
	if r.To, err = x.moment("to", in.To); err != nil {
		return manage.RepricedView{}, err
	}
	sum, err := x.Actions.Reprice(x.ctx(), r, x.Prices(), x.by(in.Reason))
	if err != nil {
		return manage.RepricedView{}, err
	}
	return manage.ViewRepriced(r, sum), nil
}

// listRejects is GET /rejects: the rows waiting to be booked, oldest first.
func listRejects(x *exchange, in wire.Paging) (wire.Page[manage.RejectView], error) {
	all, err := x.Actions.Rejects(x.ctx())
	if err != nil {
		return wire.Page[manage.RejectView]{}, err
	}
	return wire.PagedAsListed(in, all, manage.ViewReject, func(r manage.RejectView) string {
		return fmt.Sprintf("%s.%d", r.RequestID, r.Attempt)
	})
}

// bookReject is POST /rejects/req_…/book: it books the waiting rows of a request.
func bookReject(x *exchange, _ none) (manage.Booked, error) {
	booked, err := x.Actions.BookRejects(x.ctx(), []string{x.param("request")}, x.by(""))
	if refused := (*manage.RequestError)(nil); errors.As(err, &refused) {
		err = refused.Err
	}
	if err != nil {
		return manage.Booked{}, err
	}
	return booked[0], nil
}

// listReplicas is GET /replicas: the routers that hold allowances.
func listReplicas(x *exchange, _ none) (wire.Page[manage.ReplicaView], error) {
	all, err := x.Actions.Replicas(x.ctx())
	return wire.ListOf(all, manage.ViewReplica), err
}

// Forgotten is a router that will not come back.
type Forgotten struct {
	ID      string `json:"id"`
	Windows int    `json:"windows" doc:"The windows of budgets from which it held leases."`
}

// forgetReplica is POST /replicas/{id}/forget: what a router that will not come back had leased
// becomes available to the others.
func forgetReplica(x *exchange, _ rehearsal) (Forgotten, error) {
	id := x.param("id")
	n, err := x.Actions.ForgetReplica(x.ctx(), id, x.by(""))
	return Forgotten{id, n}, err
}

// integrityBody is the body of checkIntegrity.
type integrityBody struct {
	Quick bool `json:"quick" doc:"Read each row only once, without checking digests of closed months or values of breakdowns."`
}

// checkIntegrity is POST /integrity: the proof that the ledger adds up. Its findings are the
// answer, so a breach is not an error.
func checkIntegrity(x *exchange, in integrityBody) (manage.IntegrityView, error) {
	found, err := x.Actions.CheckIntegrity(x.ctx(), manage.Check{Quick: in.Quick})
	return manage.ViewIntegrity(found), err
}

// spendParameters holds the parameters of getSpend.
type spendParameters struct {
	GroupBy *string       `json:"group_by" doc:"One or two dimensions, separated by a comma; team by default."`
	Month   billing.Month `json:"month" doc:"Such as 2026-11; this month by default."`
	From    string        `json:"from" doc:"The first day, as 2026-11-01, instead of a month."`
	To      string        `json:"to" doc:"The first day that is not included."`
	KeyID   billing.KeyID `json:"key_id"`
	Top     *int          `json:"top" doc:"Only the most expensive lines."`
	spendFilter
}

// spendFilter holds the parameters that restrict a report.
type spendFilter struct {
	Team        string `json:"team" doc:"Only this team: name or id."`
	Project     string `json:"project" doc:"Only this project: team/name or id."`
	CostCenter  string `json:"cost_center" doc:"Only this cost center."`
	Environment string `json:"environment" doc:"Only this environment."`
	Provider    string `json:"provider" doc:"Only this provider."`
	Model       string `json:"model" doc:"Only this model, under its name in reports."`
}

// only returns the filter that was asked for. Callers who cannot read everything are not told
// which teams and projects exist.
func (x *exchange) only(f spendFilter) (only billing.SpendFilter, err error) {
	only = billing.SpendFilter{CostCenter: f.CostCenter, Environment: f.Environment, Provider: f.Provider, Model: f.Model}
	only.TeamID, only.ProjectID, err = x.Actions.OwnersCalled(x.ctx(), f.Team, f.Project)
	var missing *billing.NotFoundError
	if errors.As(err, &missing) && x.within(rbac.SpendRead) != nil {
		only.TeamID, only.ProjectID, err = f.Team, f.Project, nil
	}
	return only, err
}

// getSpend is GET /spend?group_by=team,month&from=2026-10-01&to=2026-12-01: what was spent.
// Without dates it covers the current month.
func getSpend(x *exchange, in spendParameters) (manage.SpendReport, error) {
	ask := billing.SpendQuery{
		GroupBy: []billing.Dimension{"team"}, Month: in.Month, From: in.From, To: in.To, KeyID: in.KeyID,
	}
	if in.KeyID == "" {
		ask.Within = x.within(rbac.SpendRead)
	} else if err := x.mayReadSpend(in.KeyID); err != nil {
		return manage.SpendReport{}, err
	}
	var err error
	if ask.Only, err = x.only(in.spendFilter); err != nil {
		return manage.SpendReport{}, err
	}
	if in.GroupBy != nil {
		ask.GroupBy = manage.ReadDimensions(*in.GroupBy)
	}
	if in.Top != nil {
		if ask.Top = *in.Top; ask.Top < 1 {
			return manage.SpendReport{}, wire.Invalid("top", "must be a number of lines")
		}
	}
	return manage.Spend(x.ctx(), x.Reports, ask, x.Start, x.Zone)
}

// usageParameters holds the parameters of getUsage.
type usageParameters struct {
	By   string `json:"by" doc:"key, project, model or provider; key by default."`
	From string `json:"from" doc:"A day in the reporting time zone, or an instant. Default: a day before to."`
	To   string `json:"to" doc:"The first day or instant that is not included; now by default."`
	Top  *int   `json:"top" doc:"Only the first lines."`
}

// getUsage is GET /usage?by=key&from=2026-11-30T00:00:00Z: usage by the hour for keys,
// projects, models or providers.
func getUsage(x *exchange, in usageParameters) (manage.UsageReport, error) {
	ask := billing.UsageQuery{By: "key", Within: x.within(rbac.SpendRead)}
	if in.By != "" {
		ask.By = billing.ReadUsageBy(in.By)
	}
	var err error
	if ask.From, err = x.moment("from", in.From); err != nil {
		return manage.UsageReport{}, err
	}
	if ask.To, err = x.moment("to", in.To); err != nil {
		return manage.UsageReport{}, err
	}
	if in.Top != nil {
		if ask.Lines = *in.Top; ask.Lines < 1 {
			return manage.UsageReport{}, wire.Invalid("top", "must be a number of lines")
		}
	}
	return manage.Usage(x.ctx(), x.Reports, ask, x.Start)
}

// moment parses an instant, or a day in the reporting zone; "" is the zero time.
func (x *exchange) moment(name, text string) (at time.Time, err error) {
	if text == "" {
		return at, nil
	}
	if at, err = time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	if at, err = time.ParseInLocation(time.DateOnly, text, x.Zone); err != nil {
		return at, wire.Invalid(name, "must be a day such as 2026-11-30, or an instant such as 2026-11-30T12:00:00Z")
	}
	return at, nil
}

// priceParameters holds the parameters of getPriceChanges.
type priceParameters struct {
	Month    billing.Month `json:"month" doc:"Such as 2026-11; this month by default."`
	From     string        `json:"from" doc:"The first day, as 2026-11-01, instead of a month."`
	To       string        `json:"to" doc:"The first day that is not included."`
	Provider string        `json:"provider" doc:"Only this provider."`
	Model    string        `json:"model" doc:"Only this model, under its name in reports."`
}

// getPriceChanges is GET /prices?from=2026-11-01&to=2026-12-01: which prices changed, and what
// usage costs at the old and the new price.
func getPriceChanges(x *exchange, in priceParameters) (manage.PriceReport, error) {
	return manage.PriceChanges(x.ctx(), x.Reports, manage.PriceQuery(in), x.Start, x.Zone)
}

// eventFilter holds the parameters of listEvents.
type eventFilter struct {
	Kind   billing.EventKind `json:"kind"`
	Object string            `json:"object" doc:"The id of the key, budget or request that it is about."`
	Since  *wire.Instant     `json:"since"`
	Limit  *int              `json:"limit" doc:"The maximum number returned: 1 to 1000; 200 by default."`
	Cursor string            `json:"cursor" doc:"The next_cursor of the previous page."`
}

// mostEvents is the maximum length of a page.
const mostEvents = 1000

// listEvents is GET /events?kind=&object=&since=&limit=: newest first.
func listEvents(x *exchange, in eventFilter) (wire.Page[manage.EventView], error) {
	limit := wire.MostListed
	if in.Limit != nil {
		if limit = *in.Limit; limit < 1 || limit > mostEvents {
			return wire.Page[manage.EventView]{}, wire.Invalid("limit", "must be between 1 and %d", mostEvents)
		}
	}
	f := billing.EventFilter{Kind: in.Kind, Object: in.Object, Before: in.Cursor, Limit: limit + 1}
	if kinds := billing.EventKinds(); f.Kind != "" && !slices.Contains(kinds, f.Kind) {
		return wire.Page[manage.EventView]{}, wire.Invalid("kind", "must be %s", wire.OneOf(kinds))
	}
	f.Since = cmp.Or(in.Since, &wire.Instant{}).Time
	all, err := x.Actions.Events(x.ctx(), f)
	return wire.Continued(all, limit, itself[manage.EventView], func(e manage.EventView) string { return e.ID }), err
}

// mayReadSpend requires the permission to see what a key spent.
func (x *exchange) mayReadSpend(id billing.KeyID) error {
	if x.access.Full() {
		return x.needs(rbac.SpendRead, rbac.Place{}, nil)
	}
	at, err := x.placeOfKey(id)
	if err != nil {
		return err
	}
	return x.needs(rbac.SpendRead, at, &billing.NotFoundError{What: "key", ID: string(id)})
}
