package server

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"tallyroute/billing"
	"tallyroute/router"
	"tallyroute/router/web"
)

var errKeyInURL = errors.New("server: key in the URL")

// caller is who asks. A key that is none fails here, before any look-up.
func (x *exchange) caller() (router.Caller, error) {
	text, err := credential(x.C.Request)
	if err != nil {
		return router.Caller{}, err
	}
	secret, err := billing.ParseSecret(text)
	if err != nil {
		return router.Caller{}, err
	}
	x.keyEnd = " (…" + secret.Last4() + ")"
	return router.Caller{Secret: secret, From: x.from(), Agent: x.C.Request.UserAgent(), At: x.Start}, nil
}

// credential is the one key that a request carries. Two parsers that each take
// another of several would disagree on who pays, so several are refused.
func credential(r *http.Request) (string, error) {
	if keyInURL(r.URL) {
		return "", errKeyInURL
	}
	found := ""
	for _, name := range []string{"Authorization", "X-Api-Key", "Api-Key"} {
		values := r.Header.Values(name)
		if len(values) == 0 {
			continue
		}
		value := values[0]
		if name == "Authorization" {
			value = bearer(value)
		}
		if len(values) > 1 || (found != "" && value != found) {
			return "", web.ErrAmbiguous
		}
		found = value
	}
	return found, nil
}

// bearer is the token of an Authorization header; of another scheme, nothing.
func bearer(value string) string {
	scheme, token, _ := strings.Cut(value, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimLeft(token, " ")
}

// keyInURL reports a key among the parameters, where it ends up in logs.
func keyInURL(u *url.URL) bool {
	if u.RawQuery == "" {
		return false
	}
	for name, values := range u.Query() {
		switch strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(name)) {
		case "apikey", "xapikey", "key", "token", "accesstoken", "authorization":
			return true
		}
		for _, v := range values {
			if strings.HasPrefix(v, "sk-") {
				return true
			}
		}
	}
	return false
}
