package translate

import (
	"encoding/base64"
	"strings"

	"tallyroute/providers/jsonraw"
)

// carriedMark begins a signature, or the data of hidden reasoning, in which what a
// provider needs to see again travels to a client that speaks another format, and back.
// No provider's own begins like this.
const carriedMark = "tallyroute1."

// Carry packs reasoning_details, and what calls come with (extra_content, by their ids),
// into one text; "" if there is nothing to be packed.
func Carry(details [][]byte, calls []SpokenCall) string {
	var o, extras jsonraw.Object
	o.Array("details", details)
	for _, c := range calls {
		if c.Extra != nil && c.ID != "" {
			extras.Raw(c.ID, c.Extra)
		}
	}
	o.Object("calls", extras)
	if o.Empty() {
		return ""
	}
	return carriedMark + base64.RawURLEncoding.EncodeToString(o.Bytes())
}

// Carried is what Carry packed, by the id of a call its extra_content; false for any
// other text.
func Carried(text string) (details [][]byte, extra func(call string) []byte, ok bool) {
	packed, ok := strings.CutPrefix(text, carriedMark)
	if !ok {
		return nil, nil, false
	}
	raw, err := base64.RawURLEncoding.DecodeString(packed)
	if err != nil || Valid(raw) != nil {
		return nil, nil, false
	}
	calls := jsonraw.Lookup(raw, "calls")
	return list(jsonraw.Lookup(raw, "details")), func(call string) []byte { return jsonraw.Lookup(calls, call) }, true
}
