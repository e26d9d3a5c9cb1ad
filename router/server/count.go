package server

import (
	"net/http"

	"tallyroute/providers"
	"tallyroute/router/messages"
	"tallyroute/router/tokens"
)

// unanswered is asMessages for requests that are not to be answered, and so need no bound.
type unanswered struct{ asMessages }

func (e *unanswered) request(body []byte) ([]byte, []string, error) {
	r, err := messages.ReadCount(body)
	return r.Body, r.Dropped, err
}

// counted says whether a count is one, or a bound that is not below it.
type counted struct {
	Exact bool `json:"exact"`
}

// countMessage is POST /v1/messages/count_tokens.
func countMessage(x *exchange) {
	x.speaks = &unanswered{}
	x.count(func(e tokens.Estimate) any {
		return struct {
			InputTokens int64   `json:"input_tokens"`
			Tallyroute  counted `json:"tallyroute"`
		}{e.Tokens, counted{e.Exact}}
	})
}

// countResponse is POST /v1/responses/input_tokens.
func countResponse(x *exchange) {
	x.speaks = &asResponses{}
	x.count(func(e tokens.Estimate) any {
		return struct {
			Object      string  `json:"object"`
			InputTokens int64   `json:"input_tokens"`
			Tallyroute  counted `json:"tallyroute"`
		}{"response.input_tokens", e.Tokens, counted{e.Exact}}
	})
}

func (x *exchange) count(answer func(tokens.Estimate) any) {
	in, err := x.inbound()
	if err != nil {
		x.fail(err)
		return
	}
	in.Operation, in.Idempotency = providers.Chat, ""
	count, err := x.Router.Count(x.ctx, in)
	if err != nil {
		x.fail(err)
		return
	}
	x.JSON(http.StatusOK, answer(count))
}
