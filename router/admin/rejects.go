package admin

import (
	"errors"
	"net/http"

	"tallyroute/billing/manage"
)

// listRejects is GET /rejects: the rows that wait, oldest first.
func listRejects(x *exchange) error {
	all, err := x.Actions.Store.ListRejects(x.ctx())
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, page[manage.RejectView]{Data: viewsOf(all, manage.ViewReject)})
}

// bookReject is POST /rejects/req_…/book: the rows of a request that wait.
func bookReject(x *exchange) error {
	if err := x.optionalBody(object{}); err != nil {
		return err
	}
	request := x.c.Param("request")
	x.subject = shorten(request)
	booked, err := x.Actions.BookRejects(x.ctx(), []string{request}, by(""))
	if refused := (*manage.RequestError)(nil); errors.As(err, &refused) {
		err = refused.Err
	}
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, booked[0])
}
