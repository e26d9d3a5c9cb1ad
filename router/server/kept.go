package server

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"

	"tallyroute/billing"
	"tallyroute/billing/policy"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/sse"
	"tallyroute/router/kept"
	"tallyroute/router/responses"
	"tallyroute/router/web"
)

// keptRoutes adds the routes for stored responses.
func keptRoutes(engine *gin.Engine, s *server) {
	const one = responsesPath + "/:id"
	engine.GET(one, s.serve(getResponse))
	engine.HEAD(one, s.serve(getResponse))
	engine.DELETE(one, s.serve(deleteResponse))
	engine.POST(one+"/cancel", s.serve(cancelResponse))
	engine.GET(one+"/input_items", s.serve(listInput))
}

// responseID returns the id of the response to a request, if it is stored.
func responseID(requestID string) string { return "resp_" + strings.TrimPrefix(requestID, "req_") }

// past returns where a key's responses are stored.
func (x *exchange) past(ctx context.Context, key *billing.Key) *responses.Past {
	x.owner.Key = key.ID
	return &responses.Past{ID: responseID(x.ID), Conversation: func(id string) ([][]byte, error) {
		before, err := x.Responses.Conversation(ctx, x.owner, id, x.Limits.Body)
		if errors.Is(err, billing.ErrNoResponse) {
			return nil, &pastError{id}
		}
		if err != nil {
			return nil, err
		}
		var items [][]byte
		for _, r := range before {
			if err := x.room.Admit(int64(len(r.Input) + len(r.Response))); err != nil {
				return nil, err
			}
			items = append(items, responses.Items(r.Input, r.Response)...)
		}
		return items, nil
	}}
}

// pastError says that a previous response cannot be continued because it is not there.
type pastError struct{ id string }

func (e *pastError) Error() string { return "server: no response to go on from" }

// keepWhole stores an answer before it is sent, exactly as it is sent, if it is to be stored.
func (x *exchange) keepWhole(response []byte) []byte {
	if x.keepResponse(response) {
		return response
	}
	return responses.NotKept(response)
}

// keepLast is keepWhole for the event that ends a stream.
func (x *exchange) keepLast(events []sse.Event) []sse.Event {
	if len(events) == 0 {
		return events
	}
	last := &events[len(events)-1]
	if response := jsonraw.Lookup(last.Data, "response"); response != nil && !x.keepResponse(response) {
		last.Data = jsonraw.Edit(last.Data, []jsonraw.Member{{Name: "response", Value: responses.NotKept(response)}})
	}
	return events
}

// keepTime is how long a client may wait for its response to be stored.
const keepTime = 2 * time.Second

// keepResponse returns false if a response should have been stored but was not. The client is
// told so: it gets its answer all the same.
func (x *exchange) keepResponse(response []byte) bool {
	r, ok := x.speaks.(*asResponses)
	if !ok || r.Request == nil || r.Kept == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.ctx), keepTime)
	defer cancel()
	err := x.Responses.Keep(ctx, x.owner, kept.Record{ID: r.Kept.ID, Previous: r.Kept.Previous, Input: r.Kept.Input, Response: response})
	if err != nil {
		x.Log.Warn("a response is not kept", zap.String("request_id", x.ID), zap.String("key_id", string(x.owner.Key)), zap.Error(err))
	}
	return err == nil
}

// keptOwner returns the owner of the responses that a request is about, and counts the query
// against the key.
func (x *exchange) keptOwner() (kept.Owner, error) {
	caller, err := x.caller(policy.Responses)
	if err != nil {
		return kept.Owner{}, err
	}
	key, err := x.Router.Identify(x.ctx, caller)
	if x.of(key); err != nil {
		return kept.Owner{}, err
	}
	return kept.Owner{Key: key.ID, Temporary: caller.Temporary}, nil
}

// keptResponse returns the response that the request path names.
func (x *exchange) keptResponse() (kept.Record, error) {
	owner, err := x.keptOwner()
	if err != nil {
		return kept.Record{}, err
	}
	return x.Responses.Get(x.ctx, owner, x.C.Param("id"))
}

// getResponse is GET /v1/responses/{id}.
func getResponse(x *exchange) {
	if x.C.Query("stream") == "true" {
		x.fail(&chat.FieldError{Code: codeUnsupported, Param: "stream", Message: "is not served: a response that is kept is whole"})
		return
	}
	r, err := x.keptResponse()
	if err != nil {
		x.fail(err)
		return
	}
	x.Write(http.StatusOK, web.JSONType, r.Response)
}

// deleteResponse is DELETE /v1/responses/{id}.
func deleteResponse(x *exchange) {
	owner, err := x.keptOwner()
	if err == nil {
		err = x.Responses.Delete(x.ctx, owner, x.C.Param("id"))
	}
	if err != nil {
		x.fail(err)
		return
	}
	x.JSON(http.StatusOK, map[string]any{"id": x.C.Param("id"), "object": "response", "deleted": true})
}

// cancelResponse is POST /v1/responses/{id}/cancel. No response runs in the background.
func cancelResponse(x *exchange) {
	_, err := x.keptResponse()
	if err == nil {
		err = &chat.FieldError{
			Code: codeUnsupported, Param: "response_id",
			Message: "is not of a response in the background: only these can be cancelled, and none is served; " +
				"close the connection instead",
		}
	}
	x.fail(err)
}

// listInput is GET /v1/responses/{id}/input_items.
func listInput(x *exchange) {
	page, err := inputPage(x.C.Query)
	if err != nil {
		x.fail(err)
		return
	}
	r, err := x.keptResponse()
	if err != nil {
		x.fail(err)
		return
	}
	list, err := responses.List(r.ID, r.Input, page)
	if err != nil {
		x.fail(err)
		return
	}
	x.Write(http.StatusOK, web.JSONType, list)
}

// mostItems is the maximum number of items on a page.
const mostItems = 100

// inputPage reads which part of a list is requested.
func inputPage(query func(string) string) (responses.Page, error) {
	p := responses.Page{Limit: 20, After: query("after")}
	if text := query("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > mostItems {
			return p, &chat.FieldError{Code: codeInvalidValue, Param: "limit", Message: "must be a number from 1 to 100"}
		}
		p.Limit = n
	}
	switch order := query("order"); order {
	case "asc":
		p.Up = true
	case "desc", "":
	default:
		return p, &chat.FieldError{Code: codeInvalidValue, Param: "order", Message: "must be asc or desc"}
	}
	return p, nil
}
