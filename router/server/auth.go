package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"tallyroute/billing"
	"tallyroute/billing/policy"
	"tallyroute/providers/chat"
	"tallyroute/router"
	"tallyroute/router/web"
)

var errKeyInURL = errors.New("server: key in the URL")

// stranger describes a caller whose key is not known yet.
func (x *exchange) stranger(to policy.Endpoint) router.Caller {
	r := x.C.Request
	return router.Caller{
		From: x.from(), Agent: r.UserAgent(), At: x.Start, Endpoint: to, Origin: r.Header.Get("Origin"), Referer: r.Referer(),
	}
}

// caller returns who is calling, and for what. A malformed key fails here, before any lookup.
func (x *exchange) caller(to policy.Endpoint) (router.Caller, error) {
	text, err := credential(x.C.Request)
	if err != nil {
		return router.Caller{}, err
	}
	if text != "" && x.clear() {
		if x.exposed != nil {
			x.exposed(text, x.from())
		}
		return router.Caller{}, web.ErrClear
	}
	c := x.stranger(to)
	if c.Temporary, err = x.Temporary.open(x.ctx, text, x.Start); c.Temporary != nil {
		c.Secret = c.Temporary.Parent()
	} else if err == nil {
		c.Secret, err = billing.ParseSecret(text)
	}
	if err != nil {
		if c.Temporary != nil { // it has expired
			x.key = c.Temporary.KeyID
		}
		return router.Caller{}, err
	}
	x.keyEnd = " (…" + text[len(text)-4:] + ")"
	return c, nil
}

// clear reports whether a request arrived in plain text although it must not.
func (x *exchange) clear() bool { return x.requireTLS && web.Clear(x.C.Request, x.TrustedProxies) }

// private refuses requests that would show or carry a secret in plain text.
func private(h func(*exchange)) func(*exchange) {
	return func(x *exchange) {
		if x.clear() {
			if token := handoverToken(x.C.Request); token != "" && x.exposed != nil {
				x.exposed(token, x.from())
			}
			x.fail(web.ErrClear)
			return
		}
		h(x)
	}
}

// credential returns the one key that a request carries. Several are refused: two parsers that
// pick different ones would disagree on who pays.
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

// Credential returns the handover token or the key that a request carries; "" if there is
// none or more than one key.
func Credential(r *http.Request) string {
	if token := handoverToken(r); token != "" {
		return token
	}
	text, err := credential(r)
	if err != nil {
		return ""
	}
	return text
}

// handoverToken returns the token of a handover that a request carries as a parameter, in a
// form or in JSON.
func handoverToken(r *http.Request) string {
	if r.URL.Path != "/handover" {
		return ""
	}
	if r.Method != http.MethodPost {
		return r.URL.Query().Get("token")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, mostHandoverBody))
	if err != nil {
		return ""
	}
	var in struct {
		Token string `json:"token"`
	}
	if json.Unmarshal(body, &in) == nil {
		return in.Token
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return ""
	}
	return form.Get("token")
}

// bearer returns the token of an Authorization header; "" for any other scheme.
func bearer(value string) string {
	scheme, token, _ := strings.Cut(value, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimLeft(token, " ")
}

// keyInURL reports a key among the query parameters, which end up in logs.
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

// tagsHeader carries the client's own labels for a request's cost:
// "feature=checkout,run=42".
const tagsHeader = "X-Tallyroute-Tags"

// sessionHeader carries the client's name for the session of a request.
const sessionHeader = "X-Tallyroute-Session"

// agentSessions are the headers in which Claude Code and Codex send their sessions.
var agentSessions = []string{"X-Claude-Code-Session-Id", "Session_id", "Session-Id"}

// parseSession reads the session; it returns a *chat.FieldError if it is invalid.
func parseSession(h http.Header) (string, error) {
	all := h.Values(sessionHeader)
	if len(all) == 0 || len(all) == 1 && all[0] == "" {
		for _, name := range agentSessions {
			if session := billing.CleanSession(h.Get(name)); session != "" {
				return session, nil
			}
		}
		return "", nil
	}
	if name := billing.CleanSession(all[0]); len(all) == 1 && name != "" {
		return name, nil
	}
	return "", &chat.FieldError{
		Code: codeInvalidValue, Param: strings.ToLower(sessionHeader),
		Message: fmt.Sprintf("want one name of at most %d printable ASCII characters without spaces", billing.LongestSession),
	}
}

// parseTags reads the tags of a request; it returns a *chat.FieldError if they are invalid.
func parseTags(h http.Header) (map[string]string, error) {
	text := strings.Join(h.Values(tagsHeader), ",")
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	tags := make(map[string]string)
	for pair := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		_, twice := tags[name]
		switch {
		case !ok || !isTagName(name):
			return nil, badTags("want name=value pairs, separated by commas; a name has at most 64 letters, digits, '.', '_' or '-'")
		case len(value) > billing.LongestTagValue || !isPlain(value):
			return nil, badTags("the value of " + name + " is longer than 256 bytes or not plain text")
		case twice:
			return nil, badTags(name + " appears twice")
		case strings.HasPrefix(name, billing.OwnTags):
			return nil, badTags("names that begin with " + billing.OwnTags + " are the router's own")
		case len(tags) == billing.MostTags:
			return nil, badTags("more than 16 tags")
		}
		tags[name] = value
	}
	return tags, nil
}

func badTags(message string) error {
	return &chat.FieldError{Code: codeInvalidValue, Param: strings.ToLower(tagsHeader), Message: message}
}

func isTagName(s string) bool {
	return s != "" && len(s) <= billing.LongestTagName && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
	}) < 0
}

func isPlain(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}
