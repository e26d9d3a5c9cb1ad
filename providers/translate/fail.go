package translate

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"tallyroute/providers"
	"tallyroute/providers/chat"
)

// Broken returns the error for a response that is invalid in its format, or err itself if
// that is already an *Error.
func Broken(err error) error {
	if e := (*providers.Error)(nil); errors.As(err, &e) {
		return e
	}
	return &providers.Error{Kind: providers.KindBroken, Err: err}
}

// Valid refuses a response, or a part of one, that is not JSON.
func Valid(body []byte) error {
	if json.Valid(body) {
		return nil
	}
	return Broken(fmt.Errorf("%w: no JSON", chat.ErrMalformed))
}

// Malformed returns the error for a response that lacks something that every response has.
func Malformed(what string) error {
	return Broken(fmt.Errorf("%w: %s", chat.ErrMalformed, what))
}

// Unread returns the error for a failed call whose body is not an error object of the format.
func Unread(format string, status int) *providers.Error {
	err := fmt.Errorf("%s: status %d with a body that is not an error object", format, status)
	return &providers.Error{Kind: providers.KindOf(status), Status: status, Err: err}
}

// Failed returns the error for an error object. If it came under a status that says nothing,
// and its kind means that no other target would do better, the request is at fault.
func Failed(kind providers.Kind, status int, d chat.Error) *providers.Error {
	if status == 0 && !kind.Failover() {
		status = http.StatusBadRequest
	}
	return &providers.Error{Kind: kind, Status: status, Detail: d, Err: &d}
}
