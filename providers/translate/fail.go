package translate

import (
	"encoding/json"
	"errors"
	"fmt"

	"tallyroute/providers"
	"tallyroute/providers/chat"
)

// Broken is an answer that is none of the format, unless err says better what it is.
func Broken(err error) error {
	if e := (*providers.Error)(nil); errors.As(err, &e) {
		return e
	}
	return &providers.Error{Kind: providers.KindBroken, Err: err}
}

// Valid refuses an answer, or a piece of one, that is no JSON.
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
