package anthropic

import (
	"net/http"
	"strconv"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/jsonraw"
)

// Speaks returns the format of the clients whose requests pass through unchanged.
func (Completions) Speaks(*providers.Target) providers.Format { return providers.Messages }

// native writes the call for a request that is already in the Messages API's format. It
// changes the model's name, which some hosts put in the path; the limit on the output, where
// it exceeds what the model or the remaining budget allows; and where betas are named.
func (a Completions) native(x providers.Exchange) (providers.Call, error) {
	body := x.Native.Body
	drop := []string{betaMember}
	var set []jsonraw.Member
	if a.host.Version == "" {
		set = append(set, jsonraw.Member{Name: "model", Value: jsonraw.Quote(x.Target.Upstream)})
	} else {
		set = append(set, jsonraw.Member{Name: "anthropic_version", Value: jsonraw.Quote(a.host.Version)})
		drop = append(drop, "model")
	}
	if a.host.NoStream {
		drop = append(drop, "stream")
	}
	if n := x.MaxOutput; n > 0 && n < x.Request.MaxOutput() {
		set = append(set, bounded(body, n)...)
	}
	betas, lost := betasOf(x)
	call := providers.Call{Path: a.path(x)}
	if lost {
		call.Dropped = []string{"anthropic-beta"}
	}
	if a.host.Version == "" {
		call.Header = http.Header{"Anthropic-Version": {version}}
		if len(betas) > 0 {
			call.Header["Anthropic-Beta"] = []string{strings.Join(betas, ",")}
		}
	} else if len(betas) > 0 {
		set = append(set, jsonraw.Member{Name: betaMember, Value: quoted(betas)})
		drop = drop[1:]
	}
	call.Body = jsonraw.Edit(body, set, drop...)
	return call, nil
}

// betaMember is the member of a body that names betas.
const betaMember = "anthropic_beta"

// betasOf returns the betas that the client asks for, in its header or in the body, if
// they may be sent; lost reports that some were left out.
func betasOf(x providers.Exchange) (names []string, lost bool) {
	member := jsonraw.Lookup(x.Native.Body, betaMember)
	asked := x.Native.Betas
	for raw := range jsonraw.Elements(member) {
		asked = append(asked[:len(asked):len(asked)], providers.Betas([]string{jsonraw.Text(raw)})...)
	}
	asked = append(asked[:len(asked):len(asked)], providers.Betas([]string{jsonraw.Text(member)})...)
	for _, name := range asked {
		if len(names) == mostBetas || len(name) > longestBeta || strings.ContainsFunc(name, notInBeta) || !x.TakesBeta(betaMember, name) {
			lost = true
			continue
		}
		names = append(names, name)
	}
	return names, lost
}

func quoted(texts []string) []byte {
	list := make([][]byte, len(texts))
	for i, t := range texts {
		list[i] = jsonraw.Quote(t)
	}
	return jsonraw.Array(list)
}

// bounded lowers the limit on the output, and the thinking budget within it.
func bounded(body []byte, n int64) []jsonraw.Member {
	set := []jsonraw.Member{{Name: "max_tokens", Value: strconv.AppendInt(nil, n, 10)}}
	thinking := jsonraw.Lookup(body, "thinking")
	if budget, err := strconv.ParseInt(string(jsonraw.Lookup(thinking, "budget_tokens")), 10, 64); err == nil && budget >= n {
		lower := n / 4 * 3
		if lower < leastBudget {
			return append(set, jsonraw.Member{Name: "thinking", Value: []byte(`{"type":"disabled"}`)})
		}
		value := jsonraw.Edit(thinking, []jsonraw.Member{{Name: "budget_tokens", Value: strconv.AppendInt(nil, lower, 10)}})
		set = append(set, jsonraw.Member{Name: "thinking", Value: value})
	}
	return set
}
