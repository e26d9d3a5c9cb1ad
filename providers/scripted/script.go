package scripted

import (
	"encoding/json"
	"strings"
	"time"
)

// Turn is a request as a script sees it.
type Turn struct {
	Format string // one of Formats
	Model  string // the provider's name for it
	Stream bool
	Body   []byte

	Results int // tool results in the whole conversation
	Images  int
}

// Says reports whether the request contains a text anywhere.
func (t Turn) Says(text string) bool { return strings.Contains(string(t.Body), text) }

// Reply is the answer to a request.
type Reply struct {
	Thought string // the model's reasoning
	Proof   string // the proof that the model needs to see again with it
	Text    string
	Calls   []Call
	Usage   Usage // the zero value is estimated from the request and the response
	Pause   time.Duration
	Fault   Fault
}

// Call is a tool call. Arguments are JSON.
type Call struct{ ID, Name, Arguments string }

// Usage is what a response is billed for. Cached is part of Prompt.
type Usage struct{ Prompt, Cached, Output int64 }

// Fault says how a response fails. The zero value does not fail.
type Fault struct {
	Kind  FaultKind
	After int // number of stream pieces sent before the fault
}

// FaultKind is a kind of failure.
type FaultKind string

// The kinds of failure.
const (
	Cut     FaultKind = "cut"     // the connection breaks
	Short   FaultKind = "short"   // the response ends too early, as if it were complete
	Stalled FaultKind = "stalled" // nothing more arrives
	Garbage FaultKind = "garbage" // the bytes are not of the format
	Failing FaultKind = "failing" // an error of the format, with status 200
	Refused FaultKind = "refused" // an error of the format, with status 503
)

// Faults returns all kinds of failure.
func Faults() []FaultKind { return []FaultKind{Cut, Short, Stalled, Garbage, Failing, Refused} }

// look fills in what is counted in the body.
func (t *Turn) look() {
	var v any
	if json.Unmarshal(t.Body, &v) == nil {
		t.count(v)
	}
}

func (t *Turn) count(v any) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			t.count(e)
		}
	case map[string]any:
		kind, _ := v["type"].(string)
		switch {
		case kind == "tool_result", kind == "function_call_output", kind == "custom_tool_call_output", v["role"] == "tool",
			v["functionResponse"] != nil, v["toolResult"] != nil:
			t.Results++
		case kind == "image_url", kind == "image", kind == "input_image", v["inlineData"] != nil:
			t.Images++
		}
		if image, ok := v["image"].(map[string]any); ok && image["source"] != nil {
			t.Images++
		}
		if images, ok := v["images"].([]any); ok {
			t.Images += len(images)
		}
		for _, e := range v {
			t.count(e)
		}
	}
}

// measured returns the reply's usage, or an estimate if it has none.
func (r Reply) measured(body []byte) Usage {
	if r.Usage != (Usage{}) {
		return r.Usage
	}
	output := len(r.Thought) + len(r.Text)
	for _, c := range r.Calls {
		output += len(c.Name) + len(c.Arguments)
	}
	prompt := int64(len(body)/16 + 1)
	return Usage{Prompt: prompt, Cached: prompt / 3, Output: int64(output/4 + 1)}
}

// said is what the body says about itself.
type said struct {
	Model  string
	Stream bool
}

func head(body []byte) (s said) {
	_ = json.Unmarshal(body, &s) // whatever is missing stays empty
	return s
}

func streams(body []byte) bool { return head(body).Stream }

// pieces splits a text in two, or returns it whole if it is short.
func pieces(text string) []string {
	if n := len(text) / 2; n > 0 && text[n] < 0x80 && text[n-1] < 0x80 {
		return []string{text[:n], text[n:]}
	}
	return []string{text}
}

// object is a JSON object; its members are written in alphabetical order.
type object = map[string]any

func marshal(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic("scripted: " + err.Error()) // this package wrote it itself
	}
	return data
}

func arguments(c Call) json.RawMessage { return json.RawMessage(c.Arguments) }

// event returns one event of a stream, without a name if that is "".
func event(name string, v any) []byte {
	text := "data: " + string(marshal(v)) + "\n\n"
	if name != "" {
		text = "event: " + name + "\n" + text
	}
	return []byte(text)
}

// typed returns an event named after its type.
func typed(v object) []byte { return event(v["type"].(string), v) }

// format is how a response is written in a wire format.
type format struct {
	name   string
	kind   string // content type of its streams
	whole  func(a answer) any
	stream func(a answer) [][]byte
	fail   any                  // the body of an error
	broken func(v any) [][]byte // an error in a stream
}

// answer is a reply with whatever else a format needs to write it.
type answer struct {
	Reply
	id, model string
	usage     Usage
}

// finish returns the finish reason, given a format's two words for it.
func (a answer) finish(stop, calls string) string {
	if len(a.Calls) > 0 {
		return calls
	}
	return stop
}

const (
	events = "text/event-stream"
	failed = "The model is overloaded."
)
