package web

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Codes that mean the same on every listener.
const (
	CodeNotFound       = "not_found"
	CodeNoMethod       = "method_not_allowed"
	CodeTooManyHeaders = "too_many_headers"
	CodeAmbiguous      = "ambiguous_credentials"
	CodeInvalidJSON    = "invalid_json"
	CodeTooLarge       = "request_too_large"
	CodeMediaType      = "unsupported_media_type"
	CodeEncoding       = "unsupported_content_encoding"
	CodeBodyTimeout    = "request_timeout"
	CodeBodyCut        = "incomplete_body"
	CodeInternal       = "internal_error"
	CodeOverloaded     = "overloaded"
	CodeClear          = "tls_required"
)

// A client that has gone reads nothing; these are for the log.
const (
	CodeClientGone   = "client_gone"
	StatusClientGone = 499
)

// Errors that can occur on every listener.
var (
	ErrNoRoute     = errors.New("web: no such path")
	ErrNoMethod    = errors.New("web: no such method")
	ErrAmbiguous   = errors.New("web: more than one credential")
	ErrBodyTimeout = errors.New("web: the body did not come in time")
	ErrClear       = errors.New("web: a credential came in clear")
	ErrBodyCut     = errors.New("web: the body is cut short or malformed")
)

// Rows returns the rows of the errors that can occur on every listener.
func Rows() []Row {
	return []Row{
		Is(ErrNoRoute, Problem{Code: CodeNotFound, Message: "There is nothing at this path."}),
		Is(ErrNoMethod, Problem{Code: CodeNoMethod, Message: "This path does not support that method."}),
		Is(ErrClear, Problem{
			Code: CodeClear, Message: "The credential came over plain HTTP from another host: it is refused, and others may have read it.",
		}),
		Is(ErrAmbiguous, Problem{Code: CodeAmbiguous, Message: "The request carries more than one credential."}),
		As(func(e *FieldsError) Problem {
			return Problem{
				Code: CodeTooManyHeaders, Message: fmt.Sprintf("The request has %d header fields; at most %d are allowed.", e.Got, e.Limit),
			}
		}),
		As(func(e *TooLargeError) Problem {
			if e.Got == 0 {
				return Problem{Code: CodeTooLarge, Message: fmt.Sprintf("The body exceeds the limit of %d bytes.", e.Limit)}
			}
			return Problem{Code: CodeTooLarge, Message: fmt.Sprintf("The body has %d bytes; at most %d are allowed.", e.Got, e.Limit)}
		}),
		As(func(e *MediaTypeError) Problem {
			return Problem{
				Code: CodeMediaType, Message: fmt.Sprintf("The body is declared as %q, not as JSON in UTF-8.", Label(e.Got, 64)),
			}
		}),
		As(func(e *EncodingError) Problem {
			return Problem{Code: CodeEncoding, Message: fmt.Sprintf("The body is encoded as %q.", Label(e.Got, 64))}
		}),
		Is(ErrBodyTimeout, Problem{Code: CodeBodyTimeout, Message: "The body did not arrive in time."}),
		Is(ErrBodyCut, Problem{
			Code: CodeBodyCut, Message: "The body ended before it was complete, or its chunks are malformed.",
		}),
	}
}

// Codes returns the codes that mean the same on every listener.
func Codes() map[string]Code {
	return map[string]Code{
		CodeNotFound: {
			http.StatusNotFound, TypeRequest, Never, "There is nothing at this path.", "Check the path.",
		},
		CodeNoMethod: {
			http.StatusMethodNotAllowed, TypeRequest, Never, "The path exists, but does not support this method.",
			"Use a method that the Allow header names.",
		},
		CodeTooManyHeaders: {
			http.StatusRequestHeaderFieldsTooLarge, TypeRequest, Never, "The request has too many header fields.",
			"Send fewer header fields.",
		},
		CodeAmbiguous: {
			http.StatusBadRequest, TypeRequest, Never,
			"The request carries more than one credential, so it is not clear who pays.", "Send one credential, in one header.",
		},
		CodeInvalidJSON: {
			http.StatusBadRequest, TypeRequest, Never,
			"The body is not a JSON object, or two parsers could read it differently.", "Send one JSON object in UTF-8.",
		},
		CodeTooLarge: {
			http.StatusRequestEntityTooLarge, TypeRequest, Never, "The body is larger than this listener accepts.", "Send less.",
		},
		CodeMediaType: {
			http.StatusUnsupportedMediaType, TypeRequest, Never, "The body is not declared as JSON.",
			"Send Content-Type: application/json",
		},
		CodeEncoding: {
			http.StatusUnsupportedMediaType, TypeRequest, Never, "The body is compressed, but not with gzip.",
			"Send it uncompressed, without Content-Encoding, or compressed with gzip.",
		},
		CodeBodyTimeout: {
			http.StatusRequestTimeout, TypeRequest, Sensible, "The body did not arrive in time.",
			"Send the request again, over a faster connection.",
		},
		CodeBodyCut: {
			http.StatusBadRequest, TypeRequest, Never, "The body ended before it was complete, or its chunks are malformed.",
			"Send as many bytes as Content-Length says.",
		},
		CodeOverloaded: {
			http.StatusServiceUnavailable, TypeAPI, Sensible, "Too many requests are under way.", "Try again a little later.",
		},
		CodeClear: {
			http.StatusForbidden, TypePermission, Never,
			"The request came over plain HTTP where TLS is required. A key or token in it may have been read by others; the " +
				"operator is told.",
			"Call by https, and have the key or token replaced. Behind a proxy, let it send X-Forwarded-Proto.",
		},
		CodeInternal: {
			http.StatusInternalServerError, TypeAPI, Sensible, "Something failed in the router that should not have.",
			"Show the request id to the operator: the log says more.",
		},
	}
}

// Explain answers with the page of a code, which doc_url points to.
func (x *Exchange) Explain(code string) error {
	c, ok := x.Errors.Codes[code]
	if !ok {
		return ErrNoRoute
	}
	again := "Sending the same request again does not help; the answer says so with x-should-retry: false."
	if c.Retry == Sensible {
		again = "Sending the same request again later may help; if it is known when, Retry-After says so."
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\nStatus %d, type %s.\n\n%s\n\n", code, c.Status, c.Type, c.About)
	fmt.Fprintf(&b, "## What to do\n\n%s\n\n%s\n", c.Fix, again)
	x.Write(http.StatusOK, "text/markdown; charset=utf-8", []byte(b.String()))
	return nil
}
