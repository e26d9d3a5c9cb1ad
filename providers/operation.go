package providers

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"tallyroute/providers/chat"
)

// Adapter is one wire format: a codec for each operation, nil where it has none.
type Adapter struct {
	Chat  ChatCodec
	Embed EmbedCodec
	// Quirks hold for every target of the format, under what else is declared.
	Quirks Quirks
	// LeastOutput is the smallest bound of the output that the format takes, in tokens;
	// 0 is any.
	LeastOutput int64
}

// Codec translates one operation into a wire format and back. It is pure: it
// touches no network, keeps no state between calls and may be used by many
// goroutines at once.
type Codec interface {
	// Encode writes the upstream call for x. It starts from the client's bytes
	// and changes only what must differ.
	Encode(x Exchange) (Call, error)
	// Decode reads a whole answer with a 2xx status into the OpenAI format. An
	// answer that is something else (an error object, HTML, nothing) is an *Error.
	Decode(x Exchange, h http.Header, body []byte) (*chat.Response, error)
	// Fail reads an answer with any other status.
	Fail(x Exchange, status int, h http.Header, body []byte) *Error
}

// ChatCodec is the Codec of chat completions.
type ChatCodec interface {
	Codec
	// Stream reads a streamed answer with a 2xx status and closes body with itself.
	Stream(x Exchange, body io.ReadCloser) chat.Stream
	// Usage reads the usage of an answer, or of a part of one, that need not be an
	// answer otherwise; nil where it has none.
	Usage(x Exchange, body []byte) *chat.Usage
}

// EmbedCodec is the Codec of embeddings. An answer has one vector for each input,
// in their order and in the encoding that the client asked for.
type EmbedCodec interface {
	Codec
	// InputsPerCall is how many inputs one call for x may have; 0 is any number.
	InputsPerCall(x Exchange) int64
}

// Operation is one thing that clients ask of models. All that the operations
// differ in outside of the codecs stands in one table, so that nobody asks which
// of them a request is.
type Operation int

// The operations.
const (
	Chat  Operation = iota // a chat completion
	Embed                  // vectors of texts
)

// operation is a row of the table.
type operation struct {
	name  string // in errors, and as an ability of models in the catalogue
	path  string // of the public API
	parse func(l chat.Limits, body []byte) (*chat.Request, error)
	// output is set where answers are tokens of output: a request bounds them, and
	// they share the model's context with the prompt. Elsewhere each input has the
	// context to itself.
	output bool
	ours   []string              // members that the codecs and the router see to, which no quirk takes out
	known  bool                  // what an adapter or a provider is declared to know are members of this operation
	codec  func(a Adapter) Codec // nil where a has none
	stream func(x Exchange, body io.ReadCloser) chat.Stream
	usage  func(x Exchange, body []byte) *chat.Usage // of a chat codec's answer that cannot be read; nil is the OpenAI format's
	// parts are the requests, more than one, as which x must be sent because one
	// call cannot have all of it; join makes one answer of theirs.
	parts func(x Exchange) ([]*chat.Request, error)
	join  func(x Exchange, parts []*chat.Response) (*chat.Response, error)
}

// operations are the rows. A new operation is a constant and a row.
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

// Operations are all that there are.
func Operations() []Operation {
	list := make([]Operation, len(operations))
	for i := range list {
		list[i] = Operation(i)
	}
	return list
}

// String is the name of o, in errors and as an ability of models.
func (o Operation) String() string { return operations[o].name }

// Path is where the public API has o.
func (o Operation) Path() string { return operations[o].path }

// Parse reads the body of a request for o.
func (o Operation) Parse(body []byte, l chat.Limits) (*chat.Request, error) {
	return operations[o].parse(l, body)
}

// HasOutput reports that answers are tokens of output, which a request bounds and
// which share the model's context with the prompt. Elsewhere each input has the
// context to itself.
func (o Operation) HasOutput() bool { return operations[o].output }

// Streams reports that answers may be streamed.
func (o Operation) Streams() bool { return operations[o].stream != nil }

// Serves reports whether t is a model for o and its adapter knows how to ask.
func (t Target) Serves(o Operation) bool {
	return t.Can.Operation == o && operations[o].codec(t.Adapter) != nil
}

// codec is the one that x is for.
func (x Exchange) codec() Codec { return operations[x.Operation].codec(x.Target.Adapter) }

// parts are the requests as which x must be sent; none where one call will do.
func (x Exchange) parts() ([]*chat.Request, error) {
	if split := operations[x.Operation].parts; split != nil {
		return split(x)
	}
	return nil, nil
}

var errNoCodec = errors.New("providers: the adapter has no codec for the operation")

// Encode writes the call for x: its codec does, after the quirks of the target.
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

// told are the names of what is lost, as the client is told them: each once.
func told(lists ...[]string) (all []string) {
	for _, list := range lists {
		for _, name := range list {
			all = Lose(all, shown(name))
		}
	}
	return all
}

// shown is a client's name for a member as a header may repeat it.
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

// The meters, as package chat names them.
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

// Use is how much a request may use of what a provider charges for besides tokens.
type Use struct {
	Meter string
	Most  int64 // units; 0 is not bounded by the request
}
