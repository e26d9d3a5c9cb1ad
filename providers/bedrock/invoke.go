package bedrock

import (
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"tallyroute/providers"
	"tallyroute/providers/anthropic"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// invoke is the codec for InvokeModel, for what Converse does not carry: Claude in
// Anthropic's format with all its features, Nova in its own format, which is that of
// Converse, and older text-completion models. Other models need the adapter bedrock, which
// calls Converse.
type invoke struct {
	converse completions
	messages anthropic.Completions
}

// NewInvoke returns the adapter for InvokeModel.
func NewInvoke() providers.Adapter { return InvokeAt(time.Now) }

// InvokeAt returns the adapter for InvokeModel with the given clock.
func InvokeAt(now func() time.Time) providers.Adapter {
	converse := completions{now}
	claude := anthropic.At(anthropic.Host{Path: invokePath, Version: "bedrock-2023-05-31", NoStream: true, NoTools: true, Now: now})
	return providers.Adapter{
		Embed: embeddings{converse}, Chat: invoke{converse, claude},
		Quirks: providers.Quirks{Members: anthropic.Members().Over(members()), Search: providers.SearchNever},
	}
}

func invokePath(x providers.Exchange) string {
	return path(x, "/invoke", "/invoke-with-response-stream")
}

// Speaks returns Anthropic's format for Claude, and "" for all other models.
func (a invoke) Speaks(t *providers.Target) providers.Format {
	if strings.Contains(t.Upstream, "claude") && dialogueOf(t.Upstream) == nil && familyOf(t.Upstream) == claude {
		return providers.Messages
	}
	return ""
}

// Encode writes a request in the model's format.
func (a invoke) Encode(x providers.Exchange) (providers.Call, error) {
	if d := dialogueOf(x.Target.Upstream); d != nil {
		return d.encode(x)
	}
	switch familyOf(x.Target.Upstream) {
	case nova, nova2:
		return encode(x, others, invokePath(x)) // the extra fields of Nova belong elsewhere in this format
	case claude:
	default:
		if host := foreign(x.Target.Upstream); host != "" {
			return providers.Call{}, &chat.FieldError{
				Code: "unsupported_parameter", Param: "model",
				Message: "is a model of " + host +
					", whose format of InvokeModel is not spoken here; its provider's adapter must be bedrock, which calls Converse",
			}
		}
	}
	call, err := a.messages.Encode(x)
	call.Header = accept(x)
	return call, err
}

// foreign returns the maker of a model, by its ID, if it is not Anthropic; "" if the ID does
// not tell, as with those of inference profiles.
func foreign(model string) string {
	for _, host := range []string{
		"ai21", "amazon", "cohere", "deepseek", "google", "luma", "meta", "minimax", "mistral", "moonshot",
		"nvidia", "openai", "qwen", "stability", "twelvelabs", "writer", "zai",
	} {
		if strings.HasPrefix(model, host+".") || strings.Contains(model, "."+host+".") {
			return host
		}
	}
	return ""
}

// Decode reads a complete response in whichever format it has.
func (a invoke) Decode(x providers.Exchange, h http.Header, body []byte) (*chat.Response, error) {
	if x.Native == nil && jsonraw.Lookup(body, "output") != nil {
		return a.converse.Decode(x, h, body)
	}
	if x.Native == nil && translate.Valid(body) == nil {
		if r, ok := a.decodeText(x, h, body); ok {
			return r, nil
		}
	}
	r, err := a.messages.Decode(x, h, body)
	if e := (*providers.Error)(nil); err != nil && errors.As(err, &e) && e.Detail.Message != "" {
		if kind, text := said(nil, body); text != "" {
			return nil, failed(0, kind, text)
		}
	}
	return r, err
}

// Fail reads a response whose status reports a failure.
func (a invoke) Fail(x providers.Exchange, status int, h http.Header, body []byte) *providers.Error {
	return a.converse.Fail(x, status, h, body)
}

// Usage reads the usage from a body that may not be a valid response otherwise.
func (a invoke) Usage(x providers.Exchange, body []byte) *chat.Usage {
	if u := a.converse.Usage(x, body); u != nil {
		return u
	}
	return a.messages.Usage(x, body)
}

// Stream reads a streamed response, whose first event reveals its format.
func (a invoke) Stream(x providers.Exchange, body io.ReadCloser) chat.Stream {
	return &invoked{Closer: body, a: a, x: x, chunks: chunks{frames: newFrames(body)}}
}

// invoked is a streamed response whose format is unknown until it begins.
type invoked struct {
	io.Closer

	a      invoke
	x      providers.Exchange
	chunks chunks
	inner  chat.Stream
}

// Next returns the next chunk.
func (s *invoked) Next() (chat.Chunk, error) {
	if s.inner == nil {
		first, err := s.chunks.next()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return chat.Chunk{}, err
		}
		s.chunks.held = first
		var p piece
		if p.read(first); p.found {
			s.inner = translate.NewStream(&texts{next: s.chunks.next, head: s.a.converse.head(s.x)}, s.Closer)
		} else if jsonraw.Lookup(first, "type") != nil {
			s.inner = s.a.messages.Events(s.x, s.chunks.next, s.Closer)
		} else {
			s.inner = translate.NewStream(s.a.converse.events(s.x, s.chunks.frame), s.Closer)
		}
	}
	return s.inner.Next()
}

// Told returns the usage reported so far.
func (s *invoked) Told() (t chat.Told) {
	if s.inner != nil {
		t = s.inner.Told()
	}
	return t
}

// chunks reads the model's events from AWS's frames.
type chunks struct {
	frames *frames
	held   []byte // returned first
}

// next returns the next event as JSON.
func (c *chunks) next() ([]byte, error) {
	if data := c.held; data != nil {
		c.held = nil
		return data, nil
	}
	f, err := c.frames.next()
	if err != nil {
		return nil, err
	}
	if f.failed {
		_, text := said(nil, f.data)
		return nil, failed(0, f.name, text)
	}
	data, err := base64.StdEncoding.AppendDecode(nil, jsonraw.Inside(jsonraw.Lookup(f.data, "bytes")))
	if err != nil || len(data) == 0 {
		return nil, errShape
	}
	return data, nil
}

// events lists the kinds of Converse events; each event is exactly one of them.
var events = []string{"messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"}

// frame returns the next event, unwrapped from the member that names its kind.
func (c *chunks) frame() (frame, error) {
	data, err := c.next()
	if err != nil {
		return frame{}, err
	}
	for _, name := range events {
		if value := jsonraw.Lookup(data, name); jsonraw.IsObject(value) {
			return frame{name: name, data: value}, nil
		}
	}
	return frame{data: data}, nil // of a kind that is irrelevant here
}
