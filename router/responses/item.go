package responses

import (
	"strconv"

	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// item is an output item, in progress or complete.
type item struct {
	kind   string // message, reasoning, function_call or custom_tool_call
	id     string
	index  int // in the output
	key    int // for a call, its index in the chat
	callID string
	of     member          // for a call, the tool
	parts  []*piece        // of a message, or of the summary of reasoning
	input  translate.Words // for a call
	proof  string          // for reasoning: what its provider needs to see again
	raw    []byte          // as its provider wrote it: complete, or of a kind that is only passed on
}

// piece is a part of a message, or of a reasoning summary.
type piece struct {
	kind        string // output_text, refusal or summary_text
	text        translate.Words
	annotations [][]byte
	done        bool // according to a provider whose events are passed on
}

// prefix returns the prefix of an item's id.
func prefix(kind string) string {
	switch kind {
	case "message":
		return "msg_"
	case "reasoning":
		return "rs_"
	case "custom_tool_call":
		return "ctc_"
	}
	return "fc_"
}

// write writes as much of the item as has arrived.
func (i *item) write(o *jsonraw.Object, status string) {
	if i.raw != nil {
		for name, value := range jsonraw.Each(i.raw) {
			o.Raw(string(name), value)
		}
		return
	}
	o.Text("id", i.id)
	o.Text("type", i.kind)
	switch i.kind {
	case "message":
		o.Text("status", status)
		o.Text("role", "assistant")
		i.writeParts(o, "content")
	case "reasoning":
		i.writeParts(o, "summary")
		if i.proof != "" {
			o.Text("encrypted_content", i.proof)
		} else {
			o.Word("encrypted_content", "null")
		}
	default:
		o.Text("status", status)
		o.Text("call_id", i.callID)
		o.Some("namespace", i.of.namespace)
		o.Text("name", i.of.name)
		o.Inside(i.member(), i.input)
	}
}

// member returns the name of the member that holds a call's text.
func (i *item) member() string {
	if i.kind == "custom_tool_call" {
		return "input"
	}
	return "arguments"
}

func (i *item) writeParts(o *jsonraw.Object, name string) {
	o.Key(name)
	o.Open('[')
	for _, p := range i.parts {
		o.Open('{')
		p.write(o)
		o.Close('}')
	}
	o.Close(']')
}

func (p *piece) write(o *jsonraw.Object) {
	o.Text("type", p.kind)
	switch p.kind {
	case "refusal":
		o.Inside("refusal", p.text)
	case "output_text":
		o.Inside("text", p.text)
		o.Key("annotations")
		o.Value(jsonraw.Array(p.annotations))
		o.Word("logprobs", "[]")
	default:
		o.Inside("text", p.text)
	}
}

// citation converts a chat citation, whose members are in the annotation itself here.
func citation(annotation []byte) []byte {
	page := jsonraw.Lookup(annotation, "url_citation")
	if !jsonraw.IsObject(page) {
		return annotation
	}
	var o jsonraw.Object
	o.Text("type", "url_citation")
	for name, value := range jsonraw.Each(page) {
		o.Raw(string(name), value)
	}
	return o.Bytes()
}

// itemID returns the id of an item: always the same for the same position in an answer.
func itemID(kind, response string, index int) string {
	return translate.Derived(prefix(kind), response, strconv.Itoa(index))
}
