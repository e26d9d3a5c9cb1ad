package chat

import "tallyroute/providers/jsonraw"

// has is a set of members that are present.
type has uint32

const (
	hasID has = 1 << iota
	hasObject
	hasCreated
	hasModel
	hasChoices
	hasIndex
	hasMessage
	hasFinish
	hasLogprobs
	hasRole
	hasContent
	hasRefusal
	hasReasoning // under the name that most clients read
	hasOtherReasoning
	hasCallID
	hasType
	hasFunction
	hasName
	hasArguments
)

// shape checks, in passing, whether a response conforms to OpenAI's schema.
type shape struct {
	seen has
	role bool // some message has a role
	odd  bool
}

// saw notes a member.
func (a *answer) saw(what has) { a.seen |= what }

// within enters a nested object and returns the members seen so far in the outer one.
func (a *answer) within() has {
	outer := a.seen
	a.seen = 0
	return outer
}

// leaveWith leaves the nested object, which should have had the members in must.
func (a *answer) leaveWith(must, outer has) {
	a.odd = a.odd || a.seen&must != must
	a.seen = outer
}

func (a *answer) streamed() bool { return a.from == "delta" }

// strict checks the response as a whole.
func (a *answer) strict() {
	const must = hasID | hasObject | hasCreated | hasModel | hasChoices
	a.odd = a.odd || a.seen&must != must || a.usage.odd()
}

func (a *answer) rightObject(raw []byte) bool {
	if a.streamed() {
		return string(raw) == `"chat.completion.chunk"`
	}
	return string(raw) == `"chat.completion"`
}

// word returns a string, or nil for anything else.
func word(raw []byte) jsonraw.Quoted {
	if len(raw) == 0 || raw[0] != '"' {
		return nil
	}
	return raw
}

// rightTier reports whether a service tier is one that the format has. null is allowed.
func rightTier(raw []byte) bool {
	switch string(raw) {
	case "null", `"default"`, `"auto"`, `"flex"`, `"priority"`, `"scale"`, `"fast"`:
		return true
	}
	return false
}

func (a *answer) usageShape() {
	c := a.Peek()
	a.odd = a.odd || c != '{' && (c != 'n' || !a.streamed())
}

func (a *answer) mayBeNull() bool { return a.streamed() && a.Peek() == 'n' }

func (a *answer) textOrNull() bool {
	c := a.Peek()
	return c == '"' || c == 'n'
}

func (a *answer) choiceShape(outer has) {
	must := hasIndex | hasMessage | hasFinish
	if !a.streamed() {
		must |= hasLogprobs
	}
	a.leaveWith(must, outer)
}

// reasoningShape notes which of the two names of reasoning is used.
func (a *answer) reasoningShape(name []byte, q jsonraw.Quoted) {
	switch {
	case len(q) <= len(`""`):
	case string(name) == "reasoning_content":
		a.seen |= hasReasoning
	default:
		a.seen |= hasOtherReasoning
	}
}

func (a *answer) messageShape(outer has) {
	must := hasRole | hasContent | hasRefusal
	if a.streamed() {
		must = 0
	}
	if a.seen&hasOtherReasoning != 0 {
		must |= hasReasoning
	}
	a.leaveWith(must, outer)
}

// callsShape checks a list of tool calls. In a stream it always counts as odd, because the
// meaning of a call depends on earlier chunks.
func (a *answer) callsShape() { a.odd = a.odd || a.streamed() || a.Peek() != '[' }

func (a *answer) callShape(outer has) {
	a.leaveWith(hasCallID|hasType|hasFunction|hasName|hasArguments, outer)
}

// wordOf returns the flag for a member of a function: its name or its arguments.
func wordOf(name []byte) has {
	if string(name) == "name" {
		return hasName
	}
	return hasArguments
}

// isCount reports whether a number has no sign, fraction or exponent.
func isCount(raw []byte) bool {
	for _, c := range raw {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(raw) > 0
}
