package anthropic

import (
	"net/http"
	"strconv"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/jsonraw"
)

// Speaks is the format of clients whose requests pass as they are.
func (Completions) Speaks(*providers.Target) providers.Format { return providers.Messages }

// native writes the call for a request of the Messages API itself. What is edited: the
// model's name, which some hosts have in the path; the bound of the output where it is
// above what the model, or what is left of a budget, allows; and where betas are named.
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

// betaMember names betas in a body.
const betaMember = "anthropic_beta"

// betasOf are those that the client asks for, in its header or in the body, as far as
// they may be sent.
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

// bounded lowers the bound of the output, and what of it may be thought.
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
