package openai

import (
	"errors"
	"net/http"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// Decode reads a complete response.
func (completions) Decode(x providers.Exchange, _ http.Header, body []byte) (*chat.Response, error) {
	r, err := chat.ParseResponse(body)
	if err != nil {
		return nil, fault(err)
	}
	if failed(r.Finish) || r.Text == "" && failed(nativeFinish(body)) {
		return nil, inBody(choiceError(body))
	}
	if r.Odd {
		normal := *r
		m := normaliser{x: x}
		normal.Body = m.answer(body, r.Usage)
		normal.ID, normal.Finish, normal.Odd = m.id, finishReason(r.Finish), false
		return &normal, nil
	}
	return r, nil
}

// Usage reads the usage from a body that need not be a valid response.
func (completions) Usage(_ providers.Exchange, body []byte) *chat.Usage { return chat.UsageOf(body) }

// fault converts an error from ParseResponse or ParseChunk.
func fault(err error) *providers.Error {
	if e := (*chat.Error)(nil); errors.As(err, &e) {
		return inBody(*e)
	}
	return &providers.Error{Kind: providers.KindBroken, Err: err}
}

// nativeFinish returns the reason of the first choice as the provider behind an aggregator gives
// it; "" if it is not told.
func nativeFinish(body []byte) string {
	for choice := range jsonraw.Elements(jsonraw.Lookup(body, "choices")) {
		return jsonraw.Text(jsonraw.Lookup(choice, "native_finish_reason"))
	}
	return ""
}

// choiceError returns the error that a provider reports inside the first choice.
func choiceError(body []byte) chat.Error {
	for choice := range jsonraw.Elements(jsonraw.Lookup(body, "choices")) {
		e, _ := chat.ParseError(choice)
		return e
	}
	return chat.Error{}
}
