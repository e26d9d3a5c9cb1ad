package responses

import (
	"cmp"
	"strconv"

	"tallyroute/providers"
	"tallyroute/providers/jsonraw"
)

// encrypted asks for encrypted reasoning, which can be sent back if nothing is stored.
const encrypted = `"reasoning.encrypted_content"`

// Speaks returns the format of the clients whose requests pass through unchanged.
func (completions) Speaks(*providers.Target) providers.Format { return providers.Responses }

// native writes the call for a request that is already in the Responses API's format. It
// changes the model's name; the limit on the output, if the client's is missing or too high; and
// store, if the key must not store anything at the provider: what the model needs of its
// reasoning is then returned encrypted. Requests for anything but an answer have neither limit nor
// store.
func native(x providers.Exchange) (providers.Call, error) {
	body := x.Native.Body
	set := []jsonraw.Member{{Name: "model", Value: jsonraw.Quote(x.Target.Upstream)}}
	p := cmp.Or(x.Target.Quirks.Path, path) + x.Native.Path
	if x.Native.Unbounded() {
		return providers.Call{Path: p, Body: jsonraw.Edit(body, set)}, nil
	}
	if n, own := x.MaxOutput, x.Request.MaxOutput(); n > 0 && (own == 0 || n < own) {
		if n < least {
			return providers.Call{}, errLeast
		}
		set = append(set, jsonraw.Member{Name: "max_output_tokens", Value: strconv.AppendInt(nil, n, 10)})
	}
	if !x.Stored && string(jsonraw.Lookup(body, "store")) != "false" {
		set = append(set, jsonraw.Member{Name: "store", Value: []byte("false")})
		if x.Target.Can.Reasoning {
			set = append(set, jsonraw.Member{Name: "include", Value: including(jsonraw.Lookup(body, "include"))})
		}
	}
	return providers.Call{Path: p, Body: jsonraw.Edit(body, set)}, nil
}

// including returns a list of what to include, with encrypted reasoning added.
func including(list []byte) []byte {
	var all [][]byte
	for name := range jsonraw.Elements(list) {
		if string(name) == encrypted {
			return list
		}
		all = append(all, name)
	}
	return jsonraw.Array(append(all, []byte(encrypted)))
}
