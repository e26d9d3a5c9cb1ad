package chat

import (
	"strconv"
	"unicode"
)

// maxCount is the largest count that every parser holds exactly.
const maxCount = 1 << 53

// views are what was read from a request.
type views struct {
	limits                      Limits
	model                       string
	stream, wantsUsage          bool
	n, maxTokens, maxCompletion int64 // 0 where the client does not say
	need                        need
	messages                    []messageIndex
	message                     messageIndex // the one that is being scanned
	root                        *field       // what kind of request it is

	inputs     int64 // of a request for embeddings: how many vectors it asks for
	ids        bool  // its inputs are tokens
	dimensions int64 // 0 where the client does not say
	base64     bool  // asks for vectors in base64
}

// messageIndex is where a message lies, counted from the start of messages.
type messageIndex struct{ whole, role, name span }

// apply checks and reads a value whose type is right.
func (s *scanner) apply(f *field, at span) *FieldError {
	raw := at.of(s.b)
	null := raw[0] == 'n'
	var err *FieldError
	switch f.rule {
	case ruleNone:
	case ruleRefused:
		return &FieldError{Code: "unknown_parameter", Message: "leave this member out; it is not supported here"}
	case ruleModel:
		s.model = Quoted(raw).String()
		err = checkModel(s.model)
	case ruleStream:
		s.stream = raw[0] == 't'
	case ruleWantsUsage:
		s.wantsUsage = raw[0] == 't'
	case ruleN:
		s.n, err = count(raw, s.limits.maxN())
	case ruleMaxTokens:
		s.maxTokens, err = count(raw, maxCount)
	case ruleMaxCompletion:
		s.maxCompletion, err = count(raw, maxCount)
	case ruleNoNUL:
		if !null && hasNUL(raw) {
			err = wrong(`must not hold the character \u0000`)
		}
	case ruleMessages:
		if empty(raw) {
			err = wrong("must hold at least one message")
		}
	case ruleMessage:
		s.message.whole = at.from(s.base)
		s.messages = append(s.messages, s.message)
		s.message = messageIndex{}
	case ruleRole:
		s.message.role = at.from(s.base)
	case ruleName:
		if !null {
			s.message.name = at.from(s.base)
		}
	case ruleNeed:
		if !null && !empty(raw) {
			s.need |= f.need
		}
	case ruleInput:
		s.inputs, s.ids, err = readInput(raw)
	case ruleDimensions:
		s.dimensions, err = count(raw, maxDimensions)
	case ruleEncoding:
		s.base64, err = readEncoding(raw)
	case ruleNeedWord:
		s.need |= needOf(raw) & s.top.need
	}
	return err
}

func (s span) from(base int) span { return span{s.start - base, s.end - base} }

func (l Limits) maxN() int64 {
	if l.N > 0 {
		return l.N
	}
	return MaxN
}

func checkModel(name string) *FieldError {
	if name == "" {
		return wrong("must name a model")
	}
	if len(name) > MaxModel {
		return wrong("must be at most " + strconv.Itoa(MaxModel) + " bytes long")
	}
	for _, r := range name {
		if unicode.IsControl(r) {
			return wrong("must not hold control characters")
		}
	}
	return nil
}

// count reads a number that must be written as a plain whole one, so that no two
// parsers can disagree about it; null is 0, for none.
func count(raw []byte, most int64) (int64, *FieldError) {
	if raw[0] == 'n' {
		return 0, nil
	}
	v, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || v < 1 || v > most {
		return 0, wrong("must be a whole number from 1 to " + strconv.FormatInt(most, 10) + ", written without fraction or exponent")
	}
	return v, nil
}

func hasNUL(raw Quoted) bool {
	for _, c := range raw.Bytes() {
		if c == 0 {
			return true
		}
	}
	return false
}

// empty reports an array without elements.
func empty(raw []byte) bool {
	return raw[0] == '[' && raw[spaceEnd(raw, 1)] == ']'
}

func needOf(raw Quoted) need {
	text := raw.Bytes()
	for _, w := range words {
		if string(text) == w.word {
			return w.need
		}
	}
	return 0
}
