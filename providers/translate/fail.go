package translate

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"tallyroute/providers"
	"tallyroute/providers/chat"
)

// Broken is an invalid answer of the format, unless err says better what it is.
func Broken(err error) error {
	if e := (*providers.Error)(nil); errors.As(err, &e) {
		return e
	}
	return &providers.Error{Kind: providers.KindBroken, Err: err}
}

// Valid refuses an answer, or a piece of one, that is not JSON.
func Valid(body []byte) error {
	if json.Valid(body) {
		return nil
	}
	return Broken(fmt.Errorf("%w: no JSON", chat.ErrMalformed))
}

// Malformed is an answer in which something is missing that every answer has.
func Malformed(what string) error {
	return Broken(fmt.Errorf("%w: %s", chat.ErrMalformed, what))
}

// Unread is an answer with a bad status whose body is not an error object of the format.
func Unread(format string, status int) *providers.Error {
	err := fmt.Errorf("%s: status %d with a body that is not an error object", format, status)
	return &providers.Error{Kind: providers.KindOf(status), Status: status, Err: err}
}

// Failed is an error object. One that came under a status that says nothing is the
// request's fault where its kind says that no other target would do better.
func Failed(kind providers.Kind, status int, d chat.Error) *providers.Error {
	if status == 0 && !kind.Failover() {
		status = http.StatusBadRequest
	}
	return &providers.Error{Kind: kind, Status: status, Detail: d, Err: &d}
}
