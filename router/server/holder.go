package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"html/template"
	"net"
	"net/http"

	"tallyroute/billing"
	"tallyroute/billing/governance"
	"tallyroute/billing/manage"
	"tallyroute/billing/policy"
	"tallyroute/router/web"
)

// Handed is a secret that a handover has shown.
type Handed struct {
	KeyID   billing.KeyID `json:"key_id"`
	Version int           `json:"secret_version"`
	Secret  string        `json:"secret"`
}

// Handover opens the handover that a token belongs to. It returns billing.ErrNoHandover if the
// handover has expired, was opened before, or never existed.
type Handover func(ctx context.Context, token, from string) (Handed, error)

// handoverPage is what a person who opens a link sees, before and after the secret is shown. It
// loads no resources and runs no script.
var handoverPage = template.Must(template.New("handover").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>A key for you</title>
<body>
{{if .Secret}}<h1>Your key</h1>
<p>Copy it now: it is shown once, and stored nowhere.</p>
<p><code>{{.Secret}}</code></p>
<p>Version {{.Version}} of {{.KeyID}}.</p>
{{else if .Over}}<h1>Nothing to show</h1>
<p>This link is over, was opened before, or never was. Ask whoever gave it to you for a new one. If you did not open it, say so:
somebody else did.</p>
{{else}}<h1>A key for you</h1>
<p>It is shown once. Have the place ready where you keep secrets.</p>
<form method="post" action="/handover" autocomplete="off">
<label>Token <input name="token" value="{{.Token}}" size="60" required></label>
<button>Show the key</button>
</form>{{end}}
</body></html>
`))

// handoverView is the data that the page shows.
type handoverView struct {
	Handed
	Token string
	Over  bool
}

func (x *exchange) page(status int, v handoverView) {
	var b bytes.Buffer
	_ = handoverPage.Execute(&b, v) // into memory, from a template that parsed
	for name, value := range map[string]string{
		"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff",
		"Content-Security-Policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
	} {
		x.C.Header(name, value)
	}
	x.C.Data(status, "text/html; charset=utf-8", b.Bytes())
}

// showHandover is GET /handover: a page with a button. It shows no secret, so that programs
// that preview links do not use it up.
func showHandover(x *exchange) {
	x.page(http.StatusOK, handoverView{Token: web.Label(x.C.Query("token"), mostHandoverToken)})
}

// mostHandoverToken is more than the length of any token.
const mostHandoverToken = 200

// mostHandoverBody is more than a form or JSON with a token has.
const mostHandoverBody = 4096

// takeHandover is POST /handover, of a form or of JSON: it shows a secret once, to whoever
// has the token.
func takeHandover(x *exchange) {
	if x.C.ContentType() == "application/x-www-form-urlencoded" {
		takeHandoverForm(x)
		return
	}
	raw, err := x.Body(nil)
	if err != nil {
		x.fail(err)
		return
	}
	var in struct {
		Token string `json:"token"`
	}
	if json.Unmarshal(raw, &in) != nil {
		in.Token = ""
	}
	handed, err := x.Handover(x.C.Request.Context(), in.Token, x.from().String())
	if err != nil {
		x.fail(err)
		return
	}
	x.C.Header("Cache-Control", "no-store")
	x.JSON(http.StatusOK, handed)
}

// takeHandoverForm handles the button on the page.
func takeHandoverForm(x *exchange) {
	x.C.Request.Body = http.MaxBytesReader(x.C.Writer, x.C.Request.Body, mostHandoverBody)
	handed, err := x.Handover(x.C.Request.Context(), x.C.PostForm("token"), x.from().String())
	switch {
	case errors.Is(err, billing.ErrNoHandover):
		x.page(http.StatusGone, handoverView{Over: true})
	case err != nil:
		x.fail(err)
	default:
		x.page(http.StatusOK, handoverView{Handed: handed})
	}
}

// Asks returns what the organisation's rules require of a key, in sentences, and the version of
// the rules.
type Asks func(ctx context.Context, k *billing.Key) (version int64, text []string, err error)

// keyPolicy is GET /v1/key/policy: the rules that apply to a key, for its holder.
type keyPolicy struct {
	Object        string              `json:"object"`
	KeyID         string              `json:"key_id"`
	Text          []string            `json:"text"` // what the key may do, in sentences
	Models        []string            `json:"models"`
	AllowedCIDRs  []string            `json:"allowed_cidrs"`
	Policies      policies            `json:"policies"`
	Limits        manage.Limits       `json:"limits"`
	Budgets       []manage.BudgetView `json:"budgets"`
	ExpiresAt     *string             `json:"expires_at"`
	RotationDueAt *string             `json:"rotation_due_at"`
	Sensitivity   string              `json:"sensitivity"`
	Client        string              `json:"client"`
	DataClass     string              `json:"data_class"`
	Organisation  asked               `json:"organisation"`
}

// asked is what the organisation requires of the key.
type asked struct {
	Version int64    `json:"version"` // of its rules; 0: there are none
	Text    []string `json:"text"`
}

func getKeyPolicy(x *exchange) {
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
	v := manage.ViewKey(key, x.Start)
	p := keyPolicy{
		Object: "key.policy", KeyID: v.ID, Text: governance.Plain(key, x.Start), Models: v.Models, AllowedCIDRs: v.AllowedCIDRs,
		Policies: policies(key.Policies), Limits: v.Limits, Budgets: manage.ViewBalances(key, balances, x.Start), ExpiresAt: v.ExpiresAt,
		RotationDueAt: v.RotationDueAt, Sensitivity: v.Sensitivity, Client: v.Client, DataClass: v.DataClass,
		Organisation: asked{Text: []string{}},
	}
	if caller.Temporary != nil {
		p.Text = append([]string{"You hold a temporary key of it, which ends by itself and makes no others."}, p.Text...)
	}
	if x.Asks != nil {
		version, text, err := x.Asks(x.ctx, key)
		if err != nil {
			x.fail(err)
			return
		}
		p.Organisation = asked{version, append([]string{}, text...)}
	}
	describeKey(&x.Head, key.Secret.Ends(x.Start))
	x.JSON(http.StatusOK, p)
}

// selfServicePath is where team members manage their own keys. Pages from other origins must
// not use it, whatever else they may use.
const selfServicePath = "/v1/team"

// serveSelf hands a request on to the self-service handler, stating where it came from.
func serveSelf(x *exchange) {
	r := *x.C.Request
	if from := x.from(); from.IsValid() {
		r.RemoteAddr = net.JoinHostPort(from.String(), "0")
	}
	x.SelfService.ServeHTTP(x.C.Writer, &r)
	x.ID = x.C.Writer.Header().Get("X-Request-Id") // taken from its answer
	if x.C.Writer.Status() >= http.StatusBadRequest {
		x.Refused = "self_service_refused"
	}
}
