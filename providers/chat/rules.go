package chat

import (
	"strconv"
	"unicode"

	"tallyroute/providers/jsonraw"
)

// maxCount is the largest count that every parser represents exactly.
const maxCount = 1 << 53

// views holds what was read from a request.
type views struct {
	limits                      Limits
	model                       string
	stream, wantsUsage          bool
	n, maxTokens, maxCompletion int64 // 0 if the client does not say
	need                        uint8
	messages                    []messageIndex
	parts                       int64
	message                     messageIndex // the message being scanned
	tool                        toolMarks    // of the tool being scanned
	tools                       int          // tools scanned so far
	media                       bool         // a part has a member that may contain or name something other than text
	stores                      bool         // asks for the response to be stored at the provider
	noted                       []Noted
	settled                     bool   // scanning is complete; what is set later is not noted
	root                        *field // the kind of request

	inputs     int64 // of an embedding request: how many vectors it asks for
	ids        bool  // the inputs are tokens
	dimensions int64 // 0 if the client does not say
	base64     bool  // asks for vectors in base64
}

// messageIndex is the place of a message, relative to the start of messages.
type messageIndex struct{ whole, role, name jsonraw.Span }

// Read checks and reads a value whose type is correct.
func (v *views) Read(from jsonraw.Value) *jsonraw.FieldError {
	raw := from.Raw
	null := jsonraw.IsNull(raw)
	var err *jsonraw.FieldError
	switch from.Field.Rule {
	case ruleRefused:
		return &jsonraw.FieldError{Code: "unknown_parameter", Message: "leave this member out; it is not supported here"}
	case ruleModel:
		v.model = jsonraw.Quoted(raw).String()
		err = checkModel(v.model)
	case ruleStream:
		v.stream = raw[0] == 't'
	case ruleWantsUsage:
		v.wantsUsage = raw[0] == 't'
	case ruleN:
		v.n, err = count(raw, v.limits.N)
	case ruleMaxTokens:
		v.maxTokens, err = count(raw, maxCount)
	case ruleMaxCompletion:
		v.maxCompletion, err = count(raw, maxCount)
	case ruleMessages:
		if jsonraw.IsEmptyArray(raw) {
			err = jsonraw.Wrong("must hold at least one message")
		}
	case ruleMessage:
		if int64(len(v.messages)) == v.limits.Messages {
			return tooMany(v.limits.Messages, "messages")
		}
		v.message.whole = from.At
		v.messages = append(v.messages, v.message)
		v.message = messageIndex{}
	case ruleRole:
		v.message.role = from.At
	case ruleName:
		if !null {
			v.message.name = from.At
		}
	case ruleNeed:
		v.media = v.media || from.Field.Need&(needVision|needAudio|needDocuments) != 0
		if !null && !jsonraw.IsEmptyArray(raw) {
			v.need |= from.Field.Need &^ needHosted
		}
		if from.Field.Need == needVision {
			err = v.reference(raw, longName)
		}
	case ruleToolType, ruleOwnTool, ruleOddTool:
		v.tool.see(from.Field, raw)
	case rulePart:
		err = v.part()
	case ruleTool:
		if err = v.part(); err == nil {
			err = v.endTool(from)
		}
	case ruleNoted:
		v.media = v.media || from.Top != nil && from.Top.Name == "messages"
		err = v.note(from.Path, raw)
	case ruleModality:
		v.need |= needOf(raw) & from.Top.Need
		err = v.modality(raw)
	case ruleReference:
		v.media = true
		err = v.reference(raw, longName)
	case ruleBytes:
		v.media = true
		err = v.reference(raw, 0)
	case ruleVoice:
		err = v.voice(raw)
	case ruleStore:
		v.stores = raw[0] == 't'
	case ruleInput:
		v.inputs, v.ids, err = readInput(raw)
	case ruleDimensions:
		v.dimensions, err = count(raw, maxDimensions)
	case ruleEncoding:
		v.base64, err = readEncoding(raw)
	case ruleNeedWord:
		v.need |= needOf(raw) & from.Top.Need
	}
	return err
}

// part counts one more part.
func (v *views) part() *jsonraw.FieldError {
	if v.parts++; v.parts > v.limits.Parts {
		return tooMany(v.limits.Parts, "parts and tools")
	}
	return nil
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

// count reads a number that must be written as a plain whole number, so that no two parsers
// can disagree about it. null is read as 0, which means none.
func count(raw []byte, most int64) (int64, *jsonraw.FieldError) {
	if jsonraw.IsNull(raw) {
		return 0, nil
	}
	v, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || v < 1 || v > most {
		return 0, jsonraw.Wrong("must be a whole number from 1 to " + strconv.FormatInt(most, 10) +
			", written without fraction or exponent")
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
