package chat

import (
	"bytes"
	"fmt"
	"slices"

	"tallyroute/providers/jsonraw"
)

// ParseResponse reads a complete response. It returns an *Error if the provider sent an error
// object, and an error that wraps ErrMalformed if the body is not a chat completion. Usage is
// read from "usage", or from usagePath if the adapter knows another place.
func ParseResponse(body []byte, usagePath ...string) (*Response, error) {
	a := answer{Cursor: jsonraw.NewCursor(body), from: "message"}
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
		Usage: a.usageAt(usagePath), Text: string(a.text), Odd: a.odd, Thought: a.thought, Media: a.media,
	}, nil
}

// ParseChunk reads one event of a streamed response, with the same errors as ParseResponse.
// The Chunk keeps data as it is.
func ParseChunk(data []byte, usagePath ...string) (Chunk, error) {
	a := answer{Cursor: jsonraw.NewCursor(data), from: "delta"}
	a.read()
	a.strict()
	if err := a.fault(); err != nil {
		return Chunk{}, err
	}
	usage := a.usageAt(usagePath)
	return Chunk{
		Data: data, Usage: usage, UsageOnly: usage != nil && a.choices == 0,
		Metered: a.metered,
		Content: a.content || len(a.text) > 0, Text: string(a.text), Thought: a.thought, Media: a.media, Finish: a.finish,
		ID: a.id, Model: a.model, Role: a.role, Odd: a.odd,
	}, nil
}

// answer reads a response or a chunk in one pass.
type answer struct {
	jsonraw.Cursor

	from      string // the member of a choice that holds its message: "message" or "delta"
	id, model jsonraw.Quoted
	tier      jsonraw.Quoted // service_tier
	finish    string         // the first one given
	choices   int
	text      []byte // everything that counts as output
	thought   int    // bytes of text that are reasoning
	media     int    // pictures and audio pieces
	content   bool   // there is something other than text: a tool call, audio, an image
	failed    bool   // there is an error object
	usage     counts
	metered   Metered // what tools called at the provider did
	shape
}

func (a *answer) read() {
	if a.Peek() != '{' {
		a.Fail()
		return
	}
	a.Object(func(name []byte) {
		switch string(name) {
		case "id":
			a.id = a.Quoted()
			a.saw(hasID)
			a.odd = len(a.id) <= len(`""`) || a.odd
		case "model":
			a.model = a.Quoted()
			a.saw(hasModel)
			a.odd = a.model == nil || a.odd
		case "object":
			a.saw(hasObject)
			a.odd = !a.rightObject(a.Skip()) || a.odd
		case "created":
			a.saw(hasCreated)
			a.odd = !isCount(a.Skip()) || a.odd
		case "service_tier":
			raw := a.Skip()
			a.tier, a.odd = word(raw), a.odd || !rightTier(raw)
		case "system_fingerprint":
			a.odd = a.odd || a.Peek() != '"'
			a.Skip()
		case "choices":
			a.saw(hasChoices)
			a.odd = a.Peek() != '[' || a.odd
			a.Array(a.choice)
		case "usage":
			a.usageShape()
			a.usage.read(&a.Cursor)
		case "cost":
			a.usage.stated(&a.Cursor, "cost")
		case "error":
			a.failed = a.failed || something(a.Skip())
		default:
			a.Skip()
		}
	})
}

// something reports whether a value says anything: null, false and empty values do not.
func something(raw []byte) bool {
	return !slices.Contains([]string{"", "null", "false", `""`, "{}", "[]"}, string(raw))
}

// fault returns the reason that the body is not a valid response.
func (a *answer) fault() error {
	if !a.Done() {
		return fmt.Errorf("%w: %s", ErrMalformed, a.describe())
	}
	if !a.failed && (a.choices > 0 || a.usage.found) {
		return nil
	}
	if e, ok := ParseError(a.Source()); ok || a.failed {
		return &e
	}
	return nil
}

// describe says in a word what arrived instead of a response.
func (a *answer) describe() string {
	switch b := bytes.TrimLeft(a.Source(), " \n\r\t"); {
	case len(b) == 0:
		return "it is empty"
	case b[0] == '<':
		return "it looks like HTML"
	case b[0] != '{':
		return "it is not a JSON object"
	}
	return "its JSON is broken or cut"
}

// choice reads a choice. Some providers repeat the same content in the member from, in the
// other one of delta and message, and in the text of the older completions format; only the
// first of these that is present counts.
func (a *answer) choice() {
	a.choices++
	var legacy jsonraw.Quoted
	found, other := false, 0
	outer := a.within()
	a.Object(func(name []byte) {
		switch n := string(name); {
		case n == a.from && a.Peek() == '{':
			found = true
			a.saw(hasMessage)
			a.message()
		case (n == "delta" || n == "message") && a.Peek() == '{':
			other = a.Pos()
			a.Skip()
		case n == "text":
			legacy = a.Quoted()
		case n == "finish_reason":
			a.saw(hasFinish)
			a.odd = a.Peek() != '"' && !a.mayBeNull() || a.odd
			reason := a.Quoted()
			if a.finish == "" {
				a.finish = a.known(reason)
			} else {
				a.known(reason)
			}
		case n == "index":
			a.saw(hasIndex)
			a.odd = !isCount(a.Skip()) || a.odd
		case n == "logprobs":
			a.saw(hasLogprobs)
			a.odd = string(a.Skip()) != "null" || a.odd
		default:
			a.Skip()
		}
	})
	a.choiceShape(outer)
	switch {
	case found || a.Bad():
	case other > 0:
		end := a.Pos()
		a.Seek(other)
		a.message()
		a.Seek(end)
	default:
		a.add(legacy)
	}
}

// known returns a finish reason, without allocating for those that the format has; any other
// reason makes the response odd.
func (a *answer) known(q jsonraw.Quoted) string {
	for _, known := range [...]string{"stop", "tool_calls", "length", "content_filter", "function_call"} {
		if len(q) == len(known)+2 && string(q[1:len(q)-1]) == known {
			return known
		}
	}
	a.odd = a.odd || q != nil
	return q.String()
}

// add adds a text to the output. The first one is not copied if it has no escapes.
func (a *answer) add(q jsonraw.Quoted) {
	if a.text == nil {
		text := q.Bytes()
		a.text = text[:len(text):len(text)]
		return
	}
	a.text = q.Append(a.text)
}

// message reads a message or a delta. Reasoning is often sent under two names at once; it
// counts only once.
func (a *answer) message() {
	var reasoning jsonraw.Quoted
	var details []byte
	outer := a.within()
	a.Object(func(name []byte) {
		switch string(name) {
		case "role":
			a.saw(hasRole)
			a.role = true
			a.odd = string(a.Skip()) != `"assistant"` || a.odd
		case "content":
			a.saw(hasContent)
			a.odd = !a.textOrNull() || a.odd
			a.parts()
		case "refusal":
			a.saw(hasRefusal)
			a.odd = !a.textOrNull() || a.odd
			a.add(a.Quoted())
		case "reasoning", "reasoning_content", "thinking":
			q := a.Quoted()
			a.reasoningShape(name, q)
			if len(q) > len(reasoning) {
				reasoning = q
			}
		case "reasoning_details":
			details = a.Skip()
		case "tool_calls":
			a.callsShape()
			a.Array(a.call)
		case "function_call":
			a.odd = true
			a.function()
		case "annotations":
			a.odd = string(a.Skip()) != "[]" || a.odd
		case "audio":
			a.odd = true
			a.audio()
		case "images":
			for range jsonraw.Elements(a.Skip()) {
				a.shows()
			}
		case "executed_tools":
			a.executed(a.Skip())
		default:
			a.Skip()
		}
	})
	a.messageShape(outer)
	said := len(a.text)
	if a.add(reasoning); len(reasoning) <= len(`""`) {
		a.details(details)
	}
	a.thought += len(a.text) - said
}

// executed counts what Groq's own tools did. A stream reports each call twice: when it
// begins, and with its result.
func (a *answer) executed(tools []byte) {
	for tool := range jsonraw.Elements(tools) {
		if a.from == "delta" && !something(jsonraw.Lookup(tool, "output")) {
			continue
		}
		if meter := MeterOf(jsonraw.Text(jsonraw.Lookup(tool, "type"))); meter != "" {
			a.metered.Add(meter, 1)
		}
	}
}

// parts reads content: a string, a list of parts, or a single part.
func (a *answer) parts() {
	switch a.Peek() {
	case '"':
		a.add(a.Quoted())
	case '[':
		a.Array(a.parts)
	case '{':
		a.part()
	default:
		a.Skip()
	}
}

// shows notes a picture or an audio piece.
func (a *answer) shows() {
	a.content = true
	a.media++
}

// part reads one content part. An object that is not a content part counts as a structured
// answer of its own.
func (a *answer) part() {
	start, typed := a.Pos(), false
	before := len(a.text)
	a.Object(func(name []byte) {
		switch string(name) {
		case "type":
			typed = true
			a.Skip()
		case "text", "refusal", "thinking":
			a.parts()
		case "image_url", "input_audio", "audio", "file":
			if something(a.Skip()) {
				a.shows()
			}
		default:
			a.Skip()
		}
	})
	if !typed && len(a.text) == before && !a.Bad() {
		a.text = append(a.text, a.Source()[start:a.Pos()]...)
	}
}

func (a *answer) call() {
	a.content = true
	outer := a.within()
	a.Object(func(name []byte) {
		switch string(name) {
		case "function", "custom":
			a.saw(hasFunction)
			a.odd = a.Peek() != '{' || a.odd
			a.function()
		case "id":
			a.saw(hasCallID)
			a.odd = len(a.Quoted()) <= len(`""`) || a.odd
		case "type":
			a.saw(hasType)
			a.odd = a.Peek() != '"' || a.odd
			a.Skip()
		default:
			a.Skip()
		}
	})
	a.callShape(outer)
}

func (a *answer) function() {
	a.Object(func(name []byte) {
		switch string(name) {
		case "name", "arguments", "input":
			a.saw(wordOf(name))
			a.odd = a.Peek() != '"' || a.odd
			if a.Peek() == '{' { // some providers send arguments as an object
				a.text = append(a.text, a.Skip()...)
				return
			}
			a.add(a.Quoted())
		default:
			a.Skip()
		}
	})
}

func (a *answer) audio() {
	a.Object(func(name []byte) {
		switch string(name) {
		case "transcript":
			a.add(a.Quoted())
		case "data":
			if len(a.Quoted()) > len(`""`) {
				a.shows()
			}
		default:
			a.Skip()
		}
	})
}

// details reads reasoning_details if reasoning came in no other way.
func (a *answer) details(raw []byte) {
	for detail := range jsonraw.Elements(raw) {
		for name, value := range jsonraw.Each(detail) {
			if n := string(name); (n == "text" || n == "summary") && value[0] == '"' {
				a.add(value)
			}
		}
	}
}

// usageAt returns what was read from "usage", or the usage at path.
func (a *answer) usageAt(path []string) *Usage {
	if !a.usage.found && len(path) > 0 {
		c := jsonraw.NewCursor(jsonraw.Lookup(a.Source(), path...))
		a.usage.read(&c)
	}
	if !a.usage.found {
		return nil
	}
	u := a.usage.usage()
	u.ServiceTier = a.tier.String()
	if a.from == "message" {
		u.Metered.Include(a.metered)
	}
	return &u
}
