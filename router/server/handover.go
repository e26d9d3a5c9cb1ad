package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"

	"tallyroute/billing"
	"tallyroute/router/web"
)

// Handed is a secret that a hand-over has shown.
type Handed struct {
	KeyID   billing.KeyID `json:"key_id"`
	Version int           `json:"secret_version"`
	Secret  string        `json:"secret"`
}

// Handover opens the hand-over that a token is for. billing.ErrNoHandover where it is
// over, was opened before, or there never was one.
type Handover func(ctx context.Context, token, from string) (Handed, error)

// handoverPage is what a person sees who opens a link, before and after the secret is
// shown. Nothing is fetched for it, and it runs no script.
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

// handoverView is what the page shows.
type handoverView struct {
	Handed
	Token string
	Over  bool
}

func (x *exchange) page(status int, v handoverView) {
	var b bytes.Buffer
	_ = handoverPage.Execute(&b, v) // into memory, of a template that was parsed
	for name, value := range map[string]string{
		"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff",
		"Content-Security-Policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
	} {
		x.C.Header(name, value)
	}
	x.C.Data(status, "text/html; charset=utf-8", b.Bytes())
}

// showHandover is GET /handover: a page with a button. It shows no secret, so that
// programs that preview links do not spend it.
func showHandover(x *exchange) {
	x.page(http.StatusOK, handoverView{Token: web.Label(x.C.Query("token"), mostHandoverToken)})
}

// mostHandoverToken is more than a token has.
const mostHandoverToken = 200

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

// takeHandoverForm is the button of the page.
func takeHandoverForm(x *exchange) {
	x.C.Request.Body = http.MaxBytesReader(x.C.Writer, x.C.Request.Body, 4096)
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
