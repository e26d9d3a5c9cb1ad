// Package azure is the adapter of Azure OpenAI and of the models of Azure AI
// Foundry: the OpenAI format at paths of their own, with an API version
// and a content filter. It owns these differences; the
// format itself is that of package openai.
package azure

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/openai"
)

// Adapter calls deployments. Quirks.APIVersion says how: with a dated one, such
// as 2024-10-21, a deployment is named in the path; with "", "v1" or "preview"
// it is the model of the unversioned API. Quirks.Path goes before either.
type Adapter struct{ format openai.Adapter }

var _ providers.Adapter = Adapter{}

// New is the adapter. It has no state, so one will do for all targets.
func New() Adapter { return Adapter{format: openai.New()} }

const completions = "/chat/completions"

// Encode is that of the format, for another path.
func (a Adapter) Encode(x providers.Exchange) (providers.Call, error) {
	call, err := a.format.Encode(x)
	if err != nil {
		return providers.Call{}, err
	}
	call.Path = path(x.Target, completions)
	return call, nil
}

// path of what is asked of a target below its base URL, which may end in the
// common part of all paths or be the bare host.
func path(t providers.Target, what string) string {
	version := t.Quirks.APIVersion
	dated := version != "" && version != "v1" && version != "preview"
	query := ""
	if version != "" && version != "v1" {
		query = "?api-version=" + url.QueryEscape(version)
	}
	if t.Quirks.Path != "" {
		if before, ok := strings.CutSuffix(t.Quirks.Path, completions); ok {
			return before + what + query
		}
		return t.Quirks.Path + query
	}
	prefix := "/openai"
	if strings.HasSuffix(t.BaseURL, "/openai") || strings.HasSuffix(t.BaseURL, "/openai/v1") {
		prefix = ""
	}
	switch {
	case dated:
		return prefix + "/deployments/" + url.PathEscape(t.Upstream) + what + query
	case !strings.HasSuffix(t.BaseURL, "/v1"):
		prefix += "/v1"
	}
	return prefix + what + query
}

// Decode is that of the format. The content filter may answer with status 200.
func (a Adapter) Decode(x providers.Exchange, body []byte) (*chat.Response, error) {
	r, err := a.format.Decode(x, body)
	return r, filtered(err)
}

// Stream is that of the format: the first chunk, which tells what the content
// filter thinks of the prompt, has no choices and an empty id.
func (a Adapter) Stream(x providers.Exchange, body io.ReadCloser) chat.Stream {
	return stream{a.format.Stream(x, body)}
}

type stream struct{ chat.Stream }

// Next is that of the format.
func (s stream) Next() (chat.Chunk, error) {
	c, err := s.Stream.Next()
	return c, filtered(err)
}

// Fail is that of the format, with the words that Azure has for it.
func (a Adapter) Fail(x providers.Exchange, status int, h http.Header, body []byte) *providers.Error {
	e := a.format.Fail(x, status, h, body)
	if inner := jsonraw.Text(jsonraw.Lookup(body, "error", "innererror", "code")); inner == "ResponsibleAIPolicyViolation" {
		e.Kind = providers.KindContent
	}
	_ = filtered(e)
	return e
}

// filtered gives what the content filter refuses the code that OpenAI has for it.
func filtered(err error) error {
	e := (*providers.Error)(nil)
	if !errors.As(err, &e) || e.Kind != providers.KindContent {
		return err
	}
	if e.Detail.Code == "" || e.Detail.Code == "400" {
		e.Detail.Code = "content_filter"
	}
	if e.Detail.Type == "" {
		e.Detail.Type = "invalid_request_error"
	}
	return err
}
