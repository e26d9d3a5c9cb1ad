package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/router/admin"
	"tallyroute/router/identity"
	"tallyroute/router/identity/identitytest"
)

// acts lists what administrators and members do, each act once and in an order in which every
// one of them is possible. AS NAME uses the token stored under that name. =NAME stores the
// member of the answer whose path follows, and {NAME} in a later act stands for it. {n} stands
// for a number that changes each time something was done although the answer was an error.
// SWEEP, SEED, USE and LOG IN are not requests: see do and run.
var acts = []string{
	`POST /teams {"name":"web{n}","project":"shop"} =team name`,
	`PATCH /teams/{team} {"cost_center":"c{n}","owner_email":"lead@example.com"}`,
	`POST /projects {"name":"p2{n}","team":"{team}","environment":"dev"} =project id`,
	`PATCH /projects/{project} {"name":"p3{n}"}`,
	`PUT /teams/{team}/policy {"policy":{"endpoints":["chat"]},"reason":"{n}"}`,
	`PUT /projects/{project}/policy {"policy":{"endpoints":["chat"]},"reason":"{n}"}`,
	`POST /keys {"name":"k{n}","team":"{team}","project":"shop","owner":"gone@example.com","budget":{"usd":"5"}} =key id`,
	`PATCH /keys/{key} {"name":"k2{n}","tags":{"a":"b"},"limits":{"tokens_per_minute":50}}`,
	`PUT /keys/{key}/policy {"policy":{"features":["stream"]},"reason":"{n}"}`,
	`POST /keys/{key}/rotate {"overlap":"1h"}`,
	`POST /keys/{key}/rotate {"overlap":"2h"} =secret secret`,
	`POST /keys/{key}/hand-over {"for":"1h"}`,
	`PUT /keys/{key}/sink {"sink":"files","place":"a/key{n}","overlap":"1h"}`,
	`DELETE /keys/{key}/sink?reason=r`,
	`POST /keys/{key}/disable {"reason":"r"}`,
	`POST /keys/{key}/enable {"reason":"r"}`,
	`POST /keys {"name":"p{n}","team":"{team}","project":"shop","budget":{"usd":"5","period":"once"}} =prepaid id`,
	`POST /keys/{prepaid}/top-up {"usd":"1","reference":"PO-{n}"}`,
	`POST /budgets {"scope":"org","usd":"100"} =budget id`,
	`PATCH /budgets/{budget} {"usd":"7{n}","tokens":100}`,
	`POST /budgets/{budget}/raise {"usd":"1","until":"2099-01-01T00:00:00Z","reason":"r"}`,
	`POST /budgets/{budget}/reset {"reason":"r"}`,
	`DELETE /budgets/{budget}?reason=r`,
	`POST /principals {"name":"ci{n}"} =bot id`,
	`POST /principals {"name":"boss{n}","kind":"user","email":"boss{n}@example.com"} =boss id`,
	`POST /principals/{boss}/grants {"role":"owner"}`,
	`POST /principals/{bot}/grants {"role":"developer","must":"time.hour >= 0"} =grant grants.0.id`,
	`POST /principals/{bot}/tokens {"name":"t{n}"} =token id`,
	`DELETE /principals/{bot}/tokens/{token}?reason=r`,
	`DELETE /principals/{bot}/grants/{grant}?reason=r`,
	`POST /principals/{bot}/disable {"reason":"r"}`,
	`POST /principals/{bot}/enable {"reason":"r"}`,
	`PUT /teams/{team}/ceiling {"keys":3,"usd":"20"}`,
	`POST /principals {"name":"ann{n}"} =ann id`,
	`POST /principals/{ann}/grants {"role":"member","scope":"team","scope_id":"{team}"}`,
	`POST /principals/{ann}/tokens {"name":"t{n}"} =member secret`,
	`USE member`,
	`AS member POST /team/keys {"name":"own{n}","team":"{team}","project":"shop"} =own id`,
	`AS member PATCH /team/keys/{own} {"usd":"4.{n}"}`,
	`AS member POST /team/keys/{own}/rotate {"overlap":"1h"}`,
	`AS member POST /team/keys/{own}/raises {"usd":"1","until":"{soon}","reason":"r"} =raise id`,
	`POST /raises/{raise}/approve {"reason":"r"}`,
	`AS member POST /team/keys/{own}/raises {"usd":"2","until":"{soon}","reason":"r"} =raise id`,
	`POST /raises/{raise}/decline {"reason":"r"}`,
	`AS member POST /team/keys/{own}/revoke {"reason":"r"}`,
	`DELETE /teams/{team}/ceiling?reason=r`,
	`POST /principals {"name":"gone{n}","kind":"user","email":"gone@example.com"} =gone id`,
	`POST /principals/{gone}/disable {"reason":"r"}`,
	`SWEEP leavers`,
	`GET /leavers?outcome=open =review data.0.id`,
	`POST /leavers/{review}/transfer {"to":"{boss}"}`,
	`POST /keys {"name":"left{n}","team":"{team}","project":"shop","owner":"gone@example.com"} =left id`,
	`SWEEP leavers`,
	`GET /leavers?outcome=open =review data.0.id`,
	`POST /leavers/{review}/keep {"reason":"r"}`,
	`POST /keys {"name":"left2{n}","team":"{team}","project":"shop","owner":"gone@example.com"} =left secret`,
	`SWEEP leavers`,
	`GET /leavers?outcome=open =review data.0.id`,
	`POST /leavers/{review}/disable {"reason":"r"}`,
	`PUT /governance {"rules":{"keys":{"max_age":{"high":"90d"}}},"reason":"r"}`,
	`POST /governance/acknowledgements {"version":1,"owner":"ann@example.com"}`,
	`POST /reviews {"reason":"r"}`,
	`GET /reviews =number data.0.number`,
	`POST /reviews/{number}/decide {"kind":"key","object":"{key}","decision":"keep","reason":"r"}`,
	`POST /incidents {"key_id":"{prepaid}","action":"revoke","reason":"leaked"} =incident id`,
	`POST /incidents/{incident}/close {"reason":"rotated"}`,
	`POST /spend/adjustments {"key_id":"{key}","amount_usd":"1.5","kind":"credit","reason":"r"}`,
	`POST /periods/2020-01/close`,
	`POST /periods/2020-01/reopen {"reason":"late"}`,
	`POST /periods/2020-02/close`,
	`SEED digest`,
	`POST /periods/2020-02/archive {"rows":0,"cost_usd":"0","sha256":"{sha256}"}`,
	`POST /prices/reprice {"from":"2026-01-01T00:00:00Z","to":"2026-02-01T00:00:00Z","reason":"r"}`,
	`SEED replica`,
	`POST /replicas/rep_gone/forget`,
	`SEED reject`,
	`POST /rejects/req_1/book`,
	`SEED row`,
	`POST /access/erase {"address":"10.0.0.1","reason":"asked to"}`,
	`POST /persons/export {"name":"eva"}`,
	`POST /persons/erase {"name":"eva","reason":"asked to"}`,
	`SEED alert`,
	`POST /alerts/alert_1/replay {"channel":"ops"}`,
	`POST /providers {"name":"acme","settings":{"base_url":"https://acme.example/v1"}}`,
	`PUT /providers/acme {"settings":{"base_url":"https://acme{n}.example/v1"}}`,
	`POST /credentials {"provider":"acme","name":"main{n}","secret":"canary"} =credential id`,
	`PATCH /credentials/{credential} {"weight":3,"owner":"ann{n}@example.com"}`,
	`POST /credentials/{credential}/rotate {"overlap":"1h"}`,
	`POST /credentials/{credential}/disable {"reason":"r"}`,
	`POST /credentials/{credential}/enable {"reason":"r"}`,
	`SEED response`,
	`POST /secrets/rekey`,
	`DELETE /credentials/{credential}?reason=r`,
	`DELETE /providers/acme?reason=r`,
	`LOG IN =session token`,
	`USE session`,
	`AS session POST /logout`,
	`LOG IN =session token`,
	`USE session`,
	`AS session GET /me =sid session.id`,
	`DELETE /sessions/{sid}?reason=lost`,
	`SEED checkpoint`, // the first one gives the ledger its permanent name
	`POST /audit/checkpoint {"reason":"r"}`,
	`POST /audit/prune {"keep":"90d"}`,
	`GET /audit/export`,
	`POST /keys/revoke {"secret":"{secret}","reason":"leaked"}`,
	`POST /keys/{key}/revoke {"reason":"r"}`,
	`POST /keys/{key}/archive {"reason":"r"}`,
	`POST /projects/{project}/archive`,
	`POST /teams/{team}/archive {"reason":"over"}`,
}

// actRig performs all acts on a store whose statements fail on demand.
type actRig struct {
	t       *testing.T
	store   billing.Store
	tables  []string
	rows    func(table string) []string
	fail    func(n int) // makes the n-th statement from now on fail; 0 means none
	hit     func() bool
	handler http.Handler
	actions manage.Actions
	idp     *identitytest.Server
	known   map[string]string
	faults  int
	late    int // faults after which the change and its record were there all the same
}

func (r *actRig) everything() {
	pepper, err := billing.ParsePepper(strings.Repeat("p", 32))
	if err != nil {
		r.t.Fatal(err)
	}
	key, err := manage.ParseAuditKey(base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32))))
	if err != nil {
		r.t.Fatal(err)
	}
	r.actions = manage.Actions{
		Store: r.store, Pepper: pepper, AuditKey: key, SinkNames: []string{"files"}, Upstreams: actDesk{}, Notifiers: actChannels,
	}
	reports, _ := r.store.Database.(billing.Reports)
	r.idp = identitytest.New(r.t)
	r.idp.Person = identitytest.Claims{"sub": "u1", "email": "eve@example.com", "email_verified": true, "groups": []string{"owners"}}
	r.handler = admin.Handler(admin.Options{
		Actions: r.actions, Reports: reports, Token: func() string { return "secret" },
		Login: &admin.Login{
			Provider: identity.New(identity.Config{Issuer: r.idp.URL, ClientID: identitytest.Client, ClientSecret: identitytest.Secret}),
			URL:      "http://localhost",
			Rules: manage.LoginRules{
				Roles: []manage.GroupRole{{Group: "owners", Role: "owner"}},
				Idle:  time.Hour, Absolute: 12 * time.Hour, StepUp: 5 * time.Minute,
			},
		},
	})
	r.known = map[string]string{"n": "0", "admin": "secret", "soon": time.Now().Add(24 * time.Hour).UTC().Format(time.RFC3339)}
	r.everyWriteIsAnAct()
	for _, act := range acts {
		r.do(act)
		if r.t.Failed() {
			r.t.Fatalf("after %d faults: %s", r.faults, act)
		}
	}
	report, err := r.actions.VerifyAudit(r.t.Context())
	if err != nil || report.Fault != nil {
		r.t.Errorf("the audit log: %v, %v", report.Fault, err)
	}
	r.t.Logf("%d acts, %d faults, %d of them after the change was made, %d records", len(acts), r.faults, r.late, report.Records)
}

var (
	actParts = regexp.MustCompile(`^(?:AS (\w+) )?(\S+) (\S+)(?: (\{.*\}))?(?: =(\w+) (\S+))?$`)
	actNames = regexp.MustCompile(`\{(\w+)\}`)
)

// do performs an act, after each of its statements has failed once.
func (r *actRig) do(act string) {
	r.t.Helper()
	parts := actParts.FindStringSubmatch(act)
	if parts == nil {
		r.t.Fatalf("cannot be read: %s", act)
	}
	fill := func(s string) string {
		return actNames.ReplaceAllStringFunc(s, func(name string) string { return r.known[strings.Trim(name, "{}")] })
	}
	if parts[1] == "" {
		parts[1] = "admin"
	}
	switch parts[2] {
	case "SEED":
		r.seed(parts[3])
		return
	case "USE": // the use of a token is recorded, but it is not an act
		r.ask(r.known[parts[3]], "GET", "/me", "")
		return
	}
	again := true // start over, once, after something was done although the answer was an error
	for n := 1; ; n++ {
		before := r.state()
		r.fail(n)
		status, text := r.run(parts[1], parts[2], fill(parts[3]), fill(parts[4]))
		hit := r.hit()
		r.fail(0)
		changed := different(before, r.state())
		recorded := slices.Contains(changed, "audit_log")
		switch {
		case len(changed) > 0 && !recorded:
			r.t.Errorf("%s: statement %d: %v changed without a record (%d %s)", act, n, changed, status, text)
		case recorded && len(changed) == 2 && hit && status >= http.StatusBadRequest && parts[2] != "GET": // audit_log, audit_ends
			r.t.Errorf("%s: statement %d: a record without a change (%d %s)", act, n, status, text)
		}
		if r.t.Failed() {
			return
		}
		switch {
		case status < http.StatusBadRequest: // every statement has failed by now, or the act succeeds without this one
			if parts[5] != "" {
				r.known[parts[5]] = member(r.t, text, parts[6])
			}
			if !hit {
				return
			}
			r.faults++
		case !hit && !again && (len(changed) == 0 || status == http.StatusUnauthorized): // it was done before, and the answer says so
			return
		case !hit:
			r.t.Errorf("%s: %d %s", act, status, text)
			return
		default:
			r.faults++
		}
		if recorded {
			r.late++
			r.known["n"] = fmt.Sprint(r.late)
			if again {
				n, again = 0, false
			}
		}
	}
}

// run carries out an act: SWEEP reviews the keys of people who have left, LOG IN is a complete
// login, and everything else is a request.
func (r *actRig) run(as, method, path, body string) (int, string) {
	switch method {
	case "SWEEP":
		if err := r.actions.SweepLeavers(r.t.Context(), time.Hour); err != nil {
			return http.StatusInternalServerError, err.Error()
		}
		return http.StatusOK, ""
	case "LOG":
		status, text := r.ask("", "POST", "/login", `{"redirect_uri":"http://127.0.0.1:1/cb"}`)
		if status != http.StatusOK {
			return status, text
		}
		back := r.idp.Browse(member(r.t, text, "url")).Query()
		return r.ask("", "POST", "/login/finish",
			fmt.Sprintf(`{"login":%q,"code":%q,"state":%q}`, member(r.t, text, "login"), back.Get("code"), back.Get("state")))
	}
	return r.ask(r.known[as], method, path, body)
}

func (r *actRig) ask(token, method, path, body string) (int, string) {
	w := httptest.NewRecorder()
	func() {
		defer func() { _ = recover() }() // the handler may abort its response
		r.handler.ServeHTTP(w, r.request(token, method, path, body))
	}()
	return w.Code, w.Body.String()
}

func (r *actRig) request(token, method, path, body string) *http.Request {
	req := httptest.NewRequestWithContext(r.t.Context(), method, "/admin/v1"+path, strings.NewReader(body))
	req.Host, req.RemoteAddr = "localhost", fmt.Sprintf("10.0.%d.1:1", r.faults%256) // logins per network are limited
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return req
}

// seed prepares what an act needs but is not an act itself.
func (r *actRig) seed(what string) {
	r.t.Helper()
	var err error
	switch what {
	case "digest":
		w := httptest.NewRecorder()
		r.handler.ServeHTTP(w, r.request("secret", "GET", "/periods/2020-02/rows", ""))
		r.known["sha256"] = w.Result().Trailer.Get("X-Tallyroute-Sha256")
	case "checkpoint":
		r.ask("secret", "POST", "/audit/checkpoint", "")
	case "replica":
		_, err = r.store.Renew(r.t.Context(), billing.Replica{ID: "rep_gone", Name: "gone", Epoch: "e1", TTL: time.Nanosecond}, billing.Joining)
	case "reject", "row":
		row := billing.Spend{
			OccurredAt: time.Now(), Kind: billing.KindUsage, RequestID: "req_1", Attempt: 1, Final: true,
			Owner: billing.Owner{KeyID: billing.KeyID(r.known["key"])}, Provider: "acme", Model: "large", Status: billing.StatusOK,
			UsageSource: billing.Reported, Tokens: billing.Tokens{Input: 7}, Pricing: billing.Priced,
			Cost: billing.Cost{Input: 1500, Total: 1500},
		}
		p := billing.Posting{Rejects: []billing.Reject{{Row: row, Reason: "too large"}}}
		if what == "row" {
			row.RequestID, row.EndUser = "req_2", "eva"
			p = billing.Posting{Rows: []billing.Spend{row}}
		}
		_, err = r.store.Post(r.t.Context(), p)
	case "alert":
		a := billing.Alert{
			ID: "alert_1", Claim: "c", Kind: "limit", Object: "bud_1", Severity: billing.Warning, Title: "a limit", At: time.Now(),
		}
		_, err = r.store.FireAlerts(r.t.Context(), billing.Firing{Alerts: []billing.Alert{a}}, time.Now())
	case "response":
		err = r.store.StoreResponse(r.t.Context(), billing.StoredResponse{
			ID: "resp_1", KeyID: billing.KeyID(r.known["key"]), CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour), Sealed: []byte("sealed"),
		}, billing.ResponseBounds{Responses: 1, KeyBytes: 1000, Bytes: 1000})
	default:
		r.t.Fatalf("nobody knows how to make a %s", what)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// changesNothing lists the operations that are not acts, although they are not GET requests.
var changesNothing = []string{
	"POST /keys/find", "POST /keys/{id}/policy/try", "POST /principals/{id}/try", "POST /integrity",
	"POST /login", "POST /login/device", "POST /login/finish", // logins have an act of their own: LOG IN
	"POST /alerts/test", "POST /credentials/{id}/test", // these only contact other services
}

// everyWriteIsAnAct checks that every operation that may change something is among the acts.
func (r *actRig) everyWriteIsAnAct() {
	_, text := r.ask("secret", "GET", "/openapi.json", "")
	var document struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		r.t.Fatal(err)
	}
	for path, methods := range document.Paths {
		path = strings.TrimPrefix(path, "/admin/v1")
		for method := range methods {
			name := strings.ToUpper(method) + " " + path
			isAct := slices.ContainsFunc(acts, func(act string) bool { return isOf(act, method, path) })
			if method != "get" && !slices.Contains(changesNothing, name) && !isAct {
				r.t.Errorf("%s is not among the acts", name)
			}
		}
	}
}

// isOf reports whether an act uses an operation.
func isOf(act, method, path string) bool {
	parts := actParts.FindStringSubmatch(act)
	if parts == nil || !strings.EqualFold(parts[2], method) {
		return false
	}
	own, _, _ := strings.Cut(parts[3], "?")
	is, want := strings.Split(own, "/"), strings.Split(path, "/")
	return slices.EqualFunc(is, want, func(is, want string) bool { return is == want || strings.HasPrefix(want, "{") })
}

// state returns the contents of all tables.
func (r *actRig) state() map[string][]string {
	all := make(map[string][]string, len(r.tables))
	for _, table := range r.tables {
		rows := r.rows(table)
		slices.Sort(rows)
		all[table] = rows
	}
	return all
}

func different(before, after map[string][]string) (tables []string) {
	for table, rows := range after {
		if !slices.Equal(rows, before[table]) {
			tables = append(tables, table)
		}
	}
	slices.Sort(tables)
	return tables
}

// member returns the member of an answer at a path.
func member(t *testing.T, text, path string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	for name := range strings.SplitSeq(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[name]
		case []any:
			if len(at) == 0 {
				t.Fatalf("no %s: %s", path, text)
			}
			v = at[0]
		}
	}
	return fmt.Sprint(v)
}

// actDesk only pretends to seal secrets, and knows no provider.
type actDesk struct{ manage.Upstreams }

func (actDesk) Seal(_ context.Context, text, _ string) ([]byte, error) {
	return []byte("sealed" + strings.Repeat("*", len(text))), nil
}

func (actDesk) Rekey(_ context.Context, sealed []byte, _ string) ([]byte, bool, error) {
	return append([]byte("anew "), sealed...), !strings.HasPrefix(string(sealed), "anew"), nil
}

func (actDesk) Takes(context.Context, string, string) error                { return nil }
func (actDesk) Check(context.Context, billing.StoredProvider) error        { return nil }
func (actDesk) Providers(context.Context) ([]manage.ProviderStatus, error) { return nil, nil }
func (actDesk) Configured(context.Context) ([]manage.ConfiguredCredential, error) {
	return nil, nil
}

func (actDesk) Make(context.Context, string, string) (secret, remoteID string, err error) {
	return "made", "key_1", nil
}
func (actDesk) Unmake(context.Context, string, string) error { return nil }

type actChannel struct{}

func (actChannel) Notify(context.Context, billing.Notice) error { return nil }

func actChannels(context.Context) (map[string]manage.Notifier, error) {
	return map[string]manage.Notifier{"ops": actChannel{}}, nil
}
