package messages

import (
	"net/http"

	"tallyroute/providers/jsonraw"
)

// Failure returns an error object. members are added to the error's type and message.
func Failure(status int, message string, members jsonraw.Object, requestID string) []byte {
	var o, e jsonraw.Object
	e.Text("type", failureType(status))
	e.Text("message", message)
	e.Join(members)
	o.Text("type", "error")
	o.Raw("error", e.Bytes())
	o.Text("request_id", requestID)
	return o.Bytes()
}

func failureType(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "authentication_error"
	case http.StatusPaymentRequired:
		return "billing_error"
	case http.StatusForbidden:
		return "permission_error"
	case http.StatusNotFound:
		return "not_found_error"
	case http.StatusRequestEntityTooLarge:
		return "request_too_large"
	case http.StatusTooManyRequests:
		return "rate_limit_error"
	case http.StatusServiceUnavailable:
		return "overloaded_error"
	case http.StatusGatewayTimeout:
		return "timeout_error"
	}
	if status >= http.StatusInternalServerError {
		return "api_error"
	}
	return "invalid_request_error"
}
