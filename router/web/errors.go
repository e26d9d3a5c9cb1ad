package web

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Problem is what a client reads about an error.
type Problem struct {
	Code    string
	Message string
	Param   string        // the member that it is about; "" if none
	Fix     string        // what to do; "" means the code's own text
	After   time.Duration // when to try again; 0 if not known
	Final   bool          // trying again does not help, although it may for other errors with the code
	Status  int           // 0 means the code's own
	Type    string        // "" means the code's own
}

// Row is one line of a table of errors: it recognises one kind of error.
type Row struct {
	Name string
	Read func(error) (Problem, bool)
}

// Is returns a row for one sentinel error.
func Is(target error, p Problem) Row {
	return Row{target.Error(), func(err error) (Problem, bool) { return p, errors.Is(err, target) }}
}

// As returns a row for one type of error.
func As[E error](read func(E) Problem) Row {
	var e E
	return Row{fmt.Sprintf("%T", e), func(err error) (Problem, bool) {
		var e E
		if !errors.As(err, &e) {
			return Problem{}, false
		}
		return read(e), true
	}}
}

// Code is what all errors with one code have in common.
type Code struct {
	Status int
	Type   string
	Retry  Retry
	About  string // what has happened, for the code's page
	Fix    string // what to do
}

// Retry says whether the same request may succeed later.
type Retry int

// The values of Retry.
const (
	Never    Retry = iota // it would be refused again
	Sensible              // it may succeed
)

// Types of errors, as clients read them.
const (
	TypeRequest    = "invalid_request_error"
	TypeAuth       = "authentication_error"
	TypePermission = "permission_error"
	TypeQuota      = "insufficient_quota"
	TypeRate       = "rate_limit_error"
	TypeAPI        = "api_error"
)

// Errors describes all errors of a listener.
type Errors struct {
	Rows  []Row // the first that recognises an error decides
	Codes map[string]Code
}

// Problem looks an error up in the table. For an error that no row recognises, it discloses
// only the request id.
func (e *Errors) Problem(err error) Problem {
	p := Problem{Code: CodeInternal, Message: "Something failed in this router."}
	for _, r := range e.Rows {
		if found, ok := r.Read(err); ok {
			p = found
			break
		}
	}
	c, ours := e.Codes[p.Code]
	if p.Status == 0 {
		p.Status = c.Status
	}
	if p.Type == "" {
		p.Type = c.Type
	}
	if p.Fix == "" {
		p.Fix = c.Fix
	}
	p.Final = p.Final || !ours || c.Retry == Never
	return p
}

// Answer writes a problem as the answer.
func (x *Exchange) Answer(p Problem) { x.AnswerWith(p, Encode(ErrorAnswer{x.ErrorObject(p)})) }

// AnswerWith writes a problem as the answer, with a body chosen by the caller.
func (x *Exchange) AnswerWith(p Problem, body []byte) {
	x.retryFields(p)
	x.Write(p.Status, JSONType, append(body, '\n'))
}

func (x *Exchange) retryFields(p Problem) {
	if p.Final {
		x.Head.Set("X-Should-Retry", "false")
		return
	}
	if p.After > 0 {
		x.Head.Set("Retry-After", strconv.FormatInt(int64(math.Ceil(p.After.Seconds())), 10))
		x.Head.Set("Retry-After-Ms", strconv.FormatInt(max(1, p.After.Milliseconds()), 10))
	}
}

// ErrorObject is an error object in OpenAI's format, with what to do about the error.
type ErrorObject struct {
	Message   string  `json:"message"`
	Type      string  `json:"type"`
	Param     *string `json:"param"`
	Code      *string `json:"code"`
	Fix       *string `json:"fix"`
	DocURL    *string `json:"doc_url"`
	RequestID string  `json:"request_id"`
}

// ErrorObject returns the error object for a problem.
func (x *Exchange) ErrorObject(p Problem) ErrorObject {
	return ErrorObject{
		Message: p.Message, Type: p.Type, Param: orNull(p.Param), Code: orNull(p.Code), Fix: orNull(p.Fix),
		DocURL: x.docURL(p.Code), RequestID: x.ID,
	}
}

// ErrorAnswer is the body of an error response.
type ErrorAnswer struct {
	Error ErrorObject `json:"error"`
}

func (x *Exchange) docURL(code string) *string {
	if _, ours := x.Errors.Codes[code]; !ours {
		return nil // a provider's own
	}
	return orNull("/docs/errors/" + code)
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
