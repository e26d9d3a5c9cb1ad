package scripted

import (
	"encoding/json"
	"strings"
	"time"
)

// Turn is a request as a script sees it.
type Turn struct {
	Format string // one of Formats
	Model  string // as the provider calls it
	Stream bool
	Body   []byte

	Results int // of tools, in the whole conversation
	Images  int
}

// Says reports whether the request has a text anywhere.
func (t Turn) Says(text string) bool { return strings.Contains(string(t.Body), text) }

// Reply is what is answered.
type Reply struct {
	Thought string // what the model thinks
	Proof   string // and what it needs to see again of it
	Text    string
	Calls   []Call
	Usage   Usage // the zero value is measured by the request and the answer
	Pause   time.Duration
	Fault   Fault
}

// Call is one of a tool. Arguments are JSON.
type Call struct{ ID, Name, Arguments string }

// Usage is what an answer is billed for. Cached is part of Prompt.
type Usage struct{ Prompt, Cached, Output int64 }

// Fault is how an answer fails. The zero value does not.
type Fault struct {
	Kind  FaultKind
	After int // pieces of a stream
}

// FaultKind is a kind of failure.
type FaultKind string

// The kinds of failure.
const (
	Cut     FaultKind = "cut"     // the connection breaks
	Short   FaultKind = "short"   // the answer ends too early, as if it were whole
	Stalled FaultKind = "stalled" // nothing more comes
	Garbage FaultKind = "garbage" // what comes is not of the format
	Failing FaultKind = "failing" // an error of the format, with status 200
	Refused FaultKind = "refused" // an error of the format, with status 503
)

// Faults are all kinds of failure.
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

// measured is the usage of a reply that does not say it.
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

// said is what the body says of itself.
type said struct {
	Model  string
	Stream bool
}

func head(body []byte) (s said) {
	_ = json.Unmarshal(body, &s) // what is not there is not said
	return s
}

func streams(body []byte) bool { return head(body).Stream }

// pieces are a text in two parts, or as it is where it is short.
func pieces(text string) []string {
	if n := len(text) / 2; n > 0 && text[n] < 0x80 && text[n-1] < 0x80 {
		return []string{text[:n], text[n:]}
	}
	return []string{text}
}

// object is a JSON object; its members are written in the order of their names.
type object = map[string]any

func marshal(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic("scripted: " + err.Error()) // of what this package wrote itself
	}
	return data
}

func arguments(c Call) json.RawMessage { return json.RawMessage(c.Arguments) }

// event is one of a stream of events; a name of "" is left out.
func event(name string, v any) []byte {
	text := "data: " + string(marshal(v)) + "\n\n"
	if name != "" {
		text = "event: " + name + "\n" + text
	}
	return []byte(text)
}

// typed is an event that is called as its type.
func typed(v object) []byte { return event(v["type"].(string), v) }

// format is how an answer is written in a wire format.
type format struct {
	name   string
	kind   string // content type of its streams
	whole  func(a answer) any
	stream func(a answer) [][]byte
	fail   any                  // the body of an error
	broken func(v any) [][]byte // an error in a stream
}

// answer is a reply with what a format needs besides to write it.
type answer struct {
	Reply
	id, model string
	usage     Usage
}

// finish is why an answer ended, of two words that a format has for it.
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
