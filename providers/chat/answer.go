package chat

import (
	"fmt"
	"slices"
)

// ParseResponse reads a whole answer. It is an *Error where the provider sent an
// error object, and wraps ErrMalformed where it is no chat completion. Usage is
// read from "usage", or from usagePath where an adapter knows another place.
func ParseResponse(body []byte, usagePath ...string) (*Response, error) {
	a := answer{cursor: cursor{b: body}, from: "message"}
	a.read()
	a.strict()
	if err := a.fault(); err != nil {
		return nil, err
	}
	if a.choices == 0 {
		return nil, fmt.Errorf("%w: it has no choices", ErrMalformed)
	}
	return &Response{
		Body: body, Model: a.model.String(), ID: a.id.String(), Finish: a.finish,
		Usage: a.usageAt(usagePath), Text: string(a.text), Odd: a.odd,
	}, nil
}

// ParseChunk reads one event of a streamed answer; errors as in ParseResponse.
// The Chunk keeps data as it is.
func ParseChunk(data []byte, usagePath ...string) (Chunk, error) {
	a := answer{cursor: cursor{b: data}, from: "delta"}
	a.read()
	a.strict()
	if err := a.fault(); err != nil {
		return Chunk{}, err
	}
	usage := a.usageAt(usagePath)
	return Chunk{
		Data: data, Usage: usage, UsageOnly: usage != nil && a.choices == 0,
		Content: a.content || len(a.text) > 0, Text: string(a.text), Finish: a.finish, ID: a.id, Role: a.role, Odd: a.odd,
	}, nil
}

// answer reads an answer or a chunk in one walk.
type answer struct {
	cursor

	from      string // where a choice says what it says: "message" or "delta"
	id, model Quoted
	tier      Quoted // service_tier
	finish    string // the first that is given
	choices   int
	text      []byte // all that counts as output
	content   bool   // something came that is not text: a tool call, audio, an image
	failed    bool   // it has an error object
	usage     counts
	shape
}

func (a *answer) read() {
	if a.peek() != '{' {
		a.fail()
		return
	}
	a.object(func(name []byte) {
		switch string(name) {
		case "id":
			a.id = a.quoted()
			a.saw(hasID)
			a.odd = len(a.id) <= len(`""`) || a.odd
		case "model":
			a.model = a.quoted()
			a.saw(hasModel)
			a.odd = a.model == nil || a.odd
		case "object":
			a.saw(hasObject)
			a.odd = !a.rightObject(a.skip()) || a.odd
		case "created":
			a.saw(hasCreated)
			a.odd = !isCount(a.skip()) || a.odd
		case "service_tier":
			raw := a.skip()
			a.tier, a.odd = word(raw), a.odd || !rightTier(raw)
		case "system_fingerprint":
			a.odd = a.odd || a.peek() != '"'
			a.skip()
		case "choices":
			a.saw(hasChoices)
			a.odd = a.peek() != '[' || a.odd
			a.array(a.choice)
		case "usage":
			a.usageShape()
			a.usage.read(&a.cursor)
		case "error":
			a.failed = a.failed || something(a.skip())
		default:
			a.skip()
		}
	})
}

// something reports whether a value says anything: null, false and what is empty do not.
func something(raw []byte) bool {
	return !slices.Contains([]string{"", "null", "false", `""`, "{}", "[]"}, string(raw))
}

// fault is why what was read is no answer.
func (a *answer) fault() error {
	if !a.done() {
		return fmt.Errorf("%w: %s", ErrMalformed, a.describe())
	}
	if !a.failed && (a.choices > 0 || a.usage.found) {
		return nil
	}
	if e, ok := ParseError(a.b); ok || a.failed {
		return &e
	}
	return nil
}

// describe says in a word what came instead of an answer.
func (a *answer) describe() string {
	switch i := spaceEnd(a.b, 0); {
	case i == len(a.b):
		return "it is empty"
	case a.b[i] == '<':
		return "it looks like HTML"
	case a.b[i] != '{':
		return "it is not a JSON object"
	}
	return "its JSON is broken or cut"
}

// choice reads a choice. Some providers say the same in from, in the other one of
// delta and message, and in the text of the completions format: only the first of these that is there counts.
func (a *answer) choice() {
	a.choices++
	var legacy Quoted
	found, other := false, 0
	outer := a.within()
	a.object(func(name []byte) {
		switch n := string(name); {
		case n == a.from && a.peek() == '{':
			found = true
			a.saw(hasMessage)
			a.message()
		case (n == "delta" || n == "message") && a.peek() == '{':
			other = a.i
			a.skip()
		case n == "text":
			legacy = a.quoted()
		case n == "finish_reason":
			a.saw(hasFinish)
			a.odd = a.peek() != '"' && !a.mayBeNull() || a.odd
			reason := a.quoted()
			if a.finish == "" {
				a.finish = a.known(reason)
			} else {
				a.known(reason)
			}
		case n == "index":
			a.saw(hasIndex)
			a.odd = !isCount(a.skip()) || a.odd
		case n == "logprobs":
			a.saw(hasLogprobs)
			a.odd = string(a.skip()) != "null" || a.odd
		default:
			a.skip()
		}
	})
	a.choiceShape(outer)
	switch {
	case found || a.bad:
	case other > 0:
		end := a.i
		a.i = other
		a.message()
		a.i = end
	default:
		a.add(legacy)
	}
}

// known is a reason without a copy for those that the format has; any other is odd.
func (a *answer) known(q Quoted) string {
	for _, known := range [...]string{"stop", "tool_calls", "length", "content_filter", "function_call"} {
		if len(q) == len(known)+2 && string(q[1:len(q)-1]) == known {
			return known
		}
	}
	a.odd = a.odd || q != nil
	return q.String()
}

// add takes a text as output. The first one is not copied if it has no escapes.
func (a *answer) add(q Quoted) {
	if a.text == nil {
		text := q.Bytes()
		a.text = text[:len(text):len(text)]
		return
	}
	a.text = q.Append(a.text)
}

// message reads a message or a delta. Reasoning is often sent under two names at
// once; it counts once.
func (a *answer) message() {
	var reasoning Quoted
	var details []byte
	outer := a.within()
	a.object(func(name []byte) {
		switch string(name) {
		case "role":
			a.saw(hasRole)
			a.role = true
			a.odd = string(a.skip()) != `"assistant"` || a.odd
		case "content":
			a.saw(hasContent)
			a.odd = !a.textOrNull() || a.odd
			a.parts()
		case "refusal":
			a.saw(hasRefusal)
			a.odd = !a.textOrNull() || a.odd
			a.add(a.quoted())
		case "reasoning", "reasoning_content", "thinking":
			q := a.quoted()
			a.reasoningShape(name, q)
			if len(q) > len(reasoning) {
				reasoning = q
			}
		case "reasoning_details":
			details = a.skip()
		case "tool_calls":
			a.callsShape()
			a.array(a.call)
		case "function_call":
			a.odd = true
			a.function()
		case "annotations":
			a.odd = string(a.skip()) != "[]" || a.odd
		case "audio":
			a.odd = true
			a.audio()
		case "images":
			a.content = something(a.skip()) || a.content
		default:
			a.skip()
		}
	})
	a.messageShape(outer)
	if a.add(reasoning); len(reasoning) <= len(`""`) {
		a.details(details)
	}
}

// parts reads content: a string, a list of parts, or a part.
func (a *answer) parts() {
	switch a.peek() {
	case '"':
		a.add(a.quoted())
	case '[':
		a.array(a.parts)
	case '{':
		a.part()
	default:
		a.skip()
	}
}

// part reads one content part. An object that is none is an answer by itself.
func (a *answer) part() {
	start, typed := a.i, false
	before := len(a.text)
	a.object(func(name []byte) {
		switch string(name) {
		case "type":
			typed = true
			a.skip()
		case "text", "refusal", "thinking":
			a.parts()
		case "image_url", "input_audio", "audio", "file":
			a.content = something(a.skip()) || a.content
		default:
			a.skip()
		}
	})
	if !typed && len(a.text) == before && !a.bad {
		a.text = append(a.text, a.b[start:a.i]...)
	}
}

func (a *answer) call() {
	a.content = true
	outer := a.within()
	a.object(func(name []byte) {
		switch string(name) {
		case "function", "custom":
			a.saw(hasFunction)
			a.odd = a.peek() != '{' || a.odd
			a.function()
		case "id":
			a.saw(hasCallID)
			a.odd = len(a.quoted()) <= len(`""`) || a.odd
		case "type":
			a.saw(hasType)
			a.odd = a.peek() != '"' || a.odd
			a.skip()
		default:
			a.skip()
		}
	})
	a.callShape(outer)
}

func (a *answer) function() {
	a.object(func(name []byte) {
		switch string(name) {
		case "name", "arguments", "input":
			a.saw(wordOf(name))
			a.odd = a.peek() != '"' || a.odd
			if a.peek() == '{' { // some send arguments as they are
				a.text = append(a.text, a.skip()...)
				return
			}
			a.add(a.quoted())
		default:
			a.skip()
		}
	})
}

func (a *answer) audio() {
	a.object(func(name []byte) {
		switch string(name) {
		case "transcript":
			a.add(a.quoted())
		case "data":
			a.content = len(a.quoted()) > len(`""`) || a.content
		default:
			a.skip()
		}
	})
}

// details reads reasoning_details where reasoning came in no other way.
func (a *answer) details(raw []byte) {
	for detail := range Elements(raw) {
		for name, value := range Each(detail) {
			if n := string(name); (n == "text" || n == "summary") && value[0] == '"' {
				a.add(value)
			}
		}
	}
}

// usageAt is what was read of "usage", or what stands at path.
func (a *answer) usageAt(path []string) *Usage {
	if !a.usage.found && len(path) > 0 {
		a.usage.read(&cursor{b: Lookup(a.b, path...)})
	}
	if !a.usage.found {
		return nil
	}
	u := a.usage.usage()
	u.ServiceTier = a.tier.String()
	return &u
}
