package chat

import (
	"strconv"
	"unicode"

	"tallyroute/providers/jsonraw"
)

// maxCount is the largest count that every parser holds exactly.
const maxCount = 1 << 53

// views are what was read from a request.
type views struct {
	limits                      Limits
	model                       string
	stream, wantsUsage          bool
	n, maxTokens, maxCompletion int64 // 0 where the client does not say
	need                        uint8
	messages                    []messageIndex
	message                     messageIndex // the one that is being scanned
	ownTool                     bool         // the tool that is being scanned runs at the client
	root                        *field       // what kind of request it is

	inputs     int64 // of a request for embeddings: how many vectors it asks for
	ids        bool  // its inputs are tokens
	dimensions int64 // 0 where the client does not say
	base64     bool  // asks for vectors in base64
}

// messageIndex is where a message lies, counted from the start of messages.
type messageIndex struct{ whole, role, name jsonraw.Span }

// Read checks and reads a value whose type is right.
func (s *views) Read(v jsonraw.Value) *jsonraw.FieldError {
	raw := v.Raw
	null := jsonraw.IsNull(raw)
	var err *jsonraw.FieldError
	switch v.Field.Rule {
	case ruleRefused:
		return &jsonraw.FieldError{Code: "unknown_parameter", Message: "leave this member out; it is not supported here"}
	case ruleModel:
		s.model = jsonraw.Quoted(raw).String()
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
	case ruleMessages:
		if jsonraw.IsEmptyArray(raw) {
			err = jsonraw.Wrong("must hold at least one message")
		}
	case ruleMessage:
		s.message.whole = v.At
		s.messages = append(s.messages, s.message)
		s.message = messageIndex{}
	case ruleRole:
		s.message.role = v.At
	case ruleName:
		if !null {
			s.message.name = v.At
		}
	case ruleNeed:
		if !null && !jsonraw.IsEmptyArray(raw) {
			s.need |= v.Field.Need &^ needHosted
		}
	case ruleToolType:
		s.ownTool = s.ownTool || string(raw) == `"function"` || string(raw) == `"custom"`
	case ruleOwnTool:
		s.ownTool = s.ownTool || !null
	case ruleTool:
		if !s.ownTool {
			s.need |= needHosted & v.Top.Need
		}
		s.ownTool = false
	case ruleInput:
		s.inputs, s.ids, err = readInput(raw)
	case ruleDimensions:
		s.dimensions, err = count(raw, maxDimensions)
	case ruleEncoding:
		s.base64, err = readEncoding(raw)
	case ruleNeedWord:
		s.need |= needOf(raw) & v.Top.Need
	}
	return err
}

func (l Limits) maxN() int64 {
	if l.N > 0 {
		return l.N
	}
	return MaxN
}

func checkModel(name string) *jsonraw.FieldError {
	if name == "" {
		return jsonraw.Wrong("must name a model")
	}
	if len(name) > MaxModel {
		return jsonraw.Wrong("must be at most " + strconv.Itoa(MaxModel) + " bytes long")
	}
	for _, r := range name {
		if unicode.IsControl(r) {
			return jsonraw.Wrong("must not hold control characters")
		}
	}
	return nil
}

// count reads a number that must be written as a plain whole one, so that no two
// parsers can disagree about it; null is 0, for none.
func count(raw []byte, most int64) (int64, *jsonraw.FieldError) {
	if jsonraw.IsNull(raw) {
		return 0, nil
	}
	v, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || v < 1 || v > most {
		return 0, jsonraw.Wrong("must be a whole number from 1 to " + strconv.FormatInt(most, 10) + ", written without fraction or exponent")
	}
	return v, nil
}

func needOf(raw jsonraw.Quoted) uint8 {
	text := raw.Bytes()
	for _, w := range words {
		if string(text) == w.word {
			return w.need
		}
	}
	return 0
}
