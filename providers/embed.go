package providers

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// Purpose is what the texts of an embedding request are for, which many models need to know.
// It is one of the constants or the client's own word in lower case, such as "clustering" or
// "classification".
type Purpose string

// The purposes for which providers use different words.
const (
	ToFind    Purpose = "query"    // a question that is put to a set of texts
	ToBeFound Purpose = "document" // a text to be searched
)

// PurposeOf returns the purpose in the request's input_type, or "" if there is none.
func PurposeOf(r *chat.Request) Purpose {
	switch word := strings.ToLower(jsonraw.Text(r.Get("input_type"))); word {
	case "query", "search_query", "retrieval_query":
		return ToFind
	case "document", "passage", "search_document", "retrieval_document":
		return ToBeFound
	default:
		return Purpose(word)
	}
}

// Texts returns the inputs of an embedding request, each as a JSON string. It returns a
// *chat.FieldError if they are tokens, which only the model's own provider could read.
func Texts(r *chat.Request) ([][]byte, error) {
	if r.TokenInput() {
		return nil, &chat.FieldError{
			Code: "unsupported_parameter", Param: "input",
			Message: "must be texts: this model does not take tokens",
		}
	}
	return slices.Collect(r.Inputs()), nil
}

// Unread returns the members of an embedding request that say something but are not among
// those that an adapter has read; they are lost.
func Unread(r *chat.Request, read ...string) (lost []string) {
	for name, value := range r.Members() {
		switch n := string(name); {
		case n == "model" || n == "input" || n == "dimensions" || n == "encoding_format":
		case string(value) != "null" && !slices.Contains(read, n):
			lost = Lose(lost, n)
		}
	}
	return lost
}

// splitInputs splits a request into several, each with no more inputs than one call may have.
// It returns none if one call is enough.
func splitInputs(x Exchange) (parts []*chat.Request, err error) {
	codec := x.Target.Adapter.Embed
	if codec == nil {
		return nil, nil
	}
	per := codec.InputsPerCall(x)
	if per <= 0 || per >= x.Request.InputCount() {
		return nil, nil
	}
	for inputs := range slices.Chunk(slices.Collect(x.Request.Inputs()), int(per)) {
		value := slices.Concat([]byte("["), bytes.Join(inputs, []byte(",")), []byte("]"))
		part, err := x.Request.Edit([]jsonraw.Member{{Name: "input", Value: value}})
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	return parts, nil
}

// batchCalls is the number of concurrent calls for one request.
const batchCalls = 4

// batched answers a request that is too large for one call. The first call goes alone, so
// that a provider that refuses does so only once; the rest go a few at a time, and the first
// failure cancels all others.
func (c *Client) batched(ctx context.Context, x Exchange, parts []*chat.Request) (*Answer, error) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	answers := make([]*Answer, len(parts))
	failed := make([]error, len(parts))
	call := func(i int) {
		y := x
		y.Request = parts[i]
		if answers[i], failed[i] = c.Do(ctx, y); failed[i] != nil {
			end()
		}
	}
	if call(0); failed[0] != nil {
		return nil, failed[0]
	}
	var wg sync.WaitGroup
	for worker := range batchCalls {
		wg.Go(func() {
			for i := 1 + worker; i < len(parts) && ctx.Err() == nil; i += batchCalls {
				call(i)
			}
		})
	}
	wg.Wait()
	if err := firstFailure(failed); err != nil {
		return nil, partly(err, parts, answers, failed)
	}
	a, err := joined(x, answers)
	if err != nil {
		return nil, partly(err, parts, answers, failed)
	}
	return a, nil
}

// partly returns the error of a request of which at least one call was answered.
func partly(err error, parts []*chat.Request, answers []*Answer, failed []error) *Error {
	e := *asError(err)
	e.Sent, e.Free, e.Usage, e.Parts = true, false, nil, &Parts{}
	for i, part := range parts {
		var u *chat.Usage
		switch {
		case failed[i] != nil:
			call := asError(failed[i])
			if u = call.Usage; !call.Charged() {
				continue
			}
		case answers[i] != nil:
			u = answers[i].Response.Usage
		default:
			continue // never made
		}
		if !u.Some() || u.Invalid {
			e.Parts.Unsure = append(e.Parts.Unsure, part)
			continue
		}
		used := &e.Parts.Used
		used.Input, used.CacheRead, used.CacheWrite = used.Input+u.Input, used.CacheRead+u.CacheRead, used.CacheWrite+u.CacheWrite
		used.Output, used.Cost = used.Output+u.Output, used.Cost.Plus(u.Cost)
	}
	return &e
}

// firstFailure returns the error that ended the other calls, which were cancelled.
func firstFailure(failed []error) (first error) {
	for _, err := range failed {
		if err == nil {
			continue
		}
		if e := asError(err); first == nil || e.Kind != KindCanceled {
			first = err
		}
	}
	return first
}

// joined combines several answers into one.
func joined(x Exchange, answers []*Answer) (*Answer, error) {
	responses := make([]*chat.Response, len(answers))
	for i, a := range answers {
		if a == nil {
			return nil, &Error{Provider: x.Target.Provider, Model: x.Target.Model, Kind: KindCanceled, Err: context.Canceled}
		}
		responses[i] = a.Response
	}
	r, err := operations[x.Operation].join(x, responses)
	if err != nil {
		return nil, unsendable(x, &Error{Kind: KindBroken, Err: err})
	}
	return &Answer{Response: r, Header: answers[0].Header, Dropped: answers[0].Dropped}, nil
}
