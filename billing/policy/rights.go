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

// Rights are what a key may do by all policies that bind it. They do not change, and are
// safe for use by many goroutines. Nil rights narrow nothing.
type Rights struct {
	levels    []level // from the outside in
	key       KeyFacts
	models    bool  // some model or provider is refused
	maxOutput int64 // 0 is no limit
	maxPrompt int64 // 0 is no limit
	judging   bool  // there are conditions
	runaway   Runaway
}

// level is one policy compiled.
type level struct {
	Policy
	level         Level
	endpoints     Endpoint // 0 is all
	features      Feature  // those that may not be used
	allow, refuse []netip.Prefix
	hours         []hours
	conditions    []*vm.Program
	broken        bool // it has faults: it allows nothing
}

// Denied is what a policy does not allow.
type Denied struct {
	Level  Level
	Rule   string // the member of the policy, of conditions with the name: conditions.office
	Detail string // what is not allowed, in words
}

// Error names the rule.
func (d *Denied) Error() string { return fmt.Sprintf("policy: %s: %s", d.Name(), d.Detail) }

// Name is the rule with its level: team.features.
func (d *Denied) Name() string { return string(d.Level) + "." + d.Rule }

type layer struct {
	level  Level
	policy *Policy
}

// all are the policies that there are, from the outside in.
func (l Layers) all() []layer {
	return slices.DeleteFunc([]layer{{Team, l.Team}, {Project, l.Project}, {Key, l.Key}, {Temporary, l.Temporary}},
		func(l layer) bool { return l.policy == nil })
}

// Compile is what policies allow a key; nil where there are none. A policy with faults,
// which is not stored, allows nothing.
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
	for _, text := range l.policy.AllowedCIDRs {
		p, _ := parseRange(text)
		c.allow = append(c.allow, p)
	}
	for _, text := range l.policy.DeniedCIDRs {
		p, _ := parseRange(text)
		c.refuse = append(c.refuse, p)
	}
	if c.broken {
		return c
	}
	for _, h := range l.policy.Hours {
		c.hours = append(c.hours, h.compile())
	}
	for _, one := range l.policy.Conditions {
		program, _ := one.compile() // it was checked
		c.conditions = append(c.conditions, program)
	}
	return c
}

// Runaway is from when on requests have run away. 0 is no limit.
type Runaway struct{ Repeats, SessionRequests, SessionCents int64 }

// Lesser are the lesser limits of two.
func (r Runaway) Lesser(o Runaway) Runaway {
	return Runaway{
		lesser(r.Repeats, o.Repeats), lesser(r.SessionRequests, o.SessionRequests), lesser(r.SessionCents, o.SessionCents),
	}
}

// Runaway is from when on requests of the key have run away.
func (r *Rights) Runaway() Runaway {
	if r == nil {
		return Runaway{}
	}
	return r.runaway
}

// lesser is the lesser of two limits, of which 0 is none.
func lesser(a, b int64) int64 {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

func (l *level) deny(rule, format string, args ...any) error {
	return &Denied{Level: l.level, Rule: rule, Detail: fmt.Sprintf(format, args...)}
}

// Entry is who asks, for what, from where and when.
type Entry struct {
	Endpoint        Endpoint
	From            netip.Addr
	Origin, Referer string
	At              time.Time
}

// Enter says whether a key may be used at all, before anything of the request was read:
// a *Denied where not.
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

// Request is what a request asks for.
type Request struct {
	Entry
	Model            string // as the client writes it
	Features         Feature
	MaxOutput        int64 // of one choice; 0 where the client gives no bound
	Choices          int64
	BodyBytes        int64
	Tags             map[string]string
	EndUser, Session string
}

// Ask says whether a request may be made, whoever serves it: a *Denied where not.
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

// facts are what conditions see of a request.
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

// Names are how a target can be called by who asks for it.
type Names struct {
	Asked    string // by the client: one of the others, or an alias
	Provider string // "" where nobody has been chosen
	Model    string
	Target   string // provider/model
}

// Serve says whether a target may serve a request: a *Denied where not. A level that
// allows the name that was asked for allows all that it stands for.
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

// Chooses reports that not every model of every provider may serve.
func (r *Rights) Chooses() bool { return r != nil && r.models }

// MaxOutput is how many tokens one choice of an answer may have; 0 is no limit.
func (r *Rights) MaxOutput() int64 {
	if r == nil {
		return 0
	}
	return r.maxOutput
}

// Prompt says whether a prompt of so many tokens may be sent: a *Denied where not.
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

// MaxPrompt is how many tokens a prompt may have; 0 is no limit.
func (r *Rights) MaxPrompt() int64 {
	if r == nil {
		return 0
	}
	return r.maxPrompt
}
