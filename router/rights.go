package router

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"tallyroute/billing"
	"tallyroute/billing/policy"
	"tallyroute/providers"
	"tallyroute/providers/chat"
)

// entry describes the caller as policies see it.
func (c *Caller) entry() policy.Entry {
	return policy.Entry{Endpoint: c.Endpoint, From: c.From, Origin: c.Origin, Referer: c.Referer, At: c.At}
}

// enter checks whether a key may be used at all: from where, when and for what it is used.
func (r *Router) enter(key *billing.Key, c Caller) error {
	if !key.AllowsAddress(c.From) {
		return billing.ErrAddress
	}
	if err := c.Temporary.Child(key); err != nil {
		return err
	}
	if key.Rights == nil {
		return nil
	}
	e := c.entry()
	return r.denied(key, key.Rights.Enter(&e), c)
}

// denied counts refusals by a policy, and returns err.
func (r *Router) denied(key *billing.Key, err error, c Caller) error {
	var d *policy.Denied
	if r.Denials != nil && errors.As(err, &d) {
		r.Denials.Add(key.ID, d.Name(), c.At)
	}
	return err
}

// serves checks whether a target may serve a request made with a key.
func (r *Router) serves(key *billing.Key, asked string, t *providers.Target) error {
	if len(t.Environments) > 0 && !slices.Contains(t.Environments, key.Environment) {
		return &policy.Denied{
			Level: "providers", Rule: "environments",
			Detail: fmt.Sprintf("%s is not for keys of %s", t.Provider, key.Environment),
		}
	}
	if !key.Rights.Chooses() {
		return nil
	}
	return key.Rights.Serve(policy.Names{Asked: asked, Provider: t.Provider, Model: t.Model, Target: t.Name()}, r.o.Groups)
}

// tags returns the caller's tags overlaid by the key's: a caller may describe a request, but
// the key alone determines who pays for it.
func tags(keys, callers map[string]string) map[string]string {
	if len(keys) == 0 {
		return callers
	}
	all := make(map[string]string, len(keys)+len(callers))
	for k, v := range callers {
		all[k] = v
	}
	for k, v := range keys {
		all[k] = v
	}
	return all
}

// features returns the features of a model that a request uses besides text. A part that may
// hold media of an unstated kind counts as every kind.
func features(r *chat.Request, native *providers.Native) (f policy.Feature) {
	needs := r.Needs()
	for _, one := range [...]struct {
		feature policy.Feature
		used    bool
	}{
		{policy.Stream, needs.Stream},
		{policy.Tools, needs.Tools},
		{policy.Vision, needs.Vision},
		{policy.Audio, needs.Audio},
		{policy.Documents, needs.Documents},
		{policy.ServerTools, r.Hosted()},
		{policy.Reasoning, r.Reasons()},
	} {
		if one.used {
			f |= one.feature
		}
	}
	if r.MayHoldMedia() && f&media == 0 {
		f |= media
	}
	if native != nil {
		for _, n := range native.Aside {
			f |= aside(n)
		}
	}
	return f
}

const media = policy.Vision | policy.Audio | policy.Documents

// aside returns the features that a member without a place in a chat completion may use.
func aside(n chat.Noted) policy.Feature {
	top, rest, inside := strings.Cut(n.Name, ".")
	switch {
	case n.Name == chat.NotedTool, top == "mcp_servers", top == "container":
		return policy.ServerTools
	case top == "input" && inside:
		return item(rest)
	case n.Name == chat.NotedReference, inside && (top == "messages" || top == "system"):
		return media
	case chat.AsksForReasoning(top, n.Value): // or one of its own members: reasoning.mode
		return policy.Reasoning
	}
	return 0
}

// item returns the features that an input item of a response, or one of its members, may use.
// An unknown one may bring media and tools of its own.
func item(kind string) policy.Feature {
	switch kind {
	case "local_shell_call", "local_shell_call_output", "shell_call", "shell_call_output", "apply_patch_call", "apply_patch_call_output":
		return policy.Tools
	case "computer_call", "computer_call_output":
		return policy.ServerTools | policy.Vision
	}
	if kind == "compaction" || strings.Contains(kind, ".") { // a context, or a member of a content part
		return media
	}
	return media | policy.ServerTools
}
