package offers

import (
	"fmt"
	"io"
	"strings"
	"time"

	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/providers/secret"
	"tallyroute/providers/secret/age"
	"tallyroute/providers/secret/envelope"
)

// Credentials is "tallyroute credentials": our credentials at providers.
type Credentials struct {
	List    credentialsList    `cmd:"" help:"List stored and configured credentials: age, expiry, use, failures, health."`
	Add     credentialsAdd     `cmd:"" help:"Store a credential, encrypted with secrets.encryption_key."`
	Change  credentialsChange  `cmd:"" help:"Change the owner, the weight or the expiry of a credential."`
	Test    credentialsTest    `cmd:"" help:"Ask the provider's cheapest model for one token, which it may bill."`
	Rotate  credentialsRotate  `cmd:"" help:"Give a credential a new secret; the old one is spare for the overlap."`
	Disable credentialsDisable `cmd:"" help:"Disable a credential until it is enabled again."`
	Enable  credentialsEnable  `cmd:"" help:"Enable a credential that was disabled."`
	Remove  credentialsRemove  `cmd:"" help:"Destroy a stored credential."`
}

type credentialsList struct{ cli.Format }

// Run lists the credentials.
func (c credentialsList) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		all, err := adminapi.All[manage.CredentialView](a.Ctx, r, "/credentials", nil, 0)
		if err != nil {
			return err
		}
		now := time.Now()
		t := cli.Table{
			Header: []string{
				"CREDENTIAL", "FROM", "OWNER", "WEIGHT", "STATUS", "AGE", "EXPIRES", "LAST USED", "LAST FAILURE", "HEALTH", "VERSIONS",
			},
			Records: all,
		}
		for _, v := range all {
			from, failure := v.From, "-"
			if v.Refers != "" {
				from = v.Refers
			}
			if v.LastFailedAt != nil {
				failure = v.LastFailure + " " + ago(v.LastFailedAt, now)
			}
			t.Add(cli.Text(strings.TrimSuffix(v.Provider+"/"+v.Name, "/")), cli.Text(from), cli.Text(cli.OrElse(v.Owner, "-")),
				cli.Number(int64(v.Weight)), cli.Text(v.Status), cli.Text(spanSince(v, now)),
				cli.Text(cli.OrElse(cli.DayOf(v.ExpiresAt), "-")), cli.Text(ago(v.LastUsedAt, now)), cli.Text(failure),
				cli.Text(strings.TrimSpace(v.Health+" "+v.Cause)),
				cli.Number(int64(len(v.Versions))))
		}
		return t.Write(a.Stdout, c.Output)
	})
}

// spanSince returns how long the current secret has been in use.
func spanSince(v manage.CredentialView, now time.Time) string {
	if len(v.Versions) == 0 {
		return "-"
	}
	return cli.Span(now.Sub(cli.InstantOf(v.Versions[0].CreatedAt)))
}

func ago(at *string, now time.Time) string {
	if at == nil {
		return "-"
	}
	return cli.Ago(cli.InstantOf(at), now)
}

// given says where a new secret comes from. It is never an argument, because every user of
// the machine can read those.
type given struct {
	From  string `help:"Where the secret is: env:NAME, file:/path; - is standard input." placeholder:"REFERENCE" xor:"given" required:""`
	Made  bool   `name:"made-by-provider" help:"The provider makes it, if its admin API is configured." xor:"given" required:""`
	Until string `name:"expires" help:"When the secret ends, such as 2027-01-31T00:00:00Z." placeholder:"TIME"`
}

// fields returns the corresponding fields of a request body.
func (g given) fields(a *cli.Context) (cli.Fields, error) {
	body := cli.Fields{}
	if g.Until != "" {
		body["expires_at"] = g.Until
	}
	if g.Made {
		return body, nil
	}
	if g.From == "-" {
		text, err := io.ReadAll(io.LimitReader(a.Stdin, 64<<10))
		body["secret"] = strings.TrimSpace(string(text))
		if err == nil && body["secret"] == "" {
			err = cli.Usagef("--from: there is nothing on standard input")
		}
		return body, err
	}
	v, err := secret.Resolve(a.Ctx, g.From)
	body["secret"] = v.Reveal()
	return body, err
}

type credentialsAdd struct {
	given
	Provider string `arg:"" help:"The provider."`
	Name     string `arg:"" help:"A name that none of its other credentials has."`
	Owner    string `help:"The address of the owner." placeholder:"ADDRESS"`
	Weight   int    `help:"Its share of calls, from 0 to 1000." default:"1"`
	Reason   string `help:"Why." placeholder:"TEXT"`
}

// Run stores a credential.
func (c credentialsAdd) Run(a *cli.Context) error {
	body, err := c.fields(a)
	if err != nil {
		return err
	}
	body["provider"], body["name"], body["owner"], body["weight"], body["reason"] = c.Provider, c.Name, c.Owner, c.Weight, c.Reason
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		v, err := adminapi.Do[manage.CredentialView](a.Ctx, r, adminapi.Post("/credentials", body))
		if err == nil {
			_, err = fmt.Fprintf(a.Stdout, "%s\n", v.ID)
		}
		return err
	})
}

// one says which credential is meant.
type one struct {
	Credential string `arg:"" help:"PROVIDER/NAME, or its id."`
	Reason     string `help:"Why." placeholder:"TEXT"`
}

func (o one) path(more ...string) string {
	return "/credentials" + adminapi.Path(append([]string{o.Credential}, more...)...)
}

type credentialsChange struct {
	one
	Owner  *string `help:"The address of the owner." placeholder:"ADDRESS"`
	Weight *int    `help:"Its share of calls, from 0 to 1000." placeholder:"N"`
	Until  string  `name:"expires" help:"When the secret ends, or never." placeholder:"TIME"`
}

// Run changes a credential.
func (c credentialsChange) Run(a *cli.Context) error {
	body := cli.Fields{"reason": c.Reason}
	if c.Owner != nil {
		body["owner"] = *c.Owner
	}
	if c.Weight != nil {
		body["weight"] = *c.Weight
	}
	switch c.Until {
	case "":
	case "never":
		body["expires_at"] = nil
	default:
		body["expires_at"] = c.Until
	}
	return a.Ask(cli.Needs{}, func(r adminapi.API) error { return r.Do(a.Ctx, adminapi.Patch(c.path(), body), nil) })
}

type credentialsTest struct {
	one
	cli.PlainFormat
}

// errRefused is the result of a failed trial.
var errRefused = fmt.Errorf("the provider did not answer as it should")

// Run tests a credential.
func (c credentialsTest) Run(a *cli.Context) error {
	fmt.Fprintln(a.Stderr, "Asking the provider's cheapest model for one token, which it may bill; it is not in the ledger.")
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		t, err := adminapi.Do[manage.Trial](a.Ctx, r, adminapi.Post(c.path("test"), cli.Fields{"reason": c.Reason}))
		if err != nil {
			return err
		}
		switch {
		case c.Output == "json":
			err = cli.PrintJSON(a.Stdout, t)
		case t.OK:
			_, err = fmt.Fprintf(a.Stdout, "ok: %s/%s answered in %d ms, with %d tokens\n", t.Provider, t.Model, t.TookMS, t.Tokens)
		default:
			_, err = fmt.Fprintf(a.Stdout, "failed: %s/%s, %s, status %d: %s\n", t.Provider, t.Model, t.Kind, t.Status,
				cli.OrElse(t.Message, "-"))
		}
		if err == nil && !t.OK {
			err = errRefused
		}
		return err
	})
}

type credentialsRotate struct {
	given
	one
	Overlap time.Duration `help:"How long calls fall back to the old secret if the new one is refused." default:"1h" placeholder:"SPAN"`
}

// Run rotates a credential.
func (c credentialsRotate) Run(a *cli.Context) error {
	body, err := c.fields(a)
	if err != nil {
		return err
	}
	body["overlap"], body["reason"] = c.Overlap.String(), c.Reason
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		v, err := adminapi.Do[manage.CredentialView](a.Ctx, r, adminapi.Post(c.path("rotate"), body))
		if err == nil {
			_, err = fmt.Fprintf(a.Stdout, "%s is in use within a second; the one before ends at %s.\n", v.LedgerName(),
				cli.Value(v.Versions[1].EndsAt))
		}
		return err
	})
}

type credentialsDisable struct{ one }

// Run disables a credential.
func (c credentialsDisable) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		return r.Do(a.Ctx, adminapi.Post(c.path("disable"), cli.Fields{"reason": c.Reason}), nil)
	})
}

type credentialsEnable struct{ one }

// Run enables a credential.
func (c credentialsEnable) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		return r.Do(a.Ctx, adminapi.Post(c.path("enable"), cli.Fields{"reason": c.Reason}), nil)
	})
}

type credentialsRemove struct {
	one
	cli.Rehearsal
}

// Run destroys a credential.
func (c credentialsRemove) Run(a *cli.Context) error {
	return a.Change(c.Rehearsal, cli.Needs{}, func(r adminapi.API) error {
		return r.Do(a.Ctx, adminapi.Delete(c.path(), adminapi.Query("reason", c.Reason)), nil)
	})
}

// Secrets is "tallyroute secrets": the key that encrypts secrets in the database.
type Secrets struct {
	Key     secretsKey     `cmd:"" help:"Create a key for secrets.encryption_key."`
	AgeKey  secretsAgeKey  `cmd:"" help:"Create an identity for secrets.age_identity."`
	Encrypt secretsEncrypt `cmd:"" help:"Encrypt a secret with age for use in the configuration."`
	Rekey   secretsRekey   `cmd:"" help:"Encrypt what still uses the previous key with secrets.encryption_key."`
}

type secretsKey struct{}

// Run prints a new key.
func (secretsKey) Run(a *cli.Context) error {
	key, err := envelope.NewKey()
	if err != nil {
		return err
	}
	fmt.Fprintln(a.Stdout, key)
	fmt.Fprintln(a.Stderr, "Keep it where the database is not, and set secrets.encryption_key to a reference to it, such as env:NAME.")
	return nil
}

type secretsAgeKey struct{}

// Run prints a new identity and the recipient to encrypt for.
func (secretsAgeKey) Run(a *cli.Context) error {
	identity, recipient, err := age.NewIdentity()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.Stdout, "# public key: %s\n%s\n", recipient, identity)
	return err
}

type secretsEncrypt struct {
	To string `required:"" placeholder:"RECIPIENT" help:"The public key of the identity that opens it: age1…"`
}

// Run encrypts its input.
func (c secretsEncrypt) Run(a *cli.Context) error {
	text, err := io.ReadAll(io.LimitReader(a.Stdin, 64<<10))
	if err != nil {
		return err
	}
	sealed, err := age.Seal(c.To, strings.TrimSpace(string(text)))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.Stdout, "age:"+sealed)
	return err
}

type secretsRekey struct {
	cli.Rehearsal
	Reason string `help:"Why." placeholder:"TEXT"`
}

// Run re-encrypts everything with the current key.
func (c secretsRekey) Run(a *cli.Context) error {
	return a.Change(c.Rehearsal, cli.Needs{Keys: true}, func(r adminapi.API) error {
		v, err := adminapi.Do[manage.Rekeyed](a.Ctx, r, adminapi.Post("/secrets/rekey", cli.Fields{"reason": c.Reason}))
		if err == nil {
			_, err = fmt.Fprintf(a.Stdout, "%d secrets and responses were sealed anew, %d were under the key already.\n",
				v.Changed, v.Already)
		}
		if err == nil && v.Unreadable > 0 {
			_, err = fmt.Fprintf(a.Stdout, "%d responses are under a key that is not configured; they go when they expire.\n", v.Unreadable)
		}
		return err
	})
}
