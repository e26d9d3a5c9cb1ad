package policy

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr/vm"
)

// Rights are what a key may do under all the policies that apply to it. They are immutable,
// and safe for concurrent use. Nil rights restrict nothing.
type Rights struct {
	levels    []level // outermost first
	key       KeyFacts
	models    bool  // some models or providers are refused
	maxOutput int64 // 0 is no limit
	maxPrompt int64 // 0 is no limit
	judging   bool  // there are conditions to evaluate
	runaway   Runaway
}

// level is one compiled policy.
type level struct {
	Policy
	level         Level
	endpoints     Endpoint // 0 is all
	features      Feature  // those that must not be used
	allow, refuse []netip.Prefix
	hours         []hours
	conditions    []*vm.Program
	broken        bool // it has faults, so it allows nothing
}

// Denied is something that a policy doesn't allow.
type Denied struct {
	Level  Level
	Rule   string // the field of the policy; for conditions including the name: conditions.office
	Detail string // what is not allowed, in words
}

// Error names the rule.
func (d *Denied) Error() string { return fmt.Sprintf("policy: %s: %s", d.Name(), d.Detail) }

// Name returns the rule with its level: team.features.
func (d *Denied) Name() string { return string(d.Level) + "." + d.Rule }

type layer struct {
	level  Level
	policy *Policy
}

// all returns the policies that are set, outermost first.
func (l Layers) all() []layer {
	return slices.DeleteFunc([]layer{{Team, l.Team}, {Project, l.Project}, {Key, l.Key}, {Temporary, l.Temporary}},
		func(l layer) bool { return l.policy == nil })
}

// Compile returns what the policies allow a key; nil if there are none. A policy with
// faults, which shouldn't have been stored, allows nothing.
func (l Layers) Compile(key KeyFacts) *Rights {
	layers := l.all()
	if len(layers) == 0 {
		return nil
	}
	r := &Rights{key: key, levels: make([]level, len(layers))}
	for i, one := range layers {
		c := compile(one)
		r.levels[i] = c
		r.models = r.models || c.Models != nil || c.DenyModels != nil || c.Providers != nil || c.DenyProviders != nil
		r.maxOutput, r.maxPrompt = lesser(r.maxOutput, c.MaxOutputTokens), lesser(r.maxPrompt, c.MaxPromptTokens)
		r.judging = r.judging || len(c.conditions) > 0
		r.runaway = r.runaway.Lesser(Runaway{c.MaxRepeats, c.MaxSessionRequests, c.MaxSessionCents})
	}
	return r
}

func compile(l layer) level {
	c := level{
		Policy: *l.policy, level: l.level, endpoints: mask[Endpoint](endpoints, l.policy.Endpoints),
		broken: len(l.policy.Check(nil)) > 0,
	}
	if l.policy.Features != nil {
		c.features = ^mask[Feature](features, l.policy.Features)
	}
	c.allow, c.refuse = parseRanges(l.policy.AllowedCIDRs), parseRanges(l.policy.DeniedCIDRs)
	if c.broken {
		return c
	}
	for _, h := range l.policy.Hours {
		c.hours = append(c.hours, h.compile())
	}
	for _, one := range l.policy.Conditions {
		program, _ := one.compile() // it was checked before
		c.conditions = append(c.conditions, program)
	}
	return c
}

// Runaway sets the thresholds from which requests count as runaway. 0 is no limit.
type Runaway struct{ Repeats, SessionRequests, SessionCents int64 }

// Lesser returns the lower of each pair of limits.
func (r Runaway) Lesser(o Runaway) Runaway {
	return Runaway{
		lesser(r.Repeats, o.Repeats), lesser(r.SessionRequests, o.SessionRequests), lesser(r.SessionCents, o.SessionCents),
	}
}

// Runaway returns the runaway thresholds for requests of the key.
func (r *Rights) Runaway() Runaway {
	if r == nil {
		return Runaway{}
	}
	return r.runaway
}

// lesser returns the lower of two limits, where 0 is no limit.
func lesser(a, b int64) int64 {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

func (l *level) deny(rule, format string, args ...any) error {
	return &Denied{Level: l.level, Rule: rule, Detail: fmt.Sprintf(format, args...)}
}

// Entry says which client calls which endpoint, from where and when.
type Entry struct {
	Endpoint        Endpoint
	From            netip.Addr
	Origin, Referer string
	At              time.Time
}

// Enter says whether a key may be used at all, before anything of the request has been
// read. It returns a *Denied if not.
func (r *Rights) Enter(e *Entry) error {
	if r == nil {
		return nil
	}
	for i := range r.levels {
		if err := r.levels[i].enter(e); err != nil {
			return err
		}
	}
	return nil
}

func (l *level) enter(e *Entry) error {
	switch {
	case l.broken:
		return l.deny("policy", "it cannot be read")
	case l.endpoints != 0 && l.endpoints&e.Endpoint == 0:
		return l.deny("endpoints", "%s is not among the endpoints %s", e.Endpoint, strings.Join(l.Endpoints, ", "))
	case l.allow != nil && !within(l.allow, e.From):
		return l.deny("allowed_cidrs", "requests may not come from this address")
	case l.refuse != nil && within(l.refuse, e.From):
		return l.deny("denied_cidrs", "requests may not come from this address")
	case l.Origins != nil && !slices.Contains(l.Origins, strings.ToLower(e.Origin)):
		return l.deny("origins", "requests may only come from certain pages in a browser")
	case l.Referers != nil && !covers(l.Referers, e.Referer):
		return l.deny("referers", "requests may only come from certain pages in a browser")
	case l.hours != nil && !slices.ContainsFunc(l.hours, func(h hours) bool { return h.contain(e.At) }):
		return l.deny("hours", "requests may not come at this hour")
	}
	return nil
}

// Request describes what a request asks for.
type Request struct {
	Entry
	Model            string // as the client writes it
	Features         Feature
	MaxOutput        int64 // of one choice; 0 if the client sets no limit
	Choices          int64
	BodyBytes        int64
	Tags             map[string]string
	EndUser, Session string
}

// Ask says whether a request is allowed, whoever serves it. It returns a *Denied if not.
func (r *Rights) Ask(q *Request) error {
	if r == nil {
		return nil
	}
	for i := range r.levels {
		if err := r.levels[i].ask(q); err != nil {
			return err
		}
	}
	if !r.judging {
		return nil
	}
	facts := r.facts(q)
	for i := range r.levels {
		l := &r.levels[i]
		for n, program := range l.conditions {
			if !holds(program, facts) {
				return l.deny("conditions."+l.Conditions[n].Name, "the request does not fulfil it")
			}
		}
	}
	return nil
}

func (l *level) ask(q *Request) error {
	switch {
	case l.MaxBodyBytes > 0 && q.BodyBytes > l.MaxBodyBytes:
		return l.deny("max_body_bytes", "the body has %d bytes, of at most %d", q.BodyBytes, l.MaxBodyBytes)
	case q.Features&l.features != 0:
		return l.deny("features", "%s must not be used", strings.Join(namesOf(features, q.Features&l.features), ", "))
	case l.MaxOutputTokens > 0 && q.MaxOutput > l.MaxOutputTokens:
		return l.deny("max_output_tokens", "%d tokens of output are asked for, of at most %d", q.MaxOutput, l.MaxOutputTokens)
	}
	for _, name := range l.RequiredTags {
		if q.Tags[name] == "" {
			return l.deny("required_tags", "the tag %q is missing", name)
		}
	}
	return nil
}

// facts returns the facts about a request that conditions see.
func (r *Rights) facts(q *Request) *Facts {
	return &Facts{
		Request: RequestFacts{
			Endpoint: q.Endpoint.String(), Model: short(q.Model), Stream: q.Features&Stream != 0, Features: namesOf(features, q.Features),
			MaxOutput: int(q.MaxOutput), BodyBytes: int(q.BodyBytes), Choices: int(q.Choices), Tags: q.Tags,
			EndUser: short(q.EndUser), Session: short(q.Session), Origin: short(q.Origin),
		},
		Key: r.key, Address: q.From.Unmap().WithZone("").String(), Time: timeFacts(q.At),
	}
}

// Names are the names that a client can use for a target.
type Names struct {
	Asked    string // by the client: one of the names below, or an alias
	Provider string // "" if none has been chosen
	Model    string
	Target   string // provider/model
}

// Serve says whether a target may serve a request; it returns a *Denied if not. A level
// that allows the requested name allows everything that it stands for.
func (r *Rights) Serve(n Names, groups Groups) error {
	if r == nil || !r.models {
		return nil
	}
	for i := range r.levels {
		l := &r.levels[i]
		like := func(patterns []string) bool {
			return groups.In(patterns, n.Asked) || groups.In(patterns, n.Model) || groups.In(patterns, n.Target)
		}
		switch {
		case l.Models != nil && !like(l.Models):
			return l.deny("models", "%q is not among the models %s", cmp.Or(n.Asked, n.Target), strings.Join(l.Models, ", "))
		case like(l.DenyModels):
			return l.deny("deny_models", "%q is among them", cmp.Or(n.Asked, n.Target))
		case n.Provider == "":
		case l.Providers != nil && !covers(l.Providers, n.Provider):
			return l.deny("providers", "%s is not among the providers %s", n.Provider, strings.Join(l.Providers, ", "))
		case covers(l.DenyProviders, n.Provider):
			return l.deny("deny_providers", "%s is among them", n.Provider)
		}
	}
	return nil
}

// Chooses reports whether some models or providers are refused.
func (r *Rights) Chooses() bool { return r != nil && r.models }

// MaxOutput returns the maximum number of tokens in one choice of an answer; 0 is no limit.
func (r *Rights) MaxOutput() int64 {
	if r == nil {
		return 0
	}
	return r.maxOutput
}

// Prompt says whether a prompt with that many tokens is allowed. It returns a *Denied if
// not.
func (r *Rights) Prompt(tokens int64) error {
	if r == nil || r.maxPrompt == 0 || tokens <= r.maxPrompt {
		return nil
	}
	for i := range r.levels {
		if l := &r.levels[i]; l.MaxPromptTokens == r.maxPrompt {
			return l.deny("max_prompt_tokens", "the prompt has %d tokens, of at most %d", tokens, r.maxPrompt)
		}
	}
	return nil
}

// MaxPrompt returns the maximum number of tokens in a prompt; 0 is no limit.
func (r *Rights) MaxPrompt() int64 {
	if r == nil {
		return 0
	}
	return r.maxPrompt
}
