package catalogue

import (
	"slices"
	"strings"

	"tallyroute/providers"
)

// family describes what is special about the models of one family, wherever they are served:
// a rule for matching names. If several rules match, later ones override earlier ones.
type family struct {
	name     string   // a word in the model's name: gpt, claude, kimi
	from, to int      // versions, such as 501 for 5.1; a to of 0 means no upper limit
	with     []string // the name must have one of these words
	without  []string // the name must have none of these words
	openAI   bool     // for OpenAI formats only: the other adapters handle it themselves
	quirks   providers.Quirks
}

// Levels of effort.
var (
	three    = []string{"low", "medium", "high"}
	four     = []string{"low", "medium", "high", "xhigh"}
	fromNone = []string{"none", "low", "medium", "high"}
	all5     = []string{"none", "low", "medium", "high", "xhigh"}
)

// families returns the rules. Sources: OpenAI's model references and what its models refuse;
// Anthropic's pages on extended thinking and on what is new in each model; and the pages on
// reasoning of xAI, Moonshot, DeepSeek and Mistral.
func families() []family {
	bound := providers.Quirks{MaxTokens: "max_completion_tokens"}
	chats := []string{"chat", "instant"}
	mistral := providers.Quirks{CallIDs: providers.CallIDsNine, Results: providers.ResultsAnswered}
	return []family{
		{name: "gpt", from: 1, to: 499, without: []string{"oss", "search"}, quirks: dropping("reasoning_effort", "verbosity")},
		{name: "chatgpt", from: 1, to: 499, quirks: dropping("reasoning_effort", "verbosity")},
		{name: "gpt", from: 1, with: []string{"search"}, quirks: providers.Quirks{Sampling: providers.SamplingNever}},
		{name: "gpt", with: []string{"oss"}, openAI: true, quirks: providers.Quirks{Efforts: three}},

		{name: "gpt", from: 500, without: []string{"oss"}, openAI: true, quirks: bound},
		{
			name: "gpt", from: 500, without: []string{"chat", "instant", "oss", "search"},
			quirks: reasoner(all5, providers.SamplingNever, "stop"),
		},
		{name: "gpt", from: 500, to: 500, without: []string{"chat", "search"}, quirks: providers.Quirks{
			Efforts: []string{"minimal", "low", "medium", "high"},
		}},
		{name: "gpt", from: 501, to: 504, without: []string{"chat", "instant", "codex", "pro"}, quirks: providers.Quirks{
			Sampling: providers.SamplingUnreasoned,
		}},
		{name: "gpt", from: 501, to: 501, quirks: providers.Quirks{Efforts: fromNone}},
		{name: "gpt", from: 500, with: []string{"codex"}, quirks: providers.Quirks{Efforts: three}},
		{name: "gpt", from: 501, to: 501, with: []string{"max"}, quirks: providers.Quirks{Efforts: four}},
		{name: "gpt", from: 502, with: []string{"codex"}, quirks: providers.Quirks{Efforts: four}},
		{name: "gpt", from: 500, to: 500, with: []string{"pro"}, quirks: providers.Quirks{Efforts: []string{"high"}}},
		{name: "gpt", from: 501, with: []string{"pro"}, quirks: providers.Quirks{Efforts: []string{"medium", "high", "xhigh"}}},
		{name: "gpt", from: 500, to: 500, with: chats, quirks: dropping("reasoning_effort", "verbosity")},
		{name: "gpt", from: 501, to: 502, with: chats, quirks: reasoner([]string{"medium"}, providers.SamplingNever, "stop")},
		{name: "gpt", from: 503, with: chats, quirks: dropping("reasoning_effort", "verbosity")},

		{name: "o", from: 100, openAI: true, quirks: bound},
		{name: "o", from: 100, quirks: reasoner(three, providers.SamplingNever, "parallel_tool_calls", "verbosity")},
		{name: "o", from: 300, to: 399, without: []string{"mini"}, quirks: dropping("stop")},
		{name: "o", from: 400, quirks: dropping("stop")},

		{name: "claude", from: 307, openAI: true, quirks: providers.Quirks{Reasons: providers.ReasonsAsked}},
		{name: "claude", from: 307, to: 400, openAI: true, quirks: providers.Quirks{
			Sampling: providers.SamplingUnreasoned, ForcedTools: providers.ForcedUnreasoned,
		}},
		{name: "claude", from: 401, to: 406, openAI: true, quirks: providers.Quirks{
			Sampling: providers.SamplingSingle, ForcedTools: providers.ForcedUnreasoned,
		}},
		{name: "claude", from: 407, openAI: true, quirks: providers.Quirks{
			Sampling: providers.SamplingNever, ForcedTools: providers.ForcedUnreasoned,
		}},
		{name: "claude", from: 406, openAI: true, quirks: providers.Quirks{Prefill: providers.PrefillNever}},

		{name: "grok", from: 400, without: []string{"non"}, quirks: dropping("presence_penalty", "frequency_penalty", "stop")},
		{name: "grok", from: 300, to: 399, without: []string{"mini"}, quirks: dropping("reasoning_effort")},
		{name: "grok", from: 300, to: 399, with: []string{"mini"}, quirks: reasoner(
			[]string{"low", "high"}, "", "presence_penalty", "frequency_penalty", "stop",
		)},
		{name: "grok", from: 400, to: 402, quirks: dropping("reasoning_effort")},
		{name: "grok", from: 403, to: 419, without: []string{"non"}, quirks: providers.Quirks{Efforts: fromNone}},
		{name: "grok", from: 420, to: 420, with: []string{"reasoning"}, quirks: dropping("reasoning_effort")},
		{name: "grok", from: 420, to: 420, with: []string{"agent"}, quirks: providers.Quirks{Efforts: four}},
		{name: "grok", with: []string{"code", "build"}, quirks: dropping(
			"presence_penalty", "frequency_penalty", "reasoning_effort", "stop",
		)},

		{name: "kimi", with: []string{"thinking"}, quirks: providers.Quirks{Reasons: providers.ReasonsAlways}},
		{name: "kimi", from: 207, quirks: providers.Quirks{Reasons: providers.ReasonsAlways}},
		{name: "kimi", from: 300, quirks: providers.Quirks{Efforts: []string{"low", "high", "max"}, ForcedTools: providers.ForcedAny}},
		{name: "deepseek", with: []string{"reasoner", "r", "speciale"}, quirks: providers.Quirks{Reasons: providers.ReasonsAlways}},
		{name: "qwen", with: []string{"thinking"}, quirks: providers.Quirks{Reasons: providers.ReasonsAlways}},
		{name: "llama", without: []string{"distill", "nemotron"}, openAI: true, quirks: dropping("reasoning_effort")},
		{name: "mistral", openAI: true, quirks: mistral},
		{name: "mistral", with: []string{"large", "nemo"}, openAI: true, quirks: dropping("reasoning_effort")},
		{name: "magistral", openAI: true, quirks: mistral},
		{name: "mixtral", openAI: true, quirks: mistral.Over(dropping("reasoning_effort"))},
		{name: "codestral", openAI: true, quirks: mistral.Over(dropping("reasoning_effort"))},
		{name: "devstral", openAI: true, quirks: mistral.Over(dropping("reasoning_effort"))},
		{name: "ministral", openAI: true, quirks: mistral.Over(dropping("reasoning_effort"))},
		{name: "pixtral", openAI: true, quirks: mistral.Over(dropping("reasoning_effort"))},
		{name: "qwq", quirks: providers.Quirks{Reasons: providers.ReasonsAlways}},
	}
}

func dropping(names ...string) providers.Quirks { return providers.Quirks{Drop: names} }

func reasoner(efforts []string, sampling string, drop ...string) providers.Quirks {
	return providers.Quirks{Efforts: efforts, Sampling: sampling, Drop: drop}
}

// familyQuirks returns what is known about a model, going by the first of its names that
// identifies its family; empty if none does.
func familyQuirks(adapter string, names ...string) (q providers.Quirks) {
	openAI := slices.Contains(formats()[adapter].settings, "max_tokens")
	for _, name := range names {
		words, known := nameWords(name), false
		for _, f := range families() {
			fits := f.fits(words)
			known = known || fits
			if fits && (openAI || !f.openAI) {
				q = f.quirks.Over(q)
			}
		}
		if known {
			break
		}
	}
	return q
}

// fits reports whether a name belongs to the family.
func (f family) fits(words []string) bool {
	i := slices.Index(words, f.name)
	if i < 0 || f.name == "o" && !f.leads(words, i) {
		return false
	}
	v := version(words[i+1:])
	has := func(w string) bool { return slices.Contains(words, w) }
	return v >= f.from && (f.to == 0 || v <= f.to) && (len(f.with) == 0 || slices.ContainsFunc(f.with, has)) &&
		!slices.ContainsFunc(f.without, has)
}

// leads reports whether a word is followed by a version and not preceded by a number: the o
// of o3, but not that of 4o.
func (f family) leads(words []string, i int) bool {
	return i+1 < len(words) && numeral(words[i+1]) && (i == 0 || !numeral(words[i-1]))
}

// version returns the version after a family's name, such as 501 for 5.1; 0 if there is none.
func version(words []string) int {
	for i, w := range words {
		if !numeral(w) {
			if strings.Trim(w, digits) == "" {
				break // a date
			}
			continue
		}
		v := 100 * valueOf(w)
		if i+1 < len(words) && numeral(words[i+1]) {
			v += valueOf(words[i+1])
		}
		return v
	}
	return 0
}

// numeral reports whether a word is a number of at most two digits; longer ones are dates
// and sizes.
func numeral(word string) bool {
	return len(word) <= 2 && word != "" && strings.Trim(word, digits) == ""
}

func valueOf(word string) (n int) {
	for _, c := range word {
		n = 10*n + int(c-'0')
	}
	return n
}

// nameWords returns the words and numbers in a model's name after its last slash: gpt, 5, 1,
// codex for openai/gpt-5.1-codex.
func nameWords(name string) (words []string) {
	name = strings.ToLower(name[strings.LastIndexByte(name, '/')+1:])
	begin := 0
	class := func(c byte) int {
		switch {
		case '0' <= c && c <= '9':
			return 1
		case 'a' <= c && c <= 'z':
			return 2
		}
		return 0
	}
	for i := 1; i <= len(name); i++ {
		if i < len(name) && class(name[i]) == class(name[i-1]) {
			continue
		}
		if class(name[i-1]) != 0 {
			words = append(words, name[begin:i])
		}
		begin = i
	}
	return words
}
