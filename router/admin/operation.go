package admin

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/billing/policy"
	"tallyroute/billing/rbac"
	"tallyroute/router/admin/wire"
	"tallyroute/router/limit"
)

// operation is one route of the API. Requests are read, answers are written and the OpenAPI
// document is made from its input and output types.
type operation struct {
	id           string // in the document
	method, path string // below /admin/v1
	summary      string
	in, out      reflect.Type
	statuses     []int    // of successful answers
	media        []string // of answers that are not JSON
	takes        time.Duration
	matches      bool // takes If-Match
	named        bool // handles Idempotency-Key itself
	opened       bool // needs no authentication
	sensitive    bool // needs a recent login
	handle       handler
}

// handler answers the request, or returns the error to answer with.
type handler func(*exchange) error

// none is the input of an operation without any.
type none struct{}

// does returns an operation that reads In, from the query of a GET or DELETE and from the body
// otherwise, and answers with Out. If no member of In is required, a request without a body
// counts as an empty object.
func does[In, Out any](id, method, path, summary string, do func(*exchange, In) (Out, error)) operation {
	return operation{
		id: id, method: method, path: path, summary: summary,
		in: reflect.TypeFor[In](), out: reflect.TypeFor[Out](), statuses: []int{http.StatusOK}, takes: requestTimeout,
		handle: func(x *exchange) error {
			var in In
			if err := x.read(&in); err != nil {
				return err
			}
			x.status = http.StatusOK
			if r, ok := any(in).(interface{ rehearsed() bool }); ok && r.rehearsed() {
				x.dryRun = true
				_, err := do(x, in)
				return x.rehearsed(err)
			}
			kept, err := x.claim()
			if err != nil {
				return err
			}
			if kept != nil {
				x.replay(kept)
				return nil
			}
			defer x.forget()
			out, err := do(x, in)
			if err == nil && !x.C.Writer.Written() {
				x.keep(out)
				x.JSON(x.status, out)
			}
			return err
		},
	}
}

// Rehearsal is the answer to a dry run: the changes that the audit log would record.
type Rehearsal struct {
	DryRun  bool              `json:"dry_run"`
	Changes []RehearsedChange `json:"changes" doc:"Empty if nothing would change."`
}

// RehearsedChange is one change that would be made.
type RehearsedChange struct {
	Action string            `json:"action"`
	Object string            `json:"object"`
	Detail map[string]string `json:"detail"`
}

// rehearsed answers a dry run that ended with err.
func (x *exchange) rehearsed(err error) error {
	var r *billing.Rehearsed
	if err != nil && !errors.As(err, &r) {
		return err
	}
	out := Rehearsal{DryRun: true, Changes: []RehearsedChange{}}
	if r != nil {
		for _, c := range r.Changes {
			out.Changes = append(out.Changes, RehearsedChange{c.Action, c.Object, c.Detail})
		}
	}
	x.C.Writer.Header().Del("ETag") // of a version that does not exist
	x.JSON(http.StatusOK, out)
	return nil
}

// rehearses reports whether the operation supports dry runs.
func (o operation) rehearses() bool {
	return o.in.Implements(reflect.TypeFor[interface{ rehearsed() bool }]())
}

// streaming says that the operation itself writes its answer, in one of these media types.
func (o operation) streaming(media ...string) operation {
	o.media, o.out = media, nil
	return o
}

// creates says that the answer is about a new object.
func (o operation) creates() operation {
	o.statuses = []int{http.StatusCreated}
	return o
}

// createsOrFinds says that the answer is about a new object, or one that already existed.
func (o operation) createsOrFinds() operation {
	o.statuses = []int{http.StatusCreated, http.StatusOK}
	return o
}

// versioned says that the operation takes If-Match: the objects it changes have versions.
func (o operation) versioned() operation {
	o.matches = true
	return o
}

// byName marks an operation that handles Idempotency-Key itself: it derives a secret that it can
// show again without storing it.
func (o operation) byName() operation {
	o.named = true
	return o
}

// finds reports whether the operation can answer with an object that another request has created.
func (o operation) finds() bool {
	return slices.Contains(o.statuses, http.StatusOK) && slices.Contains(o.statuses, http.StatusCreated)
}

// precise returns a handler that refuses If-Match if what the operation changes has no version.
func (o operation) precise() handler {
	return func(x *exchange) error {
		if !o.matches && o.method != http.MethodGet && x.C.GetHeader("If-Match") != "" {
			return errNoVersion
		}
		return o.handle(x)
	}
}

// open says that the operation needs no authentication.
func (o operation) open() operation {
	o.opened = true
	return o
}

// afresh says that a person must have logged in recently: the operation reveals or exports
// data, or changes prices or what others may do.
func (o operation) afresh() operation {
	o.sensitive = true
	return o
}

// slowly says that the operation reads whole months.
func (o operation) slowly() operation {
	o.takes = ledgerTimeout
	return o
}

// urgently says that the caller must learn quickly if the operation failed: it ends the use of
// keys, and the database may not answer.
func (o operation) urgently() operation {
	o.takes = manage.Urgent
	return o
}

// inQuery reports whether the input is in the query rather than in a body.
func (o operation) inQuery() bool { return o.method == http.MethodGet || o.method == http.MethodDelete }

// read decodes the input of the request.
func (x *exchange) read(in any) error {
	v := reflect.ValueOf(in).Elem()
	if m := x.C.Request.Method; m == http.MethodGet || m == http.MethodDelete || m == http.MethodHead {
		return wire.DecodeQuery(x.C.Request.URL.RawQuery, v)
	}
	raw, err := x.Body(nil)
	if err != nil {
		return err
	}
	x.raw = raw
	if len(raw) == 0 && !wire.HasRequired(v.Type()) {
		return nil
	}
	return wire.DecodeBody(raw, v)
}

// rule is what an operation requires: a permission, in the place of the object it is about.
type rule struct {
	permission rbac.Permission
	// at finds the place from the path. If it is nil, the handler itself checks what the body or
	// the query names, or narrows its list; having the permission anywhere is enough.
	at func(x *exchange) (rbac.Place, error)
}

// organisation is the place of anything that belongs to no team.
func organisation(*exchange) (rbac.Place, error) { return rbac.Place{}, nil }

// rules are the requirements of operations, by id. A test ensures that each has one.
func rules() map[string]rule {
	all := map[string]rule{}
	for _, some := range []map[string]rule{
		keyRules(), accessRules(), personRules(), ownerRules(), ledgerRules(), principalRules(), loginRules(), alertRules(),
		incidentRules(), governanceRules(),
		anomalyRules(),
		memberRules(), leaverRules(),
		upstreamRules(),
	} {
		maps.Copy(all, some)
	}
	return all
}

func ofKey(x *exchange) (rbac.Place, error) { return x.placeOfKey(billing.KeyID(x.C.Param("id"))) }

func ofTeam(x *exchange) (rbac.Place, error) {
	return x.Actions.PlaceOf(x.ctx(), billing.ScopeTeam, x.C.Param("id"))
}

func ofProject(x *exchange) (rbac.Place, error) {
	return x.Actions.PlaceOf(x.ctx(), billing.ScopeProject, x.C.Param("id"))
}

func ofBudget(x *exchange) (rbac.Place, error) {
	return x.Actions.PlaceOfBudget(x.ctx(), x.C.Param("id"))
}

// keyRules are about virtual keys.
func keyRules() map[string]rule {
	return map[string]rule{
		"createKey":       {rbac.KeysWrite, nil},
		"listKeys":        {rbac.KeysRead, nil},
		"getKey":          {rbac.KeysRead, ofKey},
		"changeKey":       {rbac.KeysWrite, ofKey},
		"revokeKey":       {rbac.KeysRevoke, ofKey},
		"disableKey":      {rbac.KeysRevoke, ofKey},
		"enableKey":       {rbac.KeysWrite, ofKey},
		"archiveKey":      {rbac.KeysRevoke, ofKey},
		"rotateKey":       {rbac.KeysWrite, ofKey},
		"listKeyVersions": {rbac.KeysRead, ofKey},
		"handOverKey":     {rbac.KeysWrite, ofKey},
		"deliverKey":      {rbac.KeysWrite, ofKey},
		"undeliverKey":    {rbac.KeysWrite, ofKey},
		"listSinks":       {rbac.KeysRead, organisation},
		"topUpKey":        {rbac.BudgetsWrite, ofKey},
		"findKey":         {rbac.KeysRead, nil},
		"revokeSecret":    {rbac.KeysRevoke, nil},
		"getKeyPolicy":    {rbac.KeysRead, ofKey},
		"setKeyPolicy":    {rbac.KeysWrite, ofKey},
		"tryPolicy":       {rbac.KeysRead, ofKey},
	}
}

// ownerRules are about teams, projects and their budgets.
func ownerRules() map[string]rule {
	return map[string]rule{
		"getTeamPolicy":    {rbac.OwnersRead, ofTeam},
		"setTeamPolicy":    {rbac.OwnersWrite, ofTeam},
		"getProjectPolicy": {rbac.OwnersRead, ofProject},
		"setProjectPolicy": {rbac.OwnersWrite, ofProject},
		"listTeams":        {rbac.OwnersRead, nil},
		"createTeam":       {rbac.OwnersWrite, organisation},
		"changeTeam":       {rbac.OwnersWrite, ofTeam},
		"getTeam":          {rbac.OwnersRead, ofTeam},
		"archiveTeam":      {rbac.OwnersWrite, ofTeam},
		"listProjects":     {rbac.OwnersRead, nil},
		"createProject":    {rbac.OwnersWrite, nil},
		"changeProject":    {rbac.OwnersWrite, ofProject},
		"getProject":       {rbac.OwnersRead, ofProject},
		"archiveProject":   {rbac.OwnersWrite, ofProject},
		"listBudgets":      {rbac.BudgetsRead, nil},
		"setBudget":        {rbac.BudgetsWrite, nil},
		"changeBudget":     {rbac.BudgetsWrite, ofBudget},
		"getBudget":        {rbac.BudgetsRead, ofBudget},
		"listBudgetNames":  {rbac.BudgetsRead, ofBudget},
		"resetBudget":      {rbac.BudgetsWrite, ofBudget},
		"raiseBudget":      {rbac.BudgetsWrite, ofBudget},
		"removeBudget":     {rbac.BudgetsWrite, ofBudget},
	}
}

// ledgerRules are about what was spent and who did what.
func ledgerRules() map[string]rule {
	return map[string]rule{
		"listAudit":       {rbac.AuditRead, organisation},
		"verifyAudit":     {rbac.AuditRead, organisation},
		"exportAudit":     {rbac.AuditExport, organisation},
		"checkpointAudit": {rbac.AuditExport, organisation},
		"pruneAudit":      {rbac.AuditPrune, organisation},

		"listDestinations": {rbac.AuditRead, organisation},
		"getSpend":         {rbac.SpendRead, nil},
		"getUsage":         {rbac.SpendRead, nil},
		"getPriceChanges":  {rbac.PricesRead, organisation},
		"adjustSpend":      {rbac.SpendAdjust, nil},
		"listPeriods":      {rbac.PeriodsRead, organisation},
		"closePeriod":      {rbac.PeriodsWrite, organisation},
		"reopenPeriod":     {rbac.PeriodsWrite, organisation},
		"getPeriodRows":    {rbac.PeriodsRead, organisation},
		"archivePeriod":    {rbac.PeriodsWrite, organisation},
		"reprice":          {rbac.PricesWrite, organisation},
		"listReplicas":     {rbac.ReplicasRead, organisation},
		"forgetReplica":    {rbac.ReplicasForget, organisation},
		"listRejects":      {rbac.RejectsRead, organisation},
		"bookReject":       {rbac.RejectsBook, organisation},
		"listEvents":       {rbac.EventsRead, organisation},
		"checkIntegrity":   {rbac.IntegrityRead, organisation},
		"getHealth":        {rbac.ProvidersRead, organisation},
		"getDocument":      {rbac.Any, nil},
	}
}

// principalRules are about principals.
func principalRules() map[string]rule {
	return map[string]rule{
		"whoAmI":           {rbac.Any, nil},
		"listPrincipals":   {rbac.PrincipalsRead, organisation},
		"createPrincipal":  {rbac.PrincipalsWrite, organisation},
		"disablePrincipal": {rbac.PrincipalsWrite, organisation},
		"enablePrincipal":  {rbac.PrincipalsWrite, organisation},
		"grantRole":        {rbac.PrincipalsWrite, organisation},
		"revokeRole":       {rbac.PrincipalsWrite, organisation},
		"createAdminToken": {rbac.PrincipalsWrite, organisation},
		"endAdminToken":    {rbac.PrincipalsWrite, organisation},
		"listRoles":        {rbac.Any, nil},
		"tryGrants":        {rbac.PrincipalsRead, organisation},
	}
}

// allowed admits callers who may perform an operation. Anything in a place that the caller
// cannot even see is reported as missing.
func (x *exchange) allowed(o operation) error {
	if x.access.Full() {
		return nil
	}
	r, declared := x.rules[o.id]
	x.access = x.access.Under(x.acting(o, r.permission))
	role, ok := x.access.Anywhere(r.permission)
	if !declared || !ok {
		return x.denied(o, r)
	}
	x.role = role
	if r.at == nil {
		return nil
	}
	place, err := r.at(x)
	if err != nil {
		return err
	}
	if role, ok = x.access.Role(r.permission, place); ok {
		x.role = role
		return nil
	}
	if place != (rbac.Place{}) && !x.seesAny(place) {
		return x.missing(o)
	}
	return x.denied(o, r)
}

// acting returns what the conditions of grants see of a request.
func (x *exchange) acting(o operation, p rbac.Permission) *policy.Acting {
	from, _ := netip.ParseAddr(x.C.RemoteIP())
	facts := &policy.Acting{
		Act: policy.ActFacts{Operation: o.id, Permission: string(p)}, Principal: x.principal,
		Login:   policy.LoginFacts{AgeMinutes: policy.NeverSeen},
		Address: from.Unmap().WithZone("").String(), Time: policy.Instant(x.Start),
	}
	if s := x.session; s != nil {
		facts.Login = policy.LoginFacts{
			Session: true, AgeMinutes: int(x.Start.Sub(s.AuthenticatedAt).Minutes()), Strength: strings.Fields(s.Strength),
		}
	}
	return facts
}

// seesAny reports whether the caller may do anything at all in a place.
func (x *exchange) seesAny(at rbac.Place) bool { return x.access.May(rbac.Any, at) }

// missing returns the error for an object that does not exist.
func (x *exchange) missing(o operation) error {
	what := "key"
	switch noun, _, _ := strings.Cut(o.path[1:], "/"); noun {
	case "teams":
		what = "team"
	case "projects":
		what = "project"
	case "budgets":
		what = "budget"
	case "raises":
		what = "raise"
	case "leavers":
		what = "review"
	}
	return &billing.NotFoundError{What: what, ID: x.C.Param("id")}
}

// needs lets handlers check access to what their body or query names.
func (x *exchange) needs(p rbac.Permission, at rbac.Place, missing error) error {
	if role, ok := x.access.Role(p, at); ok {
		x.role = role
		return nil
	}
	if missing != nil && !x.seesAny(at) {
		return missing
	}
	return x.deny(p)
}

// needsScope is needs for a team or a project by name or id, which may be new: only callers
// with the permission for the whole organisation can make new ones.
func (x *exchange) needsScope(p rbac.Permission, team, project string) error {
	if x.access.May(p, rbac.Place{}) {
		return nil
	}
	place, err := x.Actions.PlaceOfOwner(x.ctx(), team, project)
	if errors.As(err, new(*billing.NotFoundError)) {
		return x.deny(p)
	}
	if err != nil {
		return err
	}
	return x.needs(p, place, nil)
}

func placeOf(k billing.Key) rbac.Place { return rbac.Place{TeamID: k.TeamID, ProjectID: k.ProjectID} }

// within narrows a list to the places where the caller has a permission; nil is everywhere.
func (x *exchange) within(p rbac.Permission) *billing.Within {
	teams, projects, everywhere := x.access.Places(p)
	if everywhere {
		return nil
	}
	return &billing.Within{Teams: teams, Projects: projects}
}

func (x *exchange) placeOfKey(id billing.KeyID) (rbac.Place, error) {
	k, err := x.Actions.Key(x.ctx(), id)
	return placeOf(k), err
}

// deniedPerMinute is how many denials of one principal are recorded per minute.
const deniedPerMinute = 20

func (x *exchange) denied(o operation, r rule) error {
	x.record(billing.Change{Action: "deny." + o.id, Detail: map[string]string{"permission": string(r.permission)}})
	return &manage.NotAllowedError{Detail: manage.Lacks(x.access, r.permission, rbac.Place{})}
}

func (x *exchange) deny(p rbac.Permission) error {
	x.record(billing.Change{Action: "deny", Detail: map[string]string{"permission": string(p), "route": x.Route()}})
	return &manage.NotAllowedError{Detail: manage.Lacks(x.access, p, rbac.Place{})}
}

// record writes a denial to the audit log, up to a limit per principal and minute.
func (x *exchange) record(c billing.Change) {
	key := limit.Key{Scope: "denied " + x.who, Kind: "record"}
	if !x.wrong.Take(key, deniedPerMinute, 1, x.Start).OK {
		return
	}
	by := x.by("")
	c.At, c.Actor, c.Role, c.Source, c.Outcome, c.Object = x.Start, by.Actor, by.Role, by.Source, billing.OutcomeDenied, x.C.Param("id")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.ctx()), 2*time.Second)
	defer cancel()
	if err := x.Actions.Store.Record(ctx, &c); err != nil {
		x.Err = errors.Join(x.Err, err)
	}
}
