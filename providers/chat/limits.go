package chat

import (
	"strconv"

	"tallyroute/providers/jsonraw"
)

// Bounds of a request that no parser behind us should have to survive.
const (
	MaxMessages = 16384 // unless Limits says otherwise, like the next two
	MaxParts    = 16384
	MaxN        = 8 // choices
	MaxMetadata = 16
	MaxInputs   = 2048 // texts, or lists of tokens, of one request for embeddings
	MaxModel    = 256  // bytes of the model's name
	maxEndUser  = 256

	maxDimensions = 1 << 20 // of a vector
)

// Limits are the bounds of a request that an operator may move. The zero value of each
// is the default.
type Limits struct {
	N        int64 // most choices that one request may ask for
	Messages int64
	// Parts are the elements of lists of which a format makes something of its own:
	// of content, tool calls and reasoning of all messages, and tools.
	Parts int64
}

func (l Limits) filled() Limits {
	for _, d := range []struct {
		at    *int64
		value int64
	}{{&l.N, MaxN}, {&l.Messages, MaxMessages}, {&l.Parts, MaxParts}} {
		if *d.at <= 0 {
			*d.at = d.value
		}
	}
	return l
}

// tooMany is a request with more of something than it may have.
func tooMany(most int64, what string) *jsonraw.FieldError {
	return jsonraw.Wrong("is beyond the " + strconv.FormatInt(most, 10) + " " + what + " that a request may have; send fewer")
}
