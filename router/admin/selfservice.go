package admin

import (
	"net/http"
	"strings"

	"tallyroute/router/limit"
	"tallyroute/router/web"
)

// SelfService is what members of teams do for themselves, and how they log in, below
// /v1/team: it may stand where anybody can reach it. Only a token or login that is sent as
// a bearer is taken, never a cookie, so that no page of others can act for a person whose
// browser opens it; and never the static token, which is nobody's.
func SelfService(o Options) http.Handler {
	o = o.withDefaults()
	if o.Login != nil {
		programs := *o.Login
		programs.URL = "" // browsers with cookies log in at the admin listener
		o.Login = &programs
	}
	listener := web.NewListener(web.Listener{
		Log: o.Log, Clock: o.Clock, Errors: errorTable, Limits: limits(),
	})
	s := &server{Options: o, listener: listener, wrong: limit.New(), rules: rules(), known: &seenTokens{}, members: true}
	engine := web.NewEngine()
	for _, op := range selfService() {
		engine.Handle(op.method, "/v1"+op.path, s.serve(operatorsOnly(op), op.takes))
	}
	engine.NoRoute(s.serve(func(*exchange) error { return web.ErrNoRoute }, requestTimeout))
	engine.NoMethod(s.serve(func(*exchange) error { return web.ErrNoMethod }, requestTimeout))
	return engine
}

// selfService are the operations below /v1. Those of logins are at their usual paths, but
// below /team.
func selfService() []operation {
	list := memberOperations()
	for _, op := range append(loginOperations(), principalOperations()...) {
		if !strings.HasPrefix(op.path, "/login") && op.path != "/logout" && op.path != "/me" {
			continue
		}
		op.path = "/team" + op.path
		list = append(list, op)
	}
	return list
}
