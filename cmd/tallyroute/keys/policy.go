package keys

import (
	"errors"
	"fmt"

	"tallyroute/billing/manage"
	"tallyroute/billing/policy"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
)

// Policy is "tallyroute policy": what keys may do, and under which conditions grants apply.
type Policy struct {
	Show  policyShow  `cmd:"" help:"Show the policy of a team, a project or a key, and those above it."`
	Set   policySet   `cmd:"" help:"Replace a policy with one from a file."`
	Clear policyClear `cmd:"" help:"End a policy."`
	Try   policyTry   `cmd:"" help:"Say whether a key may make a request, and which rule refuses it."`
	Act   policyAct   `cmd:"" help:"Say whether a principal may do something, and which condition of a grant is not met."`
}

// holder says whose policy is meant.
type holder struct {
	Level string `arg:"" enum:"team,project,key" help:"What it belongs to: team, project or key."`
	ID    string `arg:"" help:"Its id; for a team also its name, for a project TEAM/NAME."`
}

// path returns the path of the policy in the API.
func (h holder) path() string { return "/" + h.Level + "s" + adminapi.Path(h.ID, "policy") }

type policyShow struct {
	holder
}

// Run prints the policy as a file that policy set can read.
func (c policyShow) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		v, err := adminapi.Do[manage.PolicyView](a.Ctx, r, adminapi.Get(c.path(), nil))
		if err != nil {
			return err
		}
		return cli.PrintJSON(a.Stdout, v)
	})
}

type policySet struct {
	holder
	File     string `required:"" help:"The policy in YAML or JSON; - is standard input." placeholder:"FILE"`
	Replaces string `help:"The revision that it is based on; any other is a conflict." placeholder:"REVISION"`
	changeFlags
}

// Run replaces the policy.
func (c policySet) Run(a *cli.Context) error {
	p, err := cli.ReadDocument[policy.Policy](a, c.File)
	if err != nil {
		return err
	}
	return setPolicy(a, c.holder, manage.PolicyChange{Policy: p, Replaces: c.Replaces}, c.changeFlags)
}

type policyClear struct {
	holder
	Replaces string `help:"The revision to end; any other is a conflict." placeholder:"REVISION"`
	changeFlags
}

// Run removes the policy.
func (c policyClear) Run(a *cli.Context) error {
	return setPolicy(a, c.holder, manage.PolicyChange{Replaces: c.Replaces}, c.changeFlags)
}

// changeFlags holds the flags that the changes of a policy share.
type changeFlags struct {
	cli.Rehearsal
	Reason string `help:"Why, for the record." placeholder:"TEXT"`
}

func setPolicy(a *cli.Context, of holder, c manage.PolicyChange, how changeFlags) error {
	return a.Change(how.Rehearsal, cli.Needs{Keys: true}, func(r adminapi.API) error {
		v, err := adminapi.Do[manage.PolicyView](a.Ctx, r, adminapi.Put(of.path(), cli.Fields{
			"policy": c.Policy, "replaces": c.Replaces, "reason": how.Reason,
		}))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Stdout, "The policy of %s %s is revision %s. Routers go by it within a second.\n", v.Level, v.Name,
			v.Revision)
		return err
	})
}

type policyTry struct {
	cli.PlainFormat
	ID       string            `arg:"" help:"Id of the key: key_…"`
	Endpoint string            `enum:"${endpoints}" default:"chat" help:"The endpoint that is called."`
	Model    string            `help:"The requested model." placeholder:"NAME"`
	Provider string            `help:"The provider that would serve it." placeholder:"NAME"`
	Features []string          `help:"What it uses: stream, tools, vision, audio, documents, reasoning, server_tools." placeholder:"A,B"`
	MaxOut   int64             `name:"max-output" help:"The requested tokens of output." placeholder:"N"`
	Prompt   int64             `help:"The tokens of the prompt." placeholder:"N"`
	Body     int64             `help:"The size of the body in bytes." placeholder:"N"`
	Tags     map[string]string `help:"The tags of the request." placeholder:"NAME=VALUE"`
	EndUser  string            `help:"The end user." placeholder:"NAME"`
	From     string            `help:"The address of the client." placeholder:"ADDRESS"`
	Origin   string            `help:"Open the page in a browser." placeholder:"ORIGIN"`
	Referer  string            `help:"The header Referer." placeholder:"URL"`
	At       string            `help:"When, such as 2026-11-01T09:00:00Z; now by default." placeholder:"TIME"`
	Draft    string            `help:"A file with a policy to try in place of the key's own; - is standard input." placeholder:"FILE"`
}

// errDenied is the result of a trial that was refused.
var errDenied = errors.New("the request would be refused")

// Run evaluates the request.
func (c policyTry) Run(a *cli.Context) error {
	trial := cli.Fields{
		"endpoint": c.Endpoint, "model": c.Model, "provider": c.Provider, "features": c.Features, "max_output_tokens": c.MaxOut,
		"prompt_tokens": c.Prompt, "body_bytes": c.Body, "tags": c.Tags, "end_user": c.EndUser, "from": c.From, "origin": c.Origin,
		"referer": c.Referer,
	}
	if c.At != "" {
		trial["at"] = c.At
	}
	if c.Draft != "" {
		draft, err := cli.ReadDocument[policy.Policy](a, c.Draft)
		if err != nil {
			return err
		}
		trial["draft"] = draft
	}
	return a.Ask(cli.Needs{Keys: true}, func(r adminapi.API) error {
		v, err := adminapi.Do[manage.PolicyVerdict](a.Ctx, r, adminapi.Post("/keys"+adminapi.Path(c.ID, "policy", "try"), trial))
		if err != nil {
			return err
		}
		switch {
		case c.Output == "json":
			err = cli.PrintJSON(a.Stdout, v)
		case v.Allowed:
			_, err = fmt.Fprintln(a.Stdout, "Allowed.")
		default:
			_, err = fmt.Fprintf(a.Stdout, "Refused by %s: %s.\n", v.Rule, v.Detail)
		}
		if err == nil && !v.Allowed {
			err = errDenied
		}
		return err
	})
}

type policyAct struct {
	cli.PlainFormat
	ID         string   `arg:"" help:"Id of the principal: user_… or svc_…"`
	Operation  string   `arg:"" help:"The operation, by its id in the OpenAPI document, such as revokeKey."`
	Team       string   `help:"The team of what it is about." placeholder:"TEAM" xor:"scope"`
	Project    string   `help:"The project of what it is about: TEAM/PROJECT or its id." placeholder:"PROJECT" xor:"scope"`
	From       string   `help:"The address that the request comes from." placeholder:"ADDRESS"`
	At         string   `help:"When, such as 2026-11-01T09:00:00Z; now by default." placeholder:"TIME"`
	Session    bool     `help:"The request is made in a session, not with a token."`
	AgeMinutes int      `help:"How old the login is." placeholder:"N"`
	Strength   []string `help:"The amr and acr claims of the login." placeholder:"A,B"`
	Must       string   `help:"A condition to try in place of those of all grants." placeholder:"EXPR"`
}

// Run evaluates the act.
func (c policyAct) Run(a *cli.Context) error {
	trial := cli.Fields{
		"operation": c.Operation, "from": c.From, "session": c.Session, "age_minutes": c.AgeMinutes, "strength": c.Strength, "must": c.Must,
	}
	switch {
	case c.Team != "":
		trial["scope"], trial["scope_id"] = "team", c.Team
	case c.Project != "":
		trial["scope"], trial["scope_id"] = "project", c.Project
	}
	if c.At != "" {
		trial["at"] = c.At
	}
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		v, err := adminapi.Do[manage.GrantVerdict](a.Ctx, r, adminapi.Post("/principals"+adminapi.Path(c.ID, "try"), trial))
		if err != nil {
			return err
		}
		switch {
		case c.Output == "json":
			err = cli.PrintJSON(a.Stdout, v)
		case v.Allowed:
			_, err = fmt.Fprintf(a.Stdout, "Allowed as %s.\n", v.Role)
		default:
			_, err = fmt.Fprintf(a.Stdout, "Refused: %s.\n", v.Detail)
		}
		if err == nil && !v.Allowed {
			err = errDenied
		}
		return err
	})
}
