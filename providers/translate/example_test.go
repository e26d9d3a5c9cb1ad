package translate_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// completions is the complete chat codec of a small wire format.
type completions struct{ now func() time.Time }

var _ providers.ChatCodec = completions{}

// Encode writes a call: {"model":…,"lines":[{"by":…,"say":…}],"heat":…,"limit":…,"stream":…}.
func (completions) Encode(x providers.Exchange) (providers.Call, error) {
	return translate.Encode(x, translate.Format{Path: "/talk"}, func(r *translate.Request) ([]byte, error) {
		var o jsonraw.Object
		o.Text("model", r.Model())
		o.Key("lines")
		o.Open('[')
		for _, t := range r.Turns {
			for _, p := range t.Parts {
				if p.Kind != translate.Text {
					return nil, t.Refuse(p, "is not text, and this model accepts nothing else")
				}
			}
			o.Open('{')
			o.Text("by", t.Role)
			o.Text("say", t.PlainText())
			o.Close('}')
		}
		o.Close(']')
		err := r.Options(map[string]translate.Option{
			"temperature": func(value []byte) error { // anything not listed here is reported as lost, or refused
				value, err := translate.Within(value, "0", "1")
				o.Raw("heat", value)
				return err
			},
		})
		if n := r.Bound(); n > 0 {
			o.Int("limit", n)
		}
		if r.Stream() {
			o.Word("stream", "true")
		}
		return o.Bytes(), err
	})
}

// Decode reads {"id":…,"reply":…,"why":…,"spent":{"in":…,"out":…}}.
func (c completions) Decode(x providers.Exchange, _ http.Header, body []byte) (*chat.Response, error) {
	if err := refused(body); err != nil {
		return nil, err
	}
	why := jsonraw.Text(jsonraw.Lookup(body, "why"))
	if why == "" {
		return nil, translate.Malformed("it does not say why it ended")
	}
	choice := translate.Choice{Finish: finish(why), Native: why}
	choice.Text.Add(jsonraw.Lookup(body, "reply"))
	return translate.Response(c.head(x, body), []translate.Choice{choice}, used(body)), nil
}

// refused returns the error in a body that has a success status.
func refused(body []byte) error {
	if err := translate.Valid(body); err != nil {
		return err
	}
	if jsonraw.Present(jsonraw.Lookup(body, "error")) != nil {
		return failure(0, body)
	}
	return nil
}

// head returns what identifies a response. One without an id is given one.
func (c completions) head(x providers.Exchange, body []byte) translate.Head {
	h := translate.Head{ID: jsonraw.Text(jsonraw.Lookup(body, "id")), Model: x.Target.Upstream, Created: c.now().Unix()}
	if h.ID == "" {
		h.ID = translate.Derived("chatcmpl-", string(body))
	}
	return h
}

// finish returns the provider's finish reason in OpenAI's words.
func finish(why string) string {
	if why == "full" {
		return "length"
	}
	return "stop"
}

// used reads the usage; an impossible count marks it.
func used(body []byte) *translate.Usage {
	u := &translate.Usage{}
	u.Prompt, u.Completion = u.At(body, "spent", "in"), u.At(body, "spent", "out")
	if !u.Found {
		return nil
	}
	return u
}

// Usage reads the usage from a body that need not be a valid response.
func (completions) Usage(_ providers.Exchange, body []byte) *chat.Usage { return used(body).Chat("") }

// Stream reads one JSON object per line, or events: {"id":…,"piece":…}, and at the end
// {"why":…,"spent":…}.
func (c completions) Stream(x providers.Exchange, body io.ReadCloser) chat.Stream {
	return translate.NewStream(&stream{c, x, translate.NewFrames(body)}, body)
}

type stream struct {
	completions

	x      providers.Exchange
	frames *translate.Frames
}

// Step reads one object. A stream that ends before Finish was called has been cut short.
func (s *stream) Step(e *translate.Emitter) error {
	data, err := s.frames.Next()
	if err != nil {
		return err
	}
	if err := refused(data); err != nil {
		return err
	}
	if e.ID == "" {
		e.Head = s.head(s.x, data)
	}
	e.Say(0, &translate.Message{Text: translate.WordsOf(jsonraw.Lookup(data, "piece"))})
	why := jsonraw.Text(jsonraw.Lookup(data, "why"))
	if why == "" {
		return nil
	}
	e.Finish(0, finish(why), why)
	e.Usage(used(data))
	return io.EOF
}

// Fail reads {"error":{"message":…}} under an error status.
func (completions) Fail(_ providers.Exchange, status int, _ http.Header, body []byte) *providers.Error {
	if _, ok := chat.ParseError(body); !ok {
		return translate.Unread("acme", status)
	}
	return failure(status, body)
}

// failure returns the error for an error object; status is 0 if it came under a success
// status.
func failure(status int, body []byte) *providers.Error {
	d, _ := chat.ParseError(body)
	kind := providers.KindOf(status)
	switch {
	case strings.Contains(d.Message, "too many words"):
		kind = providers.KindContext
	case status == 0:
		kind = providers.KindOverload
	}
	return translate.Failed(kind, status, d)
}

// A whole wire format: the least that a new package has to contain.
func Example() {
	codec := completions{func() time.Time { return time.Unix(1_767_225_600, 0) }}
	request, err := chat.ParseRequest([]byte(`{"model":"m","messages":[{"role":"assistant","content":"Yes?","reasoning_content":"Hm."},` +
		`{"role":"user","content":"Hi"}],"temperature":1.5,"seed":7,"max_tokens":9}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	x := providers.Exchange{Target: providers.Target{Upstream: "talker-1"}, Request: request}
	call, err := codec.Encode(x)
	fmt.Printf("%s %s, without %v, %v\n", call.Path, call.Body, call.Dropped, err)

	answer, err := codec.Decode(x, nil, []byte(`{"reply":"Hello","why":"done","spent":{"in":3,"out":2}}`))
	fmt.Println(answer.ID, answer.Text, answer.Finish, answer.Usage.Input, answer.Usage.Output, err)
	_, err = codec.Decode(x, nil, []byte(`{"error":{"message":"busy"}}`))
	fmt.Println(err)

	lines := `{"id":"t2","piece":"Hel"}` + "\n" + `{"piece":"lo"}` + "\n" + `{"why":"full","spent":{"in":3,"out":2}}`
	s := codec.Stream(x, io.NopCloser(strings.NewReader(lines)))
	for c, err := s.Next(); err == nil; c, err = s.Next() {
		fmt.Printf("%q %q %t\n", c.Text, c.Finish, c.UsageOnly)
	}
	s = codec.Stream(x, io.NopCloser(strings.NewReader(`{"error":{"message":"too many words"}}`)))
	_, err = s.Next()
	fmt.Println(err)
	// Output:
	// /talk {"model":"talker-1","lines":[{"by":"assistant","say":"Yes?"},{"by":"user","say":"Hi"}],"heat":1,"limit":9}, without [temperature seed messages.reasoning], <nil>
	// chatcmpl-03d4bc7bd5a2142af96ca522 Hello stop 3 2 <nil>
	// providers: /: overload: chat: the provider answered with an error (type "", code "")
	// "Hel" "" false
	// "lo" "" false
	// "" "length" false
	// "" "" true
	// providers: /: context (status 400): chat: the provider answered with an error (type "", code "")
}
