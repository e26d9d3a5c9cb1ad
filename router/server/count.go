package server

import (
	"net/http"

	"tallyroute/providers"
	"tallyroute/router"
	"tallyroute/router/messages"
)

// unanswered is asMessages for requests that are not to be answered, and so need no bound.
type unanswered struct{ asMessages }

func (e *unanswered) request(body []byte) (router.Asked, []string, error) {
	return e.asked(messages.ReadCount(body))
}

// counted is the answer about a prompt. Exact says whether the count is one, or a bound
// that is not below it.
type counted struct {
	Object      string `json:"object,omitempty"`
	InputTokens int64  `json:"input_tokens"`
	Tallyroute  struct {
		Exact bool `json:"exact"`
	} `json:"tallyroute"`
}

// countMessage is POST /v1/messages/count_tokens.
func countMessage(x *exchange) {
	x.speaks = &unanswered{}
	x.count("")
}

// countResponse is POST /v1/responses/input_tokens.
func countResponse(x *exchange) {
	x.speaks = &asResponses{}
	x.count("response.input_tokens")
}

func (x *exchange) count(object string) {
	in, err := x.inbound()
	if err != nil {
		x.fail(err)
		return
	}
	in.Operation, in.Idempotency = providers.Chat, ""
	estimate, err := x.Router.Count(x.ctx, in)
	if err != nil {
		x.fail(err)
		return
	}
	answer := counted{Object: object, InputTokens: estimate.Tokens}
	answer.Tallyroute.Exact = estimate.Exact
	x.JSON(http.StatusOK, answer)
}
