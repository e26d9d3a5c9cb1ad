package admin

import (
	"errors"

	"tallyroute/billing/manage"
)

// listRejects is GET /rejects: the rows that wait, oldest first.
func listRejects(x *exchange, _ none) (page[manage.RejectView], error) {
	all, err := x.Actions.Rejects(x.ctx())
	return listOf(all, manage.ViewReject), err
}

// bookReject is POST /rejects/req_…/book: the rows of a request that wait.
func bookReject(x *exchange, _ none) (manage.Booked, error) {
	booked, err := x.Actions.BookRejects(x.ctx(), []string{x.param("request")}, x.by(""))
	if refused := (*manage.RequestError)(nil); errors.As(err, &refused) {
		err = refused.Err
	}
	if err != nil {
		return manage.Booked{}, err
	}
	return booked[0], nil
}
