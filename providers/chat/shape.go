package chat

import "tallyroute/providers/jsonraw"

// has is a set of members that were seen.
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

// shape finds out, in passing, whether an answer is as OpenAI's schema has it.
type shape struct {
	seen has
	role bool // somebody has a role
	odd  bool
}

// saw notes a member.
func (a *answer) saw(what has) { a.seen |= what }

// within begins an object inside of another one, whose members it returns.
func (a *answer) within() has {
	outer := a.seen
	a.seen = 0
	return outer
}

// leaveWith ends the object, which had to have the members.
func (a *answer) leaveWith(must, outer has) {
	a.odd = a.odd || a.seen&must != must
	a.seen = outer
}

func (a *answer) streamed() bool { return a.from == "delta" }

// strict is for the answer as a whole.
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

// word is a string, nil for anything else.
func word(raw []byte) jsonraw.Quoted {
	if len(raw) == 0 || raw[0] != '"' {
		return nil
	}
	return raw
}

// rightTier reports a service tier that the format has; there may be none.
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

// reasoningShape notes reasoning, which has two names.
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

// callsShape is for a list of tool calls. What one means in a stream depends on
// those before.
func (a *answer) callsShape() { a.odd = a.odd || a.streamed() || a.Peek() != '[' }

func (a *answer) callShape(outer has) {
	a.leaveWith(hasCallID|hasType|hasFunction|hasName|hasArguments, outer)
}

// wordOf is a member of a function: its name, or what it is called with.
func wordOf(name []byte) has {
	if string(name) == "name" {
		return hasName
	}
	return hasArguments
}

// isCount reports a number without sign, fraction and exponent.
func isCount(raw []byte) bool {
	for _, c := range raw {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(raw) > 0
}
