package providers

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"tallyroute/providers/chat"
)

// Adapter implements one wire format: a codec for each operation, nil if the format does not
// support it.
type Adapter struct {
	Chat  ChatCodec
	Embed EmbedCodec
	// Quirks apply to every target of the format, below those declared elsewhere.
	Quirks Quirks
	// LeastOutput is the smallest output limit that the format accepts, in tokens; 0 means
	// any.
	LeastOutput int64
}

// Codec translates one operation into a wire format and back. It is pure: it does not touch
// the network, keeps no state between calls and is safe for concurrent use.
type Codec interface {
	// Encode writes the upstream call for x. It starts from the client's bytes and changes
	// only what must differ.
	Encode(x Exchange) (Call, error)
	// Decode converts a complete response with a 2xx status into the OpenAI format. If the
	// response is something else (an error object, HTML, nothing), it returns an *Error.
	Decode(x Exchange, h http.Header, body []byte) (*chat.Response, error)
	// Fail reads a response with any other status.
	Fail(x Exchange, status int, h http.Header, body []byte) *Error
}

// ChatCodec is the Codec of chat completions.
type ChatCodec interface {
	Codec
	// Stream reads a streamed response with a 2xx status. Closing the stream closes body.
	Stream(x Exchange, body io.ReadCloser) chat.Stream
	// Usage reads the usage from a response, or from a part of one, that may be invalid in
	// other respects; it returns nil if there is none.
	Usage(x Exchange, body []byte) *chat.Usage
}

// EmbedCodec is the Codec of embeddings. Its response has one vector per input, in the order
// of the inputs and in the encoding that the client asked for.
type EmbedCodec interface {
	Codec
	// InputsPerCall returns the number of inputs that one call for x may have; 0 means any.
	InputsPerCall(x Exchange) int64
}

// Operation is one kind of request that clients make to models. Everything that differs
// between operations, outside the codecs, is in one table, so that no other code has to
// distinguish them.
type Operation int

// The operations.
const (
	Chat  Operation = iota // a chat completion
	Embed                  // vectors of texts
)

// operation is a row of the table.
type operation struct {
	name  string // for errors, and as an ability of models in the catalogue
	path  string // in the public API
	parse func(l chat.Limits, body []byte) (*chat.Request, error)
	// output is set if responses consist of output tokens: a request limits them, and they
	// share the model's context with the prompt. Otherwise each input has the context to
	// itself.
	output bool
	ours   []string              // members that the codecs and the router handle and that no quirk removes
	known  bool                  // Quirks.Known lists members of this operation
	codec  func(a Adapter) Codec // nil if a has none
	stream func(x Exchange, body io.ReadCloser) chat.Stream
	usage  func(x Exchange, body []byte) *chat.Usage // of a response to a chat codec that cannot be read; nil uses the OpenAI format's
	// parts splits x into several requests if one call cannot carry it all; join combines
	// their responses into one.
	parts func(x Exchange) ([]*chat.Request, error)
	join  func(x Exchange, parts []*chat.Response) (*chat.Response, error)
}

// operations holds the rows. To add an operation, add a constant and a row.
var operations = [...]operation{
	Chat: {
		name: "chat", path: "/v1/chat/completions", parse: chat.Limits.Parse, output: true, known: true,
		ours:  []string{"model", "messages", "stream", "stream_options", maxTokens, maxCompletion},
		codec: func(a Adapter) Codec { return a.Chat },
		stream: func(x Exchange, body io.ReadCloser) chat.Stream {
			return x.Target.Adapter.Chat.Stream(x, body)
		},
		usage: func(x Exchange, body []byte) *chat.Usage { return x.Target.Adapter.Chat.Usage(x, body) },
	},
	Embed: {
		name: "embeddings", path: "/v1/embeddings", parse: chat.Limits.ParseEmbedding,
		ours:  []string{"model", "input", "encoding_format"},
		codec: func(a Adapter) Codec { return a.Embed },
		parts: splitInputs,
		join: func(x Exchange, parts []*chat.Response) (*chat.Response, error) {
			return chat.JoinVectors(parts, x.Request)
		},
	},
}

// Operations returns all operations.
func Operations() []Operation {
	list := make([]Operation, len(operations))
	for i := range list {
		list[i] = Operation(i)
	}
	return list
}

// String returns the name of o, used in errors and as an ability of models.
func (o Operation) String() string { return operations[o].name }

// Path returns the path of o in the public API.
func (o Operation) Path() string { return operations[o].path }

// Parse reads the body of a request for o.
func (o Operation) Parse(body []byte, l chat.Limits) (*chat.Request, error) {
	return operations[o].parse(l, body)
}

// HasOutput reports whether responses consist of output tokens, which a request limits and
// which share the model's context with the prompt. Otherwise each input has the context to
// itself.
func (o Operation) HasOutput() bool { return operations[o].output }

// Streams reports whether responses may be streamed.
func (o Operation) Streams() bool { return operations[o].stream != nil }

// Serves reports whether t is a model for o and its adapter can make the call.
func (t *Target) Serves(o Operation) bool {
	return t.Can.Operation == o && operations[o].codec(t.Adapter) != nil
}

// codec returns the codec for x's operation; nil if the adapter has none.
func (x Exchange) codec() Codec { return operations[x.Operation].codec(x.Target.Adapter) }

var errNoCodec = errors.New("providers: the adapter has no codec for the operation")

// Encode writes the call for x. The quirks of the target are applied before the codec runs.
func Encode(x Exchange) (Call, error) {
	codec := x.codec()
	if codec == nil {
		return Call{}, fmt.Errorf("%w: %s", errNoCodec, x.Operation)
	}
	if x.Native != nil {
		return x.native(codec)
	}
	if x.Unsayable != nil {
		return Call{}, x.Unsayable
	}
	names := x.aliases()
	x, err := x.renamed(names)
	if err != nil {
		return Call{}, err
	}
	x, gone, err := x.paired(names)
	if err != nil {
		return Call{}, err
	}
	x, lost, err := x.declared()
	if err != nil {
		return Call{}, err
	}
	call, err := codec.Encode(x)
	call.Dropped, call.aliases = told(gone, lost, call.Dropped), names
	return call, err
}

// told merges the names of lost members as they are reported to the client, without
// duplicates.
func told(lists ...[]string) (all []string) {
	for _, list := range lists {
		for _, name := range list {
			all = Lose(all, shown(name))
		}
	}
	return all
}

// shown returns a client's name for a member in a form that is safe to repeat in a header.
func shown(name string) string {
	const most = 64
	name = strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f || r == ',' {
			return '?'
		}
		return r
	}, name)
	return name[:min(len(name), most)]
}

// The meters, under the names that package chat gives them.
const (
	MeterWebSearch     = chat.MeterWebSearch
	MeterWebFetch      = chat.MeterWebFetch
	MeterCodeExecution = chat.MeterCodeExecution
	MeterContainer     = chat.MeterContainer
	MeterFileSearch    = chat.MeterFileSearch
	MeterGrounding     = chat.MeterGrounding
	MeterMaps          = chat.MeterMaps
	MeterImage         = chat.MeterImage
	MeterCitation      = chat.MeterCitation
	MeterToolCall      = chat.MeterToolCall
)

// Use is how much a request may use of something that a provider charges for besides tokens.
type Use struct {
	Meter string
	Most  int64 // units; 0 means that the request sets no limit
}
