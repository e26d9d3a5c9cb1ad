package catalogue

import (
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"tallyroute/providers"
	"tallyroute/providers/anthropic"
	"tallyroute/providers/bedrock"
	"tallyroute/providers/cohere"
	"tallyroute/providers/gemini"
	"tallyroute/providers/ollama"
	"tallyroute/providers/openai"
	"tallyroute/providers/responses"
	"tallyroute/providers/vertex"
)

// quirks reads how a provider, or one of its models, differs from the OpenAI format, over
// what is already known: lists add up, and an empty list clears the earlier entries.
func (d document) quirks(to *providers.Quirks) read {
	return func(path string, n node) {
		q := providers.Quirks{NoStreamUsage: to.NoStreamUsage, Alternate: to.Alternate}
		d.object(path, n, map[string]read{
			"rename":          table(d.reader, &q.Rename, memberName),
			"drop":            words(d.reader, &q.Drop, droppedMember),
			"known":           words(d.reader, &q.Known, memberName),
			"refuse":          words(d.reader, &q.Refuse, memberName),
			"bounds":          d.bounds(&q.Bounds),
			"efforts":         words(d.reader, &q.Efforts, oneOf("none", "minimal", "low", "medium", "high", "xhigh", "max")),
			"sampling":        scalar(d.reader, &q.Sampling, oneOf(samplings...)),
			"no_reasoning":    table(d.reader, &q.NoReasoning, jsonText),
			"reasons":         scalar(d.reader, &q.Reasons, oneOf(providers.ReasonsAlways, providers.ReasonsAsked)),
			"forced_tools":    scalar(d.reader, &q.ForcedTools, oneOf(providers.ForcedUnreasoned, providers.ForcedAny)),
			"allowed_tools":   scalar(d.reader, &q.AllowedTools, oneOf(providers.AllowedTaken)),
			"call_ids":        scalar(d.reader, &q.CallIDs, oneOf(providers.CallIDsNine)),
			"results":         scalar(d.reader, &q.Results, oneOf(providers.ResultsAnswered)),
			"prefill":         scalar(d.reader, &q.Prefill, oneOf(providers.PrefillNever, providers.PrefillAny)),
			"sign_calls":      scalar(d.reader, &q.SignCalls, oneOf(providers.SignDetails)),
			"search":          scalar(d.reader, &q.Search, oneOf(providers.SearchAny, providers.SearchNever)),
			"call_members":    words(d.reader, &q.CallMembers, callMember),
			"members":         d.members(&q.Members),
			"unreported":      words(d.reader, &q.Unreported, oneOf(providers.Meters()...)),
			"max_tokens":      scalar(d.reader, &q.MaxTokens, memberName),
			"no_stream_usage": scalar(d.reader, &q.NoStreamUsage, yesNo),
			"alternate":       scalar(d.reader, &q.Alternate, yesNo),
			"roles":           table(d.reader, &q.Roles, oneOf("system", "developer", "user", "assistant", "tool")),
			"message_rename":  table(d.reader, &q.MessageRename, messageMember),
			"message_drop":    words(d.reader, &q.MessageDrop, messageMember),
			"path":            scalar(d.reader, &q.Path, callPath),
			"vectors":         scalar(d.reader, &q.Vectors, oneOf(providers.VectorsInt8)),
			"api_version":     scalar(d.reader, &q.APIVersion, apiVersion),
		})
		for at, names := range map[string]map[string]string{
			"rename": q.Rename, "message_rename": q.MessageRename, "no_reasoning": q.NoReasoning,
		} {
			for _, name := range sortedKeys(names) {
				if _, err := memberName(name); err != nil {
					d.fault(path+"."+at+"."+shorten(name), "%s", err)
				}
			}
		}
		for _, list := range []struct{ given, known *[]string }{
			{&q.Drop, &to.Drop},
			{&q.Known, &to.Known},
			{&q.Refuse, &to.Refuse},
			{&q.MessageDrop, &to.MessageDrop},
			{&q.Efforts, &to.Efforts},
			{&q.CallMembers, &to.CallMembers},
			{&q.Unreported, &to.Unreported},
		} {
			if *list.given != nil && len(*list.given) == 0 {
				*list.known = nil
			}
		}
		noUsage, turns := q.NoStreamUsage, q.Alternate
		*to = q.Over(*to)
		to.NoStreamUsage, to.Alternate = noUsage, turns
	}
}

// samplings lists the rules for which sampling settings a model accepts.
var samplings = []string{providers.SamplingAny, providers.SamplingNever, providers.SamplingSingle, providers.SamplingUnreasoned}

// jsonText accepts a value written as JSON.
func jsonText(s string) (string, error) {
	if len(s) > 500 || !json.Valid([]byte(s)) {
		return "", errors.New(`want a value in JSON, such as '{"type":"disabled"}'`)
	}
	return s, nil
}

// checkQuirks finds settings that the provider's wire format ignores.
func (d document) checkQuirks(path string) {
	reads := formats()[d.p.Adapter].settings
	check := func(path, of string, q providers.Quirks) {
		for _, name := range settings(q) {
			if !slices.Contains(reads, name) {
				d.fault(path, "%sthe adapter %s does not read quirks.%s", of, d.p.Adapter, name)
			}
		}
	}
	check(join(path, "quirks"), "", d.p.Quirks)
	for _, m := range d.p.Models {
		check(join(path, "models"), m.ID+": ", m.Quirks)
	}
}

// classes are those that a provider may assign to members.
var classes = []providers.Class{providers.Free, providers.Refused, providers.Charged, providers.Selects, providers.Stored}

// members reads the meaning of the members that a provider accepts: lists of their names, by
// their class or by the meter that charges for them. NAME=VALUE stands for one value of a
// member, NAME=* for all others; NAME<=BOUND for a priced member whose units are limited by its member BOUND.
func (d document) members(into *providers.Members) read {
	return func(path string, n node) {
		var lines []providers.Line
		d.mapping(path, n, func(path, key string, n node) {
			var names []string
			words(d.reader, &names, memberPath)(path, n)
			switch class := providers.Class(key); {
			case slices.Contains(classes, class):
				lines = append(lines, class.Of(names...))
			case slices.Contains(providers.Meters(), key):
				for _, name := range names {
					name, bound, _ := strings.Cut(name, "<=")
					lines = append(lines, providers.PricedBy(key, 0, name, strings.Fields(bound)...))
				}
			default:
				d.fault(path, "want free, unpriced, charged, selects or stored, or a meter: %s", strings.Join(providers.Meters(), ", "))
			}
		})
		*into = providers.NewMembers(lines...)
	}
}

// memberPath accepts a name in the table of members.
func memberPath(s string) (string, error) {
	if !made(s, lowerLetters+strings.ToUpper(lowerLetters)+digits+"_.$-=:*<", 128) {
		return "", errors.New("want a member such as plugins, provider.sort, tools.web_search<=max_uses or speed=standard")
	}
	return s, nil
}

// bounds reads the minimum and maximum of numeric members.
func (d document) bounds(into *map[string]providers.Bound) read {
	return func(path string, n node) {
		all := make(map[string]providers.Bound)
		d.mapping(path, n, func(path, name string, n node) {
			if _, err := memberName(name); err != nil {
				d.fault(path, "%s", err)
				return
			}
			var b providers.Bound
			d.value(path, n, func(path string, n node) {
				d.object(path, n, map[string]read{
					"min": scalar(d.reader, &b.Min, number),
					"max": scalar(d.reader, &b.Max, number),
				})
			})
			all[name] = b
		})
		*into = all
	}
}

// number accepts a number as JSON writes it.
func number(s string) (string, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f != f || strings.Trim(s, "-.0123456789") != "" || strings.HasPrefix(s, ".") || strings.HasSuffix(s, ".") {
		return "", errors.New("want a number such as 1 or 0.5")
	}
	return s, nil
}

// droppedMember accepts the name of a member of a request, or of its tools.
func droppedMember(s string) (string, error) {
	_, err := memberName(strings.TrimPrefix(s, "tools."))
	return s, err
}

// callMember accepts a member that a message with calls must have.
func callMember(s string) (string, error) {
	if s == "content" {
		return s, nil
	}
	return messageMember(s)
}

func messageMember(s string) (string, error) {
	if s == "role" || s == "content" {
		return "", errors.New("role and content cannot be renamed or dropped")
	}
	_, err := memberName(strings.TrimPrefix(strings.TrimPrefix(s, "tool_calls."), "content."))
	return s, err
}

func apiVersion(s string) (string, error) {
	if !made(s, lowerLetters+digits+"-.", 40) {
		return "", errors.New("want a version such as v1 or 2024-10-21")
	}
	return s, nil
}

// placeholder matches where the value of a variable goes in a base URL.
var placeholder = regexp.MustCompile(`\{[a-z_]+\}`)

// variables reads references to what differs between accounts, for the base URL.
func (d document) variables(path string, n node) {
	table(d.reader, &d.p.Variables, credential)(path, n)
	for _, name := range sortedKeys(d.p.Variables) {
		if !placeholder.MatchString("{" + name + "}") {
			d.fault(path+"."+shorten(name), "want a name of lower-case letters")
		}
	}
}

// sample returns the base URL with each variable replaced by a sample value.
func (p Provider) sample() (string, error) {
	for _, at := range placeholder.FindAllString(p.BaseURL, -1) {
		if _, ok := p.Variables[strings.Trim(at, "{}")]; !ok {
			return "", errors.New("has " + at + ", which variables does not have")
		}
	}
	return placeholder.ReplaceAllString(p.BaseURL, "x"), nil
}

// variable accepts a plain word, which can't redirect a base URL to another place.
func variable(s string) (string, error) {
	if s == "" || len(s) > 100 || strings.Trim(strings.ToLower(s), lowerLetters+digits+"-_.") != "" || strings.Trim(s, ".") == "" ||
		strings.Contains(s, "..") {
		return "", errors.New("want a word of letters, digits and -_. for a base URL")
	}
	return s, nil
}

// format is a wire format and the settings among the quirks that it reads. All other settings
// apply to every format, because they change the request before a codec sees it.
type format struct {
	adapter  func() providers.Adapter
	settings []string
}

// openAI returns the settings of the OpenAI format.
func openAI(more ...string) []string {
	return append([]string{"path", "max_tokens", "no_stream_usage", "vectors", "allowed_tools"}, more...)
}

// formats returns all wire formats. A new one is a line here.
func formats() map[string]format {
	return map[string]format{
		"anthropic":      {anthropic.New, []string{"path"}},
		"azure":          {openai.Azure, openAI("api_version")},
		"bedrock":        {bedrock.New, nil},
		"bedrock-invoke": {bedrock.NewInvoke, nil},
		"cohere":         {cohere.New, []string{"path"}},
		"gemini":         {gemini.New, nil},
		"mistral":        {openai.Mistral, openAI()},
		"ollama":         {ollama.New, []string{"path"}},
		"openai":         {openai.New, openAI()},
		"responses":      {responses.New, []string{"path"}},
		"vertex":         {vertex.New, nil},
	}
}

// Adapters returns the names of all wire formats, sorted.
func Adapters() []string { return adapterNames() }

// settings returns the names of the format-specific quirks that are set.
func settings(q providers.Quirks) (list []string) {
	for _, s := range []struct {
		name string
		set  bool
	}{
		{"path", q.Path != ""},
		{"max_tokens", q.MaxTokens != ""},
		{"no_stream_usage", q.NoStreamUsage},
		{"allowed_tools", q.AllowedTools != ""},
		{"vectors", q.Vectors != ""},
		{"api_version", q.APIVersion != ""},
	} {
		if s.set {
			list = append(list, s.name)
		}
	}
	return list
}
