package admin

import (
	"net/http"
	"reflect"
	"slices"
	"time"
)

// operation is one route of the API. Its input and output are types, from which
// requests are read, answers are written and the OpenAPI document is made.
type operation struct {
	id           string // in the document
	method, path string // below /admin/v1
	summary      string
	in, out      reflect.Type
	statuses     []int  // of answers that are not errors
	media        string // of answers that are not JSON
	takes        time.Duration
	matches      bool // takes If-Match
	opened       bool // needs nobody to be known
	sensitive    bool // needs a login that is not old
	handle       handler
}

// handler answers, or returns the error to be answered.
type handler func(*exchange) error

// none is the input of an operation that takes nothing.
type none struct{}

// does is an operation that reads In, from the query of a GET or DELETE and from the
// body of others, and answers with Out. Where no member of In is required, a request
// without a body is as good as an empty object.
func does[In, Out any](id, method, path, summary string, do func(*exchange, In) (Out, error)) operation {
	return operation{
		id: id, method: method, path: path, summary: summary,
		in: reflect.TypeFor[In](), out: reflect.TypeFor[Out](), statuses: []int{http.StatusOK}, takes: requestTimeout,
		handle: func(x *exchange) error {
			var in In
			if err := x.read(&in); err != nil {
				return err
			}
			x.status = http.StatusOK
			out, err := do(x, in)
			if err == nil && !x.C.Writer.Written() {
				x.JSON(x.status, out)
			}
			return err
		},
	}
}

// streaming says that the operation has written an answer of another media type by
// the time that it is done.
func (o operation) streaming(media string) operation {
	o.media, o.out = media, nil
	return o
}

// creates says that the answer is about something new.
func (o operation) creates() operation {
	o.statuses = []int{http.StatusCreated}
	return o
}

// createsOrFinds says that the answer is about something new, or something that was there.
func (o operation) createsOrFinds() operation {
	o.statuses = []int{http.StatusCreated, http.StatusOK}
	return o
}

// versioned says that the operation takes If-Match: what it changes has versions.
func (o operation) versioned() operation {
	o.matches = true
	return o
}

// precise refuses headers of which the operation would not do what they ask for: If-Match
// where nothing has a version, Idempotency-Key where the same is made again each time.
func (o operation) precise() handler {
	again := slices.Equal(o.statuses, []int{http.StatusCreated})
	return func(x *exchange) error {
		if !o.matches && !o.inQuery() && x.C.GetHeader("If-Match") != "" {
			return errNoVersion
		}
		if again && x.C.GetHeader("Idempotency-Key") != "" {
			return invalid("Idempotency-Key", "is not taken by this operation: each request makes something new")
		}
		return o.handle(x)
	}
}

// open says that the operation is there for who is not known yet.
func (o operation) open() operation {
	o.opened = true
	return o
}

// afresh says that a person has to have logged in lately: the operation reveals, exports,
// or changes what others may do or prices.
func (o operation) afresh() operation {
	o.sensitive = true
	return o
}

// slowly says that the operation reads whole months.
func (o operation) slowly() operation {
	o.takes = ledgerTimeout
	return o
}

// inQuery reports whether the input stands in the query and not in a body.
func (o operation) inQuery() bool { return o.method == http.MethodGet || o.method == http.MethodDelete }

// read reads the input of the request.
func (x *exchange) read(in any) error {
	v := reflect.ValueOf(in).Elem()
	if m := x.C.Request.Method; m == http.MethodGet || m == http.MethodDelete || m == http.MethodHead {
		return decodeQuery(x.C.Request.URL.RawQuery, v)
	}
	raw, err := x.Body(nil)
	if err != nil {
		return err
	}
	x.raw = raw
	if len(raw) == 0 && !hasRequired(v.Type()) {
		return nil
	}
	return decodeBody(raw, v)
}
