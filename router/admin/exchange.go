package admin

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/billing/policy"
	"tallyroute/billing/rbac"
	"tallyroute/router/identity"
	"tallyroute/router/limit"
	"tallyroute/router/web"
)

// exchange is one request that is being answered.
type exchange struct {
	web.Exchange
	*server
	status    int    // of the answer, unless it is an error
	raw       []byte // the body
	subject   string // the id of what was changed, for the log
	who       string // the actor; set by authenticate
	role      string // by which it was allowed
	access    rbac.Access
	principal policy.PrincipalFacts // zero for the static token and on the host
	session   *billing.Session      // the login by which is asked; nil for tokens
	csrf      string                // what a page sends with its cookie; "" without one
}

// serve is what every route has in common: a request id, a deadline, recovery,
// and one line in the log. takes is the longest that it may take.
func (s *server) serve(h handler, takes time.Duration) gin.HandlerFunc {
	return func(c *gin.Context) {
		x := &exchange{Exchange: s.listener.Begin(c), server: s}
		if s.host != nil && takes != manage.Urgent {
			takes = ledgerTimeout
		}
		// A connection without deadlines, as in tests, needs none.
		_ = x.RC.SetWriteDeadline(time.Now().Add(takes + requestTimeout))
		ctx, cancel := context.WithTimeout(c.Request.Context(), takes)
		defer cancel()
		c.Request = c.Request.WithContext(ctx)
		defer x.end()
		err := x.Admit()
		if err == nil && !x.members && !x.called() {
			err = errHost
		}
		if err == nil {
			err = h(x)
		}
		if err != nil {
			x.fail(err)
		}
	}
}

// end is deferred: it answers for a panic, and writes the log.
func (x *exchange) end() {
	if v := recover(); v != nil {
		if err := x.Panicked(v); err != nil {
			x.fail(err)
		}
	}
	x.log()
	if x.Cut {
		panic(http.ErrAbortHandler) // closes the connection without ending the answer
	}
}

func (x *exchange) log() {
	if !strings.HasPrefix(x.Route(), "/admin/") && x.Err == nil {
		return // probes and scrapes
	}
	status := x.C.Writer.Status()
	fields := []zap.Field{
		zap.String("request_id", x.ID), zap.String("route", x.Route()), zap.Int("status", status),
		zap.Duration("took", x.listener.Clock().Sub(x.Start)), zap.String("from", x.C.RemoteIP()),
	}
	if x.subject != "" {
		fields = append(fields, zap.String("subject", x.subject))
	}
	if x.Err != nil && (status >= http.StatusInternalServerError || errors.Is(x.Err, identity.ErrRefused)) {
		fields = append(fields, zap.Error(x.Err))
	}
	if !errors.Is(x.Err, errTries) {
		x.listener.Log.Info("admin", fields...)
	}
}

// fail answers with an error, in the form of OpenAI's.
func (x *exchange) fail(err error) {
	x.Err = err
	if x.failed != nil {
		x.failed(err)
	}
	if x.C.Writer.Written() {
		x.Cut = true
		return
	}
	p := errorTable.Problem(err)
	x.Refused = p.Code
	x.Answer(p)
}

// called reports whether the request is for a host that we are. Probes are answered by
// any name: they tell nothing.
func (x *exchange) called() bool {
	switch x.Route() {
	case "/healthz", "/readyz":
		return true
	}
	host := x.C.Request.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil || host == "localhost" || slices.Contains(x.Hosts, host)
}

// triesPerMinute are the wrong tokens of one network that are told what is wrong. The
// right one opens the API however many came before.
const triesPerMinute = 120

func (x *exchange) mayTry() bool {
	from, _ := netip.ParseAddr(x.C.RemoteIP())
	return x.wrong.Take(limit.Key{Scope: limit.Network(from), Kind: "token"}, triesPerMinute, 1, x.Start).OK
}

// operatorsOnly lets in those who may do what an operation is. Virtual keys open nothing here.
func operatorsOnly(o operation) handler {
	do := o.precise()
	return func(x *exchange) error {
		if o.opened {
			return do(x)
		}
		if err := x.authenticate(); err != nil {
			return err
		}
		if err := x.allowed(o); err != nil {
			return err
		}
		if o.sensitive && !x.fresh() {
			return errStale
		}
		return do(x)
	}
}

// authenticate finds out who asks: by the static token, or by that of a principal.
func (x *exchange) authenticate() error {
	if x.host != nil {
		x.who, x.access = x.host.Actor, x.host.Access
		return nil
	}
	given := x.C.Request.Header.Values("Authorization")
	if x.RequireTLS && web.Clear(x.C.Request, x.TrustedProxies) && (len(given) > 0 || x.C.GetHeader("Cookie") != "") {
		x.cameInClear(given)
		return web.ErrClear
	}
	if len(given) == 0 && !x.members {
		if secret, there, err := x.cookieSecret(); there {
			if err == nil {
				x.csrf = csrfToken(secret.Reveal())
				err = x.admit(secret)
			}
			return err
		}
	}
	if len(given) > 1 {
		return web.ErrAmbiguous
	}
	scheme, token, _ := strings.Cut(strings.Join(given, ""), " ")
	want := x.Token()
	if x.members {
		want = "" // which is nobody's own
	}
	a, b := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(want))
	if want != "" && subtle.ConstantTimeCompare(a[:], b[:]) == 1 && strings.EqualFold(scheme, "Bearer") {
		x.who, x.access = "admin", rbac.Everything()
		return nil
	}
	secret, err := billing.ParseSecret(token)
	admin := err == nil && secret.Environment() == billing.EnvironmentAdmin && strings.EqualFold(scheme, "Bearer")
	if admin {
		if err := x.admit(secret); !errors.Is(err, errToken) {
			return err
		}
	}
	switch {
	case want == "" && !admin && x.Login == nil && !x.members:
		return errDisabled
	case !admin && !x.mayTry():
		return errTries
	case err == nil && !admin:
		return errVirtualKey
	}
	return errToken
}

// admit lets in who has a token or a session, unless too many wrong ones came.
func (x *exchange) admit(secret billing.Secret) error {
	seen := sha256.Sum256([]byte(secret.Reveal()))
	if !x.known.contains(seen) && !x.mayTry() {
		return errTries
	}
	c, err := x.Actions.Authenticate(x.ctx(), secret)
	if errors.Is(err, billing.ErrUnknownToken) {
		return errToken
	}
	if err != nil {
		return err
	}
	x.known.add(seen)
	x.who, x.access = manage.Actor(c.Principal), c.Access
	x.principal, x.session = manage.Who(c.Principal), c.Session
	return nil
}

func (x *exchange) ctx() context.Context { return x.C.Request.Context() }

// param is a part of the path, which is what is changed, and is logged as that.
func (x *exchange) param(name string) string {
	if x.subject = shorten(x.C.Param(name)); strings.HasPrefix(x.subject, "sk-") {
		x.subject = "a secret, which is no id"
	}
	return x.C.Param(name)
}

// madeOrFound is the status of an answer about what was there already, or not.
var madeOrFound = map[bool]int{false: http.StatusCreated, true: http.StatusOK}

// by is who asks. The static token has no name.
func (x *exchange) by(reason string) manage.By {
	by := manage.By{
		Actor: cmp.Or(x.who, "unknown"), Role: x.role, Source: x.C.RemoteIP(), Reason: reason, Access: x.access, PrincipalID: x.principal.ID,
		Address: x.principal.Email,
	}
	if x.host != nil {
		by.Source = x.host.Source
	}
	return by
}

// Inputs are structs whose tags say what is taken:
//
//	json:"name"       the member or parameter
//	required:"true"   which must be there
//	enum:"a,b"        and have one of these values
//	doc:"…"           and how the OpenAPI document describes it
//
// Names match exactly, none may come twice, and no other is accepted. The
// decoder of the standard library is more generous, which would let somebody
// believe that a limit is set when it is not.

// syntaxError is a body that is not one JSON object.
type syntaxError struct{ detail string }

func (e *syntaxError) Error() string { return "admin: " + e.detail }

// hint is what a value must be.
type hint string

func (h hint) Error() string { return "admin: " + string(h) }

func invalid(field, format string, args ...any) *billing.FieldError {
	return &billing.FieldError{Field: field, Code: codeInvalidValue, Detail: fmt.Sprintf(format, args...)}
}

// field is a member of an input.
type field struct {
	name     string
	required bool
	enum     []string
	doc      string
	nullable bool // in answers: null where a list has no meaning
	optional bool // in answers: left out where it is empty
	index    []int
	kind     reflect.Type
}

// fieldsOf are the members of a struct; those of embedded ones are its own.
func fieldsOf(t reflect.Type) (list []field) {
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		one := field{
			name: name, required: f.Tag.Get("required") == "true", doc: f.Tag.Get("doc"), nullable: f.Tag.Get("nullable") == "true",
			optional: strings.Contains(options, "omitempty"), index: f.Index, kind: f.Type,
		}
		if values := f.Tag.Get("enum"); values != "" {
			one.enum = strings.Split(values, ",")
		}
		list = append(list, one)
	}
	return list
}

func hasRequired(t reflect.Type) bool {
	return slices.ContainsFunc(fieldsOf(t), func(f field) bool { return f.required })
}

// decodeBody reads a JSON object into a struct.
func decodeBody(raw []byte, v reflect.Value) error {
	if !utf8.Valid(raw) {
		return &syntaxError{"it is not UTF-8"}
	}
	return decodeObject(raw, v)
}

func decodeObject(raw []byte, v reflect.Value) error {
	notObject := &syntaxError{"it is not a JSON object"}
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return notObject
	}
	members := fieldsOf(v.Type())
	seen := make(map[string]bool)
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		var value json.RawMessage
		if err != nil || !ok || d.Decode(&value) != nil {
			return notObject
		}
		if seen[name] {
			return &billing.FieldError{Field: shorten(name), Code: codeDuplicate, Detail: "appears twice"}
		}
		seen[name] = true
		i := slices.IndexFunc(members, func(f field) bool { return f.name == name })
		if i < 0 {
			return &billing.FieldError{Field: shorten(name), Code: codeUnknownField, Detail: "is not a member here"}
		}
		if err := members[i].decode(value, v.FieldByIndex(members[i].index)); err != nil {
			return within(name, err)
		}
	}
	if _, err := d.Token(); err != nil {
		return notObject
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return &syntaxError{"something follows the object"}
	}
	return missing(members, func(name string) bool { return seen[name] })
}

func missing(members []field, there func(string) bool) error {
	for _, f := range members {
		if f.required && !there(f.name) {
			return invalid(f.name, "is required")
		}
	}
	return nil
}

func (f field) decode(raw []byte, v reflect.Value) error {
	if err := decodeValue(raw, v); err != nil {
		return err
	}
	if f.enum != nil && !slices.Contains(f.enum, v.String()) {
		return hint("must be " + oneOf(f.enum))
	}
	return nil
}

func oneOf[S ~string](words []S) string {
	var b strings.Builder
	for i, w := range words {
		switch i {
		case 0:
		case len(words) - 1:
			b.WriteString(" or ")
		default:
			b.WriteString(", ")
		}
		b.WriteString(string(w))
	}
	return b.String()
}

// decodeValue reads a value of any type. Null is only for what can be absent.
func decodeValue(raw []byte, v reflect.Value) error {
	if own, ok := v.Addr().Interface().(json.Unmarshaler); ok {
		return own.UnmarshalJSON(raw)
	}
	if string(raw) == "null" {
		if v.Kind() != reflect.Pointer && v.Kind() != reflect.Slice && v.Kind() != reflect.Map {
			return hint("must not be null")
		}
		v.SetZero()
		return nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return decodeValue(raw, v.Elem())
	case reflect.Struct:
		return decodeObject(raw, v)
	case reflect.Slice:
		return decodeList(raw, v)
	default:
	}
	if err := json.Unmarshal(raw, v.Addr().Interface()); err != nil {
		return hint("is of the wrong type")
	}
	return nil
}

func decodeList(raw []byte, v reflect.Value) error {
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return hint("must be an array")
	}
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
		if err := decodeValue(item, v.Index(i)); err != nil {
			return within(fmt.Sprintf("[%d]", i), err)
		}
	}
	return nil
}

// within puts a name in front of the field of an error.
func within(name string, err error) error {
	var inner *billing.FieldError
	var syntax *syntaxError
	var must hint
	switch {
	case errors.As(err, &inner):
		if inner.Field != "" && inner.Field[0] != '[' {
			name += "."
		}
		return &billing.FieldError{Field: name + inner.Field, Code: inner.Code, Detail: inner.Detail}
	case errors.As(err, &syntax):
		return invalid(name, "must be an object")
	case errors.As(err, &must):
		return invalid(name, "%s", string(must))
	}
	return invalid(name, "is of the wrong type")
}

// decodeQuery reads the parameters of a query into a struct of texts and numbers. No
// others may be there, and none twice.
func decodeQuery(raw string, v reflect.Value) error {
	q, err := url.ParseQuery(raw)
	if err != nil {
		return &billing.FieldError{Field: "query", Code: codeInvalidValue, Detail: "cannot be read"}
	}
	members := fieldsOf(v.Type())
	for name, values := range q {
		i := slices.IndexFunc(members, func(f field) bool { return f.name == name })
		if i < 0 {
			return &billing.FieldError{Field: shorten(name), Code: codeUnknownParam, Detail: "is not a parameter here"}
		}
		if len(values) > 1 || len(values[0]) > maxParameter {
			return invalid(name, "must be there once, with at most %d bytes", maxParameter)
		}
		if values[0] == "" {
			continue // as good as not there
		}
		value := []byte(values[0])
		if k := members[i].kind; isText(k) {
			value, _ = json.Marshal(values[0]) // a string always has a JSON form
		}
		if err := members[i].decode(value, v.FieldByIndex(members[i].index)); err != nil {
			return within(name, err)
		}
	}
	return missing(members, q.Has)
}

// maxParameter is the longest value of a parameter in bytes.
const maxParameter = 256

func shorten(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), 64)], "")
}
