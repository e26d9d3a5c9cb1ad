package server

import (
	"net"
	"net/http"
)

// selfServicePath is where members of teams serve themselves. Pages of other origins may
// not use it, whatever they may use besides.
const selfServicePath = "/v1/team"

// serveSelf hands a request on, as one from whom it came.
func serveSelf(x *exchange) {
	r := *x.C.Request
	if from := x.from(); from.IsValid() {
		r.RemoteAddr = net.JoinHostPort(from.String(), "0")
	}
	x.SelfService.ServeHTTP(x.C.Writer, &r)
	x.ID = x.C.Writer.Header().Get("X-Request-Id") // which its answer has
	if x.C.Writer.Status() >= http.StatusBadRequest {
		x.Refused = "self_service_refused"
	}
}
