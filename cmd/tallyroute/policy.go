package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/manage"
	"tallyroute/billing/policy"
	"tallyroute/cmd/tallyroute/config"
)

type policyCommand struct {
	Show  policyShow  `cmd:"" help:"Show the policy of a team, a project or a key, and those above it."`
	Set   policySet   `cmd:"" help:"Replace a policy by one from a file."`
	Clear policyClear `cmd:"" help:"End a policy."`
	Try   policyTry   `cmd:"" help:"Say whether a key may make a request, and which rule refuses it."`
}

// holder is whose policy is meant.
type holder struct {
	Level string `arg:"" enum:"team,project,key" help:"Whose: team, project or key."`
	ID    string `arg:"" help:"Its id; of a team also the name, of a project TEAM/NAME."`
}

type policyShow struct {
	holder
}

// Run shows the policy as a file that policy set reads.
func (c policyShow) Run(a *cli) error {
	return a.withActions(func(m manage.Actions, _ *config.Config) error {
		v, err := m.Policy(a.ctx, policy.Level(c.Level), c.ID)
		if err != nil {
			return err
		}
		return printJSON(a.stdout, v)
	})
}

type policySet struct {
	holder
	File     string `required:"" help:"The policy in YAML or JSON; - is standard input." placeholder:"FILE"`
	Replaces string `help:"The revision that it was made from: another one is a conflict." placeholder:"REVISION"`
	Reason   string `help:"Why, for the record." placeholder:"TEXT"`
}

// Run replaces the policy.
func (c policySet) Run(a *cli) error {
	p, err := a.readPolicy(c.File)
	if err != nil {
		return err
	}
	return a.setPolicy(c.holder, manage.PolicyChange{Policy: p, Replaces: c.Replaces}, c.Reason)
}

type policyClear struct {
	holder
	Replaces string `help:"The revision that is ended: another one is a conflict." placeholder:"REVISION"`
	Reason   string `help:"Why, for the record." placeholder:"TEXT"`
}

// Run ends the policy.
func (c policyClear) Run(a *cli) error {
	return a.setPolicy(c.holder, manage.PolicyChange{Replaces: c.Replaces}, c.Reason)
}

func (a *cli) setPolicy(of holder, c manage.PolicyChange, reason string) error {
	return a.withKeys(func(m manage.Actions, _ *config.Config) error {
		v, err := m.SetPolicy(a.ctx, policy.Level(of.Level), of.ID, c, by(reason))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.stdout, "The policy of %s %s is revision %s. Routers go by it within a second.\n", v.Level, v.Name,
			v.Revision)
		return err
	})
}

// readPolicy reads a policy from a file, strictly.
func (a *cli) readPolicy(name string) (*policy.Policy, error) {
	from, err := a.fileOrStdin(name)
	if err != nil {
		return nil, err
	}
	defer closing(from)
	text, err := io.ReadAll(io.LimitReader(from, 2<<20))
	if err != nil {
		return nil, err
	}
	var p policy.Policy
	if err := config.Decode(text, &p); err != nil {
		return nil, usageError{fmt.Errorf("%s: %w", name, err)}
	}
	return &p, nil
}

type policyTry struct {
	plainFormat
	ID       string            `arg:"" help:"Id of the key: key_…"`
	Endpoint string            `enum:"chat,embeddings,responses,messages,count_tokens,models,key" default:"chat" help:"What is called."`
	Model    string            `help:"The model that is asked for." placeholder:"NAME"`
	Provider string            `help:"The provider that would serve it." placeholder:"NAME"`
	Features []string          `help:"What the request uses: stream, tools, vision, audio, documents, reasoning, server_tools." placeholder:"A,B"`
	MaxOut   int64             `name:"max-output" help:"The tokens of output that are asked for." placeholder:"N"`
	Prompt   int64             `help:"The tokens of the prompt." placeholder:"N"`
	Body     int64             `help:"The bytes of the body." placeholder:"N"`
	Tags     map[string]string `help:"The tags of the request." placeholder:"NAME=VALUE"`
	EndUser  string            `help:"The end user." placeholder:"NAME"`
	From     string            `help:"The address of the client." placeholder:"ADDRESS"`
	Origin   string            `help:"The page in a browser." placeholder:"ORIGIN"`
	Referer  string            `help:"The header Referer." placeholder:"URL"`
	At       string            `help:"When, such as 2026-11-01T09:00:00Z; now by default." placeholder:"TIME"`
	Draft    string            `help:"A file with a policy to try in place of the key's own; - is standard input." placeholder:"FILE"`
}

// errDenied is the end of a trial that was refused.
var errDenied = errors.New("the request would be refused")

// Run judges the request.
func (c policyTry) Run(a *cli) error {
	t, err := c.trial()
	if err != nil {
		return usageError{err}
	}
	if c.Draft != "" {
		if t.Draft, err = a.readPolicy(c.Draft); err != nil {
			return err
		}
	}
	return a.withKeys(func(m manage.Actions, _ *config.Config) error {
		v, err := m.TryPolicy(a.ctx, billing.KeyID(c.ID), t)
		if err != nil {
			return err
		}
		switch {
		case c.Output == "json":
			err = printJSON(a.stdout, v)
		case v.Allowed:
			_, err = fmt.Fprintln(a.stdout, "Allowed.")
		default:
			_, err = fmt.Fprintf(a.stdout, "Refused by %s: %s.\n", v.Rule, v.Detail)
		}
		if err == nil && !v.Allowed {
			err = errDenied
		}
		return err
	})
}

func (c policyTry) trial() (t manage.PolicyTrial, err error) {
	t = manage.PolicyTrial{Provider: c.Provider, Prompt: c.Prompt, Request: policy.Request{
		Model: c.Model, MaxOutput: c.MaxOut, Choices: 1, BodyBytes: c.Body, Tags: c.Tags, EndUser: c.EndUser,
	}}
	t.Origin, t.Referer = strings.ToLower(c.Origin), c.Referer
	if t.Endpoint, err = policy.ParseEndpoint(c.Endpoint); err != nil {
		return t, err
	}
	if t.Features, err = policy.ParseFeatures(c.Features); err != nil {
		return t, fmt.Errorf("--features %w", err)
	}
	if c.From != "" {
		if t.From, err = netip.ParseAddr(c.From); err != nil {
			return t, errors.New("--from must be an address")
		}
	}
	if c.At != "" {
		if t.At, err = time.Parse(time.RFC3339, c.At); err != nil {
			return t, errors.New("--at must be an instant such as 2026-11-01T09:00:00Z")
		}
	}
	return t, nil
}
