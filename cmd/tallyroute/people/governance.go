package people

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"

	"tallyroute/billing/audit"
	"tallyroute/billing/governance"
	"tallyroute/billing/manage"
	"tallyroute/cmd/tallyroute/adminapi"
	"tallyroute/cmd/tallyroute/cli"
	"tallyroute/router/admin"
)

// Governance is "tallyroute governance": the organisation's rules for keys.
type Governance struct {
	Show         governanceShow         `cmd:"" help:"Print the rules in force, as a file that governance set reads."`
	Set          governanceSet          `cmd:"" help:"Put rules from a file in force as a new version, and notify the owners of keys."`
	History      governanceHistory      `cmd:"" help:"List the versions of the rules, newest first."`
	Report       GovernanceReport       `cmd:"" help:"List everything that breaks the rules, with a fix; fails if anything does."`
	Verify       governanceVerify       `cmd:"" help:"Verify a signed report, without the database."`
	Document     GovernanceDocument     `cmd:"" help:"Write the organisation's key-management policy from its rules and configuration."`
	Acknowledge  governanceAcknowledge  `cmd:"" help:"Record that somebody has acknowledged the rules in force."`
	Acknowledged governanceAcknowledged `cmd:"" help:"List who has acknowledged the rules in force, and who has not."`
}

type governanceShow struct{}

// Run prints the rules.
func (governanceShow) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		v, err := adminapi.Do[manage.RulesView](a.Ctx, r, adminapi.Get("/governance", nil))
		if err != nil {
			return err
		}
		return cli.PrintJSON(a.Stdout, v.Rules)
	})
}

type governanceSet struct {
	File     string `required:"" help:"The rules in YAML or JSON; - is standard input." placeholder:"FILE"`
	Replaces int64  `help:"The version that they are based on; any other is a conflict." placeholder:"VERSION"`
	DryRun   bool   `help:"Only list what would break the rules."`
	Reason   string `required:"" help:"Why, for the record and for those who are told." placeholder:"TEXT"`
}

// Run puts the rules in force, and lists what already breaks them.
func (c governanceSet) Run(a *cli.Context) error {
	rules, err := cli.ReadDocument[governance.Rules](a, c.File)
	if err != nil {
		return err
	}
	body := cli.Fields{"rules": rules, "replaces": c.Replaces, "dry_run": c.DryRun, "reason": c.Reason}
	return a.Ask(cli.Needs{Creates: true}, func(r adminapi.API) error {
		v, err := adminapi.Do[manage.RulesSet](a.Ctx, r, adminapi.Put("/governance", body))
		if err != nil {
			return err
		}
		verb := "is in force"
		if c.DryRun {
			verb = "would be in force"
		}
		fmt.Fprintf(a.Stdout, "Version %d of the rules %s, SHA-256 %s. %d findings:\n", v.Version, verb, v.SHA256, len(v.Findings))
		return printFindings(a, "table", v.Findings)
	})
}

func printFindings(a *cli.Context, how string, list []governance.Finding) error {
	t := cli.Table{Header: []string{"RULE", "OBJECT", "NAME", "DETAIL", "FIX"}, Records: list}
	for _, f := range list {
		t.Add(cli.Text(f.Rule), cli.Text(f.Object), cli.Text(f.Name), cli.Text(f.Detail), cli.Text(f.Fix))
	}
	if len(list) == 0 && how == "table" {
		return nil
	}
	return t.Write(a.Stdout, how)
}

type governanceHistory struct{ cli.Format }

// Run lists the versions.
func (c governanceHistory) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		all, err := adminapi.All[manage.RulesView](a.Ctx, r, "/governance/versions", nil, 0)
		if err != nil {
			return err
		}
		t := cli.Table{Header: []string{"VERSION", "MADE", "AUTHOR", "REASON", "SHA-256"}, Records: all}
		for _, v := range all {
			t.Add(cli.Number(v.Version), cli.Text(cli.Value(v.MadeAt)), cli.Text(v.Author), cli.Text(v.Reason), cli.Text(v.SHA256))
		}
		return t.Write(a.Stdout, c.Output)
	})
}

// GovernanceReport is "tallyroute governance report".
type GovernanceReport struct {
	cli.Format
	Sign string `help:"Sign the report with a key: a reference such as env:NAME or file:/path." placeholder:"REF"`
}

// errFindings is the result of a report that found something.
var errFindings = errors.New("something breaks the rules")

// Run prints the report.
func (c GovernanceReport) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		v, err := adminapi.Do[manage.GovernanceReport](a.Ctx, r, adminapi.Get("/governance/report", nil))
		if err != nil {
			return err
		}
		switch {
		case c.Sign != "":
			err = c.printSigned(a, v)
		case c.Output == "json":
			err = cli.PrintJSON(a.Stdout, v)
		case c.Output == "csv":
			err = printFindings(a, c.Output, v.Findings)
		default:
			err = printReport(a, v)
		}
		if err == nil && len(v.Findings) > 0 {
			err = errFindings
		}
		return err
	})
}

func printReport(a *cli.Context, v manage.GovernanceReport) error {
	fmt.Fprintf(a.Stdout, "Version %d of the rules, %s: %d keys were judged, %d findings. %d have acknowledged the rules, %d have not.\n",
		v.Version, v.At, v.Keys, len(v.Findings), v.Acknowledged, len(v.Missing))
	return printFindings(a, "table", v.Findings)
}

// evidenceOfReport is the kind of evidence that signed reports are.
const evidenceOfReport = "governance report"

func (c GovernanceReport) printSigned(a *cli.Context, v manage.GovernanceReport) error {
	key, err := signingKey(a, c.Sign)
	if err != nil {
		return err
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return cli.PrintJSON(a.Stdout, key.SignText(evidenceOfReport, string(text)))
}

type governanceVerify struct {
	cli.Format
	File      string `arg:"" help:"The signed report." placeholder:"FILE"`
	PublicKey string `required:"" help:"Of the key that signed it." placeholder:"BASE64"`
}

// Run verifies the report and prints it.
func (c governanceVerify) Run(a *cli.Context) error {
	text, err := os.ReadFile(c.File)
	if err != nil {
		return err
	}
	e, err := audit.OpenEvidence(text, c.PublicKey)
	if err != nil {
		return err
	}
	var v manage.GovernanceReport
	if err := json.Unmarshal([]byte(e.Text), &v); err != nil || e.What != evidenceOfReport {
		return errors.New("the evidence is no report of the rules")
	}
	if c.Output == "json" {
		return cli.PrintJSON(a.Stdout, v)
	}
	fmt.Fprintf(a.Stdout, "The report is as it was signed by %s.\n", e.KeyID)
	return printReport(a, v)
}

// GovernanceDocument is "tallyroute governance document".
type GovernanceDocument struct{}

// Run prints the document.
func (GovernanceDocument) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		v, err := adminapi.Do[admin.Document](a.Ctx, r, adminapi.Get("/governance/document", nil))
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(a.Stdout, v.Markdown)
		return err
	})
}

type governanceAcknowledge struct {
	Version int64  `help:"The version. Default: the one in force." placeholder:"VERSION"`
	Owner   string `help:"The address of the person who acknowledges them. Default: your own." placeholder:"ADDRESS"`
	Reason  string `help:"For the record." placeholder:"TEXT"`
}

// Run records the acknowledgement.
func (c governanceAcknowledge) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		body := cli.Fields{"version": c.Version, "owner": c.Owner, "reason": c.Reason}
		v, err := adminapi.Do[manage.AcknowledgementsView](a.Ctx, r, adminapi.Post("/governance/acknowledgements", body))
		if err == nil {
			_, err = fmt.Fprintf(a.Stdout, "%d have acknowledged version %d of the rules, %d have not.\n", len(v.Done), v.Version,
				len(v.Missing))
		}
		return err
	})
}

type governanceAcknowledged struct{ cli.Format }

// Run lists who has acknowledged the rules, and who hasn't.
func (c governanceAcknowledged) Run(a *cli.Context) error {
	return a.Ask(cli.Needs{}, func(r adminapi.API) error {
		v, err := adminapi.Do[manage.AcknowledgementsView](a.Ctx, r, adminapi.Get("/governance/acknowledgements", nil))
		if err != nil {
			return err
		}
		if c.Output == "json" {
			return cli.PrintJSON(a.Stdout, v)
		}
		t := cli.Table{Header: []string{"VERSION", "OWNER", "ACKNOWLEDGED", "BY"}}
		version := strconv.FormatInt(v.Version, 10)
		for _, d := range v.Done {
			t.Add(cli.Figure(version), cli.Text(d.Owner), cli.Text(cli.Value(d.At)), cli.Text(d.Actor))
		}
		for _, owner := range v.Missing {
			t.Add(cli.Figure(version), cli.Text(owner), cli.Text("not yet"), cli.Text(""))
		}
		return t.Write(a.Stdout, c.Output)
	})
}
