package admin

import (
	"context"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/billing/policy"
	"tallyroute/billing/rbac"
	"tallyroute/router/admin/wire"
)

// keyMembers are the members that the bodies for new and changed keys share.
type keyMembers struct {
	Models               wire.Member[[]string]          `json:"models" doc:"Models it may use: names, aliases or provider/*; null: all."`
	AllowedCIDRs         wire.Member[[]wire.Addresses]  `json:"allowed_cidrs" doc:"The networks that it may be used from; null means all."`
	Tags                 wire.Member[map[string]string] `json:"tags"`
	AllowUnpriced        wire.Member[bool]              `json:"allow_unpriced" doc:"It may use unpriced models despite a budget in money."`
	AllowProviderObjects wire.Member[bool]              `json:"allow_provider_objects" doc:"It may use objects stored at providers."`
	KeepResponses        wire.Member[bool]              `json:"keep_responses" doc:"Its responses may be kept, encrypted."`
	Limits               keyLimits                      `json:"limits"`
	ExpiresAt            wire.Member[wire.Instant]      `json:"expires_at" doc:"Null means never."`
	ExpiresIn            *wire.Duration                 `json:"expires_in" doc:"May be given instead of expires_at."`
	Budget               wire.Member[*ownBudget]        `json:"budget" doc:"Its only budget; null means that it has none."`
	Budgets              wire.Member[[]ownBudget]       `json:"budgets" doc:"All of its own budgets; used instead of budget."`
	Purpose              wire.Member[string]            `json:"purpose" doc:"What it is for, in words."`
	Owner                wire.Member[string]            `json:"owner" doc:"The address of the person responsible."`
	Sensitivity          wire.Member[string]            `json:"sensitivity" doc:"critical, high, normal or low: how much harm it can do."`
	RotateEvery          *wire.Span                     `json:"rotate_every" doc:"How often it is to get a new secret."`
	Client               wire.Member[string]            `json:"client" doc:"server, or browser if its secret is used in web pages."`
}

// keyLimits are shorthand for a key's budgets per minute and for concurrent requests.
type keyLimits struct {
	RequestsPerMinute  wire.Member[int64] `json:"requests_per_minute" doc:"A shorthand for a budget per minute; 0 or null means no limit."`
	TokensPerMinute    wire.Member[int64] `json:"tokens_per_minute" doc:"A shorthand for a budget per minute; 0 or null means no limit."`
	ConcurrentRequests wire.Member[int64] `json:"concurrent_requests" doc:"How many may be in progress at once; 0 or null means no limit."`
}

// limits returns the limits that were given.
func (l keyLimits) limits() manage.KeyLimits {
	said := func(m wire.Member[int64]) *int64 {
		if !m.There {
			return nil
		}
		return &m.Value
	}
	return manage.KeyLimits{
		RequestsPerMinute: said(l.RequestsPerMinute), TokensPerMinute: said(l.TokensPerMinute),
		ConcurrentRequests: said(l.ConcurrentRequests),
	}
}

// newKey is the body of createKey.
type newKey struct {
	keyMembers
	Name        string         `json:"name" required:"true" doc:"Plain text of 1 to 100 bytes."`
	Project     string         `json:"project" doc:"Name or id. A new name creates a project."`
	Team        string         `json:"team" doc:"Name or id. A new name creates a team."`
	CostCenter  string         `json:"cost_center"`
	Environment string         `json:"environment" enum:"prod,staging,dev"`
	Handover    bool           `json:"handover" doc:"Return a link that shows the secret once instead of the secret."`
	HandoverFor *wire.Duration `json:"handover_for" doc:"How long the link is valid; 24h by default."`
	Policy      *policy.Policy `json:"policy" doc:"Further restrictions."`
	Sink        string         `json:"sink" doc:"Deliver its secrets to this sink of the configuration instead of showing them."`
	Place       string         `json:"place" doc:"The place in the sink."`
	DryRun      bool           `json:"dry_run" doc:"Only show the key that would result. Its id differs each time."`
}

// keyChange is the body of changeKey.
type keyChange struct {
	keyMembers
	Name    wire.Member[string] `json:"name" doc:"Plain text of 1 to 100 bytes."`
	Project string              `json:"project" doc:"The project that it moves to. What it has spent stays with the old one."`
	Team    string              `json:"team" doc:"The team of the project."`
	DryRun  bool                `json:"dry_run" doc:"Only show the key that would result."`
	Reason  string              `json:"reason"`
}

// check refuses members that contradict each other.
func (in *newKey) check() error {
	if in.Sink != "" && in.Handover {
		return wire.Invalid("sink", "cannot be combined with handover")
	}
	if in.HandoverFor != nil && !in.Handover {
		return wire.Invalid("handover_for", "needs handover")
	}
	if in.Place != "" && in.Sink == "" {
		return wire.Invalid("place", "needs sink")
	}
	return in.keyMembers.check()
}

// check refuses members that contradict each other.
func (b *keyMembers) check() error {
	switch {
	case b.ExpiresAt.There && b.ExpiresIn != nil:
		return wire.Invalid("expires_in", "cannot be combined with expires_at")
	case b.Budget.There && b.Budgets.There:
		return wire.Invalid("budget", "cannot be combined with budgets")
	case b.twice():
		return wire.Invalid("limits", "cannot be combined with a budget of the same period")
	}
	return nil
}

// twice reports whether a limit is also set by a budget in the same body.
func (b *keyMembers) twice() bool {
	minute := b.Limits.RequestsPerMinute.There || b.Limits.TokensPerMinute.There
	return slices.ContainsFunc(b.budgets(), func(c manage.BudgetChange) bool {
		return minute && c.Period == billing.PeriodMinute || b.Limits.ConcurrentRequests.There && c.Period == billing.PeriodConcurrent
	})
}

// expiry returns when the key expires; zero is never.
func (b *keyMembers) expiry(now time.Time) time.Time {
	switch {
	case b.ExpiresIn != nil:
		return now.UTC().Add(time.Duration(*b.ExpiresIn)).Truncate(time.Second)
	case !b.ExpiresAt.Value.IsZero():
		return b.ExpiresAt.Value.UTC()
	}
	return time.Time{}
}

func (b *keyMembers) ranges() []netip.Prefix { return prefixes(b.AllowedCIDRs.Value) }

func (b *keyMembers) budgets() []manage.BudgetChange {
	if b.Budget.Value != nil {
		return []manage.BudgetChange{b.Budget.Value.budget()}
	}
	list := make([]manage.BudgetChange, len(b.Budgets.Value))
	for i, one := range b.Budgets.Value {
		list[i] = one.budget()
	}
	return list
}

func (b *keyMembers) newBudgets() (list []billing.Budget) {
	for _, c := range b.budgets() {
		list = append(list, c.Budget)
	}
	return list
}

// createKey is POST /keys. The secret appears in this answer and nowhere else. A repeat under
// the same Idempotency-Key makes nothing new and gets the same answer.
func createKey(x *exchange, in newKey) (CreatedKey, error) {
	if err := in.check(); err != nil {
		return CreatedKey{}, err
	}
	request := in.request(x)
	if err := x.needsScope(rbac.KeysWrite, request.Team, request.Project); err != nil {
		return CreatedKey{}, err
	}
	if in.Handover && !in.DryRun {
		life := manage.DefaultHandover
		if in.HandoverFor != nil {
			life = time.Duration(*in.HandoverFor)
		}
		return createKeyFor(x, request, life)
	}
	make := x.Actions.CreateKeyOnce
	if in.Sink != "" {
		make = x.Actions.CreateKeyAt
	}
	made, err := make(x.ctx(), request, x.by(""))
	if err != nil {
		return CreatedKey{}, err
	}
	v := x.viewCreated(made.Key, madeOrFound[made.Existed || in.DryRun])
	if secret := made.Secret.Reveal(); secret != "" {
		v.Secret, v.SecretShownOnce, v.Snippets = secret, true, snippets(x.BaseURL, &made.Key)
	} else if made.Existed && in.Sink == "" {
		v.Warnings = append(v.Warnings, "The key was made by an earlier request with this Idempotency-Key, "+
			"too long ago to show its secret again: rotate it for a new one.")
	}
	return v, nil
}

// createKeyFor answers with a link instead of the secret.
func createKeyFor(x *exchange, request manage.KeyRequest, life time.Duration) (CreatedKey, error) {
	made, token, err := x.Actions.CreateKeyFor(x.ctx(), request, life, x.by(""))
	if err != nil {
		return CreatedKey{}, err
	}
	v := x.viewCreated(made.Key, madeOrFound[made.Existed])
	if token.Token == "" {
		v.Warnings = append(v.Warnings, "The link of an earlier request with this Idempotency-Key was opened, or is over.")
		return v, nil
	}
	link := viewHandover(token)
	v.Handover = &link
	return v, nil
}

// viewCreated shows a key without its secret; status says whether it was made now.
func (x *exchange) viewCreated(k billing.Key, status int) CreatedKey {
	x.subject, x.status = string(k.ID), status
	x.tag(k.Version)
	return CreatedKey{KeyView: x.viewKey(k), Snippets: map[string]string{}, Warnings: warnings(&k)}
}

// request returns the key that is asked for.
func (in *newKey) request(x *exchange) manage.KeyRequest {
	r := manage.KeyRequest{
		Name: in.Name, Project: in.Project, Team: in.Team, CostCenter: in.CostCenter, Environment: in.Environment,
		Models: in.Models.Value, Budgets: in.newBudgets(), AllowedCIDRs: in.ranges(),
		Limits:        in.Limits.limits(),
		AllowUnpriced: in.AllowUnpriced.Value, AllowProviderObjects: in.AllowProviderObjects.Value,
		KeepResponses: in.KeepResponses.Value,
		Tags:          in.Tags.Value, ExpiresAt: in.expiry(x.Start),
		Purpose: in.Purpose.Value, Address: in.Owner.Value, Sensitivity: billing.Sensitivity(in.Sensitivity.Value),
		Once: billing.Once{Name: x.C.GetHeader("Idempotency-Key"), Body: string(x.raw)}, DryRun: in.DryRun,
	}
	r.Client, r.Policy = billing.Client(in.Client.Value), in.Policy
	r.To = manage.DeliverRequest{Sink: in.Sink, Place: in.Place, Overlap: manage.DefaultOverlap}
	if in.RotateEvery != nil {
		r.RotateEvery = time.Duration(*in.RotateEvery)
	}
	return r
}

// CreatedKey is a key with its secret.
type CreatedKey struct {
	manage.KeyView
	Secret          string            `json:"secret,omitempty"`
	Handover        *Handover         `json:"handover,omitempty" doc:"Instead of the secret, if requested."`
	SecretShownOnce bool              `json:"secret_shown_once"`
	Snippets        map[string]string `json:"snippets" doc:"Examples of a first call with the key, by language."`
	Warnings        []string          `json:"warnings"`
}

func warnings(k *billing.Key) []string {
	list := []string{}
	if len(k.Budgets) == 0 {
		list = append(list, "The key has no budget of its own: it may spend all that its owners may.")
	}
	if k.ExpiresAt.IsZero() {
		list = append(list, "The key never expires.")
	}
	return list
}

// keyFilter holds the parameters of listKeys.
type keyFilter struct {
	wire.Paging
	Team    string `json:"team" doc:"Name or id."`
	Project string `json:"project" doc:"Name or id."`
	Status  string `json:"status"`
	Query   string `json:"q" doc:"A part of the name or of the visible characters of the secret, or the beginning of the id."`
	Stale   string `json:"unused_for" doc:"Keys neither used nor created within this time, such as 90d."`
}

func listKeys(x *exchange, in keyFilter) (wire.Page[manage.KeyView], error) {
	limit, err := in.Most()
	if err != nil {
		return wire.Page[manage.KeyView]{}, err
	}
	if !wire.CursorFor(in.Cursor, "key_") {
		return wire.Page[manage.KeyView]{}, wire.ErrCursor()
	}
	f := billing.KeyFilter{
		Team: in.Team, Project: in.Project, Status: in.Status, Query: in.Query, After: billing.KeyID(in.Cursor), Limit: limit,
	}
	if in.Stale != "" {
		unused, err := billing.ParseSpan(in.Stale)
		if err != nil || unused == 0 {
			return wire.Page[manage.KeyView]{}, wire.Invalid("unused_for", "must be a span, such as 24h or 90d")
		}
		f.Unused = x.Start.Add(-unused)
	}
	f.Within = x.within(rbac.KeysRead)
	keys, more, err := x.Actions.Keys(x.ctx(), f)
	if err != nil {
		return wire.Page[manage.KeyView]{}, err
	}
	list := wire.ListOf(keys, x.viewKey)
	if more {
		list.ContinueAfter(string(keys[len(keys)-1].ID))
	}
	return list, nil
}

func (x *exchange) viewKey(k billing.Key) manage.KeyView { return manage.ViewKey(&k, x.Start) }

// viewed shows what an action has changed or found, unless it failed.
func viewed[T, V any](show func(T) V) func(T, error) (V, error) {
	return func(t T, err error) (view V, _ error) {
		if err != nil {
			return view, err
		}
		return show(t), nil
	}
}

func getKey(x *exchange, _ none) (manage.KeyView, error) {
	key, err := x.Actions.Key(x.ctx(), billing.KeyID(x.C.Param("id")))
	return x.viewBalanced(key, err)
}

// viewBalanced shows a key with its tag and what its budgets have left, unless err is set.
func (x *exchange) viewBalanced(k billing.Key, err error) (manage.KeyView, error) {
	if err != nil {
		return manage.KeyView{}, err
	}
	v := x.viewTagged(k)
	balances, err := x.Actions.Balances(x.ctx(), &k)
	if err != nil {
		return manage.KeyView{}, err
	}
	v.Budgets = manage.ViewBalances(&k, balances, x.Start)
	return v, nil
}

// changeKey is PATCH /keys/{id}: only the members present are changed.
func changeKey(x *exchange, in keyChange) (manage.KeyView, error) {
	if err := in.check(); err != nil {
		return manage.KeyView{}, err
	}
	change := manage.KeyChange{Project: in.Project, Team: in.Team, DryRun: in.DryRun}
	var err error
	if change.Version, err = x.seen(); err != nil {
		return manage.KeyView{}, err
	}
	if err := x.mayChange(in); err != nil {
		return manage.KeyView{}, err
	}
	if in.says() {
		change.Edit = func(k *billing.Key) { in.apply(k, x.Start) }
	}
	return viewed(x.viewTagged)(x.Actions.ChangeKey(x.ctx(), billing.KeyID(x.param("id")), change, x.by(in.Reason)))
}

// mayChange requires what a change needs in addition to the key itself: its budgets, and the
// project that it is moved to.
func (x *exchange) mayChange(in keyChange) error {
	if in.Budget.There || in.Budgets.There || in.Limits != (keyLimits{}) {
		at, err := x.placeOfKey(billing.KeyID(x.C.Param("id")))
		if err != nil {
			return err
		}
		if err := x.needs(rbac.BudgetsWrite, at, nil); err != nil {
			return err
		}
	}
	if in.Project == "" && in.Team == "" {
		return nil
	}
	return x.needsScope(rbac.KeysWrite, in.Team, in.Project)
}

// says reports whether anything about the key itself is to change.
func (b keyChange) says() bool {
	b.Project, b.Team, b.DryRun, b.Reason = "", "", false, ""
	return !reflect.ValueOf(b).IsZero()
}

func (b *keyChange) apply(k *billing.Key, now time.Time) {
	set(&k.Name, b.Name)
	set(&k.Models, b.Models)
	set(&k.Tags, b.Tags)
	set(&k.Purpose, b.Purpose)
	set(&k.Address, b.Owner)
	if b.Sensitivity.There {
		k.Sensitivity = billing.Sensitivity(b.Sensitivity.Value)
	}
	if b.Client.There {
		k.Client = billing.Client(b.Client.Value)
	}
	if b.RotateEvery != nil {
		k.RotateEvery = time.Duration(*b.RotateEvery)
	}
	set(&k.AllowUnpriced, b.AllowUnpriced)
	set(&k.AllowProviderObjects, b.AllowProviderObjects)
	set(&k.KeepResponses, b.KeepResponses)
	if b.AllowedCIDRs.There {
		k.AllowedCIDRs = b.ranges()
	}
	if b.ExpiresAt.There || b.ExpiresIn != nil {
		k.ExpiresAt = b.expiry(now)
	}
	if b.Budget.There || b.Budgets.There {
		manage.SetBudgets(k, b.budgets())
	}
	b.Limits.limits().Set(k)
}

// set assigns a member if it is present.
func set[T any](into *T, m wire.Member[T]) {
	if m.There {
		*into = m.Value
	}
}

// reasoned is the body of operations that record why they were done.
type reasoned struct {
	Reason string `json:"reason"`
}

// rehearsal is embedded in the bodies of operations that support dry runs.
type rehearsal struct {
	DryRun bool `json:"dry_run" doc:"Only report what would change; anything that would be refused is refused."`
}

func (r rehearsal) rehearsed() bool { return r.DryRun }

// rehearsable is reasoned for operations that support dry runs.
type rehearsable struct {
	reasoned
	rehearsal
}

// ending is the body of operations that end or resume the use of a key.
type ending struct {
	Reason string `json:"reason"`
	DryRun bool   `json:"dry_run" doc:"Only show the key that would result."`
}

// endUse runs an operation that ends or resumes the use of a key. Doing it twice changes
// nothing.
func endUse(
	do func(manage.Actions, context.Context, billing.KeyID, manage.Ending, manage.By) (billing.Key, error),
) func(*exchange, ending) (manage.KeyView, error) {
	return func(x *exchange, in ending) (manage.KeyView, error) {
		version, err := x.seen()
		if err != nil {
			return manage.KeyView{}, err
		}
		e := manage.Ending{Version: version, DryRun: in.DryRun}
		return viewed(x.viewTagged)(do(x.Actions, x.ctx(), billing.KeyID(x.param("id")), e, x.by(in.Reason)))
	}
}

// tag says in an ETag which version of a key the answer is about.
func (x *exchange) tag(version int64) { x.C.Header("ETag", `"`+strconv.FormatInt(version, 10)+`"`) }

func (x *exchange) viewTagged(k billing.Key) manage.KeyView {
	x.tag(k.Version)
	return x.viewKey(k)
}

// seen returns the version of the key that the change was based on, from If-Match; 0 is any.
func (x *exchange) seen() (int64, error) {
	tag := strings.TrimSpace(x.C.GetHeader("If-Match"))
	if tag == "" || tag == "*" {
		return 0, nil
	}
	n, err := strconv.ParseInt(strings.Trim(tag, `"`), 10, 64)
	if err != nil || n < 1 || !strings.HasPrefix(tag, `"`) {
		return 0, manage.ErrVersion // a tag that we never issued
	}
	return n, nil
}
